#include "program.h"

#include "../../common/base/memory.h"
#include "../random.h"
#include "conv.h"
#include "dense.h"
#include "elementwise.h"
#include "input.h"
#include "layers.h"
#include "pool.h"
#include "winograd.h"

#include <stdlib.h>

/* ---- memory ---- */

static float *floats_take(program *p, size_t count)
{
    return program_take(p, count * sizeof(float));
}

static void norm_take(program *p, size_t i)
{
    const layer *l = p->plan.layers[i].layer;
    size_t rows = p->plan.rows, channels = l->in.channels;
    size_t each = l->group && l->group < rows ? l->group : rows;
    size_t count = (rows + each - 1) / each * channels;
    p->layers[i].norm = (batchnorm){.channels = channels,
                                    .pixels = l->in.height * l->in.width,
                                    .each = l->group,
                                    .partial = floats_take(p, rows * 2 * channels),
                                    .mean = floats_take(p, count),
                                    .inverse = floats_take(p, count),
                                    .factor = floats_take(p, count),
                                    .slope = floats_take(p, count),
                                    .offset = floats_take(p, count)};
}

static void head_take(program *p)
{
    const network *n = p->net;
    size_t rows = p->plan.rows, classes = n->class_count, dimension = n->dimension;
    p->head = (head_space){.kind = n->head,
                           .classes = classes,
                           .dimension = dimension,
                           .logits = floats_take(p, rows * classes),
                           .losses = floats_take(p, rows),
                           .hits = program_take(p, rows * sizeof *p->head.hits)};
    if (n->head != HEAD_COSINE)
        return;
    p->head.units = floats_take(p, rows * dimension);
    p->head.unit_inverse = floats_take(p, rows);
    p->head.proxies = floats_take(p, classes * dimension);
    p->head.proxy_inverse = floats_take(p, classes);
    p->head.cosines = floats_take(p, rows * classes);
}

/* What the program keeps beside activations and their gradients. Embeddings and their gradient are
 * the topmost activations, where those are float. */
static void arena_take(program *p)
{
    const network *n = p->net;
    size_t scratch = 0, count = p->plan.count;
    bool apart = count && p->plan.layers[count - 1].out_type != ELEMENT_F32;
    p->parameters = floats_take(p, n->total);
    p->picture_row = program_take(p, (size_t)p->own->threads * n->input.width * n->input.channels);
    p->times.layers = program_take(p, count * sizeof *p->times.layers);
    for (size_t i = 0; i < count; i++) {
        conv_take(p, i);
        if (p->plan.layers[i].layer->kind == LAYER_BATCHNORM)
            norm_take(p, i);
        size_t wanted = layer_scratch_count(p, i);
        scratch = wanted > scratch ? wanted : scratch;
    }
    p->scratch = floats_take(p, scratch);
    if (p->plan.normalize) {
        p->input_factor = floats_take(p, n->input.width * n->input.channels);
        p->input_offset = floats_take(p, n->input.width * n->input.channels);
    }
    if (apart)
        p->features = floats_take(p, p->plan.rows * n->dimension);
    if (!p->spec.training)
        return;
    head_take(p);
    p->gradient = floats_take(p, n->total);
    p->first = floats_take(p, n->total);
    p->second = floats_take(p, n->total);
    if (apart)
        p->feature_gradient = floats_take(p, p->plan.rows * n->dimension);
}

static int memory_new(program *p, error *e)
{
    arena *a = &p->plan.arena;
    p->taken = a->count;
    arena_take(p);
    if (arena_lay_out(a, e) < 0)
        return -1;
    p->base = memory_aligned(a->bytes);
    if (!p->base)
        return error_set(e,
                         "out of memory: %zu bytes for a network and %zu rows at once; make the "
                         "batch smaller (--batch)",
                         a->bytes, p->plan.rows);
    memset(p->base, 0, a->bytes);
    arena_take(p);
    if (p->plan.normalize)
        input_scale(p->plan.normalize, p->net->input, p->input_factor, p->input_offset);
    if (!p->features)
        p->features = program_at(p, p->plan.embedding);
    if (!p->feature_gradient)
        p->feature_gradient = program_at(p, p->plan.d_embedding);
    return 0;
}

/* ---- making and freeing ---- */

/* Rows a thread at once when only embedding. What lies between two layers should stay in the cache,
 * so that the largest activation gets EMBED_BYTES; but weights are read anew for each batch, and so
 * there are rows enough that EMBED_WEIGHTS times the weights are no more than what the rows' layers
 * read and write, as long as EMBED_BYTES_MOST lasts. Found with tests/bench/beside_networks.py on
 * ResNet-18 and -50, MobileNetV3, EfficientNet-Lite0, DenseNet-121 and ViT-S of 224 pixels. */
#define EMBED_ROWS_MOST 32
#define EMBED_BYTES ((size_t)4 << 20)
#define EMBED_BYTES_MOST ((size_t)32 << 20)
#define EMBED_WEIGHTS 4

static size_t embed_rows(const cpu *own, const network *n)
{
    size_t largest = extent_size(n->input), moved = largest, weights = 0;
    for (size_t i = 0; i < n->layer_count; i++) {
        const layer *l = &n->layers[i];
        size_t out = extent_size(l->out);
        largest = out > largest ? out : largest;
        moved += extent_size(l->in) + out;
        if (l->kind == LAYER_CONV || l->kind == LAYER_DENSE)
            weights += conv_is_winograd(own, l) ? winograd_filter_count(l)
                                                : n->parameters[l->weight].count;
    }
    size_t bytes = largest * element_size(own->type);
    size_t rows = EMBED_BYTES / bytes, wanted = EMBED_WEIGHTS * weights / moved + 1;
    size_t most = EMBED_BYTES_MOST / bytes;
    wanted = wanted > most ? most : wanted;
    rows = rows < wanted ? wanted : rows;
    rows = rows < 1 ? 1 : rows > EMBED_ROWS_MOST ? EMBED_ROWS_MOST : rows;
    return rows * (size_t)own->threads;
}

/* Neighbouring parameters of one kind are one part. */
static int parts_new(program *p, error *e)
{
    const network *n = p->net;
    p->parts = calloc(n->parameter_count, sizeof *p->parts);
    if (!p->parts)
        return error_set(e, "out of memory");
    for (size_t k = 0; k < n->parameter_count; k++) {
        const parameter *q = &n->parameters[k];
        if (!q->trainable || q->layer < p->spec.frozen)
            continue;
        bool decays = q->initial == INITIAL_GLOROT && p->spec.optimizer.weight_decay != 0;
        learning_part *last = p->part_count ? &p->parts[p->part_count - 1] : NULL;
        if (last && last->start + last->count == q->start && last->decays == decays)
            last->count += q->count;
        else
            p->parts[p->part_count++] = (learning_part){q->start, q->count, decays};
    }
    return 0;
}

static int layers_new(program *p, error *e)
{
    p->layers = calloc(p->plan.count + 1, sizeof *p->layers);
    if (!p->layers)
        return error_set(e, "out of memory");
    for (size_t i = p->plan.count; i-- > 0;) {
        const layer *l = p->plan.layers[i].layer;
        bool conv = l->kind == LAYER_CONV;
        if (fused_multiplies(&p->plan.layers[i])) {
            p->layers[i].product = conv ? &conv_product : &dense_product;
            p->layers[i].shape = conv ? conv_shape(l) : *l;
        }
        conv_choose(p, i);
        attention **own = &p->layers[i].attention;
        if (l->kind == LAYER_ATTENTION &&
            !(*own = attention_get(&p->attentions, p->own, l, p->plan.layers[i].out_type,
                                   p->spec.training, e)))
            return -1;
    }
    return 0;
}

static int program_make(program *p, error *e)
{
    plan_rules rules = {.type = p->own->type,
                        .float_tail = true,
                        .input_multiple = 1,
                        .joins = layer_joins,
                        .own = p->own,
                        .window_most = POOL_CODES_MAX,
                        .code_bytes = 1};
    size_t most = embed_rows(p->own, p->net);
    size_t rows = p->spec.training || p->spec.batch < most ? p->spec.batch : most;
    p->version = 1;
    if (plan_new(&p->spec, rows, &rules, &p->plan, e) < 0 || layers_new(p, e) < 0 ||
        memory_new(p, e) < 0 || storage_new(p, e) < 0)
        return -1;
    return p->spec.training ? parts_new(p, e) : 0;
}

static void cpu_program_free(backend *b, program *p)
{
    (void)b;
    if (!p)
        return;
    for (size_t i = 0; i < PRIMITIVE_SETS; i++)
        primitives_free(p->sets[i]);
    storage_free(p);
    plan_free(&p->plan);
    attention_free(p->attentions);
    free(p->layers);
    free(p->base);
    free(p->parts);
    free(p);
}

static int cpu_program_new(backend *b, const program_spec *spec, program **out, error *e)
{
    cpu_begin(b->own);
    if (spec->batch == 0)
        return error_set(e, "a batch of no rows");
    program *p = calloc(1, sizeof *p);
    if (!p)
        return error_set(e, "out of memory");
    *p = (program){.own = b->own, .spec = *spec, .net = spec->net};
    if (program_make(p, e) < 0 || !primitives_get(p, p->plan.rows, spec->training, e)) {
        cpu_program_free(b, p);
        return -1;
    }
    *out = p;
    return 0;
}

/* ---- state ---- */

static int cpu_parameters_set(backend *b, program *p, const float *parameters, error *e)
{
    cpu_begin(b->own);
    p->version++;
    return storage_put(p, parameters, p->parameters, e);
}

static int cpu_parameters_get(backend *b, program *p, float *parameters, error *e)
{
    cpu_begin(b->own);
    return storage_get(p, p->parameters, parameters, e);
}

static int check_training(const program *p, error *e)
{
    return p->spec.training ? 0 : error_set(e, "this program was made for embedding only");
}

static int cpu_optimizer_set(backend *b, program *p, uint64_t step, const float *first,
                             const float *second, error *e)
{
    cpu_begin(b->own);
    if (check_training(p, e) < 0 || storage_put(p, first, p->first, e) < 0)
        return -1;
    p->step = step;
    return storage_put(p, second, p->second, e);
}

static int cpu_optimizer_get(backend *b, program *p, uint64_t *step, float *first, float *second,
                             error *e)
{
    cpu_begin(b->own);
    if (check_training(p, e) < 0 || storage_get(p, p->first, first, e) < 0)
        return -1;
    *step = p->step;
    return storage_get(p, p->second, second, e);
}

static int cpu_data_set(backend *b, program *p, const uint8_t *images, const int32_t *labels,
                        size_t rows, error *e)
{
    (void)b;
    if (check_training(p, e) < 0)
        return -1;
    p->images = images;
    p->labels = labels;
    p->data_rows = rows;
    return 0;
}

static int check_order(const program *p, const uint32_t *order, size_t rows, error *e)
{
    if (check_training(p, e) < 0)
        return -1;
    for (size_t i = 0; i < rows; i++)
        if (order[i] >= p->data_rows)
            return error_set(e, "row %u of a data set of %zu rows", order[i], p->data_rows);
    return 0;
}

/* ---- forward and back ---- */

/* From the pictures to p->features. */
static int forward(program *p, primitive_set *s, run_mode mode, error *e)
{
    if (primitives_refresh(p, s, e) < 0)
        return -1;
    conv_refresh(p);
    program_time(p, &p->times.weights);
    for (size_t i = 0; i < p->plan.count; i++) {
        if (layer_forward(p, s, i, mode, e) < 0)
            return -1;
        program_time(p, &p->times.layers[i].forward);
    }
    const void *top = program_at(p, p->plan.embedding);
    if (top != p->features)
        elements_convert(top, p->own->type, p->features, ELEMENT_F32, s->rows * p->net->dimension);
    return 0;
}

/* From the logits' gradient to p->gradient. */
static int backward(program *p, const primitive_set *s, error *e)
{
    bool deep = p->plan.lowest < p->plan.count;
    void *top = program_at(p, p->plan.d_embedding);
    head_backward(&p->head, p->net, p->parameters, p->features, s->rows, p->gradient,
                  deep ? p->feature_gradient : NULL);
    if (deep && top != p->feature_gradient)
        elements_convert(p->feature_gradient, ELEMENT_F32, top, p->own->type,
                         s->rows * p->net->dimension);
    program_time(p, &p->times.head);
    for (size_t i = p->plan.count; i-- > p->plan.lowest;)
        if (layer_backward(p, s, i, e) < 0)
            return -1;
    return 0;
}

/* ---- steps ---- */

static bool changes_pictures(const augmentation *a)
{
    return a->flip || a->shift || a->cutout;
}

static void load(program *p, const uint8_t *images, const uint32_t *order, size_t rows,
                 bool changed, uint64_t step, uint64_t first_row)
{
    picture_change change = {p->spec.augment, p->spec.seed, step, first_row};
    program_time(p, &p->times.outside);
    changed = changed && changes_pictures(&p->spec.augment);
    picture_scale scale = {p->input_factor, p->input_offset};
    input_load(images, order, rows, p->net->input, scale, changed ? &change : NULL, p->picture_row,
               program_at(p, p->plan.input), p->plan.input_type);
}

static int step_gradient(program *p, const uint32_t *order, size_t rows, run_mode mode,
                         metrics *total, error *e)
{
    primitive_set *s = primitives_get(p, rows, true, e);
    if (!s)
        return -1;
    load(p, p->images, order, rows, true, p->step, 0);
    if (forward(p, s, mode, e) < 0)
        return -1;
    head_forward(&p->head, p->net, p->parameters, p->features, rows);
    head_loss(&p->head, p->labels, order, rows, p->spec.label_smoothing, true, total);
    program_time(p, &p->times.head);
    return backward(p, s, e);
}

static void step_apply(program *p, float rate)
{
    p->step++;
    optimizer_step(&p->spec.optimizer, p->parts, p->part_count, p->step, rate, p->parameters,
                   p->gradient, p->first, p->second);
    program_time(p, &p->times.optimizer);
    if (p->spec.frozen < p->net->layer_count)
        p->version++;
}

static int cpu_train(backend *b, program *p, const uint32_t *order, size_t rows, const float *rate,
                     metrics *total, error *e)
{
    cpu_begin(b->own);
    if (check_order(p, order, rows, e) < 0)
        return -1;
    for (size_t i = 0; i < rows; i += p->spec.batch) {
        size_t count = rows - i < p->spec.batch ? rows - i : p->spec.batch;
        if (step_gradient(p, order + i, count, MODE_TRAIN, total, e) < 0)
            return -1;
        step_apply(p, *rate++);
    }
    return 0;
}

static int cpu_gradients(backend *b, program *p, const uint32_t *order, size_t rows,
                         float *gradient, metrics *total, error *e)
{
    cpu_begin(b->own);
    if (check_order(p, order, rows, e) < 0)
        return -1;
    if (rows > p->spec.batch)
        return error_set(e, "%zu rows in a batch of %zu", rows, p->spec.batch);
    if (rows > 0 && step_gradient(p, order, rows, MODE_GRADIENT, total, e) < 0)
        return -1;
    return storage_get(p, p->gradient, gradient, e);
}

/* ---- inference ---- */

/* The primitives for up to that many rows: of the plan's rows, a quarter of them, and so on,
 * so that a short rest neither costs the time of all nor primitives of its own. */
static primitive_set *inference_set(program *p, size_t rows, error *e)
{
    size_t size = p->plan.rows;
    while (size >= 4 && (size + 3) / 4 >= rows)
        size = (size + 3) / 4;
    return primitives_get(p, size, false, e);
}

static int cpu_evaluate(backend *b, program *p, const uint32_t *order, size_t rows, metrics *total,
                        error *e)
{
    cpu_begin(b->own);
    if (check_order(p, order, rows, e) < 0)
        return -1;
    for (size_t i = 0; i < rows; i += p->plan.rows) {
        size_t count = rows - i < p->plan.rows ? rows - i : p->plan.rows;
        primitive_set *s = inference_set(p, count, e);
        if (!s)
            return -1;
        load(p, p->images, order + i, count, false, 0, 0);
        if (forward(p, s, MODE_INFER, e) < 0)
            return -1;
        head_forward(&p->head, p->net, p->parameters, p->features, count);
        head_loss(&p->head, p->labels, order + i, count, 0, false, total);
    }
    return 0;
}

static int cpu_embed_submit(backend *b, program *p, const uint8_t *images, size_t rows,
                            uint64_t first_row, uint32_t view, float *embeddings, error *e)
{
    cpu_begin(b->own);
    size_t picture = extent_size(p->net->input), dimension = p->net->dimension;
    for (size_t i = 0; i < rows; i += p->plan.rows) {
        size_t count = rows - i < p->plan.rows ? rows - i : p->plan.rows;
        primitive_set *s = inference_set(p, count, e);
        if (!s)
            return -1;
        load(p, images + i * picture, NULL, count, view > 0, view, first_row + i);
        if (forward(p, s, MODE_INFER, e) < 0)
            return -1;
        memcpy(embeddings + i * dimension, p->features, count * dimension * sizeof *embeddings);
    }
    return 0;
}

static int cpu_embed_wait(backend *b, program *p, error *e)
{
    (void)b, (void)p, (void)e;
    return 0;
}

void cpu_program(backend *b)
{
    b->program_free = cpu_program_free;
    b->program_new = cpu_program_new;
    b->parameters_set = cpu_parameters_set;
    b->parameters_get = cpu_parameters_get;
    b->optimizer_set = cpu_optimizer_set;
    b->optimizer_get = cpu_optimizer_get;
    b->data_set = cpu_data_set;
    b->train = cpu_train;
    b->gradients = cpu_gradients;
    b->evaluate = cpu_evaluate;
    b->embed_submit = cpu_embed_submit;
    b->embed_wait = cpu_embed_wait;
}
