/* Pictures that grow in memory. */
#include "../../src/training/picture_set.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static class_list classes;

static int begin(void **state)
{
    (void)state;
    return class_list_add(&classes, "a") == 0 && class_list_add(&classes, "b") == 1 ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    class_list_free(&classes);
    return 0;
}

/* Rows of side x side x 1 whose pixels are their number (mod 251), labels alternating. */
static void make_batch(batch *b, size_t first, size_t rows, size_t side)
{
    error e = {""};
    uint8_t *pixels = malloc(rows * side * side);
    int32_t *labels = malloc(rows * sizeof *labels);
    for (size_t i = 0; i < rows; i++) {
        memset(pixels + i * side * side, (int)((first + i) % 251), side * side);
        labels[i] = (int32_t)((first + i) % 2);
    }
    *b = (batch){0};
    assert_int_equal(batch_put(b, "image", (tensor){TYPE_U8, 4, {rows, side, side, 1}, pixels}, &e),
                     0);
    assert_int_equal(batch_put(b, "label", (tensor){TYPE_I32, 1, {rows}, labels}, &e), 0);
}

static void free_batch(batch *b)
{
    free(batch_find(b, "image")->data);
    free(batch_find(b, "label")->data);
}

static void rows_survive_growth(void **state)
{
    (void)state;
    enum { BATCHES = 60, ROWS = 500, SIDE = 60 }; /* 108 MB: past the first room */
    picture_set set = {0};
    error e = {""};
    for (size_t i = 0; i < BATCHES; i++) {
        batch b;
        make_batch(&b, i * ROWS, ROWS, SIDE);
        assert_int_equal(picture_set_add(&set, &b, &classes, &e), 0);
        free_batch(&b);
    }
    assert_int_equal(set.rows, BATCHES * ROWS);
    for (size_t i = 0; i < set.rows; i++) {
        assert_int_equal(set.images[i * SIDE * SIDE], i % 251);
        assert_int_equal(set.images[(i + 1) * SIDE * SIDE - 1], i % 251);
        assert_int_equal(set.labels[i], i % 2);
    }
    picture_set_free(&set);
}

static void other_sizes_are_refused(void **state)
{
    (void)state;
    picture_set set = {0};
    error e = {""};
    batch b;
    make_batch(&b, 0, 2, 4);
    assert_int_equal(picture_set_add(&set, &b, &classes, &e), 0);
    free_batch(&b);
    make_batch(&b, 0, 2, 5);
    assert_int_equal(picture_set_add(&set, &b, &classes, &e), -1);
    assert_non_null(strstr(e.text, "5 x 5 x 1 after ones of 4 x 4 x 1"));
    assert_int_equal(set.rows, 2);
    free_batch(&b);
    picture_set_free(&set);
}

static void labels_outside_the_list_are_refused(void **state)
{
    (void)state;
    picture_set set = {0};
    error e = {""};
    batch b;
    make_batch(&b, 0, 3, 4);
    ((int32_t *)batch_find(&b, "label")->data)[1] = 2;
    assert_int_equal(picture_set_add(&set, &b, &classes, &e), -1);
    assert_int_equal(set.rows, 0);
    free_batch(&b);
    picture_set_free(&set);
}

static void digests_tell_sets_apart(void **state)
{
    (void)state;
    picture_set set = {0};
    error e = {""};
    batch b;
    make_batch(&b, 0, 9, 3);
    assert_int_equal(picture_set_add(&set, &b, &classes, &e), 0);
    free_batch(&b);
    uint64_t digest = picture_set_digest(&set, 0, 9);
    assert_true(picture_set_digest(&set, 0, 9) == digest);
    assert_true(picture_set_digest(&set, 0, 8) != digest);
    set.images[80]++;
    assert_true(picture_set_digest(&set, 0, 9) != digest);
    set.images[80]--;
    set.labels[8] = 1;
    assert_true(picture_set_digest(&set, 0, 9) != digest);
    picture_set_free(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_survive_growth),
        cmocka_unit_test(other_sizes_are_refused),
        cmocka_unit_test(labels_outside_the_list_are_refused),
        cmocka_unit_test(digests_tell_sets_apart),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
