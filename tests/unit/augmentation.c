/* The words of --augment. */
#include "../../kernels/backend.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void words_go_both_ways(void **state)
{
    (void)state;
    const char *cases[] = {"flip", "shift:4", "cutout:8", "flip,shift:4",
                           "flip,shift:1,cutout:9999"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        augmentation made;
        error e = {""};
        char text[48];
        assert_int_equal(augmentation_parse(cases[i], &made, &e), 0);
        assert_string_equal(augmentation_text(&made, text, sizeof text), cases[i]);
    }
}

static void any_order_is_read(void **state)
{
    (void)state;
    augmentation made;
    error e = {""};
    assert_int_equal(augmentation_parse("cutout:8,shift:4,flip", &made, &e), 0);
    assert_true(made.flip);
    assert_int_equal(made.shift, 4);
    assert_int_equal(made.cutout, 8);
}

static void wrong_words_are_named(void **state)
{
    (void)state;
    const char *cases[] = {
        "",         "flop",     "flip,",        "shift",        "shift:",   "shift:0",
        "shift:-1", "shift:4x", "cutout:99999", "flip;shift:4", "shift:4:2"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        augmentation made = {.shift = 3};
        error e = {""};
        assert_int_equal(augmentation_parse(cases[i], &made, &e), -1);
        assert_non_null(strstr(e.text, "is none of flip"));
        assert_int_equal(made.shift, 3);
    }
}

static void pictures_stay_in_sight(void **state)
{
    (void)state;
    error e = {""};
    extent picture = {28, 32, 3};
    assert_int_equal(augmentation_check(&(augmentation){true, 27, 27}, picture, &e), 0);
    assert_int_equal(augmentation_check(&(augmentation){true, 28, 0}, picture, &e), -1);
    assert_non_null(strstr(e.text, "shift:28 leaves nothing of pictures of 28 x 32"));
    assert_int_equal(augmentation_check(&(augmentation){true, 4, 40}, picture, &e), -1);
    assert_non_null(strstr(e.text, "cutout:40"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_go_both_ways),
        cmocka_unit_test(any_order_is_read),
        cmocka_unit_test(wrong_words_are_named),
        cmocka_unit_test(pictures_stay_in_sight),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
