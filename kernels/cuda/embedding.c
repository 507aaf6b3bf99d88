#include "embedding.h"

#include "check.h"
#include "memory.h"

#define PIECE_BYTES (128u << 20) /* of the larger array of a call's rows on the device at once */

static size_t piece_rows(size_t row_floats, size_t rows)
{
    size_t most = PIECE_BYTES / (row_floats * sizeof(float));
    most = most ? most : 1;
    return most < rows ? most : rows;
}

static int done(struct cuda *g, int status, const char *kernel, error *e)
{
    return check_kernel(g, status, kernel, g->streams[0], e);
}

/* On the device: scores[row][class] = embeddings . weights, all dense and row-major. To cuBLAS, of
 * column-major order: scores' [classes x rows] = weights [classes x d] (stored d x classes)
 * embeddings' [d x rows]. */
static int device_scores(struct cuda *g, const float *embeddings, size_t rows, size_t dimension,
                         const float *weights, size_t classes, float *scores, error *e)
{
    static const float one = 1, zero = 0;
    if (blas_wake(g, e) < 0)
        return -1;
    return check_blas(cublasSgemm(g->blas, CUBLAS_OP_T, CUBLAS_OP_N, (int)classes, (int)rows,
                                  (int)dimension, &one, weights, (int)dimension, embeddings,
                                  (int)dimension, &zero, scores, (int)classes),
                      "scores", e);
}

/* scores, with ReLU if asked for: pieces of rows in, products, pieces out. */
static int products(struct cuda *g, const float *embeddings, size_t rows, size_t dimension,
                    const float *weights, size_t classes, bool relu, float *out, error *e)
{
    if (rows == 0)
        return 0;
    size_t piece = piece_rows(dimension > classes ? dimension : classes, rows);
    size_t bytes[] = {classes * dimension * 4, piece * dimension * 4, piece * classes * 4};
    void *at[3];
    if (scratch_take(g, 3, bytes, at, e) < 0 || copy_in(g, at[0], weights, bytes[0], e) < 0)
        return -1;
    for (size_t r = 0; r < rows; r += piece) {
        size_t count = rows - r < piece ? rows - r : piece;
        if (copy_in(g, at[1], embeddings + r * dimension, count * dimension * 4, e) < 0 ||
            device_scores(g, at[1], count, dimension, at[0], classes, at[2], e) < 0 ||
            (relu && done(g, kernel_relu_float(at[2], count * classes, g->streams[0]), "relu_float",
                          e) < 0) ||
            copy_out(g, out + r * classes, at[2], count * classes * 4, e) < 0)
            return -1;
    }
    return device_wait(g, e);
}

static int cuda_scores(algebra *a, const float *embeddings, size_t rows, size_t dimension,
                       const float *weights, size_t classes, float *scores, error *e)
{
    return products(a->own, embeddings, rows, dimension, weights, classes, false, scores, e);
}

static int cuda_features(algebra *a, const float *embeddings, size_t rows, size_t dimension,
                         const float *projection, size_t count, float *features, error *e)
{
    return products(a->own, embeddings, rows, dimension, projection, count, true, features, e);
}

static int top_k_piece(struct cuda *g, const float *scores, size_t rows, size_t classes, size_t k,
                       void **at, unsigned long long *bad, uint32_t *index, float *value, error *e)
{
    *bad = ~0ull;
    if (copy_in(g, at[0], scores, rows * classes * 4, e) < 0 ||
        copy_in(g, at[3], bad, sizeof *bad, e) < 0 ||
        done(g, kernel_top_k(at[0], rows, classes, k, at[1], at[2], at[3], g->streams[0]), "top_k",
             e) < 0 ||
        copy_out(g, index, at[1], rows * k * 4, e) < 0 ||
        copy_out(g, value, at[2], rows * k * 4, e) < 0 ||
        copy_out(g, bad, at[3], sizeof *bad, e) < 0)
        return -1;
    return device_wait(g, e);
}

static int cuda_top_k(algebra *a, const float *scores, size_t rows, size_t classes, size_t k,
                      uint32_t *index, float *value, error *e)
{
    struct cuda *g = a->own;
    if (k > classes)
        return error_set(e, "cuda: the best %zu of %zu classes", k, classes);
    if (rows == 0 || k == 0)
        return 0;
    size_t piece = piece_rows(classes, rows);
    size_t bytes[] = {piece * classes * 4, piece * k * 4, piece * k * 4, 8};
    void *at[4];
    if (scratch_take(g, 4, bytes, at, e) < 0)
        return -1;
    for (size_t r = 0; r < rows; r += piece) {
        size_t count = rows - r < piece ? rows - r : piece;
        unsigned long long bad;
        if (top_k_piece(g, scores + r * classes, count, classes, k, at, &bad, index + r * k,
                        value + r * k, e) < 0)
            return -1;
        if (bad != ~0ull)
            return error_set(e, "cuda: a score is not a number: row %zu", r + (size_t)bad);
    }
    return 0;
}

static int cuda_normalise(algebra *a, float *embeddings, size_t rows, size_t dimension, error *e)
{
    struct cuda *g = a->own;
    if (rows == 0)
        return 0;
    size_t piece = piece_rows(dimension, rows), bytes = piece * dimension * 4;
    void *at;
    if (scratch_take(g, 1, &bytes, &at, e) < 0)
        return -1;
    for (size_t r = 0; r < rows; r += piece) {
        size_t count = rows - r < piece ? rows - r : piece;
        float *rows_at = embeddings + r * dimension;
        if (copy_in(g, at, rows_at, count * dimension * 4, e) < 0 ||
            done(g, kernel_normalise(at, count, dimension, g->streams[0]), "normalise", e) < 0 ||
            copy_out(g, rows_at, at, count * dimension * 4, e) < 0)
            return -1;
    }
    return device_wait(g, e);
}

static int cuda_assign(algebra *a, const float *embeddings, size_t rows, size_t dimension,
                       const float *centres, size_t count, uint32_t *nearest, float *similarity,
                       error *e)
{
    struct cuda *g = a->own;
    if (rows == 0)
        return 0;
    size_t piece = piece_rows(dimension > count ? dimension : count, rows);
    size_t bytes[] = {
        count * dimension * 4, piece * dimension * 4, piece * count * 4, piece * 4, piece * 4, 8};
    void *at[6];
    if (scratch_take(g, 6, bytes, at, e) < 0 || copy_in(g, at[0], centres, bytes[0], e) < 0)
        return -1;
    for (size_t r = 0; r < rows; r += piece) {
        size_t n = rows - r < piece ? rows - r : piece;
        if (copy_in(g, at[1], embeddings + r * dimension, n * dimension * 4, e) < 0 ||
            device_scores(g, at[1], n, dimension, at[0], count, at[2], e) < 0 ||
            done(g, kernel_top_k(at[2], n, count, 1, at[3], at[4], at[5], g->streams[0]), "assign",
                 e) < 0 ||
            copy_out(g, nearest + r, at[3], n * 4, e) < 0 ||
            copy_out(g, similarity + r, at[4], n * 4, e) < 0)
            return -1;
    }
    return device_wait(g, e);
}

void cuda_embedding(algebra *a)
{
    a->scores = cuda_scores;
    a->features = cuda_features;
    a->top_k = cuda_top_k;
    a->normalise = cuda_normalise;
    a->assign = cuda_assign;
}
