#include "backend.h"

#include "absence.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const precision_names[] = {
    [PRECISION_AUTO] = "auto",
    [PRECISION_FP32] = "fp32",
    [PRECISION_TF32] = "tf32",
    [PRECISION_BF16] = "bf16",
};

const char *precision_name(precision_kind precision)
{
    return precision_names[precision];
}

int precision_parse(const char *word, precision_kind *out)
{
    for (size_t i = 0; i < sizeof precision_names / sizeof *precision_names; i++) {
        if (strcmp(word, precision_names[i]) == 0) {
            *out = (precision_kind)i;
            return 0;
        }
    }
    return -1;
}

int backend_embed(backend *b, program *p, const uint8_t *images, size_t rows, float *embeddings,
                  error *e)
{
    if (b->embed_submit(b, p, images, rows, 0, 0, embeddings, e) < 0)
        return -1;
    return b->embed_wait(b, p, e);
}

/* ---- the plug-in ---- */

/* Where tests say that the plug-in is; NULL where nobody does, and in a program that has more
 * rights than who runs it. */
static const char *plugin_given(void)
{
    const char *given = secure_getenv("LOWSHOT_PLUGIN");
    return given && *given ? given : NULL;
}

/* Where the plug-in should be: $LOWSHOT_PLUGIN (for tests), else beside the program that runs, as
 * it is built, or in ../lib/lowshot, as it is installed. */
static int plugin_path(char path[PATH_MAX], error *e)
{
    static const char *const places[] = {BACKEND_PLUGIN_FILE,
                                         "../lib/lowshot/" BACKEND_PLUGIN_FILE};
    if (plugin_given()) {
        snprintf(path, PATH_MAX, "%s", plugin_given());
        return 0;
    }
    ssize_t length = readlink("/proc/self/exe", path, PATH_MAX - 1);
    if (length < 0)
        return error_system(e, "CUDA: /proc/self/exe");
    path[length] = '\0';
    char *file = strrchr(path, '/') + 1;
    if ((size_t)(file - path) + strlen(places[1]) >= PATH_MAX)
        return error_set(e, "CUDA: the path of the program is too long");
    strcpy(file, places[1]);
    if (access(path, F_OK) != 0)
        strcpy(file, places[0]);
    return 0;
}

/* CUDA's libraries take a tenth of a second to load, and without a driver for nothing. A plug-in
 * for tests has a driver of its own. */
static bool driver_is_missing(void)
{
    return !plugin_given() && !dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
}

/* Loads the plug-in for good: CUDA's libraries do not bear being unloaded. */
static int plugin_load(const backend_driver **driver, error *e)
{
    char path[PATH_MAX];
    if (plugin_path(path, e) < 0)
        return -1;
    if (access(path, F_OK) != 0)
        return error_set(e, "CUDA: there is no plug-in %s; build it with nvcc, or use --device cpu",
                         path);
    if (driver_is_missing())
        return absence_refuse(e, ABSENT_DRIVER, 0, 0);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!library) {
        /* The loader's text begins with the file it could not load: the plug-in, or a library. */
        const char *why = dlerror();
        if (strncmp(why, path, strlen(path)) == 0)
            return error_set(e, "CUDA: the plug-in does not load: %s; build it anew", why);
        return error_set(e,
                         "CUDA: the plug-in %s lacks a library of CUDA: %s; install it, or use "
                         "--device cpu",
                         path, why);
    }
    const backend_driver *found = dlsym(library, BACKEND_PLUGIN_SYMBOL);
    if (!found)
        return error_set(e, "CUDA: %s is no plug-in of these tools; build it anew", path);
    if (found->abi != BACKEND_ABI)
        return error_set(e,
                         "CUDA: the plug-in %s is of version %d, these tools need version %d; "
                         "build both from the same source",
                         path, found->abi, BACKEND_ABI);
    *driver = found;
    return 0;
}

static int open_cuda(const backend_options *options, int device, backend **out, error *e)
{
    const backend_driver *driver;
    if (plugin_load(&driver, e) < 0)
        return -1;
    return driver->open(options, device, out, e);
}

/* ---- the choice ---- */

static int open_auto(const backend_options *options, backend **out, const char **notice, error *e)
{
    static _Thread_local error why;
    if (open_cuda(options, 0, out, &why) == 0)
        return 0;
    if (notice)
        *notice = why.text;
    return backend_cpu.open(options, 0, out, e);
}

/* "cuda" is device 0, "cuda:N" device N. */
static bool parse_cuda(const char *device, int *number)
{
    if (strncmp(device, "cuda", 4) != 0)
        return false;
    *number = 0;
    if (device[4] == '\0')
        return true;
    const char *digits = device + 5;
    if (device[4] != ':' || *digits == '\0' || strspn(digits, "0123456789") != strlen(digits) ||
        strlen(digits) > 4)
        return false;
    *number = atoi(digits);
    return true;
}

int backend_open(const backend_options *options, backend **out, const char **notice, error *e)
{
    const char *device = options->device ? options->device : "auto";
    int number;
    if (notice)
        *notice = NULL;
    if (strcmp(device, "auto") == 0)
        return open_auto(options, out, notice, e);
    if (strcmp(device, "cpu") == 0)
        return backend_cpu.open(options, 0, out, e);
    if (strcmp(device, "reference") == 0)
        return backend_reference.open(options, 0, out, e);
    if (parse_cuda(device, &number))
        return open_cuda(options, number, out, e);
    return error_set(e, "unknown device %.64s; there are auto, cpu, cuda, cuda:N and reference",
                     device);
}
