/* ridge.c: statistics and ridge against plain computations of the same, and leaving rows out
 * against really leaving them out. */
#include "fixture.h"

#include "../../src/imprinting/imprinting.h"
#include "../../src/imprinting/projection.h"
#include "../../src/imprinting/ridge.h"
#include "../../src/imprinting/ridge_problem.h"

enum { DIMENSION = 6, CLASSES = 4, RANDOM = 9, FEATURES = DIMENSION + RANDOM };

/* ---- ridge ---- */

typedef struct {
    backend *b;
    model m;
    float rows[400 * DIMENSION];
    int32_t labels[400];
    size_t count;
} setting;

static void add_rows(setting *t, draws *s, int32_t label, size_t count)
{
    for (size_t i = 0; i < count; i++, t->count++) {
        t->labels[t->count] = label;
        for (size_t d = 0; d < DIMENSION; d++)
            t->rows[t->count * DIMENSION + d] = (float)(1 + sin(1.7 * label + (double)d)) +
                                                (0.2f + 0.3f * (float)(d % 3)) * draw_normal(s);
    }
}

/* Three base classes with statistics from rows [0, 180), and a novel one of `shots` rows after
 * them. */
static void begin(setting *t, const char *name, size_t shots)
{
    draws s = draw_named(name);
    error e = {""};
    class_list classes = {0};
    imprinting *base;
    imprinting *work;
    *t = (setting){.b = reference_open()};
    for (size_t c = 0; c + 1 < CLASSES; c++)
        assert_int_equal(class_list_add(&classes, (const char *[]){"a", "b", "c"}[c]), (int)c);
    assert_int_equal(
        model_new(NULL, (extent){0}, DIMENSION, HEAD_COSINE, &classes, CLASS_BASE, &t->m, &e), 0);
    *(float *)model_find(&t->m, "head/scale")->data = 10;
    for (int32_t c = 0; c + 1 < CLASSES; c++)
        add_rows(t, &s, c, 60);
    imprinting_options how = {.training_rows = true,
                              .features = true,
                              .chosen = {.random = RANDOM, .plain = true, .seed = 2}};
    assert_int_equal(imprinting_new(&t->b->algebra, &t->m, &how, &base, &e), 0);
    for (size_t i = 0; i < t->count; i += 7)
        assert_int_equal(imprinting_add(base, &classes, t->rows + i * DIMENSION, NULL,
                                        t->labels + i, t->count - i < 7 ? t->count - i : 7, &e),
                         0);
    assert_int_equal(imprinting_finish(base, &e), 0);
    imprinting_free(base);
    add_rows(t, &s, CLASSES - 1, shots);
    assert_int_equal(class_list_add(&classes, "d"), CLASSES - 1);
    model_note_text(&t->m, "imprint/method", "ridge");
    model_note_number(&t->m, "ridge/lambda", 0.5);
    imprinting_options imprint = {.features = true};
    assert_int_equal(imprinting_new(&t->b->algebra, &t->m, &imprint, &work, &e), 0);
    assert_int_equal(
        imprinting_add(work, &classes, t->rows + 180 * DIMENSION, NULL, t->labels + 180, shots, &e),
        0);
    assert_int_equal(imprinting_finish(work, &e), 0);
    imprinting_free(work);
    class_list_free(&classes);
}

static void end(setting *t)
{
    model_free(&t->m);
    t->b->close(t->b);
}

/* Gauss with pivots; a [n][n] and x [n] are overwritten. */
static void gauss(double *a, double *x, size_t n)
{
    for (size_t k = 0; k < n; k++) {
        size_t pivot = k;
        for (size_t i = k; i < n; i++)
            pivot = fabs(a[i * n + k]) > fabs(a[pivot * n + k]) ? i : pivot;
        for (size_t j = 0; j < n; j++) {
            double held = a[k * n + j];
            a[k * n + j] = a[pivot * n + j];
            a[pivot * n + j] = held;
        }
        double held = x[k];
        x[k] = x[pivot];
        x[pivot] = held;
        for (size_t i = 0; i < n; i++) {
            double factor = i == k ? 0 : a[i * n + k] / a[k * n + k];
            for (size_t j = k; j < n; j++)
                a[i * n + j] -= factor * a[k * n + j];
            x[i] -= factor * x[k];
        }
    }
    for (size_t k = 0; k < n; k++)
        x[k] /= a[k * n + k];
}

/* A x = b with A = W + B (balanced) or W, from rows of `x` of which one may be left out, plus a
 * ridge; means [classes] and the centre come out too. W is a sum over rows divided by `all`. */
static void plain_matrix(const float *x, const int32_t *labels, size_t rows, size_t without,
                         double all, bool balanced, double a[FEATURES][FEATURES],
                         double mean[CLASSES][FEATURES], double centre[FEATURES])
{
    double count[CLASSES] = {0};
    memset(a, 0, sizeof(double[FEATURES][FEATURES]));
    memset(mean, 0, sizeof(double[CLASSES][FEATURES]));
    memset(centre, 0, sizeof(double[FEATURES]));
    for (size_t i = 0; i < rows; i++) {
        count[labels[i]] += i != without;
        for (size_t d = 0; i != without && d < FEATURES; d++)
            mean[labels[i]][d] += x[i * FEATURES + d];
    }
    for (size_t c = 0; c < CLASSES; c++)
        for (size_t d = 0; d < FEATURES; d++) {
            mean[c][d] /= count[c];
            centre[d] += mean[c][d] / CLASSES;
        }
    for (size_t d = 0; d < FEATURES; d++)
        for (size_t f = 0; f < FEATURES; f++) {
            for (size_t i = 0; i < rows; i++)
                a[d][f] += i == without
                               ? 0
                               : ((double)x[i * FEATURES + d] - mean[labels[i]][d]) *
                                     ((double)x[i * FEATURES + f] - mean[labels[i]][f]) / all;
            for (size_t c = 0; balanced && c < CLASSES; c++)
                a[d][f] += (mean[c][d] - centre[d]) * (mean[c][f] - centre[f]) / CLASSES;
        }
}

/* A row's scores; and the classes' lengths, M . w. */
static void plain_scores(double a[FEATURES][FEATURES], double ridge, double mean[CLASSES][FEATURES],
                         const double *centre, bool balanced, const float *x, double *scores,
                         double *length)
{
    for (size_t c = 0; c < CLASSES; c++) {
        double copy[FEATURES][FEATURES], w[FEATURES];
        memcpy(copy, a, sizeof copy);
        for (size_t d = 0; d < FEATURES; d++) {
            copy[d][d] += ridge;
            w[d] = mean[c][d] - centre[d];
        }
        gauss(&copy[0][0], w, FEATURES);
        scores[c] = length[c] = 0;
        for (size_t d = 0; d < FEATURES; d++) {
            scores[c] += w[d] * (x[d] - centre[d]);
            length[c] += w[d] * (mean[c][d] - centre[d]);
        }
        scores[c] -= balanced ? 0 : length[c] / 2;
    }
}

static void features_of(setting *t, float *x)
{
    projection p;
    error e = {""};
    assert_int_equal(projection_of_model(&t->m, &p, &e), 0);
    assert_int_equal(p.width, FEATURES);
    assert_int_equal(projection_features(&p, &t->b->algebra, t->rows, t->count, x, &e), 0);
    projection_free(&p);
}

/* The embedding itself stands first, normalised; then relu of its random projection, over sqrt(M).
 * */
static void test_features(void **state)
{
    (void)state;
    setting t;
    projection random;
    error e = {""};
    static float x[400 * FEATURES], unscaled[400 * RANDOM];
    begin(&t, "features", 3);
    features_of(&t, x);
    assert_int_equal(projection_new(2, RANDOM, DIMENSION, false, &random, &e), 0);
    assert_int_equal(random.width, RANDOM);
    assert_int_equal(projection_features(&random, &t.b->algebra, t.rows, t.count, unscaled, &e), 0);
    for (size_t i = 0; i < t.count; i++) {
        double square = 0;
        for (size_t d = 0; d < DIMENSION; d++)
            square += (double)t.rows[i * DIMENSION + d] * t.rows[i * DIMENSION + d];
        for (size_t d = 0; d < DIMENSION; d++)
            assert_true(fabs(x[i * FEATURES + d] - t.rows[i * DIMENSION + d] / sqrt(square)) <
                        1e-5);
        for (size_t k = 0; k < RANDOM; k++)
            assert_true(fabs(x[i * FEATURES + DIMENSION + k] - unscaled[i * RANDOM + k] / 3) <
                        1e-5);
    }
    projection_free(&random);
    end(&t);
}

static void test_ridge_as_the_formula_reads(void **state)
{
    (void)state;
    setting t;
    static float x[400 * FEATURES];
    double a[FEATURES][FEATURES], mean[CLASSES][FEATURES], centre[FEATURES], trace = 0, scale = 0;
    begin(&t, "ridge", 25);
    features_of(&t, x);
    plain_matrix(x, t.labels, t.count, SIZE_MAX, (double)t.count, true, a, mean, centre);
    for (size_t d = 0; d < FEATURES; d++)
        trace += a[d][d];
    const float *w = model_find(&t.m, "ridge/weight")->data,
                *o = model_find(&t.m, "head/bias")->data;
    for (size_t row = 0; row < t.count; row += 9) {
        double want[CLASSES], got[CLASSES], length[CLASSES];
        plain_scores(a, 0.5 * trace / FEATURES, mean, centre, true, x + row * FEATURES, want,
                     length);
        for (size_t c = 0; c < CLASSES; c++) {
            got[c] = o[c];
            for (size_t d = 0; d < FEATURES; d++)
                got[c] += (double)w[c * FEATURES + d] * x[row * FEATURES + d];
        }
        /* The same but for one factor and what all classes share. */
        for (size_t c = 1; c < CLASSES; c++) {
            double factor = (got[c] - got[0]) / (want[c] - want[0]);
            scale = scale > 0 ? scale : factor;
            assert_true(factor > 0 && fabs(factor / scale - 1) < 1e-2);
        }
    }
    end(&t);
}

/* Scores of rows left out in closed form are those of sums that really lack the row, in its class's
 * mean, in the covariance within classes and in that between them, that of its own class raised to
 * what the whole class's mean gives; classes of two rows and of many, both kinds. */
static void test_ridge_leaves_rows_out(void **state)
{
    (void)state;
    for (int turn = 0; turn < 6; turn++) {
        setting t;
        error e = {""};
        ridge_sums sums;
        ridge_problem p;
        ridge_solution s;
        bool balanced = turn % 2 == 0;
        double lambda = (double[]){0.3, 0.003, 0.03}[turn / 2];
        static float x[400 * FEATURES];
        size_t class_of[400];
        begin(&t, "leave", (size_t[]){12, 2, 5}[turn / 2]);
        features_of(&t, x);
        for (size_t i = 0; i < t.count; i++)
            class_of[i] = (size_t)t.labels[i];
        ridge_rows judged = {t.count, 0, x, class_of};
        assert_int_equal(ridge_sums_of_model(&t.m, &sums, &e), 0);
        assert_int_equal(ridge_problem_new(&t.b->algebra, &sums, &judged, &p, &e), 0);
        assert_int_equal(
            ridge_solve(&p, balanced ? RIDGE_BALANCED : RIDGE_DISCRIMINANT, lambda, &s, &e), 0);
        for (size_t row = 0; row < t.count; row += row < 170 ? 17 : 1) {
            double a[FEATURES][FEATURES], mean[CLASSES][FEATURES], centre[FEATURES],
                moved[FEATURES], want[CLASSES], whole[CLASSES], without[CLASSES],
                others = CLASSES - 1;
            size_t own = class_of[row];
            plain_matrix(x, t.labels, t.count, SIZE_MAX, (double)t.count, balanced, a, mean,
                         centre);
            plain_scores(a, lambda * p.trace[s.kind], mean, centre, balanced, x + row * FEATURES,
                         want, whole);
            plain_matrix(x, t.labels, t.count, row, (double)t.count, balanced, a, mean, moved);
            plain_scores(a, lambda * p.trace[s.kind], mean, balanced ? moved : centre, balanced,
                         x + row * FEATURES, want, without);
            if (balanced)
                want[own] *= (1 - whole[own] / others) / (1 - without[own] / others);
            else
                want[own] += (without[own] - whole[own]) / 4;
            const float *got = s.scores + row * CLASSES;
            for (size_t c = 1; c < CLASSES; c++) {
                double near = 2e-3 * (1 + fabs(want[c] - want[0]));
                assert_true(fabs(((double)got[c] - got[0]) - (want[c] - want[0])) < near);
            }
        }
        memory_free(&s.held);
        memory_free(&p.held);
        end(&t);
    }
}

static void test_ridge_refuses(void **state)
{
    (void)state;
    setting t;
    error e = {""};
    episodes set;
    fit_report found;
    fit_settings how = {.calibrate = 1};
    begin(&t, "refuses", 25);
    assert_int_equal(episodes_new(&t.m, &set, &e), 0);
    double *count = model_find(&t.m, "base/count")->data, held = count[1];
    count[1] = 0;
    assert_int_equal(ridge_make(&t.b->algebra, &t.m, &how, &set, &found, &e), -1);
    assert_non_null(strstr(e.text, "class b"));
    count[1] = held;
    assert_int_equal(ridge_make(&t.b->algebra, &t.m, &how, &set, &found, &e), 0);
    episodes_free(&set);
    end(&t);
}

/* ---- statistics ---- */

static void statistics_by(setting *t, const size_t *order, const int32_t *labels, size_t most,
                          draws *s, model *out)
{
    error e = {""};
    imprinting *work;
    imprinting_options how = {.training_rows = true,
                              .features = true,
                              .chosen = {.random = RANDOM, .plain = true, .seed = 2}};
    float rows[400 * DIMENSION];
    int32_t of[400];
    assert_int_equal(model_copy(out, &t->m, &e), 0);
    assert_int_equal(imprinting_new(&t->b->algebra, out, &how, &work, &e), 0);
    for (size_t i = 0; i < t->count; i++) {
        memcpy(rows + i * DIMENSION, t->rows + order[i] * DIMENSION, DIMENSION * sizeof *rows);
        of[i] = labels[order[i]];
    }
    for (size_t i = 0, n; i < t->count; i += n) {
        n = 1 + draw_below(s, most);
        n = n < t->count - i ? n : t->count - i;
        assert_int_equal(
            imprinting_add(work, &out->classes, rows + i * DIMENSION, NULL, of + i, n, &e), 0);
    }
    assert_int_equal(imprinting_finish(work, &e), 0);
    imprinting_free(work);
}

static void test_statistics_of_any_batches(void **state)
{
    (void)state;
    static const char *const names[] = {"base/feature-sum", "base/count", "base/feature-gram"};
    setting t;
    model first;
    size_t order[400];
    int32_t labels[400];
    draws s = draw_named("batches");
    begin(&t, "batches", 25);
    for (size_t i = 0; i < t.count; i++) {
        order[i] = i;
        labels[i] = draw_below(&s, 9) ? t.labels[i] : -1;
    }
    statistics_by(&t, order, labels, 400, &s, &first);
    const double *count = model_find(&first, "base/count")->data;
    for (size_t c = 0; c < CLASSES; c++) {
        double rows = 0;
        for (size_t i = 0; i < t.count; i++)
            rows += labels[i] == (int32_t)c;
        assert_true(count[c] ==
                    (c + 1 < CLASSES ? rows : 0)); /* rows of the novel class are left out */
    }
    for (int turn = 0; turn < 20; turn++) {
        model other;
        for (size_t i = t.count; i-- > 1;) {
            size_t k = draw_below(&s, i + 1), held = order[i];
            order[i] = order[k];
            order[k] = held;
        }
        statistics_by(&t, order, labels, (size_t[]){1, 5, 60}[turn % 3], &s, &other);
        for (size_t n = 0; n < 3; n++) {
            const tensor *x = model_find(&first, names[n]), *y = model_find(&other, names[n]);
            for (size_t i = 0; i < tensor_bytes(x) / sizeof(double); i++) {
                double a = ((double *)x->data)[i], b = ((double *)y->data)[i];
                assert_true(fabs(a - b) <= 1e-12 * (1 + fabs(a)));
            }
        }
        const tensor *x = model_find(&first, "base/exemplars"),
                     *y = model_find(&other, "base/exemplars");
        assert_memory_equal(x->data, y->data, tensor_bytes(x));
        model_free(&other);
    }
    model_free(&first);
    end(&t);
}

/* Sums of random features must all be of the same ones. */
static void test_statistics_stay_with_the_features(void **state)
{
    (void)state;
    setting t;
    error e = {""};
    feature_settings how;
    begin(&t, "stay", 25);
    assert_int_equal(projection_choose(&t.m, 0, 77, &how, &e), 0);
    assert_int_equal(how.random, RANDOM);
    assert_int_equal(how.seed, 2);
    assert_true(how.plain);
    assert_int_equal(projection_choose(&t.m, RANDOM + 1, 77, &how, &e), -1);
    assert_non_null(strstr(e.text, "--features 10"));
    model_note_drop(&t.m, "ridge/plain"); /* a model of before */
    assert_int_equal(projection_choose(&t.m, 0, 77, &how, &e), 0);
    assert_false(how.plain);
    model_drop(&t.m, "imprint/feature-sum");
    assert_int_equal(projection_choose(&t.m, 30, 77, &how, &e), 0);
    assert_int_equal(how.random, 30);
    assert_int_equal(how.seed, 77);
    end(&t);
}

int main(void)
{
    fixture_begin();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_features),
        cmocka_unit_test(test_ridge_as_the_formula_reads),
        cmocka_unit_test(test_ridge_leaves_rows_out),
        cmocka_unit_test(test_ridge_refuses),
        cmocka_unit_test(test_statistics_of_any_batches),
        cmocka_unit_test(test_statistics_stay_with_the_features),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
