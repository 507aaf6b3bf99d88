/* moments.c: class sums, counts and the Gram matrix of embeddings or of their features. */
#include "reference.h"

#include <stdlib.h>
#include <string.h>

struct moments {
    size_t dimension, classes, size; /* size: numbers in x */
    float *projection;               /* NULL for none */
    float *x;                        /* one row's */
    double *sums, *counts, *gram;    /* gram NULL for none */
};

static void reference_moments_free(algebra *a, moments *m)
{
    (void)a;
    if (!m)
        return;
    free(m->projection);
    free(m->x);
    free(m->sums);
    free(m->counts);
    free(m->gram);
    free(m);
}

static int reference_moments_new(algebra *a, size_t dimension, const float *projection,
                                 size_t count, size_t classes, bool gram, moments **out, error *e)
{
    moments *m = calloc(1, sizeof *m);
    if (!m)
        return error_set(e, "reference: out of memory");
    size_t size = projection ? count : dimension;
    *m = (moments){.dimension = dimension, .classes = classes, .size = size};
    m->x = calloc(size, sizeof *m->x);
    m->sums = calloc(classes * size, sizeof *m->sums);
    m->counts = calloc(classes, sizeof *m->counts);
    m->gram = gram ? calloc(size * size, sizeof *m->gram) : NULL;
    m->projection = projection ? calloc(count * dimension, sizeof *projection) : NULL;
    if (!m->x || !m->sums || !m->counts || (gram && !m->gram) || (projection && !m->projection)) {
        reference_moments_free(a, m);
        return error_set(e, "reference: out of memory for moments of %zu numbers", size);
    }
    if (projection)
        memcpy(m->projection, projection, count * dimension * sizeof *projection);
    *out = m;
    return 0;
}

static void row_add(moments *m, const float *x, int32_t label)
{
    if (label >= 0) {
        for (size_t i = 0; i < m->size; i++)
            m->sums[(size_t)label * m->size + i] += (double)x[i];
        m->counts[label]++;
    }
    for (size_t i = 0; m->gram && i < m->size; i++)
        for (size_t j = 0; j < m->size; j++)
            m->gram[i * m->size + j] += (double)x[i] * (double)x[j];
}

static int reference_moments_add(algebra *a, moments *m, const float *embeddings,
                                 const int32_t *labels, size_t rows, error *e)
{
    for (size_t r = 0; r < rows; r++) {
        const float *x = embeddings + r * m->dimension;
        if (labels[r] >= 0 && (size_t)labels[r] >= m->classes)
            return error_set(e, "reference: label %d of %zu classes", labels[r], m->classes);
        if (m->projection) {
            if (a->features(a, x, 1, m->dimension, m->projection, m->size, m->x, e) < 0)
                return -1;
            x = m->x;
        }
        row_add(m, x, labels[r]);
    }
    return 0;
}

static int reference_moments_get(algebra *a, moments *m, double *sums, double *counts, double *gram,
                                 error *e)
{
    (void)a, (void)e;
    memcpy(sums, m->sums, m->classes * m->size * sizeof *sums);
    memcpy(counts, m->counts, m->classes * sizeof *counts);
    if (gram && m->gram)
        memcpy(gram, m->gram, m->size * m->size * sizeof *gram);
    return 0;
}

void reference_moments(algebra *a)
{
    a->moments_new = reference_moments_new;
    a->moments_add = reference_moments_add;
    a->moments_get = reference_moments_get;
    a->moments_free = reference_moments_free;
}
