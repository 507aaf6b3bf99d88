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

static size_t aligned(size_t bytes)
{
    return (bytes + 255) / 256 * 256;
}

int scratch_take(struct cuda *g, size_t count, const size_t *bytes, void **places, error *e)
{
    size_t total = 0;
    for (size_t i = 0; i < count; i++)
        total += aligned(bytes[i]);
    void *memory = g->scratch;
    int status = device_grow(&memory, &g->scratch_bytes, total, "rows of embeddings",
                             "use --device cpu, or send smaller batches", e);
    g->scratch = memory;
    if (status < 0)
        return -1;
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        places[i] = g->scratch + at;
        at += aligned(bytes[i]);
    }
    return 0;
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
