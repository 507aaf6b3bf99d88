#include "cpu.h"

#include <cblas.h>
#include <math.h>
#include <stdlib.h>

/* LAPACK, by its Fortran names: OpenBLAS carries it, but not always a C header for it. */
void dpotrf_(const char *half, const int *n, double *a, const int *stride, int *info);
void dsyevr_(const char *job, const char *range, const char *half, const int *n, double *a,
             const int *stride, const double *low, const double *high, const int *first,
             const int *last, const double *tolerance, int *found, double *values, double *vectors,
             const int *vector_stride, int *support, double *work, const int *work_size, int *iwork,
             const int *iwork_size, int *info);

/* ---- inner products ---- */

/* out [rows][count] = a [rows][dimension] b [count][dimension]^T */
static int products(const float *a, size_t rows, size_t dimension, const float *b, size_t count,
                    float *out, error *e)
{
    if (rows == 0 || count == 0)
        return 0;
    dnnl_dim_t m = (dnnl_dim_t)rows, n = (dnnl_dim_t)count, k = (dnnl_dim_t)dimension;
    dnnl_status_t status = dnnl_sgemm('N', 'T', m, n, k, 1, a, k, b, k, 0, out, n);
    if (status != dnnl_success)
        return error_set(e, "oneDNN: inner products of %zu rows with %zu: %s", rows, count,
                         dnnl_status_text(status));
    return 0;
}

static int cpu_scores(backend *b, const float *embeddings, size_t rows, size_t dimension,
                      const float *weights, size_t classes, float *scores, error *e)
{
    cpu_begin(b);
    return products(embeddings, rows, dimension, weights, classes, scores, e);
}

static int cpu_normalise(backend *b, float *embeddings, size_t rows, size_t dimension, error *e)
{
    (void)e;
    cpu_begin(b);
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

static int features_make(const float *embeddings, size_t rows, size_t dimension,
                         const float *projection, size_t count, float *features, error *e)
{
    if (products(embeddings, rows, dimension, projection, count, features, e) != 0)
        return -1;
    elements_relu(features, features, ELEMENT_F32, rows * count);
    return 0;
}

static int cpu_features(backend *b, const float *embeddings, size_t rows, size_t dimension,
                        const float *projection, size_t count, float *features, error *e)
{
    cpu_begin(b);
    return features_make(embeddings, rows, dimension, projection, count, features, e);
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

static int cpu_top_k(backend *b, const float *scores, size_t rows, size_t classes, size_t k,
                     uint32_t *index, float *value, error *e)
{
    cpu_begin(b);
    const cpu *own = b->own;
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

static int cpu_assign(backend *b, const float *embeddings, size_t rows, size_t dimension,
                      const float *centres, size_t count, uint32_t *nearest, float *similarity,
                      error *e)
{
    cpu_begin(b);
    size_t most = ASSIGN_PRODUCTS / count ? ASSIGN_PRODUCTS / count : 1;
    size_t piece = rows < most ? rows : most;
    float *held = malloc((piece * count + 1) * sizeof *held);
    int status = held ? 0 : error_set(e, "out of memory for %zu centres", count);
    for (size_t i = 0; i < rows && status == 0; i += piece) {
        size_t n = rows - i < piece ? rows - i : piece;
        status = products(embeddings + i * dimension, n, dimension, centres, count, held, e);
        if (status != 0)
            break;
#pragma omp parallel for schedule(static)
        for (size_t row = 0; row < n; row++)
            row_top_insert(held + row * count, count, 1, nearest + i + row, similarity + i + row);
    }
    free(held);
    return status;
}

/* ---- moments ---- */

#define MOMENT_ROWS 256 /* taken at once */

struct moments {
    size_t dimension, size, classes; /* size: of x */
    float *projection;               /* NULL: x is the embedding */
    float *features;                 /* [MOMENT_ROWS][size], with a projection */
    double *block;                   /* [MOMENT_ROWS][size], with a Gram matrix */
    double *sums, *counts, *gram;    /* gram: its lower half is kept */
};

static void cpu_moments_free(backend *b, moments *m)
{
    (void)b;
    if (!m)
        return;
    free(m->projection);
    free(m->features);
    free(m->block);
    free(m->sums);
    free(m->counts);
    free(m->gram);
    free(m);
}

static int moments_space(moments *m, bool gram)
{
    size_t size = m->size;
    m->sums = calloc(m->classes * size + 1, sizeof *m->sums);
    m->counts = calloc(m->classes + 1, sizeof *m->counts);
    if (m->projection)
        m->features = malloc(MOMENT_ROWS * size * sizeof *m->features);
    if (gram) {
        m->gram = calloc(size, size * sizeof *m->gram);
        m->block = malloc(MOMENT_ROWS * size * sizeof *m->block);
    }
    return m->sums && m->counts && (!m->projection || m->features) &&
                   (!gram || (m->gram && m->block))
               ? 0
               : -1;
}

static int cpu_moments_new(backend *b, size_t dimension, const float *projection, size_t count,
                           size_t classes, bool gram, moments **out, error *e)
{
    moments *m = calloc(1, sizeof *m);
    if (!m)
        return error_set(e, "out of memory");
    *m = (moments){
        .dimension = dimension, .size = projection ? count : dimension, .classes = classes};
    bool whole = true;
    if (projection) {
        m->projection = malloc(count * dimension * sizeof *projection);
        whole = m->projection != NULL;
        if (whole)
            memcpy(m->projection, projection, count * dimension * sizeof *projection);
    }
    if (!whole || moments_space(m, gram) != 0) {
        error_set(e, "out of memory for sums of %zu numbers%s; take fewer features", m->size,
                  gram ? " and their Gram matrix" : "");
        cpu_moments_free(b, m);
        return -1;
    }
    *out = m;
    return 0;
}

/* Each thread adds its own columns, all rows in order: the same sums for any number of threads. */
static void class_sums_add(moments *m, const float *x, const int32_t *labels, size_t rows)
{
    for (size_t row = 0; row < rows; row++)
        if (labels[row] >= 0)
            m->counts[labels[row]] += 1;
#pragma omp parallel
    {
        size_t first, last;
        thread_part(m->size, 8, &first, &last);
        for (size_t row = 0; row < rows; row++) {
            if (labels[row] < 0)
                continue;
            double *sum = m->sums + (size_t)labels[row] * m->size;
            for (size_t d = first; d < last; d++)
                sum[d] += x[row * m->size + d];
        }
    }
}

static void gram_add(moments *m, const float *x, size_t rows)
{
    size_t count = rows * m->size;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < count; i++)
        m->block[i] = x[i];
    int n = (int)m->size;
    cblas_dsyrk(CblasRowMajor, CblasLower, CblasTrans, n, (int)rows, 1, m->block, n, 1, m->gram, n);
}

static int cpu_moments_add(backend *b, moments *m, const float *embeddings, const int32_t *labels,
                           size_t rows, error *e)
{
    cpu_begin(b);
    for (size_t row = 0; row < rows; row++)
        if (labels[row] >= 0 && (size_t)labels[row] >= m->classes)
            return error_set(e, "label %d of %zu classes", labels[row], m->classes);
    for (size_t i = 0; i < rows; i += MOMENT_ROWS) {
        size_t n = rows - i < MOMENT_ROWS ? rows - i : MOMENT_ROWS;
        const float *x = embeddings + i * m->dimension;
        if (m->projection) {
            if (features_make(x, n, m->dimension, m->projection, m->size, m->features, e) != 0)
                return -1;
            x = m->features;
        }
        class_sums_add(m, x, labels + i, n);
        if (m->gram)
            gram_add(m, x, n);
    }
    return 0;
}

static int cpu_moments_get(backend *b, moments *m, double *sums, double *counts, double *gram,
                           error *e)
{
    (void)b, (void)e;
    size_t n = m->size;
    if (sums)
        memcpy(sums, m->sums, m->classes * n * sizeof *sums);
    if (counts)
        memcpy(counts, m->counts, m->classes * sizeof *counts);
    if (!gram || !m->gram)
        return 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++)
            gram[i * n + j] = gram[j * n + i] = m->gram[i * n + j];
    return 0;
}

/* ---- matrices ---- */

static int matrix_order(size_t n, int *out, error *e)
{
    if (n > 46340) /* n * n within LAPACK's integers */
        return error_set(e, "a matrix of %zu x %zu is too large; take fewer features", n, n);
    *out = (int)n;
    return 0;
}

/* LAPACK's columns are our rows: what it calls the upper half is our lower one. */
static int cpu_solve(backend *b, double *matrix, size_t n, double ridge, double *right,
                     size_t columns, error *e)
{
    int order = 0, info = 0;
    cpu_begin(b);
    if (matrix_order(n, &order, e) != 0)
        return -1;
    for (size_t i = 0; i < n; i++)
        matrix[i * n + i] += ridge;
    dpotrf_("U", &order, matrix, &order, &info);
    if (info != 0)
        return error_set(e, "the matrix is not positive definite (row %d); take a larger ridge",
                         info);
    int width = (int)columns;
    cblas_dtrsm(CblasRowMajor, CblasLeft, CblasLower, CblasNoTrans, CblasNonUnit, order, width, 1,
                matrix, order, right, width);
    cblas_dtrsm(CblasRowMajor, CblasLeft, CblasLower, CblasTrans, CblasNonUnit, order, width, 1,
                matrix, order, right, width);
    return 0;
}

/* dsyevr: as quick as the other drivers with half the memory of the divide-and-conquer one. */
static int eigen_run(double *matrix, int n, double *values, double *vectors, int *support,
                     double *work, int work_size, int *iwork, int iwork_size, int *info)
{
    double none = 0;
    int zero = 0, found = 0;
    dsyevr_("V", "A", "U", &n, matrix, &n, &none, &none, &zero, &zero, &none, &found, values,
            vectors, &n, support, work, &work_size, iwork, &iwork_size, info);
    return *info == 0 && (work_size < 0 || found == n) ? 0 : -1;
}

static int cpu_eigen(backend *b, double *matrix, size_t n, double *values, error *e)
{
    int order = 0, info = 0, wanted_integers = 0;
    double wanted = 0;
    cpu_begin(b);
    if (n == 0)
        return 0;
    if (matrix_order(n, &order, e) != 0)
        return -1;
    int *support = malloc(2 * n * sizeof *support);
    double *vectors = malloc(n * n * sizeof *vectors);
    eigen_run(matrix, order, values, vectors, support, &wanted, -1, &wanted_integers, -1, &info);
    double *work = malloc((size_t)wanted * sizeof *work);
    int *iwork = malloc((size_t)wanted_integers * sizeof *iwork);
    int status = -1;
    if (!support || !vectors || !work || !iwork)
        error_set(e, "out of memory for a matrix of %zu x %zu", n, n);
    else if (eigen_run(matrix, order, values, vectors, support, work, (int)wanted, iwork,
                       wanted_integers, &info) != 0)
        error_set(e, "LAPACK: the eigenvalues of a matrix of %zu x %zu were not found (%d)", n, n,
                  info);
    else {
        memcpy(matrix, vectors, n * n * sizeof *matrix);
        status = 0;
    }
    free(support);
    free(vectors);
    free(work);
    free(iwork);
    return status;
}

void cpu_embeddings(backend *b)
{
    b->scores = cpu_scores;
    b->top_k = cpu_top_k;
    b->normalise = cpu_normalise;
    b->features = cpu_features;
    b->assign = cpu_assign;
    b->moments_new = cpu_moments_new;
    b->moments_add = cpu_moments_add;
    b->moments_get = cpu_moments_get;
    b->moments_free = cpu_moments_free;
    b->solve = cpu_solve;
    b->eigen = cpu_eigen;
}
