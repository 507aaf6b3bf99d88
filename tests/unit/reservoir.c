/* reservoir.c: samples of each class are as large as they can be, in order, fair, and the seed's
 * alone. */
#include "../../common/stream/reservoir.h"
#include "../../common/base/output.h"
#include "../../common/stream/read.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { ROWS = 60, PER_CLASS = 5 };

/* ROWS rows, three of every four of class 0, in batches of `step`; the rows drawn, in *drawn. */
static size_t draw(uint64_t seed, size_t step, uint32_t drawn[ROWS])
{
    char path[] = "/tmp/test-sample-XXXXXX";
    close(mkstemp(path));
    error e = {""};
    output *out;
    stream_writer *w;
    sample *s;
    stream_header h = {0};
    assert_int_equal(class_list_add(&h.classes, "a"), 0);
    assert_int_equal(class_list_add(&h.classes, "b"), 1);
    assert_int_equal(output_open(path, true, &out, &e), 0);
    assert_int_equal(stream_create(out, &w, &e), 0);
    assert_int_equal(stream_write_header(w, &h, &e), 0);
    assert_int_equal(sample_new(PER_CLASS, seed, &s, &e), 0);
    uint32_t number[ROWS];
    int32_t label[ROWS];
    bool wanted[ROWS];
    for (uint32_t i = 0; i < ROWS; i++) {
        number[i] = i;
        label[i] = i % 4 == 3;
        wanted[i] = true;
    }
    for (size_t i = 0; i < ROWS; i += step) {
        batch b = {0};
        size_t rows = ROWS - i < step ? ROWS - i : step;
        assert_int_equal(batch_put(&b, "number", (tensor){TYPE_U32, 1, {rows}, number + i}, &e), 0);
        assert_int_equal(batch_put(&b, "label", (tensor){TYPE_I32, 1, {rows}, label + i}, &e), 0);
        assert_int_equal(sample_offer(s, &b, label + i, wanted, &e), 0);
    }
    batch other = {0};
    assert_int_equal(batch_put(&other, "number", (tensor){TYPE_I32, 1, {1}, label}, &e), 0);
    assert_int_equal(sample_offer(s, &other, label, wanted, &e), -1);
    assert_int_equal(sample_write(s, w, &e), 0);
    assert_int_equal(stream_write_end(w, &e), 0);
    assert_int_equal(output_commit(out, &e), 0);
    stream_writer_free(w);
    stream_header_free(&h);
    sample_free(s);

    char *paths[] = {path};
    stream_reader *r;
    batch *b;
    size_t count = 0;
    assert_int_equal(stream_open(paths, 1, &r, &e), 0);
    while (stream_read(r, &b, &e) > 0) {
        tensor *t = batch_find(b, "number");
        memcpy(drawn + count, t->data, b->rows * sizeof *drawn);
        count += b->rows;
    }
    assert_int_equal(stream_rows(r), count);
    stream_close(r);
    unlink(path);
    return count;
}

static void draws_in_order_whatever_the_batches(void **state)
{
    (void)state;
    uint32_t a[ROWS], b[ROWS];
    assert_int_equal(draw(1, ROWS, a), 2 * PER_CLASS);
    size_t of_b = 0;
    for (size_t i = 0; i < 2 * PER_CLASS; i++) {
        assert_true(i == 0 || a[i - 1] < a[i]);
        of_b += a[i] % 4 == 3;
    }
    assert_int_equal(of_b, PER_CLASS);
    for (size_t step = 1; step < 8; step++) {
        assert_int_equal(draw(1, step, b), 2 * PER_CLASS);
        assert_memory_equal(a, b, 2 * PER_CLASS * sizeof *a);
    }
    assert_int_equal(draw(2, ROWS, b), 2 * PER_CLASS);
    assert_memory_not_equal(a, b, 2 * PER_CLASS * sizeof *a);
}

static void draws_every_row_equally_often(void **state)
{
    (void)state;
    enum { SEEDS = 2000 };
    unsigned times[ROWS] = {0};
    uint32_t drawn[ROWS];
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        size_t count = draw(seed, 16, drawn);
        for (size_t i = 0; i < count; i++)
            times[drawn[i]]++;
    }
    for (size_t i = 0; i < ROWS; i++) {
        /* Class 0 has 45 rows, class 1 has 15. Five standard deviations of a binomial count. */
        double p = i % 4 == 3 ? PER_CLASS / 15.0 : PER_CLASS / 45.0;
        double off = times[i] - SEEDS * p;
        if (off * off > 25 * SEEDS * p * (1 - p))
            fail_msg("row %zu was drawn %u times where %.0f are expected", i, times[i], SEEDS * p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws_in_order_whatever_the_batches),
        cmocka_unit_test(draws_every_row_equally_often),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
