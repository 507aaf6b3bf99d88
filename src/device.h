/* device.h: the options of the tools that compute, and what opens the device they name. */
#ifndef SRC_DEVICE_H
#define SRC_DEVICE_H

#include "../common/base/tool.h"
#include "../kernels/backend.h"
#include "../kernels/offload.h"

#include <string.h>
#include <unistd.h>

enum { DEVICE_NAME = TOOL_HELP + 50, DEVICE_PRECISION, DEVICE_THREADS, DEVICE_DETERMINISTIC };
#define DEVICE_OPTIONS                                                                             \
    {"device", required_argument, NULL, DEVICE_NAME},                                              \
        {"precision", required_argument, NULL, DEVICE_PRECISION},                                  \
        {"threads", required_argument, NULL, DEVICE_THREADS},                                      \
    {                                                                                              \
        "deterministic", no_argument, NULL, DEVICE_DETERMINISTIC                                   \
    }
#define DEVICE_HELP                                                                                \
    "  --device WHAT      auto (default), cpu, cuda, cuda:N or reference\n"                        \
    "  --precision WHAT   auto (default), fp32, bf16 or, on a GPU, tf32\n"                         \
    "  --threads N        CPU threads (default: all that the process may use)\n"                   \
    "  --deterministic    the same bytes each time on a GPU too\n"

/* What options hold before any was read. */
#define DEVICE_DEFAULTS                                                                            \
    {                                                                                              \
        .device = "auto"                                                                           \
    }

/* True if what getopt_long returned was one of these; a bad value exits 2. */
static inline bool device_option(int letter, backend_options *options)
{
    switch (letter) {
    case DEVICE_NAME:
        if (strcmp(optarg, "auto") != 0 && strcmp(optarg, "cpu") != 0 &&
            strcmp(optarg, "reference") != 0 && strcmp(optarg, "cuda") != 0 &&
            strncmp(optarg, "cuda:", 5) != 0)
            tool_usage("--device %s: takes auto, cpu, cuda, cuda:N or reference", optarg);
        if (strncmp(optarg, "cuda:", 5) == 0)
            tool_integer("--device cuda:N", optarg + 5, 0, 1023);
        options->device = optarg;
        return true;
    case DEVICE_PRECISION:
        if (precision_parse(optarg, &options->precision) < 0)
            tool_usage("--precision %s: takes auto, fp32, bf16 or tf32", optarg);
        return true;
    case DEVICE_THREADS:
        options->threads = (int)tool_integer("--threads", optarg, 1, 1024);
        return true;
    case DEVICE_DETERMINISTIC:
        options->deterministic = true;
        return true;
    default:
        return false;
    }
}

static inline bool device_speaks(const tool_options *tool)
{
    return isatty(STDERR_FILENO) || tool->progress;
}

static inline void device_tell(const tool_options *tool, const backend *device, const char *notice)
{
    if (notice && device_speaks(tool))
        tool_say(tool, "no GPU: %s", notice);
    if (device && device_speaks(tool))
        tool_say(tool, "computes on %s (%s, %s)", device->name, device->device,
                 precision_name(device->precision));
}

/* Opens it or exits 1; says on a terminal what it came to. */
static inline backend *device_open(const backend_options *options, const tool_options *tool)
{
    backend *device;
    const char *notice = NULL;
    error e = {""};
    if (backend_open(options, &device, &notice, &e) < 0)
        tool_fail(&e);
    device_tell(tool, device, notice);
    return device;
}

static inline void device_taken(void *tool, const backend *taken, const char *why)
{
    device_tell(tool, taken, why);
}

/* The same for tools that only work on embeddings: auto begins on the CPU, and wakes a GPU when
 * there is work enough for one (deferred.h). */
static inline backend *device_open_by_size(const backend_options *options, const tool_options *tool)
{
    backend *device;
    error e = {""};
    if (strcmp(options->device, "auto") != 0)
        return device_open(options, tool);
    deferred_costs costs = deferred_costs_of(options->threads);
    if (deferred_open(options, "cuda", &costs, device_taken, (void *)tool, &device, &e) < 0)
        tool_fail(&e);
    device_tell(tool, device, NULL);
    return device;
}

#endif
