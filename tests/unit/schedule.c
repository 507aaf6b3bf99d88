/* Learning rates by hand-computed values. */
#include "../../src/training/schedule.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void constant_decays_as_keras_does(void **state)
{
    (void)state;
    schedule s = {.kind = SCHEDULE_CONSTANT, .rate = 0.5, .decay = 0.25};
    assert_float_equal(schedule_rate(&s, 0), 0.5, 1e-12);
    assert_float_equal(schedule_rate(&s, 1), 0.4, 1e-12);
    assert_float_equal(schedule_rate(&s, 4), 0.25, 1e-12);
}

static void one_cycle_rises_and_falls(void **state)
{
    (void)state;
    schedule s = {.kind = SCHEDULE_ONE_CYCLE, .rate = 1, .warm_up = 0.4, .steps = 10};
    const double expected[] = {0.25,   0.5,    0.75,   1,      6 / 7., 5 / 7.,
                               4 / 7., 3 / 7., 2 / 7., 1 / 7., 0};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        assert_float_equal(schedule_rate(&s, i), expected[i], 1e-12);
    assert_float_equal(schedule_rate(&s, 1000), 0, 0);
}

static void one_cycle_without_warm_up_begins_at_the_peak(void **state)
{
    (void)state;
    schedule s = {.kind = SCHEDULE_ONE_CYCLE, .rate = 2, .warm_up = 0, .steps = 4};
    const double expected[] = {2, 1.5, 1, 0.5};
    for (size_t i = 0; i < 4; i++)
        assert_float_equal(schedule_rate(&s, i), expected[i], 1e-12);
}

static void one_cycle_all_warm_up_ends_at_the_peak(void **state)
{
    (void)state;
    schedule s = {.kind = SCHEDULE_ONE_CYCLE, .rate = 2, .warm_up = 1, .steps = 4};
    float rates[4];
    schedule_rates(&s, 0, 4, rates);
    const float expected[] = {0.5f, 1, 1.5f, 2};
    for (size_t i = 0; i < 4; i++)
        assert_float_equal(rates[i], expected[i], 1e-6);
}

static void pieces_continue(void **state)
{
    (void)state;
    schedule s = {
        .kind = SCHEDULE_ONE_CYCLE, .rate = 1, .decay = 0.01, .warm_up = 0.3, .steps = 20};
    float whole[20], piece[20];
    schedule_rates(&s, 0, 20, whole);
    schedule_rates(&s, 0, 7, piece);
    schedule_rates(&s, 7, 13, piece + 7);
    assert_memory_equal(whole, piece, sizeof whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(constant_decays_as_keras_does),
        cmocka_unit_test(one_cycle_rises_and_falls),
        cmocka_unit_test(one_cycle_without_warm_up_begins_at_the_peak),
        cmocka_unit_test(one_cycle_all_warm_up_ends_at_the_peak),
        cmocka_unit_test(pieces_continue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
