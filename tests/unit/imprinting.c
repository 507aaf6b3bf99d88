/* imprinting.c: exemplars, the projection and proxies. */
#include "fixture.h"

#include "../../src/imprinting/exemplars.h"
#include "../../src/imprinting/projection.h"
#include "../../src/imprinting/proxies.h"

enum { DIMENSION = 6 };

/* ---- exemplars ---- */

static void random_rows(draws *s, float *rows, size_t count)
{
    for (size_t i = 0; i < count * DIMENSION; i++)
        rows[i] = draw_normal(s);
}

static class_sums kept_in(float *rows, size_t classes, size_t room)
{
    return (class_sums){
        .classes = classes, .dimension = DIMENSION, .room = room, .exemplars = rows};
}

static void test_exemplars_of_parts(void **state)
{
    (void)state;
    enum { ROWS = 40, ROOM = 7 };
    draws s = draw_named("exemplars");
    float rows[ROWS * DIMENSION];
    error e = {""};
    exemplars whole, first, second, both;
    random_rows(&s, rows, ROWS);
    memset(rows + 3 * DIMENSION, 0, DIMENSION * sizeof *rows);
    memcpy(rows + 5 * DIMENSION, rows + 4 * DIMENSION, DIMENSION * sizeof *rows);
    assert_int_equal(exemplars_new(1, ROOM, DIMENSION, &whole, &e), 0);
    assert_int_equal(exemplars_new(1, ROOM, DIMENSION, &first, &e), 0);
    assert_int_equal(exemplars_new(1, ROOM, DIMENSION, &second, &e), 0);
    assert_int_equal(exemplars_new(1, ROOM, DIMENSION, &both, &e), 0);
    for (size_t i = 0; i < ROWS; i++) {
        exemplars_offer(&whole, 0, rows + i * DIMENSION);
        exemplars_offer(draw_below(&s, 2) ? &first : &second, 0, rows + (ROWS - 1 - i) * DIMENSION);
    }
    float held[2][ROOM * DIMENSION];
    class_sums parts[2] = {kept_in(held[0], 1, ROOM), kept_in(held[1], 1, ROOM)};
    exemplars_store(&first, 0, &parts[0], 0);
    exemplars_store(&second, 0, &parts[1], 0);
    exemplars_offer_kept(&both, 0, &parts[1], 0);
    exemplars_offer_kept(&both, 0, &parts[0], 0);
    assert_int_equal(whole.count[0], ROOM);
    assert_int_equal(both.count[0], ROOM);
    assert_memory_equal(whole.rows, both.rows, sizeof held[0]);
    exemplars_free(&whole);
    exemplars_free(&first);
    exemplars_free(&second);
    exemplars_free(&both);
}

static void fill(exemplars *s, const float *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        exemplars_offer(s, i % s->classes, rows + i / s->classes * DIMENSION);
}

/* Any number of parts, rows, room and equal rows; the parts merged in any order, one of them twice.
 * */
static void test_exemplars_of_any_parts(void **state)
{
    (void)state;
    enum { ROWS = 60, CLASSES = 3, MOST = 9 };
    draws s = draw_named("parts");
    error e = {""};
    for (int turn = 0; turn < 300; turn++) {
        float rows[ROWS * DIMENSION];
        size_t room = 1 + draw_below(&s, MOST), count = draw_below(&s, ROWS),
               parts = 1 + draw_below(&s, 5);
        exemplars whole, merged, part[5];
        random_rows(&s, rows, ROWS);
        for (size_t i = 0; i < count; i++)
            if (draw_below(&s, 3) == 0) /* equal to another, or zeros */
                memcpy(rows + i * DIMENSION,
                       draw_below(&s, 4) ? rows + draw_below(&s, ROWS) * DIMENSION
                                         : (float[DIMENSION]){0},
                       DIMENSION * sizeof *rows);
        assert_int_equal(exemplars_new(CLASSES, room, DIMENSION, &whole, &e), 0);
        assert_int_equal(exemplars_new(0, room, DIMENSION, &merged, &e), 0);
        assert_int_equal(exemplars_grow(&merged, 1, &e), 0);
        assert_int_equal(exemplars_grow(&merged, CLASSES, &e), 0);
        fill(&whole, rows, count * CLASSES);
        for (size_t p = 0; p < parts; p++)
            assert_int_equal(exemplars_new(CLASSES, room, DIMENSION, &part[p], &e), 0);
        for (size_t i = count; i-- > 0;)
            for (size_t p = draw_below(&s, parts), c = 0; c < CLASSES; c++)
                exemplars_offer(&part[p], c, rows + i * DIMENSION);
        for (size_t p = 0; p <= parts; p++) {
            float held[CLASSES * MOST * DIMENSION];
            class_sums t = kept_in(held, CLASSES, room);
            exemplars *from = &part[p % parts];
            memset(held, 0xFF, sizeof held);
            for (size_t c = 0; c < CLASSES; c++) {
                exemplars_store(from, c, &t, CLASSES - 1 - c);
                assert_int_equal(exemplars_count(&t, CLASSES - 1 - c), from->count[c]);
                exemplars_offer_kept(&merged, c, &t, CLASSES - 1 - c);
            }
        }
        for (size_t c = 0; c < CLASSES; c++) {
            assert_true(whole.count[c] <= room);
            assert_int_equal(whole.count[c], merged.count[c]);
            assert_memory_equal(whole.rows + c * room * DIMENSION,
                                merged.rows + c * room * DIMENSION,
                                whole.count[c] * DIMENSION * sizeof *rows);
        }
        exemplars_free(&whole);
        exemplars_free(&merged);
        for (size_t p = 0; p < parts; p++)
            exemplars_free(&part[p]);
    }
}

/* Few rows: all of them, equal ones once, zeros never; every row of many is as likely to be kept.
 * */
static void test_exemplars_are_a_fair_draw(void **state)
{
    (void)state;
    enum { ROWS = 10, ROOM = 5, TURNS = 4000 };
    draws s = draw_named("fair");
    error e = {""};
    size_t kept[ROWS] = {0};
    for (int turn = 0; turn < TURNS; turn++) {
        float rows[ROWS * DIMENSION];
        exemplars c;
        random_rows(&s, rows, ROWS);
        assert_int_equal(exemplars_new(1, ROOM, DIMENSION, &c, &e), 0);
        for (size_t i = 0; i < ROWS; i++)
            exemplars_offer(&c, 0, rows + i * DIMENSION);
        for (size_t i = 0; i < ROWS; i++)
            for (size_t k = 0; k < c.count[0]; k++)
                kept[i] += memcmp(rows + i * DIMENSION, c.rows + k * DIMENSION,
                                  DIMENSION * sizeof *rows) == 0;
        exemplars_free(&c);
    }
    for (size_t i = 0; i < ROWS; i++)
        assert_in_range(kept[i], TURNS / 2 - 200, TURNS / 2 + 200);
}

/* ---- projection and proxies ---- */

static void test_projection_is_normal(void **state)
{
    (void)state;
    projection a, b;
    error e = {""};
    double sum = 0, square = 0, fourth = 0;
    assert_int_equal(projection_new(3, 300, 100, false, &a, &e), 0);
    assert_int_equal(projection_new(3, 200, 100, false, &b, &e), 0);
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

static void test_proxies_find_groups(void **state)
{
    (void)state;
    enum { GROUPS = 3, ROWS = 60 };
    backend *b = reference_open();
    draws s = draw_named("proxies");
    error e = {""};
    float rows[ROWS * DIMENSION] = {0}, proxies[GROUPS * DIMENSION], again[GROUPS * DIMENSION];
    for (size_t i = 0; i < ROWS; i++) {
        rows[i * DIMENSION + i % GROUPS] = 1;
        for (size_t d = 0; d < DIMENSION; d++)
            rows[i * DIMENSION + d] += 0.05f * draw_normal(&s);
    }
    assert_int_equal(b->algebra.normalise(&b->algebra, rows, ROWS, DIMENSION, &e), 0);
    assert_int_equal(proxies_of_rows(&b->algebra, rows, ROWS, DIMENSION, GROUPS, 1, proxies, &e),
                     0);
    assert_int_equal(proxies_of_rows(&b->algebra, rows, ROWS, DIMENSION, GROUPS, 1, again, &e), 0);
    assert_memory_equal(proxies, again, sizeof proxies);
    for (size_t g = 0; g < GROUPS; g++) {
        float best = 0;
        for (size_t k = 0; k < GROUPS; k++)
            best = fmaxf(best, proxies[k * DIMENSION + g]);
        assert_true(best > 0.99f);
    }
    b->close(b);
}

int main(void)
{
    fixture_begin();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exemplars_of_parts),
        cmocka_unit_test(test_exemplars_of_any_parts),
        cmocka_unit_test(test_exemplars_are_a_fair_draw),
        cmocka_unit_test(test_projection_is_normal),
        cmocka_unit_test(test_proxies_find_groups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
