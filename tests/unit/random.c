/* random.c: the numbers of training are Philox's, and are spread as their uses need. */
#include "fixture.h"

#include "../../kernels/random.h"

static void assert_block(random_block b, uint32_t v0, uint32_t v1, uint32_t v2, uint32_t v3)
{
    assert_int_equal(b.v[0], v0);
    assert_int_equal(b.v[1], v1);
    assert_int_equal(b.v[2], v2);
    assert_int_equal(b.v[3], v3);
}

/* The known answers that its authors publish for philox4x32-10. */
static void philox_gives_the_known_answers(void **state)
{
    (void)state;
    assert_block(random_philox(0, 0, 0), 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8);
    assert_block(random_philox(UINT64_MAX, UINT64_MAX, UINT64_MAX), 0x408f276d, 0x41c83b0e,
                 0xa20bc7c6, 0x6d5451fd);
    assert_block(random_philox(0x299f31d0a4093822, 0x85a308d3243f6a88, 0x0370734413198a2e),
                 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1);
}

static void unit_lies_in_0_to_1(void **state)
{
    (void)state;
    assert_true(random_unit(0) == 0);
    assert_true(random_unit(UINT32_MAX) < 1);
    assert_true(random_unit(0x80000000) == 0.5f);
}

static size_t count_kept(uint64_t seed, uint32_t layer, uint64_t step, float rate, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        kept += (size_t)random_dropout_keeps(seed, layer, step, i, random_dropout_threshold(rate));
    return kept;
}

static void dropout_drops_its_share(void **state)
{
    (void)state;
    enum { COUNT = 100000 };
    const float rates[] = {0.1f, 0.25f, 0.5f, 0.9f};
    for (int k = 0; k < 4; k++) {
        double share = (double)count_kept(fixture_seed, 3, 7, rates[k], COUNT) / COUNT;
        assert_true(fabs(share - (1 - (double)rates[k])) < 0.01); /* over six standard deviations */
    }
    assert_int_equal(count_kept(fixture_seed, 3, 7, 0, COUNT), COUNT);
}

/* Two masks that share nothing agree in half of their places. */
static void dropout_differs_by_seed_layer_and_step(void **state)
{
    (void)state;
    enum { COUNT = 20000 };
    const struct {
        uint64_t seed;
        uint32_t layer;
        uint64_t step;
    } other[] = {{fixture_seed + 1, 3, 7}, {fixture_seed, 4, 7}, {fixture_seed, 3, 8}};
    uint32_t half = random_dropout_threshold(0.5f);
    for (int k = 0; k < 3; k++) {
        size_t same = 0;
        for (uint64_t i = 0; i < COUNT; i++)
            same += random_dropout_keeps(fixture_seed, 3, 7, i, half) ==
                    random_dropout_keeps(other[k].seed, other[k].layer, other[k].step, i, half);
        assert_true(fabs((double)same / COUNT - 0.5) < 0.03);
    }
}

static void views_take_every_place_alike(void **state)
{
    (void)state;
    enum { COUNT = 40000, SHIFT = 4, PLACES = 2 * SHIFT + 1, SIDE = 32 };
    size_t flips = 0, dy[PLACES] = {0}, dx[PLACES] = {0}, cy[SIDE] = {0}, cx[SIDE] = {0};
    for (uint64_t row = 0; row < COUNT; row++) {
        random_view v = random_augment(fixture_seed, 5, row, 1, SHIFT, 8, SIDE, SIDE);
        assert_in_range(v.dy + SHIFT, 0, PLACES - 1);
        assert_in_range(v.dx + SHIFT, 0, PLACES - 1);
        assert_in_range(v.cy, 0, SIDE - 1);
        assert_in_range(v.cx, 0, SIDE - 1);
        flips += (size_t)v.flip;
        dy[v.dy + SHIFT]++, dx[v.dx + SHIFT]++, cy[v.cy]++, cx[v.cx]++;
    }
    assert_true(fabs((double)flips / COUNT - 0.5) < 0.02);
    for (int i = 0; i < PLACES; i++)
        assert_true(fabs((double)dy[i] * PLACES / COUNT - 1) < 0.1 &&
                    fabs((double)dx[i] * PLACES / COUNT - 1) < 0.1);
    for (int i = 0; i < SIDE; i++)
        assert_true(fabs((double)cy[i] * SIDE / COUNT - 1) < 0.2 &&
                    fabs((double)cx[i] * SIDE / COUNT - 1) < 0.2);
}

static void a_view_without_options_is_plain(void **state)
{
    (void)state;
    for (uint64_t row = 0; row < 100; row++) {
        random_view v = random_augment(fixture_seed, 5, row, 0, 0, 0, 32, 32);
        assert_true(!v.flip && !v.dy && !v.dx && !v.cy && !v.cx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_gives_the_known_answers),
        cmocka_unit_test(unit_lies_in_0_to_1),
        cmocka_unit_test(dropout_drops_its_share),
        cmocka_unit_test(dropout_differs_by_seed_layer_and_step),
        cmocka_unit_test(views_take_every_place_alike),
        cmocka_unit_test(a_view_without_options_is_plain),
    };
    fixture_begin();
    return cmocka_run_group_tests_name("random", tests, NULL, NULL);
}
