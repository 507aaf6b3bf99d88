/* moments.c: class sums, counts and the Gram matrix. */
#include "reference.h"

#include <stdlib.h>
#include <string.h>

struct moments {
    size_t dimension, classes;
    double *sums, *counts, *gram; /* gram NULL for none */
};

static void reference_moments_free(algebra *a, moments *m)
{
    (void)a;
    if (!m)
        return;
    free(m->sums);
    free(m->counts);
    free(m->gram);
    free(m);
}

static int reference_moments_new(algebra *a, size_t dimension, size_t classes, bool gram,
                                 moments **out, error *e)
{
    moments *m = calloc(1, sizeof *m);
    if (!m)
        return error_set(e, "reference: out of memory");
    *m = (moments){.dimension = dimension, .classes = classes};
    m->sums = calloc(classes * dimension, sizeof *m->sums);
    m->counts = calloc(classes, sizeof *m->counts);
    m->gram = gram ? calloc(dimension * dimension, sizeof *m->gram) : NULL;
    if (!m->sums || !m->counts || (gram && !m->gram)) {
        reference_moments_free(a, m);
        return error_set(e, "reference: out of memory for moments of %zu numbers", dimension);
    }
    *out = m;
    return 0;
}

static void row_add(moments *m, const float *x, int32_t label)
{
    if (label >= 0) {
        for (size_t i = 0; i < m->dimension; i++)
            m->sums[(size_t)label * m->dimension + i] += (double)x[i];
        m->counts[label]++;
    }
    for (size_t i = 0; m->gram && i < m->dimension; i++)
        for (size_t j = 0; j < m->dimension; j++)
            m->gram[i * m->dimension + j] += (double)x[i] * (double)x[j];
}

static int reference_moments_add(algebra *a, moments *m, const float *embeddings,
                                 const int32_t *labels, size_t rows, error *e)
{
    (void)a;
    for (size_t r = 0; r < rows; r++) {
        if (labels[r] >= 0 && (size_t)labels[r] >= m->classes)
            return error_set(e, "reference: label %d of %zu classes", labels[r], m->classes);
        row_add(m, embeddings + r * m->dimension, labels[r]);
    }
    return 0;
}

static int reference_moments_get(algebra *a, moments *m, double *sums, double *counts, double *gram,
                                 error *e)
{
    (void)a, (void)e;
    memcpy(sums, m->sums, m->classes * m->dimension * sizeof *sums);
    memcpy(counts, m->counts, m->classes * sizeof *counts);
    if (gram && m->gram)
        memcpy(gram, m->gram, m->dimension * m->dimension * sizeof *gram);
    return 0;
}

void reference_moments(algebra *a)
{
    a->moments_new = reference_moments_new;
    a->moments_add = reference_moments_add;
    a->moments_get = reference_moments_get;
    a->moments_free = reference_moments_free;
}
