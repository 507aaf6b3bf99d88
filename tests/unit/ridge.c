/* ridge.c: statistics and ridge against plain computations of the same, and leaving rows out against really
 * leaving them out. */
#include "fixture.h"

#include "../../src/method/imprinting.h"
#include "../../src/method/ridge.c" /* its solutions' scores are its own */
#include "../../src/method/statistics.h"

enum { DIMENSION = 6, CLASSES = 4, FEATURES = 9 };

/* ---- ridge --------------------------------------------------------------------------------------------- */

typedef struct {
    backend *b;
    model m;
    float rows[400 * DIMENSION];
    int32_t labels[400];
    size_t count;
} setting;

static void add_rows(setting *t, source *s, int32_t label, size_t count)
{
    for (size_t i = 0; i < count; i++, t->count++) {
        t->labels[t->count] = label;
        for (size_t d = 0; d < DIMENSION; d++)
            t->rows[t->count * DIMENSION + d] =
                (float)(1 + sin(1.7 * label + (double)d)) + (0.2f + 0.3f * (float)(d % 3)) * source_normal(s);
    }
}

/* Three base classes with statistics from rows [0, 180), and a novel one of `shots` rows after them. */
static void begin(setting *t, const char *name, size_t shots)
{
    source s = source_named(name);
    error e = {""};
    class_list classes = {0};
    statistics *base;
    imprinting *work;
    *t = (setting){.b = reference_open()};
    for (size_t c = 0; c + 1 < CLASSES; c++)
        assert_int_equal(class_list_add(&classes, (const char *[]){"a", "b", "c"}[c]), (int)c);
    assert_int_equal(model_new(NULL, (extent){0}, DIMENSION, HEAD_COSINE, &classes, CLASS_BASE, &t->m, &e), 0);
    *(float *)model_find(&t->m, "head/scale")->data = 10;
    for (int32_t c = 0; c + 1 < CLASSES; c++)
        add_rows(t, &s, c, 60);
    statistics_options how = {.sums = true, .features = FEATURES, .seed = 2};
    assert_int_equal(statistics_new(t->b, &t->m, &how, &base, &e), 0);
    for (size_t i = 0; i < t->count; i += 7)
        assert_int_equal(statistics_add(base, t->rows + i * DIMENSION, t->labels + i,
                                        t->count - i < 7 ? t->count - i : 7, &e), 0);
    assert_int_equal(statistics_finish(base, &e), 0);
    statistics_free(base);
    add_rows(t, &s, CLASSES - 1, shots);
    assert_int_equal(class_list_add(&classes, "d"), CLASSES - 1);
    model_note_text(&t->m, "imprint/method", "ridge");
    model_note_number(&t->m, "ridge/lambda", 0.5);
    imprinting_options imprint = {.features = true};
    assert_int_equal(imprinting_new(t->b, &t->m, &imprint, &work, &e), 0);
    assert_int_equal(imprinting_add(work, &classes, t->rows + 180 * DIMENSION, NULL, t->labels + 180, shots, &e), 0);
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

/* Differences of class scores on a row: w_c . x - mu_c . w_c / 2, from rows, as the header writes it. */
static void plain_scores(const setting *t, double lambda, const double *x, double *scores)
{
    projection p;
    error e = {""};
    static float features[400 * FEATURES];
    double mean[CLASSES][FEATURES] = {{0}}, count[CLASSES] = {0}, s[FEATURES][FEATURES] = {{0}}, trace = 0;
    assert_int_equal(projection_of_model(&t->m, &p, &e), 0);
    assert_int_equal(projection_features(&p, t->b, t->rows, t->count, features, &e), 0);
    projection_free(&p);
    for (size_t i = 0; i < t->count; i++) {
        count[t->labels[i]] += 1;
        for (size_t d = 0; d < FEATURES; d++)
            mean[t->labels[i]][d] += features[i * FEATURES + d];
    }
    for (size_t c = 0; c < CLASSES; c++)
        for (size_t d = 0; d < FEATURES; d++)
            mean[c][d] /= count[c];
    for (size_t i = 0; i < t->count; i++)
        for (size_t d = 0; d < FEATURES; d++)
            for (size_t f = 0; f < FEATURES; f++)
                s[d][f] += (features[i * FEATURES + d] - mean[t->labels[i]][d]) *
                           (features[i * FEATURES + f] - mean[t->labels[i]][f]) / (double)(t->count - CLASSES);
    for (size_t d = 0; d < FEATURES; d++)
        trace += s[d][d];
    for (size_t c = 0; c < CLASSES; c++) {
        double a[FEATURES][FEATURES], w[FEATURES];
        memcpy(a, s, sizeof a);
        memcpy(w, mean[c], sizeof w);
        for (size_t d = 0; d < FEATURES; d++)
            a[d][d] += lambda * trace / FEATURES;
        gauss(&a[0][0], w, FEATURES);
        scores[c] = 0;
        for (size_t d = 0; d < FEATURES; d++)
            scores[c] += w[d] * (x[d] - mean[c][d] / 2);
    }
}

static void test_ridge_as_the_formula_reads(void **state)
{
    (void)state;
    setting t;
    begin(&t, "ridge", 25);
    const float *w = model_find(&t.m, "ridge/weight")->data, *o = model_find(&t.m, "head/bias")->data;
    double scale = 0;
    for (size_t turn = 0; turn < 5; turn++) {
        double x[FEATURES], want[CLASSES], got[CLASSES];
        for (size_t d = 0; d < FEATURES; d++)
            x[d] = 0.3 * (double)(turn + d % 4);
        plain_scores(&t, 0.5, x, want);
        for (size_t c = 0; c < CLASSES; c++) {
            got[c] = o[c];
            for (size_t d = 0; d < FEATURES; d++)
                got[c] += w[c * FEATURES + d] * x[d];
        }
        /* The same but for one factor and what all classes share. */
        for (size_t c = 1; c < CLASSES; c++) {
            double factor = (got[c] - got[0]) / (want[c] - want[0]);
            scale = scale > 0 ? scale : factor;
            assert_true(factor > 0 && fabs(factor / scale - 1) < 1e-3);
        }
    }
    end(&t);
}

/* A novel row's score is that of its class's mean without it, by the same covariance. */
static void test_ridge_leaves_rows_out(void **state)
{
    (void)state;
    setting t;
    error e = {""};
    rehearsal r;
    problem p;
    solution s;
    begin(&t, "leave", 12);
    assert_int_equal(rehearsal_new(&t.m, &r, &e), 0);
    assert_int_equal(problem_new(t.b, &t.m, &r, &p, &e), 0);
    assert_int_equal(solution_new(&p, &s, &e), 0);
    assert_int_equal(solve(&p, 0.3, &s, &e), 0);
    assert_int_equal(r.rows - r.base_rows, 12);
    for (size_t row = r.base_rows; row < r.rows; row++) {
        double a[FEATURES][FEATURES], mean[FEATURES] = {0}, w[FEATURES], score = 0;
        for (size_t i = r.base_rows; i < r.rows; i++)
            for (size_t d = 0; d < FEATURES; d++)
                mean[d] += i == row ? 0 : p.features[i * FEATURES + d] / 11.0;
        for (size_t d = 0; d < FEATURES; d++)
            for (size_t f = 0; f < FEATURES; f++)
                a[d][f] = p.covariance[d > f ? d * FEATURES + f : f * FEATURES + d] + (d == f) * 0.3 * p.level;
        memcpy(w, mean, sizeof w);
        gauss(&a[0][0], w, FEATURES);
        for (size_t d = 0; d < FEATURES; d++)
            score += w[d] * (p.features[row * FEATURES + d] - mean[d] / 2);
        assert_true(fabs(s.scores[row * CLASSES + CLASSES - 1] - score) < 1e-4 * (1 + fabs(score)));
    }
    solution_free(&s);
    problem_free(&p);
    rehearsal_free(&r);
    end(&t);
}

static void test_ridge_refuses(void **state)
{
    (void)state;
    setting t;
    error e = {""};
    rehearsal r;
    begin(&t, "refuses", 25);
    assert_int_equal(rehearsal_new(&t.m, &r, &e), 0);
    double *count = model_find(&t.m, "statistics/count")->data, held = count[1];
    count[1] = 0;
    assert_int_equal(ridge_make(t.b, &t.m, 0, true, -INFINITY, &r, &e), -1);
    assert_non_null(strstr(e.text, "class b"));
    count[1] = held;
    tensor *gram = model_find(&t.m, "statistics/gram"), *added = model_find(&t.m, "imprint/feature-gram");
    memset(gram->data, 0, tensor_bytes(gram));
    memset(added->data, 0, tensor_bytes(added));
    assert_int_equal(ridge_make(t.b, &t.m, 0, true, -INFINITY, &r, &e), -1);
    assert_non_null(strstr(e.text, "all equal"));
    rehearsal_free(&r);
    end(&t);
}

/* ---- statistics ---------------------------------------------------------------------------------------- */

static void statistics_by(setting *t, const size_t *order, const int32_t *labels, size_t most, source *s, model *out)
{
    error e = {""};
    statistics *work;
    statistics_options how = {.sums = true, .features = FEATURES, .seed = 2};
    float rows[400 * DIMENSION];
    int32_t of[400];
    assert_int_equal(model_copy(out, &t->m, &e), 0);
    assert_int_equal(statistics_new(t->b, out, &how, &work, &e), 0);
    for (size_t i = 0; i < t->count; i++) {
        memcpy(rows + i * DIMENSION, t->rows + order[i] * DIMENSION, DIMENSION * sizeof *rows);
        of[i] = labels[order[i]];
    }
    for (size_t i = 0, n; i < t->count; i += n) {
        n = 1 + source_below(s, most);
        n = n < t->count - i ? n : t->count - i;
        assert_int_equal(statistics_add(work, rows + i * DIMENSION, of + i, n, &e), 0);
    }
    assert_int_equal(statistics_finish(work, &e), 0);
    statistics_free(work);
}

static void test_statistics_of_any_batches(void **state)
{
    (void)state;
    static const char *const names[] = {"statistics/sum", "statistics/count", "statistics/gram"};
    setting t;
    model first;
    size_t order[400];
    int32_t labels[400];
    source s = source_named("batches");
    begin(&t, "batches", 25);
    for (size_t i = 0; i < t.count; i++) {
        order[i] = i;
        labels[i] = source_below(&s, 9) ? t.labels[i] : -1;
    }
    statistics_by(&t, order, labels, 400, &s, &first);
    const double *count = model_find(&first, "statistics/count")->data;
    for (size_t c = 0; c < CLASSES; c++) {
        double rows = 0;
        for (size_t i = 0; i < t.count; i++)
            rows += labels[i] == (int32_t)c;
        assert_true(count[c] == (c + 1 < CLASSES ? rows : 0)); /* rows of the novel class are left out */
    }
    for (int turn = 0; turn < 20; turn++) {
        model other;
        for (size_t i = t.count; i-- > 1;) {
            size_t k = source_below(&s, i + 1), held = order[i];
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
        const tensor *x = model_find(&first, "statistics/sample"), *y = model_find(&other, "statistics/sample");
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
    statistics_options how;
    begin(&t, "stay", 25);
    assert_int_equal(statistics_choose(&t.m, 0, 77, &how, &e), 0);
    assert_int_equal(how.features, FEATURES);
    assert_int_equal(how.seed, 2);
    assert_int_equal(statistics_choose(&t.m, FEATURES + 1, 77, &how, &e), -1);
    assert_non_null(strstr(e.text, "--features 10"));
    model_drop(&t.m, "imprint/feature-sum");
    assert_int_equal(statistics_choose(&t.m, 30, 77, &how, &e), 0);
    assert_int_equal(how.features, 30);
    assert_int_equal(how.seed, 77);
    end(&t);
}

int main(void)
{
    fixture_begin();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ridge_as_the_formula_reads),
        cmocka_unit_test(test_ridge_leaves_rows_out),
        cmocka_unit_test(test_ridge_refuses),
        cmocka_unit_test(test_statistics_of_any_batches),
        cmocka_unit_test(test_statistics_stay_with_the_features),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
