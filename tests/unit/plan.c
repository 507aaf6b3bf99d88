/* plan.c: what kernels/plan plans: which layers run in one pass, and that no array is written over
 * while it is still read. */
#include "fixture.h"

#include "../../kernels/plan/plan.h"

/* ---- arena ---- */

static bool overlap(const arena_block *a, const arena_block *b)
{
    return a->offset < b->offset + b->bytes && b->offset < a->offset + a->bytes;
}

static void arrays_needed_together_lie_apart(void **state)
{
    (void)state;
    draws s = draw_named("arena");
    for (int turn = 0; turn < 200; turn++) {
        arena a = {0};
        size_t count = 1 + draw_below(&s, 40), sum = 0;
        for (size_t i = 0; i < count; i++) {
            size_t first = draw_below(&s, 20), bytes = draw_below(&s, 5000);
            arena_use(&a, arena_add(&a, bytes, first, first), first + draw_below(&s, 8));
            sum += bytes + ARENA_ALIGNMENT;
        }
        must(arena_lay_out(&a, e));
        assert_int_equal(a.count, count);
        assert_true(a.bytes <= sum);
        for (size_t i = 0; i < count; i++) {
            const arena_block *b = &a.blocks[i];
            assert_int_equal(b->offset % ARENA_ALIGNMENT, 0);
            assert_true(b->offset + b->bytes <= a.bytes);
            for (size_t j = 0; j < i; j++)
                if (b->first <= a.blocks[j].last && a.blocks[j].first <= b->last)
                    assert_false(overlap(b, &a.blocks[j]));
        }
        arena_free(&a);
    }
}

static void arrays_of_other_times_share_memory(void **state)
{
    (void)state;
    arena a = {0};
    for (size_t i = 0; i < 10; i++) /* each is read while the next is written */
        arena_add(&a, 1 << 20, i, i + 1);
    must(arena_lay_out(&a, e));
    assert_int_equal(a.bytes, 2 << 20);
    arena_keep(&a, 1 << 20);
    must(arena_lay_out(&a, e));
    assert_int_equal(a.bytes, 3 << 20);
    arena_free(&a);
}

/* ---- plans ---- */

static bool joins_all(const void *own, const layer *product, const layer *next)
{
    (void)own, (void)product, (void)next;
    return true;
}

static const plan_rules cpu_rules = {.joins = joins_all,
                                     .type = ELEMENT_BF16,
                                     .float_tail = true,
                                     .input_multiple = 1,
                                     .window_most = 255,
                                     .code_bytes = 1};
static const plan_rules gpu_rules = {.type = ELEMENT_BF16,
                                     .input_multiple = 8,
                                     .window_most = 65536,
                                     .code_bytes = 2,
                                     .weights_beside = true};
static const plan_rules *const rules[] = {&cpu_rules, &gpu_rules};

typedef struct {
    network net;
    program_spec spec;
    plan plan;
} planned;

static planned *plan_text(const char *text, size_t rows, bool training, bool freeze,
                          const plan_rules *how)
{
    static planned p; /* the plan holds its network's address */
    p = (planned){0};
    must(network_parse(text, (extent){32, 32, 3}, HEAD_COSINE, 9, &p.net, e));
    p.spec = (program_spec){.net = &p.net,
                            .batch = rows,
                            .training = training,
                            .frozen = freeze ? p.net.layer_count : 0};
    must(plan_new(&p.spec, rows, how, &p.plan, e));
    must(arena_lay_out(&p.plan.arena, e));
    return &p;
}

static void planned_free(planned *p)
{
    plan_free(&p->plan);
    network_free(&p->net);
}

static void keras_cnn_takes_seven_passes(void **state)
{
    (void)state;
    static const struct {
        layer_kind kind;
        bool relu, masked, masks;
        float drop;
    } passes[] = {
        {LAYER_CONV, true, false, false, 0},        {LAYER_CONV, true, true, false, 0},
        {LAYER_MAXPOOL, false, false, true, 0.25f}, {LAYER_CONV, true, false, false, 0},
        {LAYER_CONV, true, true, false, 0},         {LAYER_MAXPOOL, false, false, true, 0.25f},
        {LAYER_DENSE, true, false, false, 0.5f}};
    for (int backend = 0; backend < 2; backend++) {
        planned *p = plan_text("keras-cnn", 64, true, false, rules[backend]);
        assert_int_equal(p->plan.count, sizeof passes / sizeof *passes);
        assert_int_equal(p->plan.lowest, 0);
        for (size_t i = 0; i < p->plan.count; i++) {
            const fused_layer *f = &p->plan.layers[i];
            assert_int_equal(f->layer->kind, passes[i].kind);
            assert_int_equal(f->relu, passes[i].relu);
            assert_int_equal(f->masked, passes[i].masked);
            assert_int_equal(f->masks_for, passes[i].masks ? i - 1 : NOWHERE);
            assert_true(f->drop == passes[i].drop);
            assert_int_equal(f->d_input != NOWHERE, i > 0);
        }
        planned_free(p);
    }
}

static void dropout_is_no_pass_outside_training(void **state)
{
    (void)state;
    planned *p = plan_text("dense:8 relu dropout:0.5 dropout:0.5", 4, false, false, &cpu_rules);
    assert_int_equal(p->plan.count, 1);
    assert_true(p->plan.layers[0].drop == 0);
    planned_free(p);
    p = plan_text("dense:8 relu dropout:0.5 dropout:0.5 dropout:0", 4, true, false, &cpu_rules);
    assert_int_equal(p->plan.count, 2);
    planned_free(p);
}

/* A block of ResNet's is two passes in inference, and its sum is made where its input lies. */
static void inference_joins_sums_and_activations(void **state)
{
    (void)state;
    planned *p =
        plan_text("conv:3x3x8:same gelu save conv:3x3x8:same relu conv:3x3x8:same add silu "
                  "dense:9 sigmoid",
                  4, false, false, &cpu_rules);
    assert_int_equal(p->plan.count, 5);
    const fused_layer *f = p->plan.layers;
    assert_int_equal(f[0].activation->activation, ACTIVATION_GELU);
    assert_int_equal(f[1].layer->kind, LAYER_SAVE);
    assert_true(f[2].relu && !f[2].sums && !f[2].activation);
    assert_true(f[3].sums && !f[3].relu);
    assert_int_equal(f[3].activation->activation, ACTIVATION_SILU);
    assert_int_equal(f[3].output, f[0].output);
    assert_int_equal(f[4].activation->activation, ACTIVATION_SIGMOID);
    planned_free(p);
    /* What another block saved, too, or what was loaded, keeps its place. */
    p = plan_text("save conv:3x3x3:same add save save conv:3x3x3:same add conv:3x3x3:same add", 4,
                  false, false, &cpu_rules);
    assert_int_equal(p->plan.count, 8);
    assert_false(p->plan.layers[1].sums);
    assert_int_equal(p->plan.layers[2].layer->kind, LAYER_ADD);
    assert_false(p->plan.layers[5].sums);
    assert_true(p->plan.layers[6].output != p->plan.layers[2].output);
    assert_true(p->plan.layers[7].sums);
    assert_int_equal(p->plan.layers[7].output, p->plan.layers[2].output);
    planned_free(p);
}

static void large_windows_have_no_codes(void **state)
{
    (void)state;
    for (int backend = 0; backend < 2; backend++) {
        planned *p = plan_text("conv:3x3x8:same relu maxpool:16 dropout:0.5", 4, true, false,
                               rules[backend]);
        assert_int_equal(p->plan.count, backend ? 2 : 3);
        assert_int_equal(p->plan.layers[1].codes == NOWHERE, !backend);
        assert_int_equal(p->plan.layers[0].masked, backend);
        planned_free(p);
    }
}

/* The tail is float on the CPU, unless a residual from before it is added. */
static void types_of_activations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        element in, last, out;
    } cases[] = {{"conv:3x3x8 relu dense:8 relu", ELEMENT_BF16, ELEMENT_BF16, ELEMENT_F32},
                 {"dense:8 save dense:8 add", ELEMENT_BF16, ELEMENT_BF16, ELEMENT_BF16},
                 {"dense:8 dense:8 save scale:2 add", ELEMENT_BF16, ELEMENT_BF16, ELEMENT_F32},
                 {"relu maxpool:2", ELEMENT_F32, ELEMENT_F32, ELEMENT_F32}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        planned *p = plan_text(cases[i].text, 4, true, false, &cpu_rules);
        assert_int_equal(p->plan.input_type, cases[i].in);
        assert_int_equal(p->plan.layers[0].out_type, cases[i].last);
        assert_int_equal(p->plan.layers[p->plan.count - 1].out_type, cases[i].out);
        planned_free(p);
        p = plan_text(cases[i].text, 4, true, false, &gpu_rules);
        for (size_t k = 0; k < p->plan.count; k++)
            assert_int_equal(p->plan.layers[k].out_type, ELEMENT_BF16);
        planned_free(p);
    }
}

static void only_a_first_convolution_is_padded(void **state)
{
    (void)state;
    planned *p = plan_text("conv:3x3x16 relu", 4, true, false, &gpu_rules);
    assert_int_equal(p->plan.input_channels, 8);
    assert_int_equal(p->plan.layers[0].in_channels, 8);
    planned_free(p);
    p = plan_text("save conv:3x3x3:same add", 4, true, false, &gpu_rules);
    assert_int_equal(p->plan.input_channels, 3);
    planned_free(p);
}

static void a_frozen_backbone_is_not_gone_back_through(void **state)
{
    (void)state;
    planned *p = plan_text("resnet9", 8, true, true, &gpu_rules);
    assert_int_equal(p->plan.lowest, p->plan.count);
    for (size_t i = 0; i < p->plan.count; i++)
        assert_true(p->plan.layers[i].d_output == NOWHERE);
    planned_free(p);
}

static void inference_wants_less_memory(void **state)
{
    (void)state;
    for (int backend = 0; backend < 2; backend++) {
        planned *p = plan_text("keras-cnn", 1024, true, false, rules[backend]);
        size_t most = p->plan.arena.bytes;
        planned_free(p);
        p = plan_text("keras-cnn", 1024, false, false, rules[backend]);
        assert_true(p->plan.arena.bytes < most / 2);
        planned_free(p);
    }
}

/* ---- nothing is written over while it is still read ---- */

/* What each piece of memory holds, as a step would leave it: a number a result. */
typedef struct {
    const char *text;
    const plan *p;
    size_t *pieces, results;
    size_t *output;              /* of each fused layer: what its result was when it wrote it */
    size_t *operand, *d_operand; /* of network.operands: what they and their gradients were */
} memory;

static void piece_range(const memory *m, size_t block, size_t *first, size_t *last)
{
    const arena_block *b = &m->p->arena.blocks[block];
    *first = b->offset / ARENA_ALIGNMENT;
    *last = (b->offset + b->bytes - 1) / ARENA_ALIGNMENT;
}

static size_t memory_write(memory *m, size_t block, size_t bytes)
{
    size_t first, last;
    assert_true(m->p->arena.blocks[block].bytes >= bytes);
    piece_range(m, block, &first, &last);
    m->results++;
    for (size_t i = first; i <= last; i++)
        m->pieces[i] = m->results;
    return m->results;
}

static void memory_read(const memory *m, size_t block, size_t result, const char *what, size_t i)
{
    size_t first, last;
    piece_range(m, block, &first, &last);
    for (size_t k = first; k <= last; k++)
        if (m->pieces[k] != result)
            fail_msg("[%s]: %s of fused layer %zu was written over", m->text, what, i);
}

static size_t bytes_of(const plan *p, extent e, element type)
{
    return p->rows * extent_size(e) * element_size(type);
}

static void operands_read(const memory *m, const layer *closes, size_t i)
{
    for (size_t o = closes->operands; o < closes->operands + closes->operand_count; o++)
        memory_read(m, m->p->operands[o], m->operand[o], "an operand", i);
}

static size_t forward(memory *m, size_t *codes)
{
    const plan *p = m->p;
    extent pictures = {p->net->input.height, p->net->input.width, p->input_channels};
    size_t at = memory_write(m, p->input, bytes_of(p, pictures, p->input_type));
    for (size_t i = 0; i < p->count; i++) {
        const fused_layer *f = &p->layers[i];
        layer_kind kind = f->layer->kind;
        size_t input = at;
        memory_read(m, f->input, at, "the input", i);
        for (size_t o = 0; o < p->net->operand_count; o++)
            if (p->net->operands[o] == f->index)
                m->operand[o] = at;
        if (layer_closes(kind))
            operands_read(m, f->layer, i);
        if (f->sums)
            memory_read(m, f->output, m->operand[f->layer[1].operands], "what is added to", i);
        if (kind == LAYER_BRANCH)
            at = m->output[f->partner];
        else if (kind != LAYER_SAVE)
            at = memory_write(m, f->output, bytes_of(p, f->out, f->out_type));
        memory_read(m, f->output, at, "the output", i);
        if (fused_multiplies(f))
            memory_read(m, f->input, input, "the input, until all is written", i);
        m->output[i] = at;
        if (f->codes != NOWHERE)
            codes[i] = memory_write(m, f->codes, p->rows * extent_size(f->out));
    }
    return at;
}

/* What lies where fused layer i wrote: what a ReLU or dropout has made of it in place tells as well
 * which elements are positive. */
static size_t output_now(const memory *m, size_t i)
{
    const fused_layer *f = &m->p->layers[i];
    size_t last = i;
    while (last + 1 < m->p->count && f[last + 1 - i].output == f->output)
        last++;
    return m->output[last];
}

/* The gradients of all operands; returns that of the last. */
static size_t close_back(memory *m, const fused_layer *f, size_t at, size_t i)
{
    const plan *p = m->p;
    const layer *l = f->layer;
    if (l->kind == LAYER_MULTIPLY)
        operands_read(m, l, i);
    for (size_t o = l->operands; o < l->operands + l->operand_count; o++) {
        extent e = p->net->layers[p->net->operands[o]].in;
        bool adds = l->kind == LAYER_ADD;
        m->d_operand[o] = adds ? at : memory_write(m, p->d_operands[o], bytes_of(p, e, f->in_type));
    }
    for (size_t o = l->operands; o < l->operands + l->operand_count; o++)
        memory_read(m, p->d_operands[o], m->d_operand[o], "an operand's gradient", i);
    return m->d_operand[l->operands + l->operand_count - 1];
}

/* Of a save or a "|", in whose block the gradients *gathered reached what was saved before. */
static size_t branch_back(memory *m, const fused_layer *f, size_t at, size_t *gathered, size_t i)
{
    const plan *p = m->p;
    bool save = f->layer->kind == LAYER_SAVE;
    size_t index = save ? f->index : p->layers[f->partner].index, o = 0;
    const layer *closes = &p->net->layers[p->net->layers[index].partner];
    for (o = closes->operands; o < closes->operands + closes->operand_count; o++)
        if (p->net->operands[o] == f->index)
            break;
    if (save && o < closes->operands + closes->operand_count)
        *gathered = m->d_operand[o];
    assert_int_equal(f->d_saved == NOWHERE, *gathered == 0);
    if (*gathered) {
        memory_read(m, f->d_saved, *gathered, "the other gradient", i);
        at = memory_write(m, f->d_input, bytes_of(p, f->out, f->out_type));
    }
    *gathered = at;
    return save ? at : m->d_operand[o];
}

static bool reads_input(layer_kind kind)
{
    return kind == LAYER_CONV || kind == LAYER_DENSE || kind == LAYER_BATCHNORM ||
           kind == LAYER_LAYERNORM || kind == LAYER_AFFINE || kind == LAYER_ATTENTION ||
           kind == LAYER_ACTIVATION;
}

/* What fused layer i read: a "|" goes back to what its save read. */
static size_t input_of(const memory *m, size_t i)
{
    return m->output[i - 1];
}

static void backward(memory *m, const size_t *codes, size_t embedding, bool beside)
{
    const plan *p = m->p;
    size_t top = p->count - 1, *d_masked = array_new(p->count, sizeof *d_masked);
    size_t *gathered = array_new(p->count, sizeof *gathered);
    size_t at =
        memory_write(m, p->d_embedding, bytes_of(p, p->layers[top].out, p->layers[top].out_type));
    for (size_t i = p->count; i-- > p->lowest;) {
        const fused_layer *f = &p->layers[i];
        layer_kind kind = f->layer->kind;
        memory_read(m, f->d_output, at, "the gradient", i);
        if (fused_masks(f) || kind == LAYER_RELU)
            memory_read(m, f->output, output_now(m, i), "the ReLU's output", i);
        if (reads_input(kind) && i > 0)
            memory_read(m, f->input, input_of(m, i), "the input, on the way back,", i);
        if (f->codes != NOWHERE)
            memory_read(m, f->codes, codes[i], "the codes", i);
        d_masked[i] = at;
        if (fused_multiplies(f) && fused_masks(f))
            d_masked[i] = memory_write(m, f->d_masked, bytes_of(p, f->out, f->out_type));
        if (f->d_converted != NOWHERE)
            memory_write(m, f->d_converted, p->rows * extent_size(f->out) * 2);
        if (layer_closes(kind))
            at = close_back(m, f, at, i);
        else if (kind == LAYER_SAVE || kind == LAYER_BRANCH)
            at = branch_back(m, f, at, &gathered[kind == LAYER_SAVE ? i : f->partner], i);
        else if (f->d_input == NOWHERE)
            assert_int_equal(i, p->lowest);
        else
            at = memory_write(m, f->d_input, bytes_of(p, f->in, f->in_type));
        if (fused_multiplies(f) && f->d_input != NOWHERE)
            memory_read(m, f->d_masked, d_masked[i], "the masked gradient", i);
    }
    memory_read(m, p->embedding, embedding, "the embedding", top);
    for (size_t i = p->lowest; i < p->count && beside; i++) {
        if (!fused_multiplies(&p->layers[i]))
            continue;
        memory_read(m, p->layers[i].d_masked, d_masked[i], "the masked gradient, at the end,", i);
        if (i > 0)
            memory_read(m, p->layers[i].input, input_of(m, i), "the input, at the end,", i);
    }
    free(d_masked);
    free(gathered);
}

static void step_check(const char *text, bool training, bool freeze, const plan_rules *how)
{
    planned *p = plan_text(text, 5, training, freeze, how);
    size_t count = p->plan.count, *codes = array_new(count, sizeof *codes);
    memory m = {.text = text,
                .p = &p->plan,
                .pieces = array_new(p->plan.arena.bytes / ARENA_ALIGNMENT + 1, sizeof *m.pieces),
                .output = array_new(count, sizeof *m.output),
                .operand = array_new(p->net.operand_count, sizeof *m.operand),
                .d_operand = array_new(p->net.operand_count, sizeof *m.d_operand)};
    for (int step = 0; step < 2; step++) { /* what the first leaves does not matter */
        size_t embedding = forward(&m, codes);
        memory_read(&m, p->plan.embedding, embedding, "the embedding", count);
        if (training && count)
            backward(&m, codes, embedding, how->weights_beside);
    }
    free(codes);
    free(m.pieces);
    free(m.output);
    free(m.operand);
    free(m.d_operand);
    planned_free(p);
}

static void what_is_still_read_is_not_written_over(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "keras-cnn",
        "resnet9",
        "relu",
        "dense:17 relu dropout:0.5 dense:8",
        "conv:3x3x8:same save conv:3x3x8:same relu add",
        "conv:3x3x4:same save save conv:3x3x4:same relu add scale:0.5 add relu",
        "conv:3x3x4:same save save conv:3x3x4:same add add batchnorm relu",
        "conv:3x3x4:same save dropout:0.25 add dropout:0.25 relu",
        "conv:3x3x4:same save add relu relu conv:3x3x4 maxpool:2 relu dropout:0.5",
        "save conv:3x3x3:same add maxpool:2",
        "conv:3x3x8:same save dropout:0.5 conv:3x3x8:same add relu",
        "conv:3x3x8:same save batchnorm add relu save conv:3x3x8:same batchnorm relu dropout:0.1"
        " add",
        "conv:3x3x8:same batchnorm:4 relu maxpool:2 dropout:0.5 avgpool",
        "dense:9 save relu dense:9 relu dropout:0.5 add dense:4",
        "dropout:0.5",
        "conv:3x3x8:same save conv:3x3x8:same relu conv:3x3x8:same | conv:1x1x8 add relu "
        "save conv:3x3x8:same relu conv:3x3x8:same add relu avgpool",
        "conv:3x3x8:same silu save avgpool conv:1x1x4 silu conv:1x1x8 sigmoid multiply conv:1x1x4 "
        "save relu conv:3x3x4:same batchnorm concat hardswish save gelu multiply",
        "conv:4x4x12:stride=4 tokens:1 position save layernorm conv:1x1x36 attention:3 conv:1x1x12 "
        "add save layernorm conv:1x1x24 gelu conv:1x1x12 add layernorm take:0",
        "conv:1x1x6 save relu | maxpool:3:stride=1:pad=1 conv:1x1x6 | save conv:1x1x6 | add | "
        "concat affine relu",
        "conv:1x1x6 save | | add save | relu | add save save | multiply add",
        "normalize:0.5:0.5 save conv:1x1x3 relu | conv:1x1x3 add conv:1x1x8 dropout:0.5 save "
        "dropout:0.5 save conv:1x1x8 add conv:1x1x8 add",
        "conv:1x1x6 save channels:0-2 conv:1x1x3 | channels:3-5 concat shuffle:2 scale:2 relu",
        "conv:1x1x3 save conv:1x1x3 save dropout:0.2 relu | tanhgelu multiply multiply sigmoid",
    };
    for (size_t t = 0; t < sizeof texts / sizeof *texts; t++)
        for (int how = 0; how < 8; how++)
            step_check(texts[t], how & 1, how & 2, rules[how >> 2]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arrays_needed_together_lie_apart),
        cmocka_unit_test(arrays_of_other_times_share_memory),
        cmocka_unit_test(keras_cnn_takes_seven_passes),
        cmocka_unit_test(dropout_is_no_pass_outside_training),
        cmocka_unit_test(inference_joins_sums_and_activations),
        cmocka_unit_test(large_windows_have_no_codes),
        cmocka_unit_test(types_of_activations),
        cmocka_unit_test(only_a_first_convolution_is_padded),
        cmocka_unit_test(a_frozen_backbone_is_not_gone_back_through),
        cmocka_unit_test(inference_wants_less_memory),
        cmocka_unit_test(what_is_still_read_is_not_written_over),
    };
    return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
