#include "places.h"

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

/* ---- limits ---- */

#define WINDOW_LIMIT 65536 /* places in a window that a uint16 can name */
/* cuDNN counts a tensor's elements in 31 bits; a grid has so many blocks along its third side. */
#define ELEMENTS_LIMIT ((size_t)1 << 31)
#define GROUPS_LIMIT 65535

static int limits_check(const plan *p, const fused_layer *f, bool training, error *e)
{
    const layer *l = f->layer;
    size_t out = extent_size(f->out), in = f->in.height * f->in.width * f->in_channels;
    if (l->kind == LAYER_MAXPOOL && l->kernel_height * l->kernel_width > WINDOW_LIMIT)
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
        bool head = i == n->head_scale || i == n->head_weight;
        k->q->parameters[i] =
            (parameter_places){.gradient = NOWHERE,
                               .copy = NOWHERE,
                               .inner = own->count,
                               .padded = own->count,
                               .learns = own->trainable && (head || !k->spec->freeze_backbone),
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
        /* A dense layer reads rows of all inputs, where only the last dimension may be padded. */
        weight_place(k, f->layer->weight, f->in.channels, f->in_channels,
                     f->layer->kind == LAYER_CONV, &o->weight, &o->d_weight);
        weight_place(k, f->layer->offset, 1, 1, false, &o->bias, &o->d_bias);
    }
    for (size_t i = 0; i < n->parameter_count && k->spec->training; i++)
        if (k->q->parameters[i].gradient == NOWHERE)
            k->q->parameters[i].gradient = floats_keep(k, n->parameters[i].count);
}

/* ---- the rest ---- */

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
        o->partials = floats_keep(k, COLUMN_CHUNKS * f->out.channels);
    }
    o->arrivals = keep(k, 8);
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
    if (k->spec->training)
        training_place(k);
    return arena_lay_out(&k->p->arena, e);
}

static bool computes(const network *n, const layer *l, bool training)
{
    (void)training;
    return layer_is_plain(n, l);
}

int places_new(const program_spec *spec, precision_kind precision, plan *p, places *out, error *e)
{
    bool bf16 = precision == PRECISION_BF16;
    plan_rules rules = {.type = bf16 ? ELEMENT_BF16 : ELEMENT_F32,
                        .input_multiple = bf16 ? 8 : 1,
                        .computes = computes,
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
