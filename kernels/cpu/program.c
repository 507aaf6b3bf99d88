#include "cpu.h"

#include "../random.h"

#include <stdlib.h>
#include <time.h>

/* The time since the last call goes to *total. */
static void time_to(program *p, double *total)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    double seconds = (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
    *total += seconds - p->times.since;
    p->times.since = seconds;
}

/* ---- making and freeing ---- */

/* Rows at once when only embedding: few enough that what lies between two layers stays in the
 * cache. */
#define EMBED_ROWS_A_THREAD 32

static float *floats_new(program *p, size_t count, const char *what, error *e)
{
    return program_memory(p, count * sizeof(float), what, e);
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
        bool head = k == n->head_scale || k == n->head_weight;
        if (!q->trainable || (p->spec.freeze_backbone && !head))
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

static int training_new(program *p, error *e)
{
    const network *n = p->net;
    size_t features = p->chunk * n->dimension;
    p->has_head = true;
    if (head_new(n, p->chunk, &p->head) != 0)
        return error_set(e, "out of memory for %zu classes; make the batch smaller (--batch)",
                         n->class_count);
    if (!(p->gradient = floats_new(p, n->total, "gradients", e)) ||
        !(p->first = floats_new(p, n->total, "the optimizer", e)) ||
        !(p->second = floats_new(p, n->total, "the optimizer", e)) ||
        !(p->feature_gradient = floats_new(p, features, "gradients", e)))
        return -1;
    return parts_new(p, e);
}

static int program_make(program *p, error *e)
{
    const network *n = p->net;
    size_t most = EMBED_ROWS_A_THREAD * (size_t)p->own->threads;
    p->chunk = p->spec.training || p->spec.batch < most ? p->spec.batch : most;
    p->version = 1;
    size_t row = (size_t)p->own->threads * n->input.width * n->input.channels;
    if (!(p->parameters = floats_new(p, n->total, "parameters", e)) ||
        !(p->picture_row = program_memory(p, row, "pictures", e)) || nodes_new(p, e) != 0 ||
        storage_new(p, e) != 0)
        return -1;
    p->times.nodes = program_memory(p, p->node_count * sizeof *p->times.nodes, "times", e);
    if (!p->times.nodes)
        return -1;
    const node *top = p->node_count ? &p->nodes[p->node_count - 1] : NULL;
    if (top && top->out_type == ELEMENT_F32)
        p->features = top->out_data;
    else if (!top)
        p->features = p->input;
    else if (!(p->features = floats_new(p, p->chunk * n->dimension, "embeddings", e)))
        return -1;
    return p->spec.training ? training_new(p, e) : 0;
}

static void cpu_program_free(backend *b, program *p)
{
    (void)b;
    if (!p)
        return;
    for (size_t i = 0; i < PLANS; i++)
        plan_free(p->plans[i]);
    if (p->has_head)
        head_free(&p->head);
    storage_free(p);
    nodes_free(p);
    free(p->parts);
    free(p);
}

static int cpu_program_new(backend *b, const program_spec *spec, program **out, error *e)
{
    cpu_begin(b);
    if (spec->batch == 0)
        return error_set(e, "a batch of no rows");
    program *p = calloc(1, sizeof *p);
    if (!p)
        return error_set(e, "out of memory");
    *p = (program){.own = b->own, .spec = *spec, .net = spec->net};
    if (program_make(p, e) != 0 || !plan_get(p, p->chunk, spec->training, e)) {
        cpu_program_free(b, p);
        return -1;
    }
    *out = p;
    return 0;
}

/* ---- state ---- */

static int cpu_parameters_set(backend *b, program *p, const float *parameters, error *e)
{
    cpu_begin(b);
    p->version++;
    return storage_put(p, parameters, p->parameters, e);
}

static int cpu_parameters_get(backend *b, program *p, float *parameters, error *e)
{
    cpu_begin(b);
    return storage_get(p, p->parameters, parameters, e);
}

static int check_training(const program *p, error *e)
{
    return p->spec.training ? 0 : error_set(e, "this program was made for embedding only");
}

static int cpu_optimizer_set(backend *b, program *p, uint64_t step, const float *first,
                             const float *second, error *e)
{
    cpu_begin(b);
    if (check_training(p, e) != 0 || storage_put(p, first, p->first, e) != 0)
        return -1;
    p->step = step;
    return storage_put(p, second, p->second, e);
}

static int cpu_optimizer_get(backend *b, program *p, uint64_t *step, float *first, float *second,
                             error *e)
{
    cpu_begin(b);
    if (check_training(p, e) != 0 || storage_get(p, p->first, first, e) != 0)
        return -1;
    *step = p->step;
    return storage_get(p, p->second, second, e);
}

static int cpu_data_set(backend *b, program *p, const uint8_t *images, const int32_t *labels,
                        size_t rows, error *e)
{
    (void)b;
    if (check_training(p, e) != 0)
        return -1;
    p->images = images;
    p->labels = labels;
    p->data_rows = rows;
    return 0;
}

static int check_order(const program *p, const uint32_t *order, size_t rows, error *e)
{
    if (check_training(p, e) != 0)
        return -1;
    for (size_t i = 0; i < rows; i++)
        if (order[i] >= p->data_rows)
            return error_set(e, "row %u of a data set of %zu rows", order[i], p->data_rows);
    return 0;
}

/* ---- forward ---- */

typedef enum {
    MODE_INFER,    /* running statistics, no dropout */
    MODE_GRADIENT, /* as in training, but running statistics stay */
    MODE_TRAIN
} run_mode;

static float *value_of(const program *p, size_t parameter)
{
    return p->parameters + p->net->parameters[parameter].start;
}

static float *gradient_of(const program *p, size_t parameter)
{
    return p->gradient + p->net->parameters[parameter].start;
}

/* NULL where the layer has no bias. */
static float *bias_gradient_of(const program *p, const layer *l)
{
    return l->offset == SIZE_MAX ? NULL : gradient_of(p, l->offset);
}

static void batchnorm_forward(program *p, node *d, size_t rows, run_mode mode)
{
    const layer *l = d->word;
    const float *gamma = value_of(p, l->weight), *beta = value_of(p, l->offset);
    float *mean = value_of(p, l->mean), *variance = value_of(p, l->variance);
    bool moves = mode == MODE_TRAIN && !p->spec.freeze_backbone;
    if (mode == MODE_INFER)
        batchnorm_infer(&d->norm, d->in_data, d->out_data, d->out_type, rows, gamma, beta, d->relu,
                        mean, variance);
    else
        batchnorm_train(&d->norm, d->in_data, d->out_data, d->out_type, rows, gamma, beta, d->relu,
                        moves ? mean : NULL, moves ? variance : NULL);
}

static void maxpool_node_forward(program *p, size_t i, size_t rows, run_mode mode)
{
    node *d = &p->nodes[i];
    const layer *l = d->word;
    bool training = mode != MODE_INFER;
    maxpool_forward(d->in_data, d->out_data, training ? d->codes : NULL, d->out_type, rows, d->in,
                    d->out, l->window_height, l->window_width, i > 0 && p->nodes[i - 1].relu_passed,
                    training && d->drop.threshold ? &d->drop : NULL);
}

static void winograd_node_forward(program *p, const node *d, size_t rows)
{
    const layer *l = d->word;
    const float *bias = l->offset == SIZE_MAX ? NULL : value_of(p, l->offset);
    winograd_forward(l, d->in_data, d->filters, bias, d->relu, d->out_data, d->in_type, d->out_type,
                     rows, p->conv_scratch);
}

static int node_forward(program *p, const plan *s, size_t i, run_mode mode, error *e)
{
    node *d = &p->nodes[i];
    size_t rows = s->rows, count = rows * extent_size(d->out);
    bool drops = mode != MODE_INFER && d->drop.threshold;
    switch (d->word->kind) {
    case LAYER_CONV:
    case LAYER_DENSE:
        if (d->winograd)
            winograd_node_forward(p, d, rows);
        else if (operation_run(p, &s->nodes[i].forward, e) != 0)
            return -1;
        break;
    case LAYER_BATCHNORM:
        batchnorm_forward(p, d, rows, mode);
        break;
    case LAYER_MAXPOOL:
        maxpool_node_forward(p, i, rows, mode);
        return 0;
    case LAYER_AVGPOOL:
        avgpool_forward(d->in_data, d->out_data, d->out_type, rows, d->in);
        break;
    case LAYER_RELU:
        elements_relu(d->in_data, d->out_data, d->out_type, count);
        break;
    case LAYER_SCALE:
        elements_scale(d->in_data, d->out_data, d->out_type, count, d->word->rate);
        break;
    case LAYER_ADD:
        elements_add(d->in_data, p->nodes[d->partner].out_data, d->out_data, d->out_type, count);
        break;
    case LAYER_DROPOUT:
        if (drops)
            dropout_apply(&d->drop, d->in_data, d->out_data, d->out_type, count);
        else if (d->in_data != d->out_data)
            elements_convert(d->in_data, d->in_type, d->out_data, d->out_type, count);
        return 0;
    case LAYER_SAVE:
        return 0;
    }
    if (drops)
        dropout_apply(&d->drop, d->out_data, d->out_data, d->out_type, count);
    return 0;
}

/* From p->input to p->features. */
static int forward(program *p, plan *s, run_mode mode, error *e)
{
    if (plan_refresh(p, s, e) != 0)
        return -1;
    filters_refresh(p);
    time_to(p, &p->times.weights);
    for (size_t i = 0; i < p->node_count; i++) {
        p->nodes[i].drop.step = p->step;
        if (node_forward(p, s, i, mode, e) != 0)
            return -1;
        time_to(p, &p->times.nodes[i].forward);
    }
    const node *top = p->node_count ? &p->nodes[p->node_count - 1] : NULL;
    if (top && top->out_type != ELEMENT_F32)
        elements_convert(top->out_data, top->out_type, p->features, ELEMENT_F32,
                         s->rows * p->net->dimension);
    return 0;
}

/* ---- back ---- */

static float drop_factor(const node *d)
{
    return d->drop.threshold ? d->drop.factor : 1;
}

static void winograd_node_backward(program *p, const node *d, size_t rows, struct node_times *times)
{
    const layer *l = d->word;
    if (d->learns)
        winograd_weight_gradient(l, d->in_data, d->out_gradient, d->in_type, d->out_type, rows,
                                 gradient_of(p, l->weight), bias_gradient_of(p, l),
                                 p->conv_scratch);
    time_to(p, &times->weights);
    const node *below = d->gates_below ? d - 1 : NULL;
    if (d->in_gradient)
        winograd_backward(l, d->out_gradient, d->turned, below ? below->out_data : NULL,
                          below ? drop_factor(below) : 1, d->in_gradient, d->out_type, d->in_type,
                          rows, p->conv_scratch);
    time_to(p, &times->back);
}

static int multiply_backward(program *p, const plan *s, size_t i, error *e)
{
    node *d = &p->nodes[i];
    const node_operations *o = &s->nodes[i];
    size_t count = s->rows * extent_size(d->out);
    if (d->winograd) {
        winograd_node_backward(p, d, s->rows, &p->times.nodes[i]);
        return 0;
    }
    if (d->out_type != p->own->type)
        elements_convert(d->out_gradient, d->out_type, p->converted, p->own->type, count);
    if (d->learns && d->narrow) {
        const layer *l = d->word;
        narrow_weight_gradient(l, d->in_data,
                               d->out_type == p->own->type ? d->out_gradient : p->converted,
                               p->own->type, s->rows, gradient_of(p, l->weight),
                               bias_gradient_of(p, l), p->conv_scratch);
    } else if (d->learns) {
        if (operation_run(p, &o->backward_weights, e) != 0)
            return -1;
        if (o->weight_gradient && operation_run(p, &o->weight_gradient_reorder, e) != 0)
            return -1;
    }
    time_to(p, &p->times.nodes[i].weights);
    if (d->in_gradient && operation_run(p, &o->backward_data, e) != 0)
        return -1;
    time_to(p, &p->times.nodes[i].back);
    return 0;
}

static void maxpool_node_backward(node *d, size_t rows)
{
    const layer *l = d->word;
    float factor = drop_factor(d);
    if (d->codes)
        maxpool_backward(d->out_gradient, d->codes, d->in_gradient, d->out_type, rows, d->in,
                         d->out, l->window_height, l->window_width, factor);
    else
        maxpool_backward_search(d->out_gradient, d->in_data, d->in_gradient, d->out_type, rows,
                                d->in, d->out, l->window_height, l->window_width);
}

static int node_backward(program *p, const plan *s, size_t i, error *e)
{
    node *d = &p->nodes[i];
    const layer *l = d->word;
    size_t rows = s->rows, count = rows * extent_size(d->out);
    if (d->relu && !d->relu_passed)
        elements_relu_backward(d->out_gradient, d->out_data, d->out_type, count, drop_factor(d));
    time_to(p, &p->times.nodes[i].mask);
    switch (l->kind) {
    case LAYER_CONV:
    case LAYER_DENSE:
        return multiply_backward(p, s, i, e);
    case LAYER_BATCHNORM:
        batchnorm_backward(&d->norm, d->in_data, d->out_gradient, d->out_type, rows,
                           value_of(p, l->weight), gradient_of(p, l->weight),
                           gradient_of(p, l->offset));
        break;
    case LAYER_MAXPOOL:
        maxpool_node_backward(d, rows);
        break;
    case LAYER_AVGPOOL:
        avgpool_backward(d->out_gradient, d->in_gradient, d->out_type, rows, d->in);
        break;
    case LAYER_RELU:
        elements_relu_backward(d->out_gradient, d->out_data, d->out_type, count, 1);
        break;
    case LAYER_SCALE:
        elements_scale(d->out_gradient, d->out_gradient, d->out_type, count, l->rate);
        break;
    case LAYER_DROPOUT:
        dropout_apply(&d->drop, d->out_gradient, d->out_gradient, d->out_type, count);
        break;
    case LAYER_ADD:
        memcpy(p->nodes[d->partner].kept, d->out_gradient, count * element_size(d->out_type));
        break;
    case LAYER_SAVE:
        elements_add(d->out_gradient, d->kept, d->out_gradient, d->out_type, count);
        break;
    }
    time_to(p, &p->times.nodes[i].back);
    return 0;
}

/* From the logits' gradient to p->gradient. */
static int backward(program *p, const plan *s, error *e)
{
    bool deep = p->lowest < p->node_count;
    head_backward(&p->head, p->net, p->parameters, p->features, s->rows, p->gradient,
                  deep ? p->feature_gradient : NULL);
    if (!deep)
        return 0;
    const node *top = &p->nodes[p->node_count - 1];
    elements_convert(p->feature_gradient, ELEMENT_F32, top->out_gradient, top->out_type,
                     s->rows * p->net->dimension);
    time_to(p, &p->times.head);
    for (size_t i = p->node_count; i-- > p->lowest;)
        if (node_backward(p, s, i, e) != 0)
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
    time_to(p, &p->times.outside);
    changed = changed && changes_pictures(&p->spec.augment);
    pictures_load(images, order, rows, p->net->input, changed ? &change : NULL, p->picture_row,
                  p->input, p->node_count ? p->nodes[0].in_type : ELEMENT_F32);
}

static int step_gradient(program *p, const uint32_t *order, size_t rows, run_mode mode,
                         metrics *total, error *e)
{
    plan *s = plan_get(p, rows, true, e);
    if (!s)
        return -1;
    load(p, p->images, order, rows, true, p->step, 0);
    if (forward(p, s, mode, e) != 0)
        return -1;
    head_forward(&p->head, p->net, p->parameters, p->features, rows);
    head_loss(&p->head, p->labels, order, rows, p->spec.label_smoothing, true, total);
    time_to(p, &p->times.head);
    return backward(p, s, e);
}

static void step_apply(program *p, float rate)
{
    p->step++;
    optimizer_step(&p->spec.optimizer, p->parts, p->part_count, p->step, rate, p->parameters,
                   p->gradient, p->first, p->second);
    time_to(p, &p->times.optimizer);
    if (!p->spec.freeze_backbone)
        p->version++;
}

static int cpu_train(backend *b, program *p, const uint32_t *order, size_t rows, const float *rate,
                     metrics *total, error *e)
{
    cpu_begin(b);
    if (check_order(p, order, rows, e) != 0)
        return -1;
    for (size_t i = 0; i < rows; i += p->spec.batch) {
        size_t count = rows - i < p->spec.batch ? rows - i : p->spec.batch;
        if (step_gradient(p, order + i, count, MODE_TRAIN, total, e) != 0)
            return -1;
        step_apply(p, *rate++);
    }
    return 0;
}

static int cpu_gradients(backend *b, program *p, const uint32_t *order, size_t rows,
                         float *gradient, metrics *total, error *e)
{
    cpu_begin(b);
    if (check_order(p, order, rows, e) != 0)
        return -1;
    if (rows > p->spec.batch)
        return error_set(e, "%zu rows in a batch of %zu", rows, p->spec.batch);
    if (rows > 0 && step_gradient(p, order, rows, MODE_GRADIENT, total, e) != 0)
        return -1;
    return storage_get(p, p->gradient, gradient, e);
}

/* ---- inference ---- */

/* The plan for up to that many rows: of the chunk, a quarter of it, and so on, so that a short rest
 * neither costs a chunk's time nor a plan of its own. */
static plan *inference_plan(program *p, size_t rows, error *e)
{
    size_t size = p->chunk;
    while (size >= 4 && (size + 3) / 4 >= rows)
        size = (size + 3) / 4;
    return plan_get(p, size, false, e);
}

static int cpu_evaluate(backend *b, program *p, const uint32_t *order, size_t rows, metrics *total,
                        error *e)
{
    cpu_begin(b);
    if (check_order(p, order, rows, e) != 0)
        return -1;
    for (size_t i = 0; i < rows; i += p->chunk) {
        size_t count = rows - i < p->chunk ? rows - i : p->chunk;
        plan *s = inference_plan(p, count, e);
        if (!s)
            return -1;
        load(p, p->images, order + i, count, false, 0, 0);
        if (forward(p, s, MODE_INFER, e) != 0)
            return -1;
        head_forward(&p->head, p->net, p->parameters, p->features, count);
        head_loss(&p->head, p->labels, order + i, count, 0, false, total);
    }
    return 0;
}

static int cpu_embed_submit(backend *b, program *p, const uint8_t *images, size_t rows,
                            uint64_t first_row, uint32_t view, float *embeddings, error *e)
{
    cpu_begin(b);
    size_t picture = extent_size(p->net->input), dimension = p->net->dimension;
    for (size_t i = 0; i < rows; i += p->chunk) {
        size_t count = rows - i < p->chunk ? rows - i : p->chunk;
        plan *s = inference_plan(p, count, e);
        if (!s)
            return -1;
        load(p, images + i * picture, NULL, count, view > 0, view, first_row + i);
        if (forward(p, s, MODE_INFER, e) != 0)
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

void cpu_programs(backend *b)
{
    b->program_new = cpu_program_new;
    b->program_free = cpu_program_free;
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
