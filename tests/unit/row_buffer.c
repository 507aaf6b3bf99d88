/* Rows kept past the next read. */
#include "../../common/stream/row_buffer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static int32_t labels[] = {1, 2, 3, 4};
static float points[][2] = {{1, -1}, {2, -2}, {3, -3}, {4, -4}};

static batch make_batch(void)
{
    batch b = {0};
    error e = {""};
    assert_int_equal(batch_put(&b, "label", (tensor){TYPE_I32, 1, {4}, labels}, &e), 0);
    assert_int_equal(batch_put(&b, "point", (tensor){TYPE_F32, 2, {4, 2}, points}, &e), 0);
    return b;
}

static void check_rows(row_buffer *rows, const int32_t *expected, size_t count)
{
    const tensor *label = batch_find(&rows->held, "label"),
                 *point = batch_find(&rows->held, "point");
    assert_int_equal(rows->held.rows, count);
    assert_int_equal(tensor_rows(label), count);
    assert_int_equal(tensor_rows(point), count);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(((int32_t *)label->data)[i], expected[i]);
        assert_float_equal(((float *)point->data)[2 * i], expected[i], 0);
        assert_float_equal(((float *)point->data)[2 * i + 1], -expected[i], 0);
    }
}

static void rows_gather(void **state)
{
    (void)state;
    row_buffer rows = {0};
    error e = {""};
    batch b = make_batch();
    assert_true(row_buffer_fits(&rows, &b));
    assert_int_equal(row_buffer_append(&rows, &b, 1, 2, &e), 0);
    assert_true(row_buffer_fits(&rows, &b));
    assert_int_equal(row_buffer_append(&rows, &b, 0, 4, &e), 0);
    check_rows(&rows, (int32_t[]){2, 3, 1, 2, 3, 4}, 6);
    row_buffer_clear(&rows);
    assert_int_equal(row_buffer_append(&rows, &b, 3, 1, &e), 0);
    check_rows(&rows, (int32_t[]){4}, 1);
    row_buffer_free(&rows);
}

static void rows_repeat(void **state)
{
    (void)state;
    row_buffer rows = {0};
    error e = {""};
    batch b = make_batch();
    assert_int_equal(row_buffer_append(&rows, &b, 0, 3, &e), 0);
    assert_int_equal(row_buffer_repeat(&rows, 3, &e), 0);
    check_rows(&rows, (int32_t[]){1, 1, 1, 2, 2, 2, 3, 3, 3}, 9);
    assert_int_equal(row_buffer_repeat(&rows, 1, &e), 0);
    check_rows(&rows, (int32_t[]){1, 1, 1, 2, 2, 2, 3, 3, 3}, 9);
    row_buffer_free(&rows);
}

static void other_fields_do_not_fit(void **state)
{
    (void)state;
    row_buffer rows = {0};
    error e = {""};
    batch b = make_batch(), fewer = make_batch(), other = make_batch(), wider = make_batch();
    assert_int_equal(row_buffer_append(&rows, &b, 0, 4, &e), 0);
    batch_drop(&fewer, "point");
    assert_false(row_buffer_fits(&rows, &fewer));
    strcpy(other.fields[1].name, "spot");
    assert_false(row_buffer_fits(&rows, &other));
    batch_find(&wider, "point")->shape[1] = 1;
    assert_false(row_buffer_fits(&rows, &wider));
    row_buffer_clear(&rows);
    assert_true(row_buffer_fits(&rows, &fewer));
    assert_int_equal(row_buffer_append(&rows, &fewer, 0, 4, &e), 0);
    assert_null(batch_find(&rows.held, "point"));
    row_buffer_free(&rows);
}

static void rows_without_fields_or_elements_pass(void **state)
{
    (void)state;
    row_buffer rows = {0};
    error e = {""};
    batch b = {.rows = 5};
    assert_int_equal(row_buffer_append(&rows, &b, 0, 5, &e), 0);
    assert_int_equal(rows.held.rows, 5);
    row_buffer_free(&rows);
    assert_int_equal(batch_put(&b, "nothing", (tensor){TYPE_F32, 2, {5, 0}, NULL}, &e), 0);
    assert_int_equal(row_buffer_append(&rows, &b, 0, 5, &e), 0);
    assert_int_equal(row_buffer_repeat(&rows, 2, &e), 0);
    assert_int_equal(tensor_rows(batch_find(&rows.held, "nothing")), 10);
    row_buffer_free(&rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_gather),
        cmocka_unit_test(rows_repeat),
        cmocka_unit_test(other_fields_do_not_fit),
        cmocka_unit_test(rows_without_fields_or_elements_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
