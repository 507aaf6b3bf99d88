/* The embedder against a device that is as late as the contract of embed_submit allows: it computes
 * nothing before a third submission or a wait forces it to, and spoils what it has not written yet.
 * */
#include "../../kernels/embedder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Pictures of 1 x 3 x 1; an embedding is {left pixel, right pixel, 1000 * view + row in the
 * stream}. */
enum { WIDTH = 3, DIMENSION = 3 };

typedef struct {
    const uint8_t *images;
    size_t rows;
    uint64_t first_row;
    uint32_t view;
    float *to;
} work;

typedef struct {
    work waiting[2];
    size_t count, allocations;
    bool fail;
} late_device;

static late_device device;

static void compute(void)
{
    work *w = &device.waiting[0];
    for (size_t i = 0; i < w->rows; i++) {
        w->to[i * DIMENSION] = w->images[i * WIDTH];
        w->to[i * DIMENSION + 1] = w->images[i * WIDTH + 2];
        w->to[i * DIMENSION + 2] = 1000.0f * (float)w->view + (float)(w->first_row + i);
    }
    device.waiting[0] = device.waiting[1];
    device.count--;
}

static int late_submit(backend *b, program *p, const uint8_t *images, size_t rows,
                       uint64_t first_row, uint32_t view, float *embeddings, error *e)
{
    (void)b, (void)p;
    if (device.fail)
        return error_set(e, "the device is gone");
    if (device.count == 2)
        compute();
    memset(embeddings, 0xff, rows * DIMENSION * sizeof *embeddings);
    device.waiting[device.count++] = (work){images, rows, first_row, view, embeddings};
    return 0;
}

static int late_wait(backend *b, program *p, error *e)
{
    (void)b, (void)p, (void)e;
    while (device.count > 0)
        compute();
    return 0;
}

static int make_program(backend *b, const program_spec *spec, program **out, error *e)
{
    (void)b, (void)e;
    assert_false(spec->training);
    *out = (program *)&device;
    return 0;
}

static int take_parameters(backend *b, program *p, const float *parameters, error *e)
{
    (void)b, (void)p, (void)parameters, (void)e;
    return 0;
}

static void free_program(backend *b, program *p)
{
    (void)b, (void)p;
}

static void *take_memory(backend *b, size_t bytes)
{
    (void)b;
    device.allocations++;
    return malloc(bytes);
}

static void free_memory(backend *b, void *memory)
{
    (void)b;
    device.allocations--;
    free(memory);
}

static backend late = {
    .name = "late",
    .program_new = make_program,
    .program_free = free_program,
    .parameters_set = take_parameters,
    .embed_submit = late_submit,
    .embed_wait = late_wait,
    .host_alloc = take_memory,
    .host_free = free_memory,
};

static const network net = {.input = {1, WIDTH, 1}, .dimension = DIMENSION};

static int begin(void **state)
{
    device = (late_device){.count = 0};
    embedder **m = malloc(sizeof *m);
    *m = NULL;
    *state = m;
    return 0;
}

static int end(void **state)
{
    embedder_free(*(embedder **)*state);
    free(*state);
    return device.allocations == 0 ? 0 : -1;
}

static embedder *make(void **state, embedder_options options)
{
    error e = {""};
    embedder **m = *state;
    assert_int_equal(embedder_new(&late, &net, NULL, &options, m, &e), 0);
    return *m;
}

/* Picture i: {i, 50, 255 - i}. */
static void submit_rows(embedder *m, size_t first, size_t rows)
{
    error e = {""};
    for (size_t i = 0; i < rows; i++) {
        uint8_t *pixel = embedder_images(m) + i * WIDTH;
        pixel[0] = (uint8_t)(first + i);
        pixel[1] = 50;
        pixel[2] = (uint8_t)(255 - first - i);
    }
    assert_int_equal(embedder_submit(m, rows, &e), 0);
}

/* Feeds slots of these sizes, collecting all the while; checks each row as it comes. */
static void run(embedder *m, const size_t *sizes, size_t count, size_t views,
                void (*check)(const float *embedding, size_t picture, size_t view))
{
    error e = {""};
    embedder_result done;
    size_t fed = 0, collected = 0, slots = 0;
    for (size_t i = 0; i <= count; i++) {
        if (i < count) {
            submit_rows(m, fed, sizes[i]);
            fed += sizes[i];
        }
        while (embedder_collect(m, i == count, &done, &e) > 0) {
            assert_int_equal(done.slot, slots % EMBEDDER_SLOTS);
            assert_int_equal(done.pictures, sizes[slots++]);
            assert_int_equal(done.rows, done.pictures * views);
            for (size_t row = 0; row < done.rows; row++)
                check(done.embeddings + row * DIMENSION, collected + row / views, row % views);
            collected += done.pictures;
        }
    }
    assert_int_equal(collected, fed);
}

static const size_t sizes[] = {4, 4, 1, 4, 2, 4, 4, 3};
enum { SIZES = sizeof sizes / sizeof *sizes };

static void check_plain(const float *embedding, size_t picture, size_t view)
{
    assert_int_equal(view, 0);
    assert_float_equal(embedding[0], picture, 0);
    assert_float_equal(embedding[1], 255 - picture, 0);
    assert_float_equal(embedding[2], picture, 0);
}

static void rows_come_back_in_order(void **state)
{
    run(make(state, (embedder_options){.batch = 4, .views = 1}), sizes, SIZES, 1, check_plain);
}

static void one_short_slot_comes_back(void **state)
{
    run(make(state, (embedder_options){.batch = 4, .views = 1}), sizes + 2, 1, 1, check_plain);
}

static void nothing_gives_nothing(void **state)
{
    run(make(state, (embedder_options){.batch = 4, .views = 1}), sizes, 0, 1, check_plain);
}

static void check_view(const float *embedding, size_t picture, size_t view)
{
    assert_float_equal(embedding[0], picture, 0);
    assert_float_equal(embedding[2], 1000 * view + picture, 0);
}

static void views_of_a_picture_stand_together(void **state)
{
    run(make(state, (embedder_options){.batch = 4, .views = 3}), sizes, SIZES, 3, check_view);
}

static void check_average(const float *embedding, size_t picture, size_t view)
{
    assert_int_equal(view, 0);
    assert_float_equal(embedding[0], picture, 1e-4);
    assert_float_equal(embedding[2], 1000 + picture, 1e-3);
}

static void views_average(void **state)
{
    run(make(state, (embedder_options){.batch = 4, .views = 3, .average = true}), sizes, SIZES, 1,
        check_average);
}

static void check_mirror(const float *embedding, size_t picture, size_t view)
{
    assert_float_equal(embedding[0], 127.5, 0);
    assert_float_equal(embedding[1], 127.5, 0);
    assert_float_equal(embedding[2], 1000 * view + picture, 0);
}

static void mirror_images_average(void **state)
{
    run(make(state, (embedder_options){.batch = 4, .views = 1, .mirror = true}), sizes, SIZES, 1,
        check_mirror);
}

static void mirrored_views_stand_together(void **state)
{
    run(make(state, (embedder_options){.batch = 4, .views = 2, .mirror = true}), sizes, SIZES, 2,
        check_mirror);
}

static void failure_travels_up(void **state)
{
    error e = {""};
    embedder *m = make(state, (embedder_options){.batch = 4, .views = 1});
    submit_rows(m, 0, 4);
    device.fail = true;
    assert_int_equal(embedder_submit(m, 4, &e), -1);
    assert_string_equal(e.text, "the device is gone");
}

static void mirror_turns_lines(void **state)
{
    (void)state;
    const uint8_t from[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    const uint8_t expected[] = {5, 6, 3, 4, 1, 2, 11, 12, 9, 10, 7, 8};
    uint8_t to[12];
    pictures_mirror(from, 1, (extent){2, 3, 2}, to);
    assert_memory_equal(to, expected, sizeof to);
    pictures_mirror(from, 2, (extent){1, 3, 2}, to);
    assert_memory_equal(to, expected, sizeof to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(rows_come_back_in_order, begin, end),
        cmocka_unit_test_setup_teardown(one_short_slot_comes_back, begin, end),
        cmocka_unit_test_setup_teardown(nothing_gives_nothing, begin, end),
        cmocka_unit_test_setup_teardown(views_of_a_picture_stand_together, begin, end),
        cmocka_unit_test_setup_teardown(views_average, begin, end),
        cmocka_unit_test_setup_teardown(mirror_images_average, begin, end),
        cmocka_unit_test_setup_teardown(mirrored_views_stand_together, begin, end),
        cmocka_unit_test_setup_teardown(failure_travels_up, begin, end),
        cmocka_unit_test(mirror_turns_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
