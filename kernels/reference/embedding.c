/* embedding.c: products with embeddings, and what is read off them. */
#include "reference.h"

#include <math.h>

static double dot(const float *a, const float *b, size_t n)
{
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < n; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

static int reference_scores(algebra *a, const float *embeddings, size_t rows, size_t dimension,
                            const float *weights, size_t classes, float *scores, error *e)
{
    (void)a, (void)e;
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < classes; c++)
            scores[r * classes + c] =
                (float)dot(embeddings + r * dimension, weights + c * dimension, dimension);
    return 0;
}

static int reference_features(algebra *a, const float *embeddings, size_t rows, size_t dimension,
                              const float *projection, size_t count, float *features, error *e)
{
    if (reference_scores(a, embeddings, rows, dimension, projection, count, features, e) < 0)
        return -1;
    for (size_t i = 0; i < rows * count; i++)
        features[i] = features[i] > 0 ? features[i] : 0;
    return 0;
}

/* Whether score a at place i stands before score b at place j. */
static bool ranks_before(float a, size_t i, float b, size_t j)
{
    return a > b || (a == b && i < j);
}

/* The k-th is the best of those that stand behind the one found before it. */
static void row_top_k(const float *scores, size_t classes, size_t k, uint32_t *index, float *value)
{
    for (size_t found = 0; found < k; found++) {
        size_t best = classes;
        for (size_t c = 0; c < classes; c++) {
            if (found && !ranks_before(value[found - 1], index[found - 1], scores[c], c))
                continue;
            if (best == classes || ranks_before(scores[c], c, scores[best], best))
                best = c;
        }
        index[found] = (uint32_t)best;
        value[found] = scores[best];
    }
}

static int reference_top_k(algebra *a, const float *scores, size_t rows, size_t classes, size_t k,
                           uint32_t *index, float *value, error *e)
{
    (void)a;
    if (k > classes)
        return error_set(e, "reference: the best %zu of %zu classes", k, classes);
    for (size_t i = 0; i < rows * classes; i++)
        if (isnan(scores[i]))
            return error_set(e, "reference: a score is not a number: row %zu", i / classes);
    for (size_t r = 0; r < rows; r++)
        row_top_k(scores + r * classes, classes, k, index + r * k, value + r * k);
    return 0;
}

static int reference_normalise(algebra *a, float *embeddings, size_t rows, size_t dimension,
                               error *e)
{
    (void)a, (void)e;
    for (size_t r = 0; r < rows; r++) {
        float *row = embeddings + r * dimension;
        double norm = sqrt(dot(row, row, dimension));
        for (size_t d = 0; d < dimension; d++)
            row[d] = norm == 0 ? 0 : (float)((double)row[d] / norm);
    }
    return 0;
}

static int reference_assign(algebra *a, const float *embeddings, size_t rows, size_t dimension,
                            const float *centres, size_t count, uint32_t *nearest,
                            float *similarity, error *e)
{
    (void)a, (void)e;
    for (size_t r = 0; r < rows; r++) {
        for (size_t c = 0; c < count; c++) {
            float s = (float)dot(embeddings + r * dimension, centres + c * dimension, dimension);
            if (c == 0 || s > similarity[r]) {
                similarity[r] = s;
                nearest[r] = (uint32_t)c;
            }
        }
    }
    return 0;
}

void reference_embedding(algebra *a)
{
    a->scores = reference_scores;
    a->features = reference_features;
    a->top_k = reference_top_k;
    a->normalise = reference_normalise;
    a->assign = reference_assign;
}
