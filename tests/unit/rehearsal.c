/* rehearsal.c: plays, the best bias and the best scale against trying them all. */
#include "fixture.h"

#include "../../common/model.h"
#include "../../src/method/contest.h"
#include "../../src/method/rehearsal.h"
#include "../../src/method/scale.h"

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

/* The best of all biases, between each two neighbouring differences. */
static double best_merit(const contest *c, double share)
{
    double best = 0;
    for (size_t i = 0; i < c->count; i++) {
        double low = c->rows[i].difference, high = INFINITY;
        for (size_t k = 0; k < c->count; k++)
            if (c->rows[k].difference > low && c->rows[k].difference < high)
                high = c->rows[k].difference;
        best = fmax(best, merit_at(c, isfinite(high) ? (low + high) / 2 : low + 1, share));
    }
    return best;
}

/* Differences of a few values, equal ones among them, and far apart: valleys between heights. */
static void test_contest_of_few_values(void **state)
{
    (void)state;
    source s = source_named("values");
    error e = {""};
    for (int turn = 0; turn < 2000; turn++) {
        contest c = {0};
        size_t values = 2 + source_below(&s, 8), rows = 8 + source_below(&s, 60);
        double bias, novel_rows = 0, value[10];
        for (size_t i = 0; i < values; i++)
            value[i] = source_uniform(&s, -10, 10);
        for (size_t i = 0; i < rows; i++) {
            /* Some of every kind. */
            contestant r = {.novel = i % 2, .played = i / 2 % 2, .right = i < 8 || source_below(&s, 6),
                            .difference = value[source_below(&s, values)]};
            novel_rows += r.novel && !r.played;
            assert_int_equal(contest_add(&c, r, &e), 0);
        }
        double share = novel_rows / (novel_rows + CONTEST_PLAYED), best = best_merit(&c, share);
        double found = contest_best(&c, &bias);
        assert_true(fabs(found - best) < 1e-9);
        assert_true(merit_at(&c, bias, share) > best - 0.0201);
        contest_free(&c);
    }
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

/* ---- plays --------------------------------------------------------------------------------------------- */

enum { DIMENSION = 3, ROOM = 10, CLASSES = 4 };

/* Base classes a, b, c of 10, 7 and 1 rows in their samples, and a novel one of `shots`. */
static model sampled_model(size_t shots)
{
    static const size_t rows[CLASSES] = {10, 7, 1, 0};
    model m;
    error e = {""};
    class_list classes = {0};
    tensor *base, *added, *count, *sum;
    source s = source_named("sampled");
    for (size_t c = 0; c < CLASSES; c++)
        assert_int_equal(class_list_add(&classes, (const char *[]){"a", "b", "c", "d"}[c]), (int)c);
    assert_int_equal(model_new(NULL, (extent){0}, DIMENSION, HEAD_COSINE, &classes, CLASS_BASE, &m, &e), 0);
    m.kinds[CLASSES - 1] = CLASS_NOVEL;
    class_list_free(&classes);
    size_t shape[3] = {CLASSES, ROOM, DIMENSION}, sums[2] = {CLASSES, DIMENSION};
    assert_int_equal(model_put(&m, "statistics/sample", TYPE_F32, 3, shape, &base, &e), 0);
    assert_int_equal(model_put(&m, "imprint/sample", TYPE_F32, 3, shape, &added, &e), 0);
    assert_int_equal(model_put(&m, "imprint/sum", TYPE_F64, 2, sums, &sum, &e), 0);
    assert_int_equal(model_put(&m, "imprint/count", TYPE_F64, 1, shape, &count, &e), 0);
    base = model_find(&m, "statistics/sample");
    added = model_find(&m, "imprint/sample");
    for (size_t c = 0; c < CLASSES; c++)
        for (size_t i = 0; i < rows[c] * DIMENSION; i++)
            ((float *)base->data)[c * ROOM * DIMENSION + i] = source_normal(&s);
    for (size_t i = 0; i < (shots < ROOM ? shots : ROOM) * DIMENSION; i++)
        ((float *)added->data)[(CLASSES - 1) * ROOM * DIMENSION + i] = source_normal(&s);
    ((double *)model_find(&m, "imprint/count")->data)[CLASSES - 1] = (double)shots;
    return m;
}

static void test_plays(void **state)
{
    (void)state;
    for (size_t shots = 1; shots <= 40; shots += shots < 6 ? 1 : 17) {
        model m = sampled_model(shots);
        rehearsal r;
        error e = {""};
        assert_int_equal(rehearsal_new(&m, &r, &e), 0);
        assert_int_equal(r.base_rows, 18);
        assert_int_equal(r.rows, 18 + (shots < ROOM ? shots : ROOM));
        assert_int_equal(r.play_count, 6); /* a and b, three draws each; nothing is left of c */
        for (size_t k = 0; k < r.play_count; k++) {
            const play *p = &r.plays[k];
            size_t begin = p->class_index ? 10 : 0, count = p->class_index ? 7 : 10;
            double mean[DIMENSION];
            assert_true(p->class_index < 2 && p->shots == (double)shots);
            assert_true(p->first >= begin && p->first + p->taken <= begin + count);
            assert_int_equal(p->taken, shots < count / 2 ? shots : count / 2);
            rehearsal_play_mean(&r, p, r.embeddings, DIMENSION, mean);
            for (size_t d = 0; d < DIMENSION; d++) {
                double part = 0, whole = 0;
                for (size_t i = begin; i < begin + count; i++) {
                    double x = r.embeddings[i * DIMENSION + d];
                    whole += x / (double)count;
                    part += i >= p->first && i < p->first + p->taken ? x / (double)p->taken : 0;
                }
                double want = whole + sqrt((double)p->taken / (double)shots) * (part - whole);
                assert_true(fabs(mean[d] - want) < 1e-6);
            }
        }
        rehearsal_free(&r);
        model_free(&m);
    }
}

/* Every row is judged by scores that it had no part in, and the class that is played is out of the base. */
static void test_rows_of_a_contest(void **state)
{
    (void)state;
    model m = sampled_model(4);
    rehearsal r;
    contest c = {0};
    error e = {""};
    float scores[30 * CLASSES], played[6 * 18];
    assert_int_equal(rehearsal_new(&m, &r, &e), 0);
    for (size_t i = 0; i < r.rows; i++) /* b always wins among base classes, then a, then c */
        memcpy(scores + i * CLASSES, (float[CLASSES]){2, 3, 1, 2.5f}, CLASSES * sizeof *scores);
    for (size_t i = 0; i < 6 * 18; i++)
        played[i] = 0.25f;
    assert_int_equal(rehearsal_contest(&r, scores, played, &c, &e), 0);
    size_t at = 0;
    for (size_t i = 0; i < r.rows; i++, at++) {
        assert_true(c.rows[at].difference == 0.5 && !c.rows[at].played);
        assert_int_equal(c.rows[at].novel, i >= 18);
        assert_int_equal(c.rows[at].right, i >= 18 || (i >= 10 && i < 17));
    }
    for (size_t k = 0; k < r.play_count; k++) {
        const play *p = &r.plays[k];
        for (size_t i = 0; i < 18; i++) {
            if (i >= p->first && i < p->first + p->taken)
                continue;
            const contestant *row = &c.rows[at++];
            size_t of = i < 10 ? 0 : i < 17 ? 1 : 2, best = p->class_index == 1 ? 0 : 1;
            assert_true(row->played && row->difference == (best ? 3 : 2) - 0.25);
            assert_int_equal(row->novel, of == p->class_index);
            assert_int_equal(row->right, of == p->class_index || of == best);
        }
    }
    assert_int_equal(at, c.count);
    contest_free(&c);
    rehearsal_free(&r);
    model_free(&m);
}

/* One row leaves nothing to score it by; a novel class without sums counts as a base class. */
static void test_single_rows_and_trained_classes(void **state)
{
    (void)state;
    for (size_t shots = 0; shots <= 1; shots++) {
        model m = sampled_model(shots);
        rehearsal r;
        contest c = {0};
        error e = {""};
        float scores[30 * CLASSES] = {0}, played[6 * 18] = {0};
        assert_int_equal(rehearsal_new(&m, &r, &e), 0);
        assert_int_equal(r.is_base[CLASSES - 1], shots == 0);
        assert_int_equal(r.play_count, shots == 0 ? 0 : 6);
        assert_int_equal(rehearsal_contest(&r, scores, played, &c, &e), 0);
        for (size_t i = 0; i < c.count; i++)
            assert_true(!c.rows[i].novel || c.rows[i].played);
        contest_free(&c);
        rehearsal_free(&r);
        model_free(&m);
    }
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
    fixture_begin();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_contest_finds_the_best_bias),
        cmocka_unit_test(test_contest_of_few_values),
        cmocka_unit_test(test_contest_of_one_kind),
        cmocka_unit_test(test_plays),
        cmocka_unit_test(test_rows_of_a_contest),
        cmocka_unit_test(test_single_rows_and_trained_classes),
        cmocka_unit_test(test_scale_is_the_best),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
