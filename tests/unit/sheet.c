/* Sheets of pictures, pixel by pixel. */
#include "../../common/formats/sheet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void pictures_fill_left_to_right_and_down(void **state)
{
    (void)state;
    sheet s;
    error e = {""};
    assert_int_equal(sheet_new(2, 2, 1, 1, (extent){1, 2, 1}, &s, &e), 0);
    assert_int_equal(sheet_height(&s), 5);
    assert_int_equal(sheet_width(&s), 7);
    const uint8_t pictures[3][2] = {{1, 2}, {3, 4}, {5, 6}};
    for (size_t i = 0; i < 3; i++)
        assert_true(sheet_place(&s, pictures[i]));
    const uint8_t w = 255, expected[] = {
                               w, w, w, w, w, w, w, /**/ w, 1, 2, w,      3, 4, w, /**/ w, w, w, w,
                               w, w, w, w, 5, 6, w, w,      w, w, /**/ w, w, w, w, w,      w, w,
                           };
    assert_memory_equal(s.pixels, expected, sizeof expected);
    assert_true(sheet_place(&s, pictures[0]));
    assert_false(sheet_place(&s, pictures[0]));
    sheet_free(&s);
}

static void zoom_repeats_pixels(void **state)
{
    (void)state;
    sheet s;
    error e = {""};
    assert_int_equal(sheet_new(1, 1, 2, 0, (extent){1, 2, 3}, &s, &e), 0);
    const uint8_t picture[] = {1, 2, 3, 4, 5, 6};
    const uint8_t expected[] = {1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6,
                                1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6};
    assert_true(sheet_place(&s, picture));
    assert_memory_equal(s.pixels, expected, sizeof expected);
    sheet_free(&s);
}

static void wrong_sheets_are_refused(void **state)
{
    (void)state;
    sheet s;
    error e = {""};
    assert_int_equal(sheet_new(1, 1, 1, 1, (extent){4, 4, 2}, &s, &e), -1);
    assert_non_null(strstr(e.text, "2 channels"));
    assert_int_equal(sheet_new(10000, 10000, 100, 1000, (extent){1u << 30, 1u << 30, 3}, &s, &e),
                     -1);
    assert_non_null(strstr(e.text, "1 GiB"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pictures_fill_left_to_right_and_down),
        cmocka_unit_test(zoom_repeats_pixels),
        cmocka_unit_test(wrong_sheets_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
