#include "memory.h"

#include "check.h"

int device_take(size_t bytes, const char *what, const char *advice, void **out, error *e)
{
    int status = (int)cudaMalloc(out, bytes ? bytes : 1);
    if (status == cudaSuccess)
        return 0;
    *out = NULL;
    if (status != cudaErrorMemoryAllocation)
        return check_cuda(status, what, e);
    (void)cudaGetLastError();
    size_t free_bytes = 0, total = 0;
    if (cudaMemGetInfo(&free_bytes, &total) != cudaSuccess)
        (void)cudaGetLastError();
    return memory_refuse(e, bytes, what, free_bytes, total, advice);
}

int device_grow(void **memory, size_t *have, size_t bytes, const char *what, const char *advice,
                error *e)
{
    if (*have >= bytes)
        return 0;
    (void)cudaFree(*memory); /* waits for what still uses it */
    *memory = NULL;
    *have = 0;
    if (device_take(bytes, what, advice, memory, e) < 0)
        return -1;
    *have = bytes;
    return 0;
}

size_t memory_split(void *memory, size_t count, const size_t *bytes, void **places)
{
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        if (memory)
            places[i] = bytes[i] ? (char *)memory + at : NULL;
        at += (bytes[i] + 255) / 256 * 256;
    }
    return at;
}

int scratch_take(struct cuda *g, size_t count, const size_t *bytes, void **places, error *e)
{
    if (device_grow(&g->scratch, &g->scratch_bytes, memory_split(NULL, count, bytes, places),
                    "rows of embeddings", "use --device cpu, or send smaller batches", e) < 0)
        return -1;
    memory_split(g->scratch, count, bytes, places);
    return 0;
}

static int copy(struct cuda *g, void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind,
                error *e)
{
    return check_cuda((int)cudaMemcpyAsync(to, from, bytes, kind, g->streams[0]), "copying", e);
}

int copy_in(struct cuda *g, void *to, const void *from, size_t bytes, error *e)
{
    return copy(g, to, from, bytes, cudaMemcpyHostToDevice, e);
}

int copy_out(struct cuda *g, void *to, const void *from, size_t bytes, error *e)
{
    return copy(g, to, from, bytes, cudaMemcpyDeviceToHost, e);
}

int device_wait(struct cuda *g, error *e)
{
    return check_cuda((int)cudaStreamSynchronize(g->streams[0]), "waiting for the device", e);
}

int dnn_wake(struct cuda *g, error *e)
{
    for (int i = 0; i < 2; i++) {
        if (g->dnn[i])
            continue;
        if (check_dnn(cudnnCreate(&g->dnn[i]), "start", e) < 0 ||
            check_dnn(cudnnSetStream(g->dnn[i], g->streams[i]), "stream", e) < 0)
            return -1;
    }
    return 0;
}

/* For embeddings, which are fp32 in every precision: no TF32, also where programs may use it. */
static int blas_set(struct cuda *g, error *e)
{
    if (check_blas(cublasSetStream(g->blas, g->streams[0]), "stream", e) < 0 ||
        check_blas(cublasSetMathMode(g->blas, CUBLAS_DEFAULT_MATH), "precision", e) < 0)
        return -1;
    return check_blas(cublasSetAtomicsMode(g->blas, CUBLAS_ATOMICS_NOT_ALLOWED), "atomics", e);
}

int blas_wake(struct cuda *g, error *e)
{
    if (!g->lt && check_blas(cublasLtCreate(&g->lt), "start", e) < 0)
        return -1;
    if (g->blas)
        return 0;
    if (check_blas(cublasCreate(&g->blas), "start", e) < 0)
        return -1;
    return blas_set(g, e);
}

int products_wake(struct cuda *g, error *e)
{
    for (int i = 0; i < 2; i++) {
        if (g->products[i])
            continue;
        if (check_blas(cublasCreate(&g->products[i]), "start", e) < 0 ||
            check_blas(cublasSetStream(g->products[i], g->streams[i]), "stream", e) < 0 ||
            check_blas(cublasSetAtomicsMode(g->products[i], CUBLAS_ATOMICS_NOT_ALLOWED), "atomics",
                       e) < 0)
            return -1;
    }
    return 0;
}

int solver_wake(struct cuda *g, error *e)
{
    if (g->solver)
        return 0;
    if (cusolverDnCreate(&g->solver) != CUSOLVER_STATUS_SUCCESS)
        return error_set(e, "cuda: cuSOLVER does not start");
    if (cusolverDnSetStream(g->solver, g->streams[0]) != CUSOLVER_STATUS_SUCCESS)
        return error_set(e, "cuda: cuSOLVER: stream");
    return 0;
}
