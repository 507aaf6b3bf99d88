/* method.c: samples, calibration and ridge against plain computations of the same. */
#include "fixture.h"

#include "../../src/method/class_sample.h"
#include "../../src/method/contest.h"
#include "../../src/method/imprinting.h"
#include "../../src/method/projection.h"
#include "../../src/method/proxies.h"
#include "../../src/method/rehearsal.h"
#include "../../src/method/ridge.h"
#include "../../src/method/scale.h"
#include "../../src/method/statistics.h"

enum { DIMENSION = 6, CLASSES = 4, FEATURES = 9 };

/* ---- samples ------------------------------------------------------------------------------------------- */

static void random_rows(source *s, float *rows, size_t count)
{
    for (size_t i = 0; i < count * DIMENSION; i++)
        rows[i] = source_normal(s);
}

static void test_sample_of_parts(void **state)
{
    (void)state;
    enum { ROWS = 40, ROOM = 7 };
    source s = source_named("sample");
    float rows[ROWS * DIMENSION];
    error e = {""};
    class_sample whole, first, second, both;
    random_rows(&s, rows, ROWS);
    memset(rows + 3 * DIMENSION, 0, DIMENSION * sizeof *rows);
    memcpy(rows + 5 * DIMENSION, rows + 4 * DIMENSION, DIMENSION * sizeof *rows);
    assert_int_equal(class_sample_new(1, ROOM, DIMENSION, &whole, &e), 0);
    assert_int_equal(class_sample_new(1, ROOM, DIMENSION, &first, &e), 0);
    assert_int_equal(class_sample_new(1, ROOM, DIMENSION, &second, &e), 0);
    assert_int_equal(class_sample_new(1, ROOM, DIMENSION, &both, &e), 0);
    for (size_t i = 0; i < ROWS; i++) {
        class_sample_offer(&whole, 0, rows + i * DIMENSION);
        class_sample_offer(source_below(&s, 2) ? &first : &second, 0, rows + (ROWS - 1 - i) * DIMENSION);
    }
    float held[2][ROOM * DIMENSION];
    tensor parts[2] = {{TYPE_F32, 3, {1, ROOM, DIMENSION}, held[0]}, {TYPE_F32, 3, {1, ROOM, DIMENSION}, held[1]}};
    class_sample_store(&first, 0, &parts[0], 0);
    class_sample_store(&second, 0, &parts[1], 0);
    class_sample_offer_tensor(&both, 0, &parts[1], 0);
    class_sample_offer_tensor(&both, 0, &parts[0], 0);
    assert_int_equal(whole.count[0], ROOM);
    assert_int_equal(both.count[0], ROOM);
    assert_memory_equal(whole.rows, both.rows, sizeof held[0]);
    class_sample_free(&whole);
    class_sample_free(&first);
    class_sample_free(&second);
    class_sample_free(&both);
}

/* Few rows: all of them, equal ones once, zeros never; every row of many is as likely to be kept. */
static void test_sample_is_a_fair_draw(void **state)
{
    (void)state;
    enum { ROWS = 10, ROOM = 5, TURNS = 4000 };
    source s = source_named("fair");
    error e = {""};
    size_t kept[ROWS] = {0};
    for (int turn = 0; turn < TURNS; turn++) {
        float rows[ROWS * DIMENSION];
        class_sample c;
        random_rows(&s, rows, ROWS);
        assert_int_equal(class_sample_new(1, ROOM, DIMENSION, &c, &e), 0);
        for (size_t i = 0; i < ROWS; i++)
            class_sample_offer(&c, 0, rows + i * DIMENSION);
        for (size_t i = 0; i < ROWS; i++)
            for (size_t k = 0; k < c.count[0]; k++)
                kept[i] += memcmp(rows + i * DIMENSION, c.rows + k * DIMENSION, DIMENSION * sizeof *rows) == 0;
        class_sample_free(&c);
    }
    for (size_t i = 0; i < ROWS; i++)
        assert_in_range(kept[i], TURNS / 2 - 200, TURNS / 2 + 200);
}

/* ---- calibration --------------------------------------------------------------------------------------- */

static double merit_at(const contest *c, double bias, double share)
{
    double right[2][2] = {{0}}, count[2][2] = {{0}}, accuracy[2];
    for (size_t i = 0; i < c->count; i++) {
        const contestant *r = &c->rows[i];
        count[r->novel][r->played] += 1;
        right[r->novel][r->played] += r->right && (r->novel ? bias > r->difference : bias < r->difference);
    }
    for (int novel = 0; novel < 2; novel++)
        accuracy[novel] = share * right[novel][0] / count[novel][0] + (1 - share) * right[novel][1] / count[novel][1];
    return accuracy[0] + accuracy[1] > 0 ? 2 * accuracy[0] * accuracy[1] / (accuracy[0] + accuracy[1]) : 0;
}

static void test_contest_finds_the_best_bias(void **state)
{
    (void)state;
    source s = source_named("contest");
    error e = {""};
    for (int turn = 0; turn < 30; turn++) {
        contest c = {0};
        double bias, best = 0, novel_rows = 0;
        double apart = source_uniform(&s, 0, 6);
        for (size_t i = 0; i < 400; i++) {
            contestant r = {.novel = source_below(&s, 3) == 0, .played = source_below(&s, 2),
                            .right = source_below(&s, 4) > 0};
            r.difference = source_normal(&s) + (r.novel ? apart : apart + 2);
            novel_rows += r.novel && !r.played;
            assert_int_equal(contest_add(&c, r, &e), 0);
        }
        double found = contest_best(&c, &bias), share = novel_rows / (novel_rows + CONTEST_PLAYED);
        for (size_t i = 0; i < c.count; i++)
            best = fmax(best, merit_at(&c, c.rows[i].difference + 1e-9, share));
        assert_true(fabs(found - best) < 1e-6);
        assert_true(merit_at(&c, bias, share) > best - 0.02);
        contest_free(&c);
    }
}

static void test_contest_of_one_kind(void **state)
{
    (void)state;
    contest c = {0};
    error e = {""};
    double bias = 5;
    contest_best(&c, &bias);
    assert_true(bias == 0);
    bias = 5;
    assert_int_equal(contest_add(&c, (contestant){.difference = 1, .novel = true, .right = true}, &e), 0);
    contest_best(&c, &bias);
    assert_true(bias == 0);
    contest_free(&c);
}

/* ---- projection and proxies ---------------------------------------------------------------------------- */

static void test_projection_is_normal(void **state)
{
    (void)state;
    projection a, b;
    error e = {""};
    double sum = 0, square = 0, fourth = 0;
    assert_int_equal(projection_new(3, 300, 100, &a, &e), 0);
    assert_int_equal(projection_new(3, 200, 100, &b, &e), 0);
    assert_memory_equal(a.weight, b.weight, 200 * 100 * sizeof *a.weight);
    for (size_t i = 0; i < 30000; i++) {
        double x = a.weight[i];
        sum += x;
        square += x * x;
        fourth += x * x * x * x;
    }
    assert_true(fabs(sum / 30000) < 0.03);
    assert_true(fabs(square / 30000 - 1) < 0.05);
    assert_true(fabs(fourth / 30000 - 3) < 0.4);
    projection_free(&a);
    projection_free(&b);
}

static backend *open_reference(void)
{
    backend *b;
    error e = {""};
    backend_options o = {.device = "reference"};
    assert_int_equal(backend_open(&o, &b, NULL, &e), 0);
    return b;
}

static void test_proxies_find_groups(void **state)
{
    (void)state;
    enum { GROUPS = 3, ROWS = 60 };
    backend *b = open_reference();
    source s = source_named("proxies");
    error e = {""};
    float rows[ROWS * DIMENSION] = {0}, proxies[GROUPS * DIMENSION], again[GROUPS * DIMENSION];
    for (size_t i = 0; i < ROWS; i++) {
        rows[i * DIMENSION + i % GROUPS] = 1;
        for (size_t d = 0; d < DIMENSION; d++)
            rows[i * DIMENSION + d] += 0.05f * source_normal(&s);
    }
    assert_int_equal(b->normalise(b, rows, ROWS, DIMENSION, &e), 0);
    assert_int_equal(proxies_of_rows(b, rows, ROWS, DIMENSION, GROUPS, 1, proxies, &e), 0);
    assert_int_equal(proxies_of_rows(b, rows, ROWS, DIMENSION, GROUPS, 1, again, &e), 0);
    assert_memory_equal(proxies, again, sizeof proxies);
    for (size_t g = 0; g < GROUPS; g++) {
        float best = 0;
        for (size_t k = 0; k < GROUPS; k++)
            best = fmaxf(best, proxies[k * DIMENSION + g]);
        assert_true(best > 0.99f);
    }
    b->close(b);
}

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
    *t = (setting){.b = open_reference()};
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
    assert_int_equal(imprinting_add(work, &classes, t->rows + 180 * DIMENSION, t->labels + 180, shots, &e), 0);
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
    assert_int_equal(ridge_make(t.b, &t.m, 0, true, &r, &e), -1);
    assert_non_null(strstr(e.text, "class b"));
    count[1] = held;
    tensor *gram = model_find(&t.m, "statistics/gram"), *added = model_find(&t.m, "imprint/feature-gram");
    memset(gram->data, 0, tensor_bytes(gram));
    memset(added->data, 0, tensor_bytes(added));
    assert_int_equal(ridge_make(t.b, &t.m, 0, true, &r, &e), -1);
    assert_non_null(strstr(e.text, "all equal"));
    rehearsal_free(&r);
    end(&t);
}

/* ---- scale --------------------------------------------------------------------------------------------- */

static void test_scale_is_the_best(void **state)
{
    (void)state;
    enum { ROWS = 200 };
    source s = source_named("scale");
    size_t class_of[ROWS];
    double shots[3] = {0};
    bool is_base[3] = {true, true, true};
    float scores[ROWS * 3];
    rehearsal r = {.classes = 3, .base_rows = ROWS, .rows = ROWS, .class_of = class_of, .shots = shots,
                   .is_base = is_base, .base_classes = 3};
    for (size_t i = 0; i < ROWS; i++) {
        class_of[i] = i % 3;
        for (size_t c = 0; c < 3; c++)
            scores[i * 3 + c] = 40 * (source_normal(&s) + (c == i % 3));
    }
    double found = scale_fit(&r, scores), best = 0, least = INFINITY;
    for (double f = 0.001; f < 0.2; f *= 1.002) {
        double loss = 0;
        for (size_t i = 0; i < ROWS; i++) {
            double sum = 0;
            for (size_t c = 0; c < 3; c++)
                sum += exp(f * ((double)scores[i * 3 + c] - scores[i * 3 + class_of[i]]));
            loss += log(sum);
        }
        if (loss < least) {
            least = loss;
            best = f;
        }
    }
    assert_true(fabs(found / best - 1) < 0.01);
}

int main(void)
{
    fixture_seed = (uint64_t)time(NULL);
    print_message("seed %llu\n", (unsigned long long)fixture_seed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sample_of_parts),
        cmocka_unit_test(test_sample_is_a_fair_draw),
        cmocka_unit_test(test_contest_finds_the_best_bias),
        cmocka_unit_test(test_contest_of_one_kind),
        cmocka_unit_test(test_projection_is_normal),
        cmocka_unit_test(test_proxies_find_groups),
        cmocka_unit_test(test_ridge_as_the_formula_reads),
        cmocka_unit_test(test_ridge_refuses),
        cmocka_unit_test(test_scale_is_the_best),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
