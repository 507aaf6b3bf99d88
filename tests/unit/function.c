/* function.c: the CPU's own exponentials against the C library's. */
#include "fixture.h"

#include "../../kernels/cpu/function.h"

static void exponentials_are_close(void **state)
{
    (void)state;
    for (float x = -87; x <= 88; x += 0.00371f) {
        double want = exp((double)x);
        if (fabs((double)exp_float(x) - want) > 3e-7 * want)
            fail_msg("exp(%.9g) came to %.9g", (double)x, (double)exp_float(x));
    }
    assert_true(exp_float(0) == 1);
    assert_true(exp_float(-88) == 0 && exp_float(-INFINITY) == 0);
    assert_true(exp_float(1e30f) > 1e38f && isfinite(exp_float(INFINITY)));
}

static void normal_probabilities_are_close(void **state)
{
    (void)state;
    for (float x = -12; x <= 12; x += 0.00137f) {
        double below = 0.5 * erfc(-(double)x * M_SQRT1_2);
        double density = exp(-0.5 * (double)x * (double)x) / sqrt(2 * M_PI);
        if (fabs((double)normal_below(x) - below) > 4e-7)
            fail_msg("P(%.9g) came to %.9g", (double)x, (double)normal_below(x));
        assert_true(fabs((double)normal_density(x) - density) <= 1e-5 * density + 1e-37);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exponentials_are_close),
        cmocka_unit_test(normal_probabilities_are_close),
    };
    return cmocka_run_group_tests_name("function", tests, NULL, NULL);
}
