/* episodes.c: plays, the best bias and the best scale against trying them all. */
#include "fixture.h"

#include "../../common/model/model.h"
#include "../../src/imprinting/calibration.h"
#include "../../src/imprinting/episodes.h"
#include "../../src/imprinting/temperature.h"

/* ---- calibration ---- */

static const balance harmonic = {BALANCE_HARMONIC, 0};
static const size_t two[2] = {8, 2};

/* Whether a bias makes a row right. */
static bool wins(const contestant *r, double bias)
{
    return r->right && (r->novel ? bias > r->difference : bias < r->difference);
}

/* The share of a play's right base rows that a row's becoming right costs. */
static double cost_of(const contest *c, const contestant *row)
{
    double right = 0, below = 0;
    for (size_t i = 0; i < c->count; i++) {
        const contestant *other = &c->rows[i];
        bool counts = other->play == row->play && !other->novel && other->right;
        right += counts;
        below += counts && other->difference <= row->difference;
    }
    return right > 0 ? below / right : INFINITY;
}

/* The merit as the header has it, at a share of the right base rows lost. */
static double merit_of_share(const contest *c, double share)
{
    double base = 0, base_rows = 0, right = 0, rows = 0, played = 0, play_rows = 0;
    for (size_t i = 0; i < c->count; i++) {
        const contestant *row = &c->rows[i];
        if (!row->novel) {
            base_rows += row->play == 0;
            base += row->play == 0 && row->right;
            continue;
        }
        double cost = cost_of(c, row);
        *(row->play ? &play_rows : &rows) += isfinite(cost);
        *(row->play ? &played : &right) += row->right && cost <= share + 1e-9;
    }
    base /= base_rows;
    double expected = CONTEST_RIGHT * fmin(1, share / fmin(1, CONTEST_SPREAD * (1 - base) + 1e-9));
    double weight = play_rows > 0 ? CONTEST_PLAYED : 0;
    double novel =
        (CONTEST_PRIOR * expected + right + (play_rows > 0 ? weight * played / play_rows : 0)) /
        (CONTEST_PRIOR + weight + rows);
    base *= 1 - share;
    return base > 0 && novel > 0 ? 2 * base * novel / (base + novel) : 0;
}

/* The share of the real, right base rows that a bias loses. */
static double share_of(const contest *c, double bias)
{
    double lost = 0, right = 0;
    for (size_t i = 0; i < c->count; i++) {
        const contestant *row = &c->rows[i];
        bool counts = row->play == 0 && !row->novel && row->right;
        right += counts;
        lost += counts && !wins(row, bias);
    }
    return lost / right;
}

/* Over all that a bias can come to: under and on each real row. */
static double best_merit(const contest *c)
{
    double best = 0;
    for (size_t i = 0; i < c->count; i++) {
        double bias = c->rows[i].difference;
        if (c->rows[i].play == 0) {
            best = fmax(best, merit_of_share(c, share_of(c, bias)));
            best = fmax(best, merit_of_share(c, share_of(c, nextafter(bias, -INFINITY))));
        }
    }
    return best;
}

/* Base rows, novel ones, and plays of both, of which some are wrong within their kind. Differences
 * are multiples of `grain`, where it is not 0. */
static contest drawn_contest(draws *s, size_t rows, double apart, double grain)
{
    contest c = {0};
    error e = {""};
    for (size_t i = 0; i < rows; i++) {
        contestant r = {
            .novel = i % 2, .play = draw_below(s, 4), .right = i < 8 || draw_below(s, 6)};
        r.difference = 2 * draw_normal(s) + (r.novel ? apart : apart + 2) + 30 * (double)r.play;
        r.difference = grain > 0 ? grain * round(r.difference / grain) : r.difference;
        r.play = i < 8 ? i / 2 % 2 : r.play;
        assert_int_equal(contest_add(&c, r, &e), 0);
    }
    return c;
}

static void test_contest_finds_the_best_bias(void **state)
{
    (void)state;
    draws s = draw_named("contest");
    error e = {""};
    for (int turn = 0; turn < 400; turn++) { /* half of them with many equal differences */
        double grain = turn % 2 ? 0.5 * (1 + draw_below(&s, 6)) : 0;
        contest c = drawn_contest(&s, 30 + draw_below(&s, 300), draw_uniform(&s, -6, 6), grain);
        outcome found;
        double best = best_merit(&c);
        assert_int_equal(contest_judge(&c, harmonic, two, &found, &e), 0);
        assert_true(fabs(found.merit - best) < 1e-9);
        assert_true(merit_of_share(&c, share_of(&c, found.bias)) > best - 0.0201);
        contest_free(&c);
    }
}

/* Of plays only the order of their own rows counts, not how high a play's scores are. */
static void test_plays_are_compared_by_shares(void **state)
{
    (void)state;
    draws s = draw_named("shares");
    error e = {""};
    for (int turn = 0; turn < 50; turn++) {
        contest c = drawn_contest(&s, 200, 1, 0), other = {0};
        outcome found, moved;
        for (size_t i = 0; i < c.count; i++) {
            contestant r = c.rows[i];
            r.difference = r.play ? 3 * r.difference - 50 : r.difference;
            assert_int_equal(contest_add(&other, r, &e), 0);
        }
        assert_int_equal(contest_judge(&c, harmonic, two, &found, &e), 0);
        assert_int_equal(contest_judge(&other, harmonic, two, &moved, &e), 0);
        assert_true(found.bias == moved.bias && found.merit == moved.merit &&
                    found.plays == moved.plays);
        contest_free(&c);
        contest_free(&other);
    }
}

/* Many real rows outweigh what plays and expectation say: the bias is that of the real rows alone.
 * */
static void test_many_rows_decide(void **state)
{
    (void)state;
    draws s = draw_named("many");
    error e = {""};
    contest c = {0};
    outcome found;
    for (size_t i = 0; i < 4000; i++) {
        contestant r = {.novel = i % 2, .right = true};
        r.difference = draw_normal(&s) + (r.novel ? 3 : 5);
        assert_int_equal(contest_add(&c, r, &e), 0);
    }
    for (size_t i = 0; i < 400; i++)
        assert_int_equal(
            contest_add(
                &c, (contestant){.novel = i % 2, .play = 1, .right = true, .difference = (double)i},
                &e),
            0);
    assert_int_equal(contest_judge(&c, harmonic, two, &found, &e), 0);
    assert_true(fabs(found.bias - 4) < 0.2);
    contest_free(&c);
}

/* Real rows as numerous as in test_many_rows_decide, with base rows one higher: the accuracy over
 * all classes has its best bias where the densities meet, weighed by classes; and a loss that is
 * allowed is used as far as it serves. */
static void test_balances(void **state)
{
    (void)state;
    draws s = draw_named("balances");
    error e = {""};
    contest c = {0};
    outcome found;
    balance how;
    for (size_t i = 0; i < 8000; i++) {
        contestant r = {.novel = i % 2, .right = true};
        r.difference = draw_normal(&s) + (r.novel ? 3 : 5);
        assert_int_equal(contest_add(&c, r, &e), 0);
    }
    assert_int_equal(balance_parse("all", &how), 0);
    assert_int_equal(contest_judge(&c, how, two, &found, &e), 0);
    assert_true(fabs(found.bias - (4 - log(4) / 2)) < 0.5); /* eight base classes, two novel ones */
    assert_true(fabs(found.base - 0.5 * erfc(-(5 - found.bias) / sqrt(2))) < 0.05);
    assert_true(fabs(found.novel - 0.5 * erfc(-(found.bias - 3) / sqrt(2))) < 0.05);
    assert_int_equal(balance_parse("base:0.05", &how), 0);
    assert_int_equal(contest_judge(&c, how, two, &found, &e), 0);
    assert_true(found.base > 0.945 && found.base < 0.955);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(
            balance_parse((const char *[]){"", "base", "base:", "base:2", "base:x", "most"}[i],
                          &how),
            -1);
    contest_free(&c);
}

static void test_contest_of_one_kind(void **state)
{
    (void)state;
    contest c = {0};
    error e = {""};
    outcome found = {.bias = 5};
    assert_int_equal(contest_judge(&c, harmonic, two, &found, &e), 0);
    assert_true(found.bias == 0 && found.plays == -1);
    found.bias = 5;
    assert_int_equal(
        contest_add(&c, (contestant){.difference = 1, .novel = true, .right = true}, &e), 0);
    assert_int_equal(contest_judge(&c, harmonic, two, &found, &e), 0);
    assert_true(found.bias == 0 && found.plays == -1);
    contest_free(&c);
}

/* ---- plays ---- */

enum { DIMENSION = 3, ROOM = 10, CLASSES = 4 };

/* Base classes a, b, c of 10, 7 and 1 rows in their samples, and a novel one of `shots`. */
static model sampled_model(size_t shots)
{
    static const size_t rows[CLASSES] = {10, 7, 1, 0};
    model m;
    error e = {""};
    class_list classes = {0};
    tensor *base, *added, *count, *sum;
    draws s = draw_named("sampled");
    for (size_t c = 0; c < CLASSES; c++)
        assert_int_equal(class_list_add(&classes, (const char *[]){"a", "b", "c", "d"}[c]), (int)c);
    assert_int_equal(
        model_new(NULL, (extent){0}, DIMENSION, HEAD_COSINE, &classes, CLASS_BASE, &m, &e), 0);
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
            ((float *)base->data)[c * ROOM * DIMENSION + i] = draw_normal(&s);
    for (size_t i = 0; i < (shots < ROOM ? shots : ROOM) * DIMENSION; i++)
        ((float *)added->data)[(CLASSES - 1) * ROOM * DIMENSION + i] = draw_normal(&s);
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
            assert_true(p->class_index < 2 && p->shots == (double)shots &&
                        r.episodes[k].count == 1);
            assert_true(p->first >= begin && p->first + p->taken <= begin + count);
            assert_int_equal(p->taken, shots < count / 2 ? shots : count / 2);
            assert_int_equal(rehearsal_play_mean(&r, p, r.embeddings, DIMENSION, mean, &e), 0);
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

/* Every row is judged by scores that it had no part in, and the class that is played is out of the
 * base. */
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
        assert_true(c.rows[at].difference == 0.5 && c.rows[at].play == 0);
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
            assert_true(row->play == k + 1 && row->difference == (best ? 3 : 2) - 0.25);
            assert_int_equal(row->novel, of == p->class_index);
            assert_int_equal(row->right, of == p->class_index || of == best);
        }
    }
    assert_int_equal(at, c.count);
    contest_free(&c);
    rehearsal_free(&r);
    model_free(&m);
}

/* With several novel classes several base classes are played at a time, a third of them at most:
 * all are out of the base, and a row is its class's only where it scores above the others. */
static void test_plays_together(void **state)
{
    (void)state;
    enum { BASE = 7, ROWS = 6, ALL = BASE + 3 };
    model m;
    rehearsal r;
    contest c = {0};
    error e = {""};
    class_list classes = {0};
    tensor *t;
    draws s = draw_named("together");
    for (size_t k = 0; k < ALL; k++)
        assert_int_equal(class_list_add(&classes, (char[]){(char)('a' + k), 0}), (int)k);
    assert_int_equal(
        model_new(NULL, (extent){0}, DIMENSION, HEAD_COSINE, &classes, CLASS_BASE, &m, &e), 0);
    class_list_free(&classes);
    size_t shape[3] = {ALL, ROWS, DIMENSION};
    assert_int_equal(model_put(&m, "statistics/sample", TYPE_F32, 3, shape, &t, &e), 0);
    for (size_t i = 0; i < BASE * ROWS * DIMENSION; i++)
        ((float *)t->data)[i] = draw_normal(&s);
    assert_int_equal(model_put(&m, "imprint/sum", TYPE_F64, 2, (size_t[]){ALL, DIMENSION}, &t, &e),
                     0);
    assert_int_equal(model_put(&m, "imprint/count", TYPE_F64, 1, shape, &t, &e), 0);
    for (size_t k = BASE; k < ALL; k++) {
        m.kinds[k] = CLASS_NOVEL;
        ((double *)t->data)[k] = 2;
    }
    assert_int_equal(rehearsal_new(&m, &r, &e), 0);
    assert_true(r.trained && r.base_rows == BASE * ROWS && r.episode_count > 3);
    static float scores[BASE * ROWS * ALL], played[24 * BASE * ROWS];
    for (size_t i = 0; i < r.rows; i++)
        for (size_t k = 0; k < ALL; k++)
            scores[i * ALL + k] = (float)k;
    for (size_t k = 0; k < r.play_count; k++)
        for (size_t i = 0; i < r.base_rows; i++)
            played[k * r.base_rows + i] = 0.5f * (float)r.plays[k].class_index;
    assert_int_equal(rehearsal_contest(&r, scores, played, &c, &e), 0);
    for (size_t i = 0; i < c.count; i++) {
        if (c.rows[i].play == 0)
            continue;
        const episode *x = &r.episodes[c.rows[i].play - 1];
        assert_int_equal(x->count, 2); /* of three novel classes: a third of seven */
        size_t one = r.plays[x->first].class_index, other = r.plays[x->first + 1].class_index;
        size_t best = BASE - 1, high = one > other ? one : other;
        while (best == one || best == other)
            best--;
        assert_true(one != other && c.rows[i].difference == (double)best - 0.5 * (double)high);
        if (c.rows[i].novel)
            assert_true(!c.rows[i].right || high == one || high == other);
    }
    /* Of every episode's novel rows, those of the class that scores higher are right. */
    for (size_t k = 0; k < r.episode_count; k++) {
        size_t right = 0, novel = 0;
        for (size_t i = 0; i < c.count; i++) {
            right += c.rows[i].play == k + 1 && c.rows[i].novel && c.rows[i].right;
            novel += c.rows[i].play == k + 1 && c.rows[i].novel;
        }
        assert_int_equal(novel, 2 * (ROWS - 2));
        assert_int_equal(right, ROWS - 2);
    }
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
            assert_true(!c.rows[i].novel || c.rows[i].play > 0);
        contest_free(&c);
        rehearsal_free(&r);
        model_free(&m);
    }
}

/* ---- scale ---- */

static void test_scale_is_the_best(void **state)
{
    (void)state;
    enum { ROWS = 200 };
    draws s = draw_named("scale");
    size_t class_of[ROWS];
    double shots[3] = {0};
    bool is_base[3] = {true, true, true};
    float scores[ROWS * 3];
    rehearsal r = {.classes = 3,
                   .base_rows = ROWS,
                   .rows = ROWS,
                   .class_of = class_of,
                   .shots = shots,
                   .is_base = is_base,
                   .base_classes = 3};
    for (size_t i = 0; i < ROWS; i++) {
        class_of[i] = i % 3;
        for (size_t c = 0; c < 3; c++)
            scores[i * 3 + c] = 40 * (draw_normal(&s) + (c == i % 3));
    }
    double found = scale_fit(&r, scores, NULL), best = 0, least = INFINITY;
    for (double f = 0.001; f < 0.2; f *= 1.002) {
        double loss = 0;
        for (size_t i = 0; i < ROWS; i++) {
            double sum = 0;
            for (size_t c = 0; c < 3; c++)
                sum += exp(f * ((double)scores[i * 3 + c] - scores[i * 3 + class_of[i]]));
            /* None quite sure: the other two classes share 1 / (rows + 2). */
            double others = 0;
            for (size_t c = 0; c < 3; c++)
                others += f * ((double)scores[i * 3 + c] - scores[i * 3 + class_of[i]]) / 2;
            loss += log(sum) - others / (ROWS + 2);
        }
        if (loss < least) {
            least = loss;
            best = f;
        }
    }
    assert_true(fabs(found / best - 1) < 0.01);
    /* Rows that are all right have a bound: own class 1 above two others, (1 - 1 / 202) meant for
     * it. */
    for (size_t i = 0; i < ROWS; i++)
        for (size_t c = 0; c < 3; c++)
            scores[i * 3 + c] = c == class_of[i];
    assert_true(fabs(scale_fit(&r, scores, NULL) / log(2 * 201) - 1) < 1e-6);
}

int main(void)
{
    fixture_begin();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_contest_finds_the_best_bias),
        cmocka_unit_test(test_plays_are_compared_by_shares),
        cmocka_unit_test(test_many_rows_decide),
        cmocka_unit_test(test_balances),
        cmocka_unit_test(test_contest_of_one_kind),
        cmocka_unit_test(test_plays),
        cmocka_unit_test(test_rows_of_a_contest),
        cmocka_unit_test(test_plays_together),
        cmocka_unit_test(test_single_rows_and_trained_classes),
        cmocka_unit_test(test_scale_is_the_best),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
