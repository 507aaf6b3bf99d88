#include "embedding.h"

#include "dnnl_compat.h"
#include "elementwise.h"

#include <math.h>
#include <stdlib.h>

/* ---- inner products ---- */

/* out [rows][count] = a [rows][dimension] b [count][dimension]^T */
static int products(const float *a, size_t rows, size_t dimension, const float *b, size_t count,
                    float *out, error *e)
{
    if (rows == 0 || count == 0)
        return 0;
    dnnl_dim_t m = (dnnl_dim_t)rows, n = (dnnl_dim_t)count, k = (dnnl_dim_t)dimension;
    if (cpu_room(e) < 0)
        return -1;
    dnnl_status_t status = dnnl_sgemm('N', 'T', m, n, k, 1, a, k, b, k, 0, out, n);
    if (status != dnnl_success)
        return error_set(e, "oneDNN: inner products of %zu rows with %zu: %s", rows, count,
                         dnnl_status_text(status));
    return 0;
}

static int cpu_scores(algebra *a, const float *embeddings, size_t rows, size_t dimension,
                      const float *weights, size_t classes, float *scores, error *e)
{
    cpu_begin(a->own);
    return products(embeddings, rows, dimension, weights, classes, scores, e);
}

static int cpu_normalise(algebra *a, float *embeddings, size_t rows, size_t dimension, error *e)
{
    (void)e;
    cpu_begin(a->own);
#pragma omp parallel for schedule(static)
    for (size_t r = 0; r < rows; r++) {
        float *row = embeddings + r * dimension;
        double square = 0; /* those of small or large numbers are no floats */
#pragma omp simd reduction(+ : square)
        for (size_t d = 0; d < dimension; d++)
            square += (double)row[d] * (double)row[d];
        double factor = square > 0 ? 1 / sqrt(square) : 0;
        for (size_t d = 0; d < dimension; d++)
            row[d] = (float)((double)row[d] * factor);
    }
    return 0;
}

static int cpu_features(algebra *a, const float *embeddings, size_t rows, size_t dimension,
                        const float *projection, size_t count, float *features, error *e)
{
    cpu_begin(a->own);
    if (products(embeddings, rows, dimension, projection, count, features, e) < 0)
        return -1;
    elements_relu(features, features, ELEMENT_F32, rows * count);
    return 0;
}

/* ---- the largest ---- */

/* Keeps the k best so far in order; for k up to a few dozen. */
static void row_top_insert(const float *scores, size_t classes, size_t k, uint32_t *index,
                           float *value)
{
    size_t held = 0;
    for (size_t c = 0; c < classes; c++) {
        if (held == k && !(scores[c] > value[k - 1]))
            continue;
        size_t place = held < k ? held++ : k - 1;
        for (; place > 0 && scores[c] > value[place - 1]; place--) {
            value[place] = value[place - 1];
            index[place] = index[place - 1];
        }
        value[place] = scores[c];
        index[place] = (uint32_t)c;
    }
}

static int compare_scores(const void *a, const void *b, void *scores)
{
    uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
    float x = ((const float *)scores)[i], y = ((const float *)scores)[j];
    return x > y ? -1 : x < y ? 1 : (i > j) - (i < j);
}

static void row_top_sort(const float *scores, size_t classes, size_t k, uint32_t *order,
                         uint32_t *index, float *value)
{
    for (size_t c = 0; c < classes; c++)
        order[c] = (uint32_t)c;
    qsort_r(order, classes, sizeof *order, compare_scores, (void *)scores);
    for (size_t i = 0; i < k; i++) {
        index[i] = order[i];
        value[i] = scores[order[i]];
    }
}

#define TOP_INSERT_MOST 32

static int cpu_top_k(algebra *a, const float *scores, size_t rows, size_t classes, size_t k,
                     uint32_t *index, float *value, error *e)
{
    cpu_begin(a->own);
    const cpu *own = a->own;
    uint32_t *orders = NULL;
    if (k == 0)
        return 0;
    if (k > TOP_INSERT_MOST && !(orders = malloc((size_t)own->threads * classes * sizeof *orders)))
        return error_set(e, "out of memory for the order of %zu classes", classes);
#pragma omp parallel for schedule(static)
    for (size_t row = 0; row < rows; row++) {
        const float *from = scores + row * classes;
        if (orders)
            row_top_sort(from, classes, k, orders + (size_t)omp_get_thread_num() * classes,
                         index + row * k, value + row * k);
        else
            row_top_insert(from, classes, k, index + row * k, value + row * k);
    }
    free(orders);
    return 0;
}

#define ASSIGN_PRODUCTS ((size_t)1 << 20) /* held at once */

static int cpu_assign(algebra *a, const float *embeddings, size_t rows, size_t dimension,
                      const float *centres, size_t count, uint32_t *nearest, float *similarity,
                      error *e)
{
    cpu_begin(a->own);
    size_t most = ASSIGN_PRODUCTS / count ? ASSIGN_PRODUCTS / count : 1;
    size_t piece = rows < most ? rows : most;
    float *held = malloc((piece * count + 1) * sizeof *held);
    int status = held ? 0 : error_set(e, "out of memory for %zu centres", count);
    for (size_t i = 0; i < rows && status == 0; i += piece) {
        size_t n = rows - i < piece ? rows - i : piece;
        status = products(embeddings + i * dimension, n, dimension, centres, count, held, e);
        if (status < 0)
            break;
#pragma omp parallel for schedule(static)
        for (size_t row = 0; row < n; row++)
            row_top_insert(held + row * count, count, 1, nearest + i + row, similarity + i + row);
    }
    free(held);
    return status;
}

void cpu_embedding(algebra *a)
{
    a->scores = cpu_scores;
    a->normalise = cpu_normalise;
    a->features = cpu_features;
    a->top_k = cpu_top_k;
    a->assign = cpu_assign;
}
