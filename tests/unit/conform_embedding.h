/* conform_embedding.h: a backend's functions on embeddings against the reference's. */
#ifndef TESTS_CONFORM_EMBEDDING_H
#define TESTS_CONFORM_EMBEDDING_H

#include "fixture.h"

typedef struct {
    size_t rows, dimension, count; /* count: classes, centres, features, columns, or k */
} sizes;

typedef void (*embedding_test)(algebra *a, algebra *reference, sizes z, draws *s, verdict *v);

/* Embeddings are fp32 in every precision. */
static const double embedding_bound = 1e-4;

static void judge_array(verdict *v, const char *what, const float *got, const float *truth,
                        size_t count)
{
    deviation d = deviation_of(got, truth, count, 0);
    if (!(d.norm <= embedding_bound) || !(d.largest <= embedding_bound))
        verdict_add(v, "%s: relative error %.2g, largest %.2g, allowed %.2g\n", what, d.norm,
                    d.largest, embedding_bound);
    if (!margin_intact(got, count))
        verdict_add(v, "%s: wrote beyond its end\n", what);
}

/* In double, against the largest of the truth. */
static void judge_doubles(verdict *v, const char *what, const double *got, const double *truth,
                          size_t count, double bound)
{
    double most = 0, peak = 0;
    for (size_t i = 0; i < count; i++) {
        most = worst(most, fabs(got[i] - truth[i]));
        peak = fmax(peak, fabs(truth[i]));
    }
    if (!(most <= bound * peak))
        verdict_add(v, "%s: largest error %.2g of %.2g, allowed %.2g of it\n", what, most, peak,
                    bound);
}

static double *poisoned_doubles(size_t count)
{
    double *all = array_new(count, sizeof *all);
    memset(all, 0xFF, count * sizeof *all);
    return all;
}

static void test_scores(algebra *a, algebra *reference, sizes z, draws *s, verdict *v)
{
    float *x = normal_new(s, z.rows * z.dimension), *w = normal_new(s, z.count * z.dimension);
    float *got = poisoned_new(z.rows * z.count), *truth = poisoned_new(z.rows * z.count);
    must(a->scores(a, x, z.rows, z.dimension, w, z.count, got, e));
    must(reference->scores(reference, x, z.rows, z.dimension, w, z.count, truth, e));
    judge_array(v, "scores", got, truth, z.rows * z.count);
    free(x), free(w), free(got), free(truth);
}

static void test_features(algebra *a, algebra *reference, sizes z, draws *s, verdict *v)
{
    float *x = normal_new(s, z.rows * z.dimension), *w = normal_new(s, z.count * z.dimension);
    float *got = poisoned_new(z.rows * z.count), *truth = poisoned_new(z.rows * z.count);
    must(a->features(a, x, z.rows, z.dimension, w, z.count, got, e));
    must(reference->features(reference, x, z.rows, z.dimension, w, z.count, truth, e));
    judge_array(v, "features", got, truth, z.rows * z.count);
    free(x), free(w), free(got), free(truth);
}

/* Row 0 is zeros; the squares of the next two are no floats, too small or too large. */
static void test_normalise(algebra *a, algebra *reference, sizes z, draws *s, verdict *v)
{
    size_t size = z.rows * z.dimension;
    float *got = poisoned_new(size), *truth = poisoned_new(size);
    const float factor[] = {0, 1e-30f, 1e25f};
    for (size_t i = 0; i < size; i++) {
        size_t row = i / z.dimension;
        got[i] = truth[i] = draw_normal(s) * (row < 3 && z.rows > 3 ? factor[row] : 1);
    }
    must(a->normalise(a, got, z.rows, z.dimension, e));
    must(reference->normalise(reference, truth, z.rows, z.dimension, e));
    judge_array(v, "normalise", got, truth, size);
    for (size_t i = 0; z.rows > 3 && i < 3 * z.dimension; i += z.dimension) {
        float *row = memcpy(poisoned_new(z.dimension), got + i, z.dimension * sizeof *got);
        judge_array(v, "normalise, an odd row", row, truth + i, z.dimension);
        free(row);
    }
    free(got), free(truth);
}

/* Scores with many equals; the answer is exact. `dimension` is the number of classes, `count` k. */
static void test_top_k(algebra *a, algebra *reference, sizes z, draws *s, verdict *v)
{
    size_t size = z.rows * z.dimension, found = z.rows * z.count;
    float *scores = array_new(size, sizeof *scores);
    float *got = poisoned_new(found), *truth = poisoned_new(found);
    uint32_t *index = array_new(found, sizeof *index), *right = array_new(found, sizeof *right);
    memset(index, 0xFF, found * sizeof *index);
    for (size_t i = 0; i < size; i++)
        scores[i] = (float)draw_below(s, 1 + z.dimension / 2) - 3;
    must(a->top_k(a, scores, z.rows, z.dimension, z.count, index, got, e));
    must(reference->top_k(reference, scores, z.rows, z.dimension, z.count, right, truth, e));
    judge_array(v, "top_k's values", got, truth, found);
    for (size_t i = 0; i < found; i++) {
        if (index[i] != right[i] || got[i] != truth[i]) {
            verdict_add(v, "top_k: row %zu, place %zu: %u (%g), not %u (%g)\n", i / z.count,
                        i % z.count, index[i], (double)got[i], right[i], (double)truth[i]);
            break;
        }
    }
    free(scores), free(got), free(truth), free(index), free(right);
}

/* Small whole numbers, so that every sum is exact in any order and equals are equal. */
static void test_assign(algebra *a, algebra *reference, sizes z, draws *s, verdict *v)
{
    size_t size = z.rows * z.dimension;
    float *x = array_new(size, sizeof *x), *w = array_new(z.count * z.dimension, sizeof *w);
    float *got = poisoned_new(z.rows), *truth = poisoned_new(z.rows);
    uint32_t *index = array_new(z.rows, sizeof *index), *right = array_new(z.rows, sizeof *right);
    memset(index, 0xFF, z.rows * sizeof *index);
    for (size_t i = 0; i < size; i++)
        x[i] = (float)draw_below(s, 5) - 2;
    for (size_t i = 0; i < z.count * z.dimension; i++)
        w[i] = (float)draw_below(s, 5) - 2;
    if (z.count > 1) /* two centres alike */
        memcpy(w + (z.count - 1) * z.dimension, w, z.dimension * sizeof *w);
    must(a->assign(a, x, z.rows, z.dimension, w, z.count, index, got, e));
    must(reference->assign(reference, x, z.rows, z.dimension, w, z.count, right, truth, e));
    judge_array(v, "assign's similarity", got, truth, z.rows);
    for (size_t r = 0; r < z.rows; r++) {
        if (index[r] != right[r]) {
            verdict_add(v, "assign: row %zu: %u, not %u\n", r, index[r], right[r]);
            break;
        }
    }
    free(x), free(w), free(got), free(truth), free(index), free(right);
}

/* ---- moments ---- */

enum { MOMENT_CLASSES = 9 };

typedef struct {
    double *sums, *counts, *gram;
} moment_sums;

static moment_sums run_moments(algebra *a, sizes z, const float *x, const int32_t *labels,
                               bool gram)
{
    size_t size = z.dimension, half = z.rows / 3;
    moments *m = NULL;
    moment_sums out = {poisoned_doubles(MOMENT_CLASSES * size), poisoned_doubles(MOMENT_CLASSES),
                       poisoned_doubles(size * size)};
    must(a->moments_new(a, z.dimension, MOMENT_CLASSES, gram, &m, e));
    must(a->moments_add(a, m, x, labels, half, e));
    must(a->moments_add(a, m, x + half * z.dimension, labels + half, z.rows - half, e));
    /* Reading the sums leaves them as they are. */
    must(a->moments_get(a, m, out.sums, out.counts, NULL, e));
    must(a->moments_get(a, m, out.sums, out.counts, gram ? out.gram : NULL, e));
    a->moments_free(a, m);
    return out;
}

static void moment_sums_free(moment_sums *m)
{
    free(m->sums);
    free(m->counts);
    free(m->gram);
}

static void compare_moments(algebra *a, algebra *reference, sizes z, draws *s, verdict *v,
                            bool gram)
{
    float *x = normal_new(s, z.rows * z.dimension);
    int32_t *labels = array_new(z.rows, sizeof *labels);
    size_t size = z.dimension;
    for (size_t r = 0; r < z.rows; r++) /* -1: of no class; class 1 stays empty */
        labels[r] = (int32_t)draw_below(s, MOMENT_CLASSES + 1) - 1;
    for (size_t r = 0; r < z.rows; r++)
        labels[r] = labels[r] == 1 ? 2 : labels[r];
    moment_sums got = run_moments(a, z, x, labels, gram);
    moment_sums truth = run_moments(reference, z, x, labels, gram);
    judge_doubles(v, "counts", got.counts, truth.counts, MOMENT_CLASSES, 0);
    judge_doubles(v, "sums", got.sums, truth.sums, MOMENT_CLASSES * size, 1e-6);
    if (gram)
        judge_doubles(v, "gram", got.gram, truth.gram, size * size, 1e-5);
    moment_sums_free(&got), moment_sums_free(&truth);
    free(x), free(labels);
}

static void test_sums(algebra *a, algebra *reference, sizes z, draws *s, verdict *v)
{
    compare_moments(a, reference, z, s, v, false);
}

static void test_gram(algebra *a, algebra *reference, sizes z, draws *s, verdict *v)
{
    compare_moments(a, reference, z, s, v, true);
}

/* ---- linear algebra ---- */

/* x x^T of n random vectors over n: positive definite, nearly so without a ridge. */
static double *gram_new(draws *s, size_t n)
{
    float *x = normal_new(s, n * n);
    double *matrix = array_new(n * n, sizeof *matrix);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            for (size_t k = 0; k < n; k++)
                matrix[i * n + j] += (double)x[i * n + k] * (double)x[j * n + k] / (double)n;
    free(x);
    return matrix;
}

static double *copy_of(const double *a, size_t count)
{
    return memcpy(array_new(count, sizeof *a), a, count * sizeof *a);
}

/* `rows` is n, `count` the right sides. The upper half is poisoned: only the lower one is read. */
static void test_solve(algebra *a, algebra *reference, sizes z, draws *s, verdict *v)
{
    size_t n = z.rows;
    double *matrix = gram_new(s, n), *right = array_new(n * z.count, sizeof *right);
    for (size_t i = 0; i < n * z.count; i++)
        right[i] = draw_uniform(s, -1, 1);
    for (size_t i = 0; i < n; i++)
        for (size_t j = i + 1; j < n; j++)
            matrix[i * n + j] = NAN;
    double *again = copy_of(matrix, n * n), *truth = copy_of(right, n * z.count);
    must(a->solve(a, matrix, n, 0.5, right, z.count, e));
    must(reference->solve(reference, again, n, 0.5, truth, z.count, e));
    judge_doubles(v, "solve", right, truth, n * z.count, 1e-9);
    free(matrix), free(right), free(again), free(truth);
}

static void test_solve_refuses(algebra *a, algebra *reference, sizes z, draws *s, verdict *v)
{
    (void)reference;
    size_t n = z.rows;
    double *matrix = gram_new(s, n), *right = array_new(n, sizeof *right);
    error why = {""};
    matrix[(n - 1) * n + n - 1] = -1;
    if (a->solve(a, matrix, n, 0.5, right, 1, &why) == 0 || !why.text[0])
        verdict_add(v, "solve: took a matrix that is not positive definite\n");
    free(matrix), free(right);
}

/* The values are the reference's; the vectors are unit, at right angles and solve A x = value x. */
static void test_eigen(algebra *a, algebra *reference, sizes z, draws *s, verdict *v)
{
    size_t n = z.rows;
    double *matrix = gram_new(s, n);
    double *got = copy_of(matrix, n * n), *truth = copy_of(matrix, n * n);
    double *values = poisoned_doubles(n), *right = poisoned_doubles(n);
    must(a->eigen(a, got, n, values, e));
    must(reference->eigen(reference, truth, n, right, e));
    judge_doubles(v, "eigenvalues", values, right, n, 1e-9);
    double residual = 0, slant = 0;
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++) {
            double image = 0, product = 0;
            for (size_t k = 0; k < n; k++) {
                image += matrix[j * n + k] * got[i * n + k];
                product += got[j * n + k] * got[i * n + k];
            }
            residual = worst(residual, fabs(image - values[i] * got[i * n + j]));
            slant = worst(slant, fabs(product - (i == j)));
        }
    }
    if (!(residual <= 1e-9 * fabs(right[n - 1])) || !(slant <= 1e-9))
        verdict_add(v, "eigenvectors: residual %.2g, slant %.2g\n", residual, slant);
    free(matrix), free(got), free(truth), free(values), free(right);
}

static void conform_embedding(algebra *a, embedding_test test, sizes z, draws *s)
{
    backend *reference = reference_open();
    verdict v = {.count = 0};
    test(a, &reference->algebra, z, s, &v);
    reference->close(reference);
    verdict_close(&v);
}

#endif
