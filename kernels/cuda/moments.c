#include "moments.h"

#include "check.h"
#include "memory.h"

#include <stdlib.h>
#include <string.h>

#define PIECE_BYTES (256u << 20) /* of a call's rows on the device at once */

struct moments {
    struct cuda *gpu;
    size_t dimension, classes;
    size_t piece; /* rows at once */
    /* On the device. gram: NULL for none; its upper half, as column-major has it, is kept. */
    double *sums, *gram;
    double *counts;
    float *embeddings;
    int32_t *labels;
    double *x, *ones;
    void *memory; /* of all arrays but counts */
};

/* All of its arrays in one piece of memory, zeroed. */
static int moments_place(moments *m, bool gram, error *e)
{
    size_t size = m->dimension, row_bytes = 12 * size + 8 * m->classes + 4;
    m->piece = PIECE_BYTES / row_bytes ? PIECE_BYTES / row_bytes : 1;
    m->piece = m->piece < 8192 ? m->piece : 8192;
    size_t bytes[] = {m->classes * size * 8,     gram ? size * size * 8 : 0, m->piece * size * 8,
                      m->piece * m->classes * 8, m->piece * size * 4,        m->piece * 4};
    void *at[sizeof bytes / sizeof *bytes];
    size_t count = sizeof bytes / sizeof *bytes, total = memory_split(NULL, count, bytes, at);
    if (device_take(total, "sums of embeddings", "use --device cpu, or fewer --features",
                    &m->memory, e) < 0)
        return -1;
    memory_split(m->memory, count, bytes, at);
    m->sums = at[0];
    m->gram = at[1];
    m->x = at[2];
    m->ones = at[3];
    m->embeddings = at[4];
    m->labels = at[5];
    return check_cuda((int)cudaMemsetAsync(m->memory, 0, total, m->gpu->streams[0]),
                      "clearing sums", e);
}

static void cuda_moments_free(algebra *a, moments *m)
{
    (void)a;
    if (!m)
        return;
    cudaFree(m->memory);
    free(m->counts);
    free(m);
}

static int cuda_moments_new(algebra *a, size_t dimension, size_t classes, bool gram, moments **out,
                            error *e)
{
    struct cuda *g = a->own;
    moments *m = calloc(1, sizeof *m);
    if (!m || !(m->counts = calloc(classes, sizeof *m->counts))) {
        free(m);
        return error_set(e, "cuda: out of memory");
    }
    m->gpu = g;
    m->dimension = dimension;
    m->classes = classes;
    if (blas_wake(g, e) < 0 || moments_place(m, gram, e) < 0 || device_wait(g, e) < 0) {
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
    if (check_blas(cublasDgemm(g->blas, CUBLAS_OP_N, CUBLAS_OP_T, (int)m->dimension,
                               (int)m->classes, (int)rows, &one, m->x, (int)m->dimension, m->ones,
                               (int)m->classes, &one, m->sums, (int)m->dimension),
                   "class sums", e) < 0)
        return -1;
    if (!m->gram)
        return 0;
    return check_blas(cublasDsyrk(g->blas, CUBLAS_FILL_MODE_UPPER, CUBLAS_OP_N, (int)m->dimension,
                                  (int)rows, &one, m->x, (int)m->dimension, &one, m->gram,
                                  (int)m->dimension),
                      "Gram matrix", e);
}

static int piece_add(moments *m, const float *embeddings, const int32_t *labels, size_t rows,
                     error *e)
{
    struct cuda *g = m->gpu;
    cudaStream_t stream = g->streams[0];
    if (copy_in(g, m->embeddings, embeddings, rows * m->dimension * 4, e) < 0 ||
        copy_in(g, m->labels, labels, rows * 4, e) < 0)
        return -1;
    if (check_kernel(g, kernel_to_double(m->embeddings, m->x, rows * m->dimension, stream),
                     "to_double", stream, e) < 0 ||
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
    return device_wait(m->gpu, e);
}

static int cuda_moments_get(algebra *a, moments *m, double *sums, double *counts, double *gram,
                            error *e)
{
    (void)a;
    size_t n = m->dimension;
    memcpy(counts, m->counts, m->classes * sizeof *counts);
    bool squares = gram && m->gram;
    if (copy_out(m->gpu, sums, m->sums, m->classes * n * 8, e) < 0 ||
        (squares && copy_out(m->gpu, gram, m->gram, n * n * 8, e) < 0) ||
        device_wait(m->gpu, e) < 0)
        return -1;
    for (size_t i = 0; squares && i < n; i++) /* upper in column-major is lower in row-major */
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
