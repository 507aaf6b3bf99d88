#include "moments.h"

#include "loops.h"

#include <cblas.h>
#include <stdlib.h>

#define MOMENT_ROWS 256 /* taken at once */

struct moments {
    size_t dimension, classes;
    double *block;                /* [MOMENT_ROWS][dimension], with a Gram matrix */
    double *sums, *counts, *gram; /* gram: its lower half is kept */
};

static void cpu_moments_free(algebra *a, moments *m)
{
    (void)a;
    if (!m)
        return;
    free(m->block);
    free(m->sums);
    free(m->counts);
    free(m->gram);
    free(m);
}

static int moments_space(moments *m, bool gram)
{
    size_t size = m->dimension;
    m->sums = calloc(m->classes * size + 1, sizeof *m->sums);
    m->counts = calloc(m->classes + 1, sizeof *m->counts);
    if (gram) {
        m->gram = calloc(size, size * sizeof *m->gram);
        m->block = malloc(MOMENT_ROWS * size * sizeof *m->block);
    }
    return m->sums && m->counts && (!gram || (m->gram && m->block)) ? 0 : -1;
}

static int cpu_moments_new(algebra *a, size_t dimension, size_t classes, bool gram, moments **out,
                           error *e)
{
    moments *m = calloc(1, sizeof *m);
    if (!m)
        return error_set(e, "out of memory");
    *m = (moments){.dimension = dimension, .classes = classes};
    if (moments_space(m, gram) < 0) {
        error_set(e, "out of memory for sums of %zu numbers%s; take fewer features", m->dimension,
                  gram ? " and their Gram matrix" : "");
        cpu_moments_free(a, m);
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
        thread_part(m->dimension, 8, &first, &last);
        for (size_t row = 0; row < rows; row++) {
            if (labels[row] < 0)
                continue;
            double *sum = m->sums + (size_t)labels[row] * m->dimension;
            for (size_t d = first; d < last; d++)
                sum[d] += x[row * m->dimension + d];
        }
    }
}

static void gram_add(moments *m, const float *x, size_t rows)
{
    size_t count = rows * m->dimension;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < count; i++)
        m->block[i] = x[i];
    int n = (int)m->dimension;
    cblas_dsyrk(CblasRowMajor, CblasLower, CblasTrans, n, (int)rows, 1, m->block, n, 1, m->gram, n);
}

static int cpu_moments_add(algebra *a, moments *m, const float *embeddings, const int32_t *labels,
                           size_t rows, error *e)
{
    cpu_begin(a->own);
    for (size_t row = 0; row < rows; row++)
        if (labels[row] >= 0 && (size_t)labels[row] >= m->classes)
            return error_set(e, "label %d of %zu classes", labels[row], m->classes);
    for (size_t i = 0; i < rows; i += MOMENT_ROWS) {
        size_t n = rows - i < MOMENT_ROWS ? rows - i : MOMENT_ROWS;
        const float *x = embeddings + i * m->dimension;
        class_sums_add(m, x, labels + i, n);
        if (m->gram)
            gram_add(m, x, n);
    }
    return 0;
}

static int cpu_moments_get(algebra *a, moments *m, double *sums, double *counts, double *gram,
                           error *e)
{
    (void)a, (void)e;
    size_t n = m->dimension;
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

void cpu_moments(algebra *a)
{
    a->moments_free = cpu_moments_free;
    a->moments_new = cpu_moments_new;
    a->moments_add = cpu_moments_add;
    a->moments_get = cpu_moments_get;
}
