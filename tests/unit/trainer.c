/* Epochs in pieces: every row once, in order, at the right rate, whatever the pieces. */
#include "../../src/training/trainer.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ROWS = 1003, BATCH = 10 };

typedef struct {
    uint32_t seen[4 * ROWS];
    float rates[ROWS];
    size_t rows, steps, calls, stop_after;
    float loss;
    bool fail;
} record;

static record made;

static int record_train(backend *b, program *p, const uint32_t *order, size_t rows,
                        const float *rate, metrics *total, error *e)
{
    (void)b, (void)p;
    if (made.fail)
        return error_set(e, "the device is gone");
    /* Only the epoch's last piece may have a short step. */
    assert_true(rows % BATCH == 0 || made.rows % ROWS + rows == ROWS);
    memcpy(made.seen + made.rows, order, rows * sizeof *order);
    size_t steps = (rows + BATCH - 1) / BATCH;
    memcpy(made.rates + made.steps, rate, steps * sizeof *rate);
    made.rows += rows;
    made.steps += steps;
    made.calls++;
    total->rows += rows;
    total->loss += made.loss * (float)rows;
    return 0;
}

static bool ask(void *context, const metrics *so_far)
{
    assert_ptr_equal(context, &made);
    assert_true(so_far->rows > 0);
    return made.calls != made.stop_after;
}

static backend recorder = {.name = "recorder", .train = record_train};
static const schedule rates = {.kind = SCHEDULE_CONSTANT, .rate = 1, .decay = 1};

static int begin(void **state)
{
    (void)state;
    made = (record){.loss = 2};
    return 0;
}

static trainer make(void)
{
    return (trainer){
        .device = &recorder, .rates = &rates, .batch = BATCH, .proceed = ask, .context = &made};
}

static void fill(uint32_t *order)
{
    for (size_t i = 0; i < ROWS; i++)
        order[i] = (uint32_t)(i * 7 % ROWS);
}

static void an_epoch_takes_every_row_in_order(void **state)
{
    (void)state;
    uint32_t order[ROWS];
    metrics total;
    error e = {""};
    trainer t = make();
    fill(order);
    for (size_t epoch = 0; epoch < 2; epoch++) {
        assert_int_equal(trainer_epoch(&t, order, ROWS, &total, &e), 0);
        assert_int_equal(total.rows, ROWS);
        assert_memory_equal(made.seen + epoch * ROWS, order, sizeof order);
    }
    assert_int_equal(t.step, 2 * 101);
    for (size_t i = 0; i < 202; i++)
        assert_float_equal(made.rates[i], 1.0 / (1.0 + (double)i), 1e-6);
    assert_true(made.calls > 2);
}

static void many_quick_epochs_end(void **state)
{
    (void)state;
    uint32_t order[ROWS];
    metrics total;
    error e = {""};
    trainer t = make();
    fill(order);
    for (size_t epoch = 0; epoch < 200; epoch++) {
        made.rows = made.steps = 0;
        assert_int_equal(trainer_epoch(&t, order, ROWS, &total, &e), 0);
    }
    assert_true(t.piece <= 256);
}

static void it_stops_after_a_piece(void **state)
{
    (void)state;
    uint32_t order[ROWS];
    metrics total;
    error e = {""};
    trainer t = make();
    fill(order);
    made.stop_after = 2;
    assert_int_equal(trainer_epoch(&t, order, ROWS, &total, &e), 1);
    assert_int_equal(made.calls, 2);
    assert_true(total.rows < ROWS);
}

static void failures_travel_up(void **state)
{
    (void)state;
    uint32_t order[ROWS];
    metrics total;
    error e = {""};
    trainer t = make();
    fill(order);
    made.fail = true;
    assert_int_equal(trainer_epoch(&t, order, ROWS, &total, &e), -1);
    assert_string_equal(e.text, "the device is gone");
}

static void a_loss_that_is_no_number_ends_it(void **state)
{
    (void)state;
    uint32_t order[ROWS];
    metrics total;
    error e = {""};
    trainer t = make();
    fill(order);
    made.loss = NAN;
    assert_int_equal(trainer_epoch(&t, order, ROWS, &total, &e), -1);
    assert_non_null(strstr(e.text, "lower --rate"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(an_epoch_takes_every_row_in_order, begin),
        cmocka_unit_test_setup(many_quick_epochs_end, begin),
        cmocka_unit_test_setup(it_stops_after_a_piece, begin),
        cmocka_unit_test_setup(failures_travel_up, begin),
        cmocka_unit_test_setup(a_loss_that_is_no_number_ends_it, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
