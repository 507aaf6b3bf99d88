/* device.h: the options of the tools that compute, and what opens the device they name. */
#ifndef SRC_DEVICE_H
#define SRC_DEVICE_H

#include "../common/base/tool.h"
#include "../kernels/backend.h"
#include "../kernels/offload.h"

#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

static backend_options device_given = {.device = "auto"};

static inline void set_device(const char *word)
{
    if (strncmp(word, "cuda:", 5) == 0)
        tool_integer("--device cuda:N", word + 5, 0, 1023);
    else if (strcmp(word, "auto") != 0 && strcmp(word, "cpu") != 0 && strcmp(word, "cuda") != 0 &&
             strcmp(word, "reference") != 0)
        tool_usage("--device takes auto, cpu, cuda, cuda:N or reference, not '%s'", word);
    device_given.device = word;
}

static inline void set_precision(const char *word)
{
    if (precision_parse(word, &device_given.precision) < 0)
        tool_usage("--precision takes auto, fp32, bf16 or tf32, not '%s'", word);
}

static const tool_option device_options[] = {
    {"device", "auto|cpu|cuda|cuda:N|reference", 0,
     "where to compute (default auto: a GPU if one works, else the CPU)", OPTION_CALLS(set_device)},
    {"precision", "auto|fp32|bf16|tf32", 0,
     "precision of the arithmetic (default auto: what the device is quick at)",
     OPTION_CALLS(set_precision)},
    {"threads", "N", 0, "CPU threads (default: all that the process may use)",
     OPTION_TO(device_given.threads), 1, 1024},
    {"deterministic", NULL, 0, "give the same bytes each time on a GPU too",
     OPTION_TO(device_given.deterministic)},
    {0}};

static inline bool file_begins(const char *folder, const char *name, const char *with)
{
    char path[PATH_MAX], text[16] = "";
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "r");
    bool begins = file && fgets(text, sizeof text, file) && strncmp(text, with, strlen(with)) == 0;
    if (file)
        fclose(file);
    return begins;
}

/* Whether the PCI bus shows an NVIDIA card, with a driver or without. */
static inline bool card_seen(void)
{
    glob_t on_bus;
    bool seen = false;
    if (glob("/sys/bus/pci/devices/*", 0, NULL, &on_bus) != 0)
        return false;
    for (size_t i = 0; i < on_bus.gl_pathc && !seen; i++)
        seen = file_begins(on_bus.gl_pathv[i], "vendor", "0x10de") &&
               file_begins(on_bus.gl_pathv[i], "class", "0x03");
    globfree(&on_bus);
    return seen;
}

/* What came of --device, on a terminal or with --progress; that it is no GPU where that is news. */
static inline void device_tell(const backend *device, const char *notice)
{
    bool progress = tool_shows_progress();
    if (!progress && !tool_on_terminal())
        return;
    if (notice && (progress || card_seen()))
        tool_say("no GPU: %s", notice);
    if (device)
        tool_say("computes on %s (%s, %s)", device->name, device->device,
                 precision_name(device->precision));
}

/* Opens it or exits 1; says on a terminal what it came to. */
static inline backend *device_open(void)
{
    backend *device;
    const char *notice = NULL;
    error e = {""};
    if (backend_open(&device_given, &device, &notice, &e) < 0)
        tool_fail(&e);
    device_tell(device, notice);
    return device;
}

static inline void device_taken(void *context, const backend *taken, const char *why)
{
    (void)context;
    device_tell(taken, why);
}

/* What tools that only work on embeddings compute with; one that is all NULL is not open. */
typedef struct {
    algebra *algebra;
    backend *backend; /* whose it is; */
    offload *offload; /* with auto, this one's */
} embedding_device;

/* Opens it or exits 1: auto begins on the CPU, and wakes a GPU when there is work enough for one
 * (offload.h). */
static inline embedding_device embedding_device_open(void)
{
    embedding_device d = {0};
    error e = {""};
    if (strcmp(device_given.device, "auto") != 0) {
        d.backend = device_open();
        d.algebra = &d.backend->algebra;
        return d;
    }
    offload_costs costs = offload_costs_of(device_given.threads);
    if (offload_open(&device_given, "cuda", &costs, device_taken, NULL, &d.offload, &e) < 0)
        tool_fail(&e);
    device_tell(offload_cpu(d.offload), NULL);
    d.algebra = offload_algebra(d.offload);
    return d;
}

static inline void embedding_device_close(embedding_device d)
{
    if (d.offload)
        offload_close(d.offload);
    if (d.backend)
        d.backend->close(d.backend);
}

#endif
