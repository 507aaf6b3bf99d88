/* Text out of files where it meets a message: what steers a terminal is spelt out. */
#include "../../common/base/text.h"
#include "../../common/base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void spelt(const char *text, const char *expected)
{
    char shown[256], again[256];
    assert_string_equal(text_visible(text, shown, sizeof shown), expected);
    assert_string_equal(text_visible(shown, again, sizeof again), expected);
}

static void what_is_visible_stays(void **state)
{
    (void)state;
    spelt("", "");
    spelt("a plain name, \\ and \"quotes\"", "a plain name, \\ and \"quotes\"");
    spelt("Käse, 猫, \xF0\x9F\x90\x88", "Käse, 猫, \xF0\x9F\x90\x88");
}

static void what_steers_is_spelt_out(void **state)
{
    (void)state;
    spelt("a\nb\tc\rd", "a\\nb\\tc\\rd");
    spelt("\x1b[2J\x07\x7f", "\\x1b[2J\\x07\\x7f");
    spelt("\xC2\x9B"
          "2J",
          "\\u009b2J"); /* CSI as one character */
    spelt("\xE2\x80\xAE"
          "evil",
          "\\u202eevil"); /* right to left */
    spelt("\xE2\x81\xA6 \xE2\x80\xA8", "\\u2066 \\u2028");
}

static void what_is_no_utf8_is_spelt_out(void **state)
{
    (void)state;
    spelt("\x9B"
          "2J",
          "\\x9b2J");
    spelt("M\xFCller", "M\\xfcller");
    spelt("\xC0\xAF", "\\xc0\\xaf");          /* overlong */
    spelt("\xED\xA0\x80", "\\xed\\xa0\\x80"); /* a surrogate */
    spelt("\xE2\x82", "\\xe2\\x82");          /* cut short */
}

static void no_more_than_fits(void **state)
{
    (void)state;
    char shown[6];
    assert_string_equal(text_visible("abcdefgh", shown, sizeof shown), "abcde");
    assert_string_equal(text_visible("abcdé", shown, sizeof shown), "abcd");
    assert_string_equal(text_visible("ab\x1b", shown, sizeof shown), "ab");
    assert_string_equal(text_visible("abc", shown, 1), "");
}

static void errors_are_one_line(void **state)
{
    (void)state;
    error e;
    error_set(&e, "class '%s'", "a\n\x1b[31mb");
    assert_string_equal(e.text, "class 'a\\n\\x1b[31mb'");
    error_prefix(&e, "%s", "f\n");
    assert_string_equal(e.text, "f\\n: class 'a\\n\\x1b[31mb'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_visible_stays),        cmocka_unit_test(what_steers_is_spelt_out),
        cmocka_unit_test(what_is_no_utf8_is_spelt_out), cmocka_unit_test(no_more_than_fits),
        cmocka_unit_test(errors_are_one_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
