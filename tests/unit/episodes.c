/* episodes.c: episodes, the best bias and the best temperature against trying them all. */
#include "fixture.h"

#include "../../common/model/model.h"
#include "../../src/imprinting/calibration.h"
#include "../../src/imprinting/episodes.h"
#include "../../src/imprinting/temperature.h"

/* ---- calibration ---- */

static const balance harmonic = {BALANCE_HARMONIC, 0};
static const size_t two[2] = {8, 2};

/* Whether a bias makes a row right. */
static bool wins(const calibration_row *set, double bias)
{
    return set->right && (set->novel ? bias > set->margin : bias < set->margin);
}

/* The share of an episode's right base rows that a row's becoming right costs. */
static double cost_of(const calibration *c, const calibration_row *row)
{
    double right = 0, below = 0;
    for (size_t i = 0; i < c->count; i++) {
        const calibration_row *other = &c->rows[i];
        bool counts = other->episode == row->episode && !other->novel && other->right;
        right += counts;
        below += counts && other->margin <= row->margin;
    }
    return right > 0 ? below / right : INFINITY;
}

/* The figure as the header has it, at a share of the right base rows lost. */
static double figure_of_share(const calibration *c, double share)
{
    double base = 0, base_rows = 0, right = 0, rows = 0, by_episodes = 0, episode_rows = 0;
    for (size_t i = 0; i < c->count; i++) {
        const calibration_row *row = &c->rows[i];
        if (!row->novel) {
            base_rows += row->episode == 0;
            base += row->episode == 0 && row->right;
            continue;
        }
        double cost = cost_of(c, row);
        *(row->episode ? &episode_rows : &rows) += isfinite(cost);
        *(row->episode ? &by_episodes : &right) += row->right && cost <= share + 1e-9;
    }
    base /= base_rows;
    double expected = CALIBRATION_PRIOR_RIGHT *
                      fmin(1, share / fmin(1, CALIBRATION_PRIOR_SPREAD * (1 - base) + 1e-9));
    double weight = episode_rows > 0 ? CALIBRATION_EPISODE_ROWS : 0;
    double novel = (CALIBRATION_PRIOR_ROWS * expected + right +
                    (episode_rows > 0 ? weight * by_episodes / episode_rows : 0)) /
                   (CALIBRATION_PRIOR_ROWS + weight + rows);
    base *= 1 - share;
    return base > 0 && novel > 0 ? 2 * base * novel / (base + novel) : 0;
}

/* The share of the real, right base rows that a bias loses. */
static double share_of(const calibration *c, double bias)
{
    double lost = 0, right = 0;
    for (size_t i = 0; i < c->count; i++) {
        const calibration_row *row = &c->rows[i];
        bool counts = row->episode == 0 && !row->novel && row->right;
        right += counts;
        lost += counts && !wins(row, bias);
    }
    return lost / right;
}

/* Over all that a bias can come to: under and on each real row. */
static double best_figure(const calibration *c)
{
    double best = 0;
    for (size_t i = 0; i < c->count; i++) {
        double bias = c->rows[i].margin;
        if (c->rows[i].episode == 0) {
            best = fmax(best, figure_of_share(c, share_of(c, bias)));
            best = fmax(best, figure_of_share(c, share_of(c, nextafter(bias, -INFINITY))));
        }
    }
    return best;
}

/* Base rows, novel ones, and episodes of both, of which some are wrong within their kind. Margins
 * are multiples of `grain`, where it is not 0. */
static calibration drawn_calibration(draws *s, size_t rows, double apart, double grain)
{
    calibration c = {0};
    error e = {""};
    for (size_t i = 0; i < rows; i++) {
        calibration_row r = {
            .novel = i % 2, .episode = draw_below(s, 4), .right = i < 8 || draw_below(s, 6)};
        r.margin = 2 * draw_normal(s) + (r.novel ? apart : apart + 2) + 30 * (double)r.episode;
        r.margin = grain > 0 ? grain * round(r.margin / grain) : r.margin;
        r.episode = i < 8 ? i / 2 % 2 : r.episode;
        assert_int_equal(calibration_add(&c, r, &e), 0);
    }
    return c;
}

static void test_calibration_finds_the_best_bias(void **state)
{
    (void)state;
    draws s = draw_named("calibration");
    error e = {""};
    for (int turn = 0; turn < 400; turn++) { /* half of them with many equal differences */
        double grain = turn % 2 ? 0.5 * (1 + draw_below(&s, 6)) : 0;
        calibration c =
            drawn_calibration(&s, 30 + draw_below(&s, 300), draw_uniform(&s, -6, 6), grain);
        calibration_result found;
        double best = best_figure(&c);
        assert_int_equal(calibration_choose_bias(&c, harmonic, two, &found, &e), 0);
        assert_true(fabs(found.best - best) < 1e-9);
        assert_true(figure_of_share(&c, share_of(&c, found.bias)) > best - 0.0201);
        calibration_free(&c);
    }
}

/* Of an episode only the order of its own rows counts, not how high its scores are. */
static void test_episodes_are_compared_by_shares(void **state)
{
    (void)state;
    draws s = draw_named("shares");
    error e = {""};
    for (int turn = 0; turn < 50; turn++) {
        calibration c = drawn_calibration(&s, 200, 1, 0), other = {0};
        calibration_result found, moved;
        for (size_t i = 0; i < c.count; i++) {
            calibration_row r = c.rows[i];
            r.margin = r.episode ? 3 * r.margin - 50 : r.margin;
            assert_int_equal(calibration_add(&other, r, &e), 0);
        }
        assert_int_equal(calibration_choose_bias(&c, harmonic, two, &found, &e), 0);
        assert_int_equal(calibration_choose_bias(&other, harmonic, two, &moved, &e), 0);
        assert_true(found.bias == moved.bias && found.best == moved.best &&
                    found.episodes == moved.episodes);
        calibration_free(&c);
        calibration_free(&other);
    }
}

/* Many real rows outweigh what episodes and the prior say: the bias is that of the real rows alone.
 * */
static void test_many_rows_decide(void **state)
{
    (void)state;
    draws s = draw_named("many");
    error e = {""};
    calibration c = {0};
    calibration_result found;
    for (size_t i = 0; i < 4000; i++) {
        calibration_row r = {.novel = i % 2, .right = true};
        r.margin = draw_normal(&s) + (r.novel ? 3 : 5);
        assert_int_equal(calibration_add(&c, r, &e), 0);
    }
    for (size_t i = 0; i < 400; i++)
        assert_int_equal(
            calibration_add(
                &c,
                (calibration_row){.novel = i % 2, .episode = 1, .right = true, .margin = (double)i},
                &e),
            0);
    assert_int_equal(calibration_choose_bias(&c, harmonic, two, &found, &e), 0);
    assert_true(fabs(found.bias - 4) < 0.2);
    calibration_free(&c);
}

/* Real rows as numerous as in test_many_rows_decide, with base rows one higher: the accuracy over
 * all classes has its best bias where the densities meet, weighed by classes; and a loss that is
 * allowed is used as far as it serves. */
static void test_balances(void **state)
{
    (void)state;
    draws s = draw_named("balances");
    error e = {""};
    calibration c = {0};
    calibration_result found;
    balance how;
    for (size_t i = 0; i < 8000; i++) {
        calibration_row r = {.novel = i % 2, .right = true};
        r.margin = draw_normal(&s) + (r.novel ? 3 : 5);
        assert_int_equal(calibration_add(&c, r, &e), 0);
    }
    assert_int_equal(balance_parse("all", &how), 0);
    assert_int_equal(calibration_choose_bias(&c, how, two, &found, &e), 0);
    assert_true(fabs(found.bias - (4 - log(4) / 2)) < 0.5); /* eight base classes, two novel ones */
    assert_true(fabs(found.base - 0.5 * erfc(-(5 - found.bias) / sqrt(2))) < 0.05);
    assert_true(fabs(found.novel - 0.5 * erfc(-(found.bias - 3) / sqrt(2))) < 0.05);
    assert_int_equal(balance_parse("base:0.05", &how), 0);
    assert_int_equal(calibration_choose_bias(&c, how, two, &found, &e), 0);
    assert_true(found.base > 0.945 && found.base < 0.955);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(
            balance_parse((const char *[]){"", "base", "base:", "base:2", "base:x", "most"}[i],
                          &how),
            -1);
    calibration_free(&c);
}

static void test_calibration_of_one_kind(void **state)
{
    (void)state;
    calibration c = {0};
    error e = {""};
    calibration_result found = {.bias = 5};
    assert_int_equal(calibration_choose_bias(&c, harmonic, two, &found, &e), 0);
    assert_true(found.bias == 0 && found.episodes == -1);
    found.bias = 5;
    assert_int_equal(
        calibration_add(&c, (calibration_row){.margin = 1, .novel = true, .right = true}, &e), 0);
    assert_int_equal(calibration_choose_bias(&c, harmonic, two, &found, &e), 0);
    assert_true(found.bias == 0 && found.episodes == -1);
    calibration_free(&c);
}

/* ---- episodes ---- */

enum { DIMENSION = 3, ROOM = 10, CLASSES = 4 };

/* Base classes a, b, c of 10, 7 and 1 rows as exemplars, and a novel one of `shots`. */
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
    assert_int_equal(model_put(&m, "base/exemplars", TYPE_F32, 3, shape, &base, &e), 0);
    assert_int_equal(model_put(&m, "imprint/exemplars", TYPE_F32, 3, shape, &added, &e), 0);
    assert_int_equal(model_put(&m, "imprint/sum", TYPE_F64, 2, sums, &sum, &e), 0);
    assert_int_equal(model_put(&m, "imprint/count", TYPE_F64, 1, shape, &count, &e), 0);
    base = model_find(&m, "base/exemplars");
    added = model_find(&m, "imprint/exemplars");
    for (size_t c = 0; c < CLASSES; c++)
        for (size_t i = 0; i < rows[c] * DIMENSION; i++)
            ((float *)base->data)[c * ROOM * DIMENSION + i] = draw_normal(&s);
    for (size_t i = 0; i < (shots < ROOM ? shots : ROOM) * DIMENSION; i++)
        ((float *)added->data)[(CLASSES - 1) * ROOM * DIMENSION + i] = draw_normal(&s);
    ((double *)model_find(&m, "imprint/count")->data)[CLASSES - 1] = (double)shots;
    return m;
}

static void test_episodes(void **state)
{
    (void)state;
    for (size_t shots = 1; shots <= 40; shots += shots < 6 ? 1 : 17) {
        model m = sampled_model(shots);
        episodes set;
        error e = {""};
        assert_int_equal(episodes_new(&m, &set, &e), 0);
        assert_int_equal(set.base_rows, 18);
        assert_int_equal(set.rows, 18 + (shots < ROOM ? shots : ROOM));
        assert_int_equal(set.partner_count,
                         6); /* a and b, three draws each; nothing is left of c */
        for (size_t k = 0; k < set.partner_count; k++) {
            const partner *p = &set.partners[k];
            size_t begin = p->class_index ? 10 : 0, count = p->class_index ? 7 : 10;
            double mean[DIMENSION];
            assert_true(p->class_index < 2 && p->shots == (double)shots &&
                        set.episodes[k].count == 1);
            assert_true(p->first >= begin && p->first + p->taken <= begin + count);
            assert_int_equal(p->taken, shots < count / 2 ? shots : count / 2);
            assert_int_equal(episodes_partner_mean(&set, p, set.embeddings, DIMENSION, mean, &e),
                             0);
            for (size_t d = 0; d < DIMENSION; d++) {
                double part = 0, whole = 0;
                for (size_t i = begin; i < begin + count; i++) {
                    double x = set.embeddings[i * DIMENSION + d];
                    whole += x / (double)count;
                    part += i >= p->first && i < p->first + p->taken ? x / (double)p->taken : 0;
                }
                double want = whole + sqrt((double)p->taken / (double)shots) * (part - whole);
                assert_true(fabs(mean[d] - want) < 1e-6);
            }
        }
        episodes_free(&set);
        model_free(&m);
    }
}

/* Every row is judged by scores that it had no part in, and a partner is out of the
 * base. */
static void test_rows_of_a_calibration(void **state)
{
    (void)state;
    model m = sampled_model(4);
    episodes set;
    calibration c = {0};
    error e = {""};
    float scores[30 * CLASSES], by_partner[6 * 18];
    assert_int_equal(episodes_new(&m, &set, &e), 0);
    for (size_t i = 0; i < set.rows; i++) /* b always wins among base classes, then a, then c */
        memcpy(scores + i * CLASSES, (float[CLASSES]){2, 3, 1, 2.5f}, CLASSES * sizeof *scores);
    for (size_t i = 0; i < 6 * 18; i++)
        by_partner[i] = 0.25f;
    assert_int_equal(episodes_add_rows(&set, scores, by_partner, &c, &e), 0);
    size_t at = 0;
    for (size_t i = 0; i < set.rows; i++, at++) {
        assert_true(c.rows[at].margin == 0.5 && c.rows[at].episode == 0);
        assert_int_equal(c.rows[at].novel, i >= 18);
        assert_int_equal(c.rows[at].right, i >= 18 || (i >= 10 && i < 17));
    }
    for (size_t k = 0; k < set.partner_count; k++) {
        const partner *p = &set.partners[k];
        for (size_t i = 0; i < 18; i++) {
            if (i >= p->first && i < p->first + p->taken)
                continue;
            const calibration_row *row = &c.rows[at++];
            size_t of = i < 10 ? 0 : i < 17 ? 1 : 2, best = p->class_index == 1 ? 0 : 1;
            assert_true(row->episode == k + 1 && row->margin == (best ? 3 : 2) - 0.25);
            assert_int_equal(row->novel, of == p->class_index);
            assert_int_equal(row->right, of == p->class_index || of == best);
        }
    }
    assert_int_equal(at, c.count);
    calibration_free(&c);
    episodes_free(&set);
    model_free(&m);
}

/* With several novel classes several base classes are partners, a third of them at most:
 * all are out of the base, and a row is its class's only where it scores above the others. */
static void test_partners(void **state)
{
    (void)state;
    enum { BASE = 7, ROWS = 6, ALL = BASE + 3 };
    model m;
    episodes set;
    calibration c = {0};
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
    assert_int_equal(model_put(&m, "base/exemplars", TYPE_F32, 3, shape, &t, &e), 0);
    for (size_t i = 0; i < BASE * ROWS * DIMENSION; i++)
        ((float *)t->data)[i] = draw_normal(&s);
    assert_int_equal(model_put(&m, "imprint/sum", TYPE_F64, 2, (size_t[]){ALL, DIMENSION}, &t, &e),
                     0);
    assert_int_equal(model_put(&m, "imprint/count", TYPE_F64, 1, shape, &t, &e), 0);
    for (size_t k = BASE; k < ALL; k++) {
        m.kinds[k] = CLASS_NOVEL;
        ((double *)t->data)[k] = 2;
    }
    assert_int_equal(episodes_new(&m, &set, &e), 0);
    assert_true(set.trained && set.base_rows == BASE * ROWS && set.episode_count > 3);
    static float scores[BASE * ROWS * ALL], by_partner[24 * BASE * ROWS];
    for (size_t i = 0; i < set.rows; i++)
        for (size_t k = 0; k < ALL; k++)
            scores[i * ALL + k] = (float)k;
    for (size_t k = 0; k < set.partner_count; k++)
        for (size_t i = 0; i < set.base_rows; i++)
            by_partner[k * set.base_rows + i] = 0.5f * (float)set.partners[k].class_index;
    assert_int_equal(episodes_add_rows(&set, scores, by_partner, &c, &e), 0);
    for (size_t i = 0; i < c.count; i++) {
        if (c.rows[i].episode == 0)
            continue;
        const episode *x = &set.episodes[c.rows[i].episode - 1];
        assert_int_equal(x->count, 2); /* of three novel classes: a third of seven */
        size_t one = set.partners[x->first].class_index,
               other = set.partners[x->first + 1].class_index;
        size_t best = BASE - 1, high = one > other ? one : other;
        while (best == one || best == other)
            best--;
        assert_true(one != other && c.rows[i].margin == (double)best - 0.5 * (double)high);
        if (c.rows[i].novel)
            assert_true(!c.rows[i].right || high == one || high == other);
    }
    /* Of every episode's novel rows, those of the class that scores higher are right. */
    for (size_t k = 0; k < set.episode_count; k++) {
        size_t right = 0, novel = 0;
        for (size_t i = 0; i < c.count; i++) {
            right += c.rows[i].episode == k + 1 && c.rows[i].novel && c.rows[i].right;
            novel += c.rows[i].episode == k + 1 && c.rows[i].novel;
        }
        assert_int_equal(novel, 2 * (ROWS - 2));
        assert_int_equal(right, ROWS - 2);
    }
    calibration_free(&c);
    episodes_free(&set);
    model_free(&m);
}

/* One row leaves nothing to score it by; a novel class without sums counts as a base class. */
static void test_single_rows_and_trained_classes(void **state)
{
    (void)state;
    for (size_t shots = 0; shots <= 1; shots++) {
        model m = sampled_model(shots);
        episodes set;
        calibration c = {0};
        error e = {""};
        float scores[30 * CLASSES] = {0}, by_partner[6 * 18] = {0};
        assert_int_equal(episodes_new(&m, &set, &e), 0);
        assert_int_equal(set.is_base[CLASSES - 1], shots == 0);
        assert_int_equal(set.partner_count, shots == 0 ? 0 : 6);
        assert_int_equal(episodes_add_rows(&set, scores, by_partner, &c, &e), 0);
        for (size_t i = 0; i < c.count; i++)
            assert_true(!c.rows[i].novel || c.rows[i].episode > 0);
        calibration_free(&c);
        episodes_free(&set);
        model_free(&m);
    }
}

/* ---- scale ---- */

static void test_scale_is_the_best(void **state)
{
    (void)state;
    enum { ROWS = 200 };
    draws s = draw_named("temperature");
    size_t class_of[ROWS];
    double shots[3] = {0};
    bool is_base[3] = {true, true, true};
    float scores[ROWS * 3];
    episodes set = {.classes = 3,
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
    double found = temperature_factor(&set, scores, WEIGHTS_KINDS, NULL), best = 0,
           least = INFINITY;
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
    assert_true(fabs(temperature_factor(&set, scores, WEIGHTS_KINDS, NULL) / log(2 * 201) - 1) <
                1e-6);
}

/* Two base classes and a novel one of two rows: by kinds the novel class weighs as much as both
 * others, by classes half as much, and its rows' scores are taken for those of half as many rows
 * more. */
static void test_scale_by_classes(void **state)
{
    (void)state;
    enum { ROWS = 9 };
    size_t class_of[ROWS] = {0, 0, 0, 0, 1, 1, 1, 2, 2};
    double shots[3] = {100, 100, 2};
    bool is_base[3] = {true, true, false};
    float scores[ROWS * 3];
    episodes set = {.classes = 3,
                    .base_rows = 7,
                    .rows = ROWS,
                    .class_of = class_of,
                    .shots = shots,
                    .is_base = is_base,
                    .base_classes = 2};
    for (size_t i = 0; i < ROWS; i++)
        for (size_t c = 0; c < 3; c++)
            scores[i * 3 + c] = c == class_of[i] ? 0.7f : (float)((i * 7 + c * 5) % 4) / 3;
    double found = temperature_factor(&set, scores, WEIGHTS_CLASSES, NULL), best = 0;
    double least = INFINITY;
    for (double f = 0.001; f < 100; f *= 1.0005) {
        double loss = 0;
        for (size_t i = 0; i < ROWS; i++) {
            double by = i < 7 ? f : f / sqrt(2), sum = 0, others = 0;
            for (size_t c = 0; c < 3; c++) {
                double above = (double)scores[i * 3 + c] - (double)scores[i * 3 + class_of[i]];
                sum += exp(by * above);
                others += by * above / 2;
            }
            loss += (log(sum) - others / (ROWS + 2)) * (i < 7 ? 2.0 / 3 / 7 : 1.0 / 3 / 2);
        }
        if (loss < least) {
            least = loss;
            best = f;
        }
    }
    assert_true(best > 0.002 && best < 50);
    assert_true(fabs(found / best - 1) < 0.002);
}

int main(void)
{
    fixture_begin();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calibration_finds_the_best_bias),
        cmocka_unit_test(test_episodes_are_compared_by_shares),
        cmocka_unit_test(test_many_rows_decide),
        cmocka_unit_test(test_balances),
        cmocka_unit_test(test_calibration_of_one_kind),
        cmocka_unit_test(test_episodes),
        cmocka_unit_test(test_rows_of_a_calibration),
        cmocka_unit_test(test_partners),
        cmocka_unit_test(test_single_rows_and_trained_classes),
        cmocka_unit_test(test_scale_is_the_best),
        cmocka_unit_test(test_scale_by_classes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
