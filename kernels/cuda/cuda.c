/* cuda.c: the plug-in's door: opening a device, and the table of functions. */
#include "cuda.h"

#include "../absence.h"
#include "check.h"
#include "embedding.h"
#include "linear.h"
#include "moments.h"
#include "program.h"

#include <stdio.h>
#include <stdlib.h>

/* The streams last: the libraries' handles still name them. */
static void cuda_close(backend *b)
{
    struct cuda *g = b->own;
    if (g->solver)
        cusolverDnDestroy(g->solver);
    if (g->blas)
        cublasDestroy(g->blas);
    for (int i = 0; i < 2; i++)
        if (g->products[i])
            cublasDestroy(g->products[i]);
    if (g->lt)
        cublasLtDestroy(g->lt);
    for (int i = 0; i < 2; i++)
        if (g->dnn[i])
            cudnnDestroy(g->dnn[i]);
    for (int i = 0; i < 2; i++)
        if (g->streams[i])
            cudaStreamDestroy(g->streams[i]);
    choices_free(&g->choices);
    cudaFree(g->scratch);
    free(g);
    free(b);
}

static void *cuda_host_alloc(backend *b, size_t bytes)
{
    (void)b;
    void *memory;
    if (cudaMallocHost(&memory, bytes ? bytes : 1) == cudaSuccess)
        return memory;
    (void)cudaGetLastError();
    return NULL;
}

static void cuda_host_free(backend *b, void *memory)
{
    (void)b;
    if (memory)
        cudaFreeHost(memory);
}

/* The driver, and a device of that number. Without a driver the runtime says "insufficient driver"
 * too, but then there is no version of it either. */
static int device_find(int number, error *e)
{
    int count = 0, version = 0;
    cudaError_t status = cudaGetDeviceCount(&count);
    if (status != cudaSuccess)
        (void)cudaGetLastError();
    if (status == cudaErrorInsufficientDriver) {
        bool none = cudaDriverGetVersion(&version) != cudaSuccess || version == 0;
        return absence_refuse(e, none ? ABSENT_DRIVER : ABSENT_NEWER_DRIVER, number, 0);
    }
    if (status == cudaErrorNoDevice || (status == cudaSuccess && count == 0))
        return absence_refuse(e, ABSENT_DEVICE, number, 0);
    if (status != cudaSuccess)
        return check_cuda((int)status, "looking for devices", e);
    return number < count ? 0 : absence_refuse(e, ABSENT_NUMBER, number, count);
}

static int device_start(struct cuda *g, const backend_options *options, error *e)
{
    if (check_cuda((int)cudaSetDevice(g->device), "choosing the device", e) < 0 ||
        check_cuda((int)cudaGetDeviceProperties(&g->properties, g->device), "asking the device",
                   e) < 0)
        return -1;
    if (precision_choose(options->precision, g->properties.major, g->properties.minor,
                         &g->precision, e) < 0)
        return -1;
    g->type = g->precision == PRECISION_BF16 ? ELEMENT_BF16 : ELEMENT_F32;
    for (int i = 0; i < 2; i++)
        if (check_cuda((int)cudaStreamCreateWithFlags(&g->streams[i], cudaStreamNonBlocking),
                       "starting a stream", e) < 0)
            return -1;
    return 0;
}

static int cuda_open(const backend_options *options, int device, backend **out, error *e)
{
    if (device_find(device, e) < 0)
        return -1;
    backend *b = malloc(sizeof *b);
    struct cuda *g = calloc(1, sizeof *g);
    if (!b || !g) {
        free(b);
        free(g);
        return error_set(e, "cuda: out of memory");
    }
    *b = (backend){.name = "cuda",
                   .close = cuda_close,
                   .host_alloc = cuda_host_alloc,
                   .host_free = cuda_host_free,
                   .own = g,
                   .algebra.own = g};
    cuda_program(b);
    cuda_embedding(&b->algebra);
    cuda_moments(&b->algebra);
    cuda_linear(&b->algebra);
    *g = (struct cuda){.device = device,
                       .deterministic = options->deterministic,
                       .wait = getenv("LOWSHOT_CUDA_WAIT") != NULL};
    if (device_start(g, options, e) < 0) {
        cuda_close(b);
        return -1;
    }
    b->precision = g->precision;
    snprintf(b->device, sizeof b->device, "cuda:%d, %.100s", device, g->properties.name);
    *out = b;
    return 0;
}

__attribute__((visibility("default")))
const backend_driver backend_plugin = {BACKEND_ABI, cuda_open};
