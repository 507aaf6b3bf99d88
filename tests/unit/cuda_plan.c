/* cuda_plan.c: what kernels/cuda plans before a GPU is there: which layers run in one pass, where
 * every array lies, and how a call is cut into launches. */
#include "fixture.h"

#include "../../kernels/cuda/host/device_plan.h"

/* ---- arena ---- */

static bool overlap(size_t a, size_t a_bytes, size_t b, size_t b_bytes)
{
    return a_bytes && b_bytes && a < b + b_bytes && b < a + a_bytes;
}

static void arrays_needed_together_lie_apart(void **state)
{
    (void)state;
    draws s = draw_named("arena");
    for (int turn = 0; turn < 200; turn++) {
        arena_block blocks[40];
        size_t count = 1 + draw_below(&s, 40), sum = 0;
        for (size_t i = 0; i < count; i++) {
            size_t first = draw_below(&s, 20);
            blocks[i] =
                (arena_block){draw_below(&s, 5000), first, first + draw_below(&s, 8), SIZE_MAX};
            sum += blocks[i].bytes + ARENA_ALIGNMENT;
        }
        size_t bytes = arena_layout(blocks, count);
        assert_true(bytes <= sum);
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(blocks[i].offset % ARENA_ALIGNMENT, 0);
            assert_true(blocks[i].offset + blocks[i].bytes <= bytes);
            for (size_t j = 0; j < i; j++)
                if (blocks[i].first <= blocks[j].last && blocks[j].first <= blocks[i].last)
                    assert_false(overlap(blocks[i].offset, blocks[i].bytes, blocks[j].offset,
                                         blocks[j].bytes));
        }
    }
}

static void arrays_of_other_times_share_memory(void **state)
{
    (void)state;
    arena_block chain[10];
    for (size_t i = 0; i < 10; i++) /* each is read while the next is written */
        chain[i] = (arena_block){1 << 20, i, i + 1, 0};
    assert_int_equal(arena_layout(chain, 10), 2 << 20);
}

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

/* ---- plans ---- */

typedef struct {
    network net;
    plan plan;
} planned;

static planned plan_text(const char *text, extent input, size_t batch, bool training, bool freeze,
                         precision_kind precision)
{
    static planned p; /* the plan holds its network's address */
    p = (planned){0};
    must(network_parse(text, input, HEAD_COSINE, 9, &p.net, e));
    program_spec spec = {
        .net = &p.net, .batch = batch, .training = training, .freeze_backbone = freeze};
    must(device_plan_new(&spec, precision, &p.plan, e));
    return p;
}

static void planned_free(planned *p)
{
    device_plan_free(&p->plan);
    network_free(&p->net);
}

static const extent colour = {32, 32, 3};

static void keras_cnn_takes_seven_passes(void **state)
{
    (void)state;
    static const struct {
        op_kind kind;
        bool relu, settled, settles;
        float drop;
        mask_kind mask;
    } passes[] = {{OP_CONV, true, false, false, 0, MASK_POSITIVE},
                  {OP_CONV, true, true, false, 0, MASK_POSITIVE},
                  {OP_MAXPOOL, false, false, true, 0.25f, MASK_POSITIVE},
                  {OP_CONV, true, false, false, 0, MASK_POSITIVE},
                  {OP_CONV, true, true, false, 0, MASK_POSITIVE},
                  {OP_MAXPOOL, false, false, true, 0.25f, MASK_POSITIVE},
                  {OP_DENSE, true, false, false, 0.5f, MASK_POSITIVE}};
    planned p = plan_text("keras-cnn", colour, 64, true, false, PRECISION_BF16);
    assert_int_equal(p.plan.count, sizeof passes / sizeof *passes);
    for (size_t i = 0; i < p.plan.count; i++) {
        const operation *o = &p.plan.ops[i];
        assert_int_equal(o->kind, passes[i].kind);
        assert_int_equal(o->relu, passes[i].relu);
        assert_int_equal(o->settled, passes[i].settled);
        assert_int_equal(o->settles != NOWHERE, passes[i].settles);
        assert_true(o->settles == NOWHERE || o->settles == i - 1);
        assert_true(o->drop == passes[i].drop);
        assert_int_equal(o->mask, passes[i].mask);
        assert_true(o->back);
        assert_int_equal(o->want_d_input, i > 0);
    }
    planned_free(&p);
}

static void channels_are_padded_for_tensor_cores_alone(void **state)
{
    (void)state;
    planned wide = plan_text("conv:3x3x16 relu", colour, 4, true, false, PRECISION_FP32);
    assert_int_equal(wide.plan.ops[0].in_channels, 3);
    assert_int_equal(wide.plan.parameters[0].padded, 3);
    planned_free(&wide);
    planned narrow = plan_text("conv:3x3x16 relu", colour, 4, true, false, PRECISION_BF16);
    assert_int_equal(narrow.plan.ops[0].in_channels, 8);
    assert_int_equal(narrow.plan.parameters[0].inner, 3);
    assert_int_equal(narrow.plan.parameters[0].padded, 8);
    assert_true(narrow.plan.parameters[0].narrow);
    planned_free(&narrow);
    planned dense = plan_text("dense:16 relu", colour, 4, true, false, PRECISION_BF16);
    assert_int_equal(dense.plan.input_channels, 3);
    assert_false(dense.plan.parameters[0].narrow); /* cuBLAS gives these in float */
    planned_free(&dense);
}

static const char *const texts[] = {
    "",
    "keras-cnn",
    "resnet9",
    "relu",
    "dense:17 relu dropout:0.5 dense:8",
    "conv:3x3x8:same save conv:3x3x8:same relu add",
    "conv:3x3x4:same save save conv:3x3x4:same relu add scale:0.5 add relu",
    "conv:3x3x4:same save dropout:0.25 add dropout:0.25 relu",
    "save conv:3x3x3:same add maxpool:2",
    "conv:3x3x8:same batchnorm:4 relu maxpool:2 dropout:0.5 avgpool",
    "dropout:0.5",
};
enum { TEXTS = sizeof texts / sizeof *texts };

/* An array of a plan: its place and bytes. */
typedef struct {
    const char *name;
    size_t at, bytes;
} array;

/* All arrays of a training program that must not lie on each other. */
static size_t arrays_of(const plan *p, array *all)
{
    const network *n = p->net;
    size_t count = 0, floats = n->total * sizeof(float);
    const array own[] = {
        {"input", p->input,
         p->batch * n->input.height * n->input.width * p->input_channels * p->element},
        {"master", p->master, floats},
        {"first", p->first, floats},
        {"second", p->second, floats},
        {"labels", p->labels, p->batch * 4},
        {"logits", p->d_logits, p->batch * n->class_count * 4},
        {"cosines", p->cosines, p->batch * n->class_count * 4},
        {"norms", p->inverse_norms, p->batch * 4},
        {"sums", p->row_sums, p->batch * 16},
        {"state", p->state, sizeof(step_state)},
        {"tickets", p->head_tickets, 4},
        {"d_embedding", p->d_embedding, p->batch * n->dimension * p->element}};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        all[count++] = own[i];
    for (size_t i = 0; i < p->count; i++) {
        const operation *o = &p->ops[i];
        if (o->output != o->input)
            all[count++] =
                (array){"output", o->output, p->batch * extent_size(o->out) * p->element};
        if (o->argmax != NOWHERE)
            all[count++] = (array){"argmax", o->argmax, p->batch * extent_size(o->out) * 2};
        if (o->d_masked != NOWHERE && o->d_masked != o->d_output)
            all[count++] =
                (array){"d_masked", o->d_masked, p->batch * extent_size(o->out) * p->element};
        if (o->d_input != NOWHERE && o->d_input != o->d_output)
            all[count++] =
                (array){"d_input", o->d_input, p->batch * extent_size(o->in) * p->element};
        all[count++] = (array){"op's tickets", o->tickets, 8};
    }
    for (size_t k = 0; k < n->parameter_count; k++) {
        const plan_parameter *q = &p->parameters[k];
        size_t stored = n->parameters[k].count / q->inner * q->padded;
        all[count++] = (array){"gradient", q->gradient, stored * (q->narrow ? p->element : 4)};
        if (q->copy != NOWHERE)
            all[count++] = (array){"copy", q->copy, stored * p->element};
    }
    return count;
}

static void training_arrays_lie_apart_and_within(void **state)
{
    (void)state;
    for (size_t t = 0; t < 2 * TEXTS; t++) {
        precision_kind precision = t < TEXTS ? PRECISION_FP32 : PRECISION_BF16;
        planned p = plan_text(texts[t % TEXTS], colour, 5, true, false, precision);
        array *all = array_new(64 + 8 * p.plan.count + 4 * p.net.parameter_count, sizeof *all);
        size_t count = arrays_of(&p.plan, all);
        for (size_t i = 0; i < count; i++) {
            assert_true(all[i].at != NOWHERE && all[i].at + all[i].bytes <= p.plan.bytes);
            assert_int_equal(all[i].at % ARENA_ALIGNMENT, 0);
            for (size_t j = 0; j < i; j++)
                if (overlap(all[i].at, all[i].bytes, all[j].at, all[j].bytes))
                    fail_msg("[%s]: %s lies on %s", texts[t % TEXTS], all[i].name, all[j].name);
        }
        /* Tickets and state are in what is cleared at the beginning. */
        assert_true(p.plan.zeroed <= p.plan.state && p.plan.state < p.plan.zeroed_end);
        free(all);
        planned_free(&p);
    }
}

/* Going back, each operation takes what the one behind it gives. */
static void gradients_are_handed_down(void **state)
{
    (void)state;
    for (size_t t = 0; t < TEXTS; t++) {
        planned p = plan_text(texts[t], colour, 5, true, false, PRECISION_BF16);
        size_t at = p.plan.d_embedding;
        for (size_t i = p.plan.count; i-- > 0 && p.plan.ops[i].back;) {
            assert_int_equal(p.plan.ops[i].d_output, at);
            at = p.plan.ops[i].d_input;
            assert_true(at != NOWHERE || !p.plan.ops[i].want_d_input);
        }
        planned_free(&p);
    }
}

/* What an inference program still has to read is not written over. */
static void inference_keeps_what_is_still_read(void **state)
{
    (void)state;
    for (size_t t = 0; t < TEXTS; t++) {
        planned p = plan_text(texts[t], colour, 5, false, false, PRECISION_BF16);
        for (size_t i = 0; i < p.plan.count; i++) {
            const operation *writer = &p.plan.ops[i];
            size_t bytes = p.plan.batch * extent_size(writer->out) * p.plan.element;
            assert_true(writer->output + bytes <= p.plan.bytes);
            assert_true(writer->d_output == NOWHERE && writer->argmax == NOWHERE);
            if (writer->kind == OP_SAVE)
                continue;
            assert_false(overlap(writer->output, bytes, writer->input,
                                 p.plan.batch * extent_size(writer->in) * p.plan.element));
            for (size_t j = i; j < p.plan.count; j++) { /* saved before, added after */
                const operation *add = &p.plan.ops[j];
                if (add->kind != OP_ADD || add->partner > i)
                    continue;
                assert_false(overlap(writer->output, bytes, add->other,
                                     p.plan.batch * extent_size(add->out) * p.plan.element));
            }
        }
        planned_free(&p);
    }
}

static void inference_wants_less_memory(void **state)
{
    (void)state;
    planned training = plan_text("keras-cnn", colour, 1024, true, false, PRECISION_BF16);
    size_t most = training.plan.bytes;
    planned_free(&training);
    planned infer = plan_text("keras-cnn", colour, 1024, false, false, PRECISION_BF16);
    assert_true(infer.plan.bytes < most / 2);
    for (size_t q = 0; q < infer.net.parameter_count; q++)
        assert_true(infer.plan.parameters[q].gradient == NOWHERE);
    planned_free(&infer);
}

static void a_frozen_backbone_is_not_gone_back_through(void **state)
{
    (void)state;
    planned p = plan_text("resnet9", colour, 8, true, true, PRECISION_BF16);
    for (size_t i = 0; i < p.plan.count; i++)
        assert_false(p.plan.ops[i].back);
    for (size_t q = 0; q < p.net.parameter_count; q++)
        assert_int_equal(p.plan.parameters[q].learns,
                         q == p.net.head_scale || q == p.net.head_weight);
    planned_free(&p);
}

static void only_weights_decay(void **state)
{
    (void)state;
    planned p =
        plan_text("conv:3x3x8 batchnorm relu dense:8", colour, 8, true, false, PRECISION_FP32);
    for (size_t q = 0; q < p.net.parameter_count; q++) {
        const parameter *of = &p.net.parameters[q];
        assert_int_equal(p.plan.parameters[q].decays, of->initial == INITIAL_GLOROT);
        assert_int_equal(p.plan.parameters[q].learns, of->trainable);
    }
    planned_free(&p);
}

static void what_cannot_be_done_is_refused(void **state)
{
    (void)state;
    network net;
    plan out;
    error e = {""};
    must(network_parse("maxpool:all", (extent){300, 300, 1}, HEAD_COSINE, 2, &net, e));
    program_spec spec = {.net = &net, .batch = 2};
    assert_int_equal(device_plan_new(&spec, PRECISION_FP32, &out, &e), -1);
    assert_non_null(strstr(e.text, "a pool of 300x300"));
    spec.batch = 0;
    assert_int_equal(device_plan_new(&spec, PRECISION_FP32, &out, &e), -1);
    assert_non_null(strstr(e.text, "no rows"));
    network_free(&net);
    /* 2^31 elements of a tensor, and one fewer picture. */
    must(network_parse("conv:3x3x32:same", (extent){32, 32, 3}, HEAD_COSINE, 2, &net, e));
    spec = (program_spec){.net = &net, .batch = 65536};
    assert_int_equal(device_plan_new(&spec, PRECISION_BF16, &out, &e), -1);
    assert_non_null(strstr(e.text, "take a smaller --batch"));
    spec.batch--;
    must(device_plan_new(&spec, PRECISION_BF16, &out, e));
    device_plan_free(&out);
    network_free(&net);
    /* As many groups as a grid has blocks, and one more. */
    must(network_parse("dense:2 batchnorm:1", (extent){1, 1, 1}, HEAD_COSINE, 2, &net, e));
    spec = (program_spec){.net = &net, .batch = 65536, .training = true};
    assert_int_equal(device_plan_new(&spec, PRECISION_FP32, &out, &e), -1);
    assert_non_null(strstr(e.text, "take a smaller --batch"));
    spec.batch--;
    must(device_plan_new(&spec, PRECISION_FP32, &out, e));
    device_plan_free(&out);
    network_free(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arrays_needed_together_lie_apart),
        cmocka_unit_test(arrays_of_other_times_share_memory),
        cmocka_unit_test(launches_do_every_row_once),
        cmocka_unit_test(groups_of_rows),
        cmocka_unit_test(keras_cnn_takes_seven_passes),
        cmocka_unit_test(channels_are_padded_for_tensor_cores_alone),
        cmocka_unit_test(training_arrays_lie_apart_and_within),
        cmocka_unit_test(gradients_are_handed_down),
        cmocka_unit_test(inference_keeps_what_is_still_read),
        cmocka_unit_test(inference_wants_less_memory),
        cmocka_unit_test(a_frozen_backbone_is_not_gone_back_through),
        cmocka_unit_test(only_weights_decay),
        cmocka_unit_test(what_cannot_be_done_is_refused),
    };
    fixture_begin();
    return cmocka_run_group_tests_name("cuda_plan", tests, NULL, NULL);
}
