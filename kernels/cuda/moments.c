#include "moments.h"

#include "check.h"
#include "embedding.h"
#include "memory.h"

#include <stdlib.h>
#include <string.h>

#define PIECE_BYTES (256u << 20) /* of a call's rows on the device at once */

struct moments {
    struct cuda *gpu;
    size_t dimension, classes, size; /* size: numbers in x */
    size_t piece;                    /* rows at once */
    double *sums, *gram; /* on the device; gram NULL for none: its upper half, as column-major
                                        has it, is kept */
    double *counts;
    float *projection, *embeddings, *features;
    int32_t *labels;
    double *x, *ones;
};

static int take(void **out, size_t bytes, error *e)
{
    return device_take(bytes, "sums of embeddings", "use --device cpu, or fewer --features", out,
                       e);
}

static int moments_place(moments *m, bool gram, bool projected, error *e)
{
    size_t size = m->size, classes = m->classes;
    size_t row_bytes = 4 * m->dimension + 12 * size + 8 * classes + 4;
    m->piece = PIECE_BYTES / row_bytes ? PIECE_BYTES / row_bytes : 1;
    m->piece = m->piece < 8192 ? m->piece : 8192;
    void *sums, *full = NULL, *projection = NULL, *embeddings, *features = NULL, *labels, *x, *ones;
    int status = take(&sums, classes * size * 8, e);
    m->sums = sums;
    if (status == 0 && gram)
        status = take(&full, size * size * 8, e);
    m->gram = full;
    if (status == 0 && projected)
        status = take(&projection, size * m->dimension * 4, e);
    m->projection = projection;
    if (status == 0)
        status = take(&embeddings, m->piece * m->dimension * 4, e);
    m->embeddings = status == 0 ? embeddings : NULL;
    if (status == 0 && projected)
        status = take(&features, m->piece * size * 4, e);
    m->features = features;
    if (status == 0)
        status = take(&labels, m->piece * 4, e);
    m->labels = status == 0 ? labels : NULL;
    if (status == 0)
        status = take(&x, m->piece * size * 8, e);
    m->x = status == 0 ? x : NULL;
    if (status == 0)
        status = take(&ones, m->piece * classes * 8, e);
    m->ones = status == 0 ? ones : NULL;
    return status;
}

static void cuda_moments_free(algebra *a, moments *m)
{
    (void)a;
    if (!m)
        return;
    void *memory[] = {m->sums,     m->gram,   m->projection, m->embeddings,
                      m->features, m->labels, m->x,          m->ones};
    for (size_t i = 0; i < sizeof memory / sizeof *memory; i++)
        cudaFree(memory[i]);
    free(m->counts);
    free(m);
}

static int cuda_moments_new(algebra *a, size_t dimension, const float *projection, size_t count,
                            size_t classes, bool gram, moments **out, error *e)
{
    struct cuda *g = a->own;
    moments *m = calloc(1, sizeof *m);
    if (!m)
        return error_set(e, "cuda: out of memory");
    *m = (moments){.gpu = g,
                   .dimension = dimension,
                   .classes = classes,
                   .size = projection ? count : dimension};
    m->counts = calloc(classes, sizeof *m->counts);
    int status = m->counts ? 0 : error_set(e, "cuda: out of memory");
    if (status == 0)
        status = blas_wake(g, e);
    if (status == 0)
        status = moments_place(m, gram, projection != NULL, e);
    if (status == 0)
        status = check_cuda((int)cudaMemset(m->sums, 0, classes * m->size * 8), "clearing sums", e);
    if (status == 0 && gram)
        status = check_cuda((int)cudaMemset(m->gram, 0, m->size * m->size * 8), "clearing sums", e);
    if (status == 0 && projection)
        status = check_cuda((int)cudaMemcpy(m->projection, projection, count * dimension * 4,
                                            cudaMemcpyHostToDevice),
                            "copying the projection", e);
    if (status == 0)
        status = check_cuda((int)cudaDeviceSynchronize(), "clearing sums", e);
    if (status < 0) {
        cuda_moments_free(a, m);
        return -1;
    }
    *out = m;
    return 0;
}

/* Column-major: sums' [size x classes] += x' [size x rows] ones [rows x classes], where `ones` is
 * stored classes x rows; gram += x' x. */
static int piece_sum(moments *m, size_t rows, error *e)
{
    static const double one = 1;
    struct cuda *g = m->gpu;
    if (check_blas(cublasDgemm(g->blas, CUBLAS_OP_N, CUBLAS_OP_T, (int)m->size, (int)m->classes,
                               (int)rows, &one, m->x, (int)m->size, m->ones, (int)m->classes, &one,
                               m->sums, (int)m->size),
                   "class sums", e) < 0)
        return -1;
    if (!m->gram)
        return 0;
    return check_blas(cublasDsyrk(g->blas, CUBLAS_FILL_MODE_UPPER, CUBLAS_OP_N, (int)m->size,
                                  (int)rows, &one, m->x, (int)m->size, &one, m->gram, (int)m->size),
                      "Gram matrix", e);
}

static int piece_add(moments *m, const float *embeddings, const int32_t *labels, size_t rows,
                     error *e)
{
    struct cuda *g = m->gpu;
    cudaStream_t stream = g->streams[0];
    const float *x = m->embeddings;
    if (check_cuda((int)cudaMemcpyAsync(m->embeddings, embeddings, rows * m->dimension * 4,
                                        cudaMemcpyHostToDevice, stream),
                   "copying embeddings", e) < 0 ||
        check_cuda(
            (int)cudaMemcpyAsync(m->labels, labels, rows * 4, cudaMemcpyHostToDevice, stream),
            "copying labels", e) < 0)
        return -1;
    if (m->projection) {
        x = m->features;
        if (device_scores(g, m->embeddings, rows, m->dimension, m->projection, m->size, m->features,
                          e) < 0 ||
            check_kernel(g, kernel_relu_float(m->features, rows * m->size, stream), "relu_float",
                         stream, e) < 0)
            return -1;
    }
    if (check_kernel(g, kernel_to_double(x, m->x, rows * m->size, stream), "to_double", stream, e) <
            0 ||
        check_kernel(g, kernel_one_hot(m->labels, rows, m->classes, m->ones, stream), "one_hot",
                     stream, e) < 0)
        return -1;
    return piece_sum(m, rows, e);
}

static int cuda_moments_add(algebra *a, moments *m, const float *embeddings, const int32_t *labels,
                            size_t rows, error *e)
{
    (void)a;
    for (size_t r = 0; r < rows; r++)
        if (labels[r] >= 0 && (size_t)labels[r] >= m->classes)
            return error_set(e, "cuda: label %d of %zu classes", labels[r], m->classes);
    for (size_t r = 0; r < rows; r += m->piece) {
        size_t count = rows - r < m->piece ? rows - r : m->piece;
        if (piece_add(m, embeddings + r * m->dimension, labels + r, count, e) < 0)
            return -1;
    }
    for (size_t r = 0; r < rows; r++)
        if (labels[r] >= 0)
            m->counts[labels[r]]++;
    return check_cuda((int)cudaStreamSynchronize(m->gpu->streams[0]), "adding embeddings", e);
}

static int cuda_moments_get(algebra *a, moments *m, double *sums, double *counts, double *gram,
                            error *e)
{
    (void)a;
    size_t n = m->size;
    memcpy(counts, m->counts, m->classes * sizeof *counts);
    if (check_cuda((int)cudaMemcpy(sums, m->sums, m->classes * n * 8, cudaMemcpyDeviceToHost),
                   "copying sums", e) < 0)
        return -1;
    if (!gram || !m->gram)
        return 0;
    if (check_cuda((int)cudaMemcpy(gram, m->gram, n * n * 8, cudaMemcpyDeviceToHost),
                   "copying the Gram matrix", e) < 0)
        return -1;
    for (size_t i = 0; i < n; i++) /* upper in column-major is lower in row-major */
        for (size_t j = 0; j < i; j++)
            gram[j * n + i] = gram[i * n + j];
    return 0;
}

void cuda_moments(algebra *a)
{
    a->moments_new = cuda_moments_new;
    a->moments_add = cuda_moments_add;
    a->moments_get = cuda_moments_get;
    a->moments_free = cuda_moments_free;
}
