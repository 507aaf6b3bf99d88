/* cuda_places.c: what kernels/cuda plans before a GPU is there: where the copies and gradients of
 * parameters lie, what is refused, and how a call is cut into launches. */
#include "fixture.h"

#include "../../kernels/cuda/places.h"

/* ---- launches ---- */

static void launches_do_every_row_once(void **state)
{
    (void)state;
    draws s = draw_named("launches");
    for (int turn = 0; turn < 300; turn++) {
        size_t batch = 1 + draw_below(&s, 100), rows = draw_below(&s, 5000), left = rows;
        size_t launches = 0, sizes = 0, last = 0;
        while (left > 0) {
            launch l = launch_next(left, batch, 16);
            assert_true(l.steps >= 1 && l.steps <= 16 && l.rows >= 1 && l.rows <= batch);
            assert_true(l.rows * l.steps <= left);
            assert_true(l.rows == batch || left < batch); /* only the end is smaller */
            sizes += l.rows != last;
            last = l.rows;
            left -= l.rows * l.steps;
            launches++;
        }
        assert_true(sizes <= 2);
        assert_true(launches <= rows / batch / 16 + 16);
    }
    assert_int_equal(launch_next(0, 64, 16).steps, 0);
}

static void groups_of_rows(void **state)
{
    (void)state;
    assert_int_equal(norm_groups(64, 0), 1);
    assert_int_equal(norm_groups(64, 32), 2);
    assert_int_equal(norm_groups(65, 32), 3);
    assert_int_equal(norm_groups(32, 32), 1);
    assert_int_equal(norm_groups(7, 32), 1);
    for (size_t groups = 1; groups <= 1000;
         groups++) /* never more partial sums than there is room for */
        assert_true(norm_chunks(groups) * groups <=
                    (groups > COLUMN_CHUNKS ? groups : COLUMN_CHUNKS));
}

/* ---- places ---- */

typedef struct {
    network net;
    plan plan;
    places places;
} placed;

static placed *place_text(const char *text, bool training, bool freeze, precision_kind precision)
{
    static placed p; /* the plan holds its network's address */
    p = (placed){0};
    must(network_parse(text, (extent){32, 32, 3}, HEAD_COSINE, 9, &p.net, e));
    program_spec spec = {
        .net = &p.net, .batch = 5, .training = training, .frozen = freeze ? p.net.layer_count : 0};
    must(places_new(&spec, precision, &p.plan, &p.places, e));
    return &p;
}

static void placed_free(placed *p)
{
    places_free(&p->places);
    plan_free(&p->plan);
    network_free(&p->net);
}

static void channels_are_padded_for_tensor_cores_alone(void **state)
{
    (void)state;
    placed *p = place_text("conv:3x3x16 relu", true, false, PRECISION_FP32);
    assert_int_equal(p->plan.input_channels, 3);
    assert_int_equal(p->places.parameters[0].padded, 3);
    placed_free(p);
    p = place_text("conv:3x3x16 relu", true, false, PRECISION_BF16);
    assert_int_equal(p->plan.input_channels, 8);
    assert_int_equal(p->places.parameters[0].inner, 3);
    assert_int_equal(p->places.parameters[0].padded, 8);
    assert_true(p->places.parameters[0].bf16);
    placed_free(p);
    p = place_text("dense:16 relu", true, false, PRECISION_BF16);
    assert_int_equal(p->plan.input_channels, 3);
    assert_false(p->places.parameters[0].bf16); /* cuBLAS gives these in float */
    placed_free(p);
}

/* A block has the bytes that what lies there wants, all the time. */
static void block_holds(const placed *p, size_t block, size_t bytes)
{
    assert_true(block < p->plan.arena.count);
    assert_true(p->plan.arena.blocks[block].bytes >= bytes);
    assert_int_equal(p->plan.arena.blocks[block].first, 0);
    assert_true(p->plan.arena.blocks[block].last == SIZE_MAX);
}

static void parameters_have_places(void **state)
{
    (void)state;
    for (int precision = 0; precision < 2; precision++) {
        placed *p = place_text("resnet9", true, false, precision ? PRECISION_BF16 : PRECISION_FP32);
        block_holds(p, p->places.master, p->net.total * 4);
        block_holds(p, p->places.second, p->net.total * 4);
        block_holds(p, p->places.state, sizeof(step_state));
        for (size_t i = 0; i < p->net.parameter_count; i++) {
            const parameter_places *q = &p->places.parameters[i];
            size_t stored = p->net.parameters[i].count / q->inner * q->padded;
            block_holds(p, q->gradient, stored * (q->bf16 ? 2 : 4));
            if (q->copy != NOWHERE)
                block_holds(p, q->copy, stored * (precision ? 2 : 4));
        }
        for (size_t i = 0; i < p->plan.count; i++) {
            const layer_places *q = &p->places.layers[i];
            size_t channels = p->plan.layers[i].out.channels;
            block_holds(p, q->arrivals, 8);
            assert_int_equal(q->weight != NOWHERE, fused_multiplies(&p->plan.layers[i]));
            if (fused_learns(&p->plan.layers[i]))
                block_holds(p, q->partials, COLUMN_CHUNKS * channels * 4);
        }
        placed_free(p);
    }
    placed *p = place_text("resnet9", false, false, PRECISION_BF16);
    for (size_t i = 0; i < p->net.parameter_count; i++)
        assert_true(p->places.parameters[i].gradient == NOWHERE);
    placed_free(p);
}

static void a_frozen_backbone_does_not_learn(void **state)
{
    (void)state;
    placed *p = place_text("resnet9", true, true, PRECISION_BF16);
    for (size_t q = 0; q < p->net.parameter_count; q++)
        assert_int_equal(p->places.parameters[q].learns,
                         q == p->net.head_scale || q == p->net.head_weight);
    placed_free(p);
}

static void only_weights_decay(void **state)
{
    (void)state;
    placed *p = place_text("conv:3x3x8 batchnorm relu dense:8", true, false, PRECISION_FP32);
    for (size_t q = 0; q < p->net.parameter_count; q++) {
        const parameter *of = &p->net.parameters[q];
        assert_int_equal(p->places.parameters[q].decays, of->initial == INITIAL_GLOROT);
        assert_int_equal(p->places.parameters[q].learns, of->trainable);
    }
    placed_free(p);
}

static void what_cannot_be_done_is_refused(void **state)
{
    (void)state;
    network net;
    plan out;
    places at;
    error e = {""};
    must(network_parse("maxpool:all", (extent){300, 300, 1}, HEAD_COSINE, 2, &net, e));
    program_spec spec = {.net = &net, .batch = 2};
    assert_int_equal(places_new(&spec, PRECISION_FP32, &out, &at, &e), -1);
    assert_non_null(strstr(e.text, "a pool of 300x300"));
    spec.batch = 0;
    assert_int_equal(places_new(&spec, PRECISION_FP32, &out, &at, &e), -1);
    assert_non_null(strstr(e.text, "no rows"));
    network_free(&net);
    /* 2^31 elements of a tensor, and one fewer picture. */
    must(network_parse("conv:3x3x32:same", (extent){32, 32, 3}, HEAD_COSINE, 2, &net, e));
    spec = (program_spec){.net = &net, .batch = 65536};
    assert_int_equal(places_new(&spec, PRECISION_BF16, &out, &at, &e), -1);
    assert_non_null(strstr(e.text, "take a smaller --batch"));
    spec.batch--;
    must(places_new(&spec, PRECISION_BF16, &out, &at, e));
    places_free(&at);
    plan_free(&out);
    network_free(&net);
    /* As many groups as a grid has blocks, and one more. */
    must(network_parse("dense:2 batchnorm:1", (extent){1, 1, 1}, HEAD_COSINE, 2, &net, e));
    spec = (program_spec){.net = &net, .batch = 65536, .training = true};
    assert_int_equal(places_new(&spec, PRECISION_FP32, &out, &at, &e), -1);
    assert_non_null(strstr(e.text, "take a smaller --batch"));
    spec.batch--;
    must(places_new(&spec, PRECISION_FP32, &out, &at, e));
    places_free(&at);
    plan_free(&out);
    network_free(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(launches_do_every_row_once),
        cmocka_unit_test(groups_of_rows),
        cmocka_unit_test(channels_are_padded_for_tensor_cores_alone),
        cmocka_unit_test(parameters_have_places),
        cmocka_unit_test(a_frozen_backbone_does_not_learn),
        cmocka_unit_test(only_weights_decay),
        cmocka_unit_test(what_cannot_be_done_is_refused),
    };
    return cmocka_run_group_tests_name("cuda_places", tests, NULL, NULL);
}
