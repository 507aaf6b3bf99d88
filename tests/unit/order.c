/* The orders of training rows: complete, seeded, balanced. */
#include "../../src/training/order.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ROWS = 1000 };

static void fill(uint32_t *order, size_t count)
{
    for (size_t i = 0; i < count; i++)
        order[i] = (uint32_t)i;
}

static void shuffle_keeps_every_row(void **state)
{
    (void)state;
    uint32_t order[ROWS];
    bool seen[ROWS] = {false};
    fill(order, ROWS);
    order_shuffle(order, ROWS, 1, 0);
    size_t moved = 0;
    for (size_t i = 0; i < ROWS; i++) {
        assert_false(seen[order[i]]);
        seen[order[i]] = true;
        moved += order[i] != i;
    }
    assert_true(moved > ROWS * 9 / 10);
}

static void shuffle_depends_on_seed_and_epoch(void **state)
{
    (void)state;
    uint32_t a[ROWS], b[ROWS];
    const uint64_t cases[][2] = {{1, 0}, {1, 1}, {2, 0}, {1, 1}};
    for (size_t i = 0; i < 4; i++) {
        fill(a, ROWS);
        order_shuffle(a, ROWS, 1, 1);
        fill(b, ROWS);
        order_shuffle(b, ROWS, cases[i][0], cases[i][1]);
        bool same = memcmp(a, b, sizeof a) == 0;
        assert_true(same == (cases[i][0] == 1 && cases[i][1] == 1));
    }
}

/* Over many epochs every row must come first about equally often. */
static void shuffle_is_uniform(void **state)
{
    (void)state;
    enum { COUNT = 5, EPOCHS = 20000 };
    size_t at[COUNT][COUNT] = {{0}};
    for (uint64_t epoch = 0; epoch < EPOCHS; epoch++) {
        uint32_t order[COUNT];
        fill(order, COUNT);
        order_shuffle(order, COUNT, 7, epoch);
        for (size_t i = 0; i < COUNT; i++)
            at[i][order[i]]++;
    }
    /* Five standard deviations of a binomial of 20,000 trials at 1/5. */
    for (size_t i = 0; i < COUNT; i++)
        for (size_t k = 0; k < COUNT; k++)
            assert_in_range(at[i][k], EPOCHS / COUNT - 283, EPOCHS / COUNT + 283);
}

static void empty_and_single_orders_pass(void **state)
{
    (void)state;
    uint32_t order[1] = {0};
    order_shuffle(order, 0, 1, 0);
    order_shuffle(order, 1, 1, 0);
    assert_int_equal(order[0], 0);
}

/* 90 rows of class 0, 9 of class 2, 1 of class 3, none of class 1; and rows that are not to be
 * drawn. */
static void make_labels(int32_t *labels, uint32_t *rows)
{
    for (size_t i = 0; i < 200; i++)
        labels[i] = i < 90 ? 0 : i < 99 ? 2 : 3;
    fill(rows, 100);
}

static void balanced_classes_come_equally_often(void **state)
{
    (void)state;
    int32_t labels[200];
    uint32_t rows[100], order[100];
    error e = {""};
    make_labels(labels, rows);
    assert_int_equal(order_balanced(rows, 100, labels, 4, 1, 0, order, &e), 0);
    size_t per_class[4] = {0}, per_row[200] = {0};
    for (size_t i = 0; i < 100; i++) {
        per_class[labels[order[i]]]++;
        per_row[order[i]]++;
    }
    assert_int_equal(per_class[0], 34);
    assert_int_equal(per_class[1], 0);
    assert_int_equal(per_class[2], 33);
    assert_int_equal(per_class[3], 33);
    for (size_t i = 0; i < 90; i++)
        assert_true(per_row[i] <= 1);
    for (size_t i = 90; i < 99; i++)
        assert_in_range(per_row[i], 3, 4);
    assert_int_equal(per_row[99], 33);
    for (size_t i = 100; i < 200; i++)
        assert_int_equal(per_row[i], 0);
}

static void balanced_order_is_seeded(void **state)
{
    (void)state;
    int32_t labels[200];
    uint32_t rows[100], a[100], b[100], c[100];
    error e = {""};
    make_labels(labels, rows);
    order_balanced(rows, 100, labels, 4, 1, 5, a, &e);
    order_balanced(rows, 100, labels, 4, 1, 5, b, &e);
    order_balanced(rows, 100, labels, 4, 1, 6, c, &e);
    assert_memory_equal(a, b, sizeof a);
    assert_memory_not_equal(a, c, sizeof a);
}

static void hold_out_parts_all_rows(void **state)
{
    (void)state;
    uint32_t order[ROWS], again[ROWS];
    bool seen[ROWS] = {false};
    order_hold_out(order, ROWS, 300, 3);
    order_hold_out(again, ROWS, 300, 3);
    assert_memory_equal(order, again, sizeof order);
    for (size_t i = 0; i < ROWS; i++) {
        assert_true(i == 0 || i == ROWS - 300 || order[i] > order[i - 1]);
        assert_false(seen[order[i]]);
        seen[order[i]] = true;
    }
    order_hold_out(again, ROWS, 300, 4);
    assert_memory_not_equal(order, again, sizeof order);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shuffle_keeps_every_row),
        cmocka_unit_test(shuffle_depends_on_seed_and_epoch),
        cmocka_unit_test(shuffle_is_uniform),
        cmocka_unit_test(empty_and_single_orders_pass),
        cmocka_unit_test(balanced_classes_come_equally_often),
        cmocka_unit_test(balanced_order_is_seeded),
        cmocka_unit_test(hold_out_parts_all_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
