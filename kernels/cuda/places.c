#include "places.h"

#include "attention_cores.h"

#include <stdlib.h>
#include <string.h>

launch launch_next(size_t left, size_t batch, size_t burst)
{
    if (left < batch)
        return (launch){left, left ? 1 : 0};
    return (launch){batch, left / batch >= burst ? burst : 1};
}

size_t norm_groups(size_t rows, size_t group)
{
    return group && group < rows ? (rows + group - 1) / group : 1;
}

/* ---- kinds of layers ---- */

bool conv_is_patches(const fused_layer *f)
{
    const layer *l = f->layer;
    return l->kind == LAYER_CONV && f->in_channels != f->in.channels && l->groups == 1 &&
           l->kernel_height == l->stride_height && l->kernel_width == l->stride_width &&
           l->dilation_height == 1 && l->dilation_width == 1 &&
           l->out.height * l->kernel_height == l->in.height &&
           l->out.width * l->kernel_width == l->in.width;
}

bool fused_is_product(const fused_layer *f)
{
    const layer *l = f->layer;
    return l->kind == LAYER_DENSE || conv_is_patches(f) ||
           (l->kind == LAYER_CONV && l->kernel_height == 1 && l->kernel_width == 1 &&
            l->stride_height == 1 && l->stride_width == 1 && l->groups == 1 &&
            extent_size(l->out) == l->in.height * l->in.width * l->out.channels);
}

bool conv_is_depthwise(const fused_layer *f)
{
    const layer *l = f->layer;
    return l->kind == LAYER_CONV && l->groups > 1 && l->groups == l->in.channels &&
           l->groups == l->out.channels;
}

bool conv_is_bordered(const fused_layer *f)
{
    const sides *pad = &f->layer->pad;
    return f->layer->kind == LAYER_CONV && !conv_is_depthwise(f) &&
           (pad->top != pad->bottom || pad->left != pad->right);
}

extent conv_input(const fused_layer *f)
{
    const sides *pad = &f->layer->pad;
    extent e = {f->in.height, f->in.width, f->in_channels};
    if (conv_is_bordered(f)) {
        e.height += pad->top + pad->bottom;
        e.width += pad->left + pad->right;
    }
    return e;
}

size_t attention_stride(const layer *l)
{
    return (l->in.height * l->in.width + 7) / 8 * 8;
}

/* ---- limits ---- */

#define WINDOW_LIMIT 65536 /* places in a window that a uint16 can name */
/* cuDNN counts a tensor's elements in 31 bits; a grid has so many blocks along its third side. */
#define ELEMENTS_LIMIT ((size_t)1 << 31)
#define GROUPS_LIMIT 65535

static int limits_check(const plan *p, const fused_layer *f, bool training, error *e)
{
    const layer *l = f->layer;
    size_t out = extent_size(f->out), in = extent_size(conv_input(f));
    if (l->kind == LAYER_MAXPOOL && pool_tiles(l) &&
        l->kernel_height * l->kernel_width > WINDOW_LIMIT)
        return error_set(e, "cuda: a pool of %zux%zu; at most %d places: take --device cpu",
                         l->kernel_height, l->kernel_width, WINDOW_LIMIT);
    if (l->kind == LAYER_CONV && p->rows > (ELEMENTS_LIMIT - 1) / (in > out ? in : out))
        return error_set(e,
                         "cuda: %zu rows of a convolution's pictures at once are too many; take a "
                         "smaller --batch",
                         p->rows);
    if (l->kind == LAYER_BATCHNORM && training && norm_groups(p->rows, l->group) > GROUPS_LIMIT)
        return error_set(e,
                         "cuda: batches of %zu rows have more than %d groups of batchnorm; take a "
                         "smaller --batch",
                         p->rows, GROUPS_LIMIT);
    return 0;
}

/* ---- parameters ---- */

typedef struct {
    const program_spec *spec;
    element type;
    plan *p;
    places *q;
} placer;

static size_t keep(const placer *k, size_t bytes)
{
    return arena_keep(&k->p->arena, bytes);
}

static size_t floats_keep(const placer *k, size_t count)
{
    return keep(k, count * sizeof(float));
}

static void parameters_begin(const placer *k)
{
    const network *n = k->p->net;
    for (size_t i = 0; i < n->parameter_count; i++) {
        const parameter *own = &n->parameters[i];
        k->q->parameters[i] =
            (parameter_places){.gradient = NOWHERE,
                               .copy = NOWHERE,
                               .inner = own->count,
                               .padded = own->count,
                               .learns = own->trainable && own->layer >= k->spec->frozen,
                               .decays = own->initial == INITIAL_GLOROT};
    }
}

/* Parameter `index` of the network: its aligned copy, and its gradient, of the activations' type
 * where the convolution library writes it so. */
static void weight_place(const placer *k, size_t index, size_t inner, size_t padded, bool as_type,
                         size_t *copy, size_t *gradient)
{
    if (index == SIZE_MAX)
        return;
    parameter_places *own = &k->q->parameters[index];
    size_t stored = k->p->net->parameters[index].count / inner * padded;
    own->inner = inner;
    own->padded = padded;
    own->bf16 = as_type && k->type == ELEMENT_BF16;
    own->copy = *copy = keep(k, stored * element_size(k->type));
    if (k->spec->training)
        own->gradient = *gradient = keep(k, stored * (own->bf16 ? 2 : 4));
}

static void parameters_place(const placer *k)
{
    const network *n = k->p->net;
    for (size_t i = 0; i < k->p->count; i++) {
        const fused_layer *f = &k->p->layers[i];
        layer_places *o = &k->q->layers[i];
        if (!fused_multiplies(f))
            continue;
        /* A dense layer reads rows of all inputs, where only the last dimension may be padded; no
         * grouped convolution has its input padded. */
        size_t groups = f->layer->kind == LAYER_CONV ? f->layer->groups : 1;
        weight_place(k, f->layer->weight, f->in.channels / groups, f->in_channels / groups,
                     !fused_is_product(f), &o->weight, &o->d_weight);
        weight_place(k, f->layer->offset, 1, 1, false, &o->bias, &o->d_bias);
    }
    for (size_t i = 0; i < n->parameter_count && k->spec->training; i++)
        if (k->q->parameters[i].gradient == NOWHERE)
            k->q->parameters[i].gradient = floats_keep(k, n->parameters[i].count);
}

/* ---- the rest ---- */

/* Partial sums of a bias' gradient, and of a depthwise convolution's weights. */
static size_t partials_count(const fused_layer *f)
{
    size_t elements = conv_is_depthwise(f) ? f->layer->kernel_height * f->layer->kernel_width : 1;
    return (elements > COLUMN_CHUNKS ? elements : COLUMN_CHUNKS) * f->out.channels;
}

/* Sums over rows want room for their partial sums; batchnorm, which normalises by the batch even
 * where nothing learns, for its moments. */
static void sums_place(const placer *k, size_t i)
{
    const fused_layer *f = &k->p->layers[i];
    layer_places *o = &k->q->layers[i];
    if (f->layer->kind == LAYER_BATCHNORM) {
        size_t groups = norm_groups(k->p->rows, f->layer->group);
        /* A smaller last batch has fewer groups, and then more blocks each. */
        size_t sums = groups > COLUMN_CHUNKS ? groups : COLUMN_CHUNKS;
        o->moments = floats_keep(k, groups * 4 * f->out.channels);
        o->partials = floats_keep(k, sums * 2 * f->out.channels);
    } else if (fused_multiplies(f) || f->masks_for != NOWHERE) {
        o->partials = floats_keep(k, partials_count(f));
    } else if (f->layer->kind == LAYER_LAYERNORM || f->layer->kind == LAYER_AFFINE) {
        o->moments = floats_keep(k, k->p->rows * f->out.height * f->out.width * 2);
        o->partials = floats_keep(k, COLUMN_CHUNKS * 2 * f->out.channels);
    }
    o->arrivals = keep(k, 8);
}

/* A convolution's border is read by the weights' gradient, until the step's end. */
static void border_place(const placer *k, size_t i)
{
    plan *p = k->p;
    size_t bytes = p->rows * extent_size(conv_input(&p->layers[i])) * element_size(k->type);
    size_t back = 2 * p->count - i;
    if (!conv_is_bordered(&p->layers[i]))
        return;
    k->q->layers[i].padded =
        arena_add(&p->arena, bytes, i, k->spec->training ? 2 * p->count + 1 : i);
    if (p->layers[i].d_input != NOWHERE)
        k->q->layers[i].d_padded = arena_add(&p->arena, bytes, back, back);
}

static void attention_place(const placer *k, size_t i)
{
    plan *p = k->p;
    const layer *l = p->layers[i].layer;
    layer_places *o = &k->q->layers[i];
    size_t count = p->rows * l->in.height * l->in.width * attention_stride(l);
    size_t size = element_size(k->type), back = 2 * p->count - i;
    if (l->kind != LAYER_ATTENTION)
        return;
    if (!attention_by_cores(k->type, l)) {
        o->scores = arena_add(&p->arena, count * sizeof(float), i, i);
        o->weights = arena_add(&p->arena, count * size, i, i);
    }
    if (p->layers[i].d_input == NOWHERE)
        return;
    o->back_scores = arena_add(&p->arena, count * sizeof(float), back, back);
    o->back_weights = arena_add(&p->arena, count * size, back, back);
    o->d_scores = arena_add(&p->arena, count * size, back, back);
}

static void training_place(const placer *k)
{
    places *q = k->q;
    const network *n = k->p->net;
    size_t rows = k->p->rows, pairs = rows * n->class_count;
    q->labels = keep(k, rows * sizeof(int32_t));
    q->d_logits = floats_keep(k, pairs);
    q->cosines = floats_keep(k, pairs);
    q->inverse_norms = floats_keep(k, rows);
    q->row_sums = floats_keep(k, rows * 4);
    q->first = floats_keep(k, n->total);
    q->second = floats_keep(k, n->total);
    q->state = keep(k, sizeof(step_state));
    for (size_t i = 0; i < k->p->count; i++)
        sums_place(k, i);
    q->head_arrivals = keep(k, 8);
    q->optimizer_arrivals = keep(k, 8);
}

static int places_make(const placer *k, error *e)
{
    places *q = k->q;
    const network *n = k->p->net;
    q->layers = calloc(k->p->count + 1, sizeof *q->layers);
    q->parameters = calloc(n->parameter_count, sizeof *q->parameters);
    if (!q->layers || !q->parameters)
        return error_set(e, "cuda: out of memory");
    memset(q->layers, 0xFF, k->p->count * sizeof *q->layers); /* NOWHERE */
    for (size_t i = 0; i < k->p->count; i++)
        if (limits_check(k->p, &k->p->layers[i], k->spec->training, e) < 0)
            return -1;
    q->master = floats_keep(k, n->total);
    q->staging = keep(k, k->p->rows * extent_size(n->input));
    q->embeddings = floats_keep(k, k->p->rows * n->dimension);
    parameters_begin(k);
    parameters_place(k);
    for (size_t i = 0; i < k->p->count; i++) {
        border_place(k, i);
        attention_place(k, i);
    }
    if (k->spec->training)
        training_place(k);
    return arena_lay_out(&k->p->arena, e);
}

/* Any activation and any sum can be made where a product is written. */
static bool joins(const void *own, const layer *product, const layer *next)
{
    (void)own, (void)product, (void)next;
    return true;
}

int places_new(const program_spec *spec, precision_kind precision, plan *p, places *out, error *e)
{
    bool bf16 = precision == PRECISION_BF16;
    plan_rules rules = {.type = bf16 ? ELEMENT_BF16 : ELEMENT_F32,
                        .input_multiple = bf16 ? 8 : 1,
                        .joins = joins,
                        .window_most = WINDOW_LIMIT,
                        .code_bytes = 2,
                        .weights_beside = true};
    placer k = {spec, rules.type, p, out};
    memset(out, 0xFF, sizeof *out); /* NOWHERE */
    out->layers = NULL;
    out->parameters = NULL;
    *p = (plan){0};
    if (spec->batch == 0)
        return error_set(e, "cuda: a batch of no rows");
    if (plan_new(spec, spec->batch, &rules, p, e) == 0 && places_make(&k, e) == 0)
        return 0;
    places_free(out);
    plan_free(p);
    return -1;
}

void places_free(places *q)
{
    free(q->layers);
    free(q->parameters);
    *q = (places){0};
}
