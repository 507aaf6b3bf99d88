#include "plan.h"

#include <stdlib.h>

typedef struct {
    plan *p;
    const program_spec *spec;
    const plan_rules *rules;
} planner;

bool layer_is_plain(const network *n, const layer *l)
{
    switch (l->kind) {
    case LAYER_CONV:
        return l->stride_height == 1 && l->stride_width == 1 && l->dilation_height == 1 &&
               l->dilation_width == 1 && l->groups == 1 && l->pad.top == l->pad.bottom &&
               l->pad.left == l->pad.right;
    case LAYER_MAXPOOL:
        return l->out.height == l->in.height / l->kernel_height && pool_tiles(l);
    case LAYER_AVGPOOL:
        return l->out.height == 1 && l->out.width == 1 && l->kernel_height == l->in.height &&
               l->kernel_width == l->in.width && pool_tiles(l);
    case LAYER_DENSE:
    case LAYER_RELU:
    case LAYER_DROPOUT:
    case LAYER_BATCHNORM:
    case LAYER_SCALE:
    case LAYER_SAVE:
        return true;
    case LAYER_ADD:
        return n->layers[n->operands[l->operands]].kind == LAYER_SAVE;
    default:
        return false;
    }
}

bool fused_multiplies(const fused_layer *f)
{
    return f->layer->kind == LAYER_CONV || f->layer->kind == LAYER_DENSE;
}

bool fused_learns(const fused_layer *f)
{
    return f->layer->weight != SIZE_MAX;
}

bool fused_masks(const fused_layer *f)
{
    return f->relu && !f->masked;
}

/* ---- which layers go together ---- */

static bool has_codes(const planner *k, const layer *l)
{
    return l->kind == LAYER_MAXPOOL && l->kernel_height * l->kernel_width <= k->rules->window_most;
}

static bool follows(const network *n, size_t i, layer_kind kind)
{
    return i < n->layer_count && n->layers[i].kind == kind;
}

/* Reads the fused layer that begins with layer i; returns the first layer behind it. */
static size_t layers_join(const planner *k, size_t i, fused_layer *f)
{
    const network *n = k->p->net;
    const layer *l = &n->layers[i];
    *f = (fused_layer){.layer = l,
                       .index = i,
                       .in = l->in,
                       .out = l->out,
                       .in_channels = l->in.channels,
                       .partner = NOWHERE,
                       .masks_for = NOWHERE,
                       .saved = NOWHERE,
                       .codes = NOWHERE,
                       .d_output = NOWHERE,
                       .d_input = NOWHERE,
                       .d_masked = NOWHERE,
                       .d_converted = NOWHERE,
                       .d_saved = NOWHERE};
    size_t next = i + 1, drop = l->kind == LAYER_DROPOUT ? i : NOWHERE;
    if (fused_learns(f) && follows(n, next, LAYER_RELU)) {
        f->relu = true;
        next++;
    }
    if ((f->relu || has_codes(k, l)) && follows(n, next, LAYER_DROPOUT))
        drop = next++;
    if (drop != NOWHERE && k->spec->training) {
        f->drop = n->layers[drop].rate;
        f->drop_layer = drop;
    }
    return next;
}

/* Dropout of rate 0, or outside training, does nothing. */
static int layers_read(planner *k, error *e)
{
    plan *p = k->p;
    p->layers = calloc(p->net->layer_count + 1, sizeof *p->layers);
    if (!p->layers)
        return error_set(e, "out of memory");
    for (size_t i = 0; i < p->net->layer_count;) {
        fused_layer f;
        i = layers_join(k, i, &f);
        if (f.layer->kind != LAYER_DROPOUT || f.drop > 0)
            p->layers[p->count++] = f;
    }
    return 0;
}

/* Layers below what learns are computed as in inference. */
static int layers_check(const planner *k, error *e)
{
    const network *n = k->p->net;
    bool training = k->spec->training && !k->spec->freeze_backbone;
    for (size_t i = 0; i < n->layer_count; i++) {
        const layer *l = &n->layers[i];
        if (k->rules->computes && !k->rules->computes(n, l, training))
            return error_set(e,
                             "word %zu of the network, %s: this device does not %s it; --device "
                             "reference does, slowly",
                             i + 1, layer_name(l->kind), training ? "train" : "compute");
    }
    return 0;
}

static void partners_find(plan *p)
{
    for (size_t i = 0; i < p->count; i++) {
        fused_layer *f = &p->layers[i];
        if (f->layer->kind != LAYER_SAVE && f->layer->kind != LAYER_ADD)
            continue;
        for (size_t j = 0; j < p->count; j++)
            if (p->layers[j].index == f->layer->partner)
                f->partner = j;
    }
}

static void masks_choose(const planner *k)
{
    for (size_t i = 1; i < k->p->count; i++) {
        fused_layer *f = &k->p->layers[i], *below = f - 1;
        if (!has_codes(k, f->layer) || !fused_learns(below) || below->drop > 0)
            continue;
        f->masks_for = i - 1;
        below->masked = true;
    }
}

static void lowest_find(const planner *k)
{
    plan *p = k->p;
    p->lowest = 0;
    while (p->lowest < p->count &&
           (k->spec->freeze_backbone || !fused_learns(&p->layers[p->lowest])))
        p->lowest++;
}

/* ---- types ---- */

static void types_choose(const planner *k)
{
    plan *p = k->p;
    size_t last = NOWHERE;
    bool crossed = false;
    for (size_t i = 0; i < p->count; i++)
        if (fused_multiplies(&p->layers[i]))
            last = i;
    for (size_t i = last; i < p->count; i++)
        crossed =
            crossed || (p->layers[i].layer->kind == LAYER_ADD && p->layers[i].partner <= last);
    bool mixed = k->rules->float_tail && !crossed;
    element type = k->rules->float_tail && last == NOWHERE ? ELEMENT_F32 : k->rules->type;
    p->input_type = type;
    for (size_t i = 0; i < p->count; i++) {
        p->layers[i].in_type = type;
        type = mixed && i >= last ? ELEMENT_F32 : type;
        p->layers[i].out_type = type;
    }
}

/* ---- activations ---- */

static size_t activation_bytes(const plan *p, extent e, element type)
{
    return p->rows * extent_size(e) * element_size(type);
}

static size_t time_back(const plan *p, size_t i)
{
    return 2 * p->count - i;
}

static size_t time_end(const plan *p)
{
    return 2 * p->count + 1;
}

/* A save's output is its input. ReLU and dropout write over theirs, unless it was saved. */
static bool keeps_place(const plan *p, size_t i)
{
    layer_kind kind = p->layers[i].layer->kind;
    return kind == LAYER_SAVE || ((kind == LAYER_RELU || kind == LAYER_DROPOUT) && i > 0 &&
                                  p->layers[i - 1].layer->kind != LAYER_SAVE);
}

static void activations_place(const planner *k)
{
    plan *p = k->p;
    const network *n = p->net;
    bool pads = p->count && p->layers[0].layer->kind == LAYER_CONV;
    size_t multiple = pads ? k->rules->input_multiple : 1;
    size_t channels = (n->input.channels + multiple - 1) / multiple * multiple;
    p->input_channels = channels;
    extent pictures = {n->input.height, n->input.width, channels};
    size_t at = p->input = arena_add(&p->arena, activation_bytes(p, pictures, p->input_type), 0, 0);
    for (size_t i = 0; i < p->count; i++) {
        fused_layer *f = &p->layers[i];
        f->input = at;
        f->in_channels = channels;
        arena_use(&p->arena, at, i);
        if (!keeps_place(p, i))
            at = arena_add(&p->arena, activation_bytes(p, f->out, f->out_type), i, i);
        if (f->layer->kind != LAYER_SAVE)
            channels = f->out.channels;
        f->output = at;
        if (f->layer->kind == LAYER_ADD) {
            f->saved = p->layers[f->partner].output;
            arena_use(&p->arena, f->saved, i);
        }
        if (k->spec->training && has_codes(k, f->layer))
            f->codes = arena_add(&p->arena, p->rows * extent_size(f->out) * k->rules->code_bytes, i,
                                 time_back(p, i));
    }
    p->embedding = at;
    arena_use(&p->arena, at, time_end(p));
}

/* ---- gradients ---- */

static bool gradient_in_place(layer_kind kind)
{
    return kind == LAYER_RELU || kind == LAYER_DROPOUT || kind == LAYER_SCALE ||
           kind == LAYER_BATCHNORM || kind == LAYER_SAVE;
}

/* The activations that the backward pass of fused layer i reads, the weights' gradient until
 * `last`. */
static void activations_keep(const planner *k, size_t i, size_t last)
{
    plan *p = k->p;
    const fused_layer *f = &p->layers[i];
    layer_kind kind = f->layer->kind;
    if (fused_multiplies(f))
        arena_use(&p->arena, f->input, last);
    if (kind == LAYER_BATCHNORM || (kind == LAYER_MAXPOOL && f->codes == NOWHERE))
        arena_use(&p->arena, f->input, time_back(p, i));
    if (fused_masks(f) || kind == LAYER_RELU || f->masks_for != NOWHERE)
        arena_use(&p->arena, f->output, time_back(p, i));
}

/* From the embedding's gradient down, each one's d_output is the d_input of the one behind it. A
 * gradient that an add has passed on is `shared`: its save reads it again, as it is. */
static void gradients_place(const planner *k)
{
    plan *p = k->p;
    element top = p->count ? p->layers[p->count - 1].out_type : p->input_type;
    size_t bytes = p->rows * p->net->dimension * element_size(top);
    size_t at = p->d_embedding = arena_add(&p->arena, bytes, p->count, p->count);
    bool shared = false;
    for (size_t i = p->count; i-- > p->lowest;) {
        fused_layer *f = &p->layers[i];
        size_t now = time_back(p, i), last = now;
        if (fused_multiplies(f) && k->rules->weights_beside)
            last = time_end(p);
        f->d_output = f->d_masked = at;
        arena_use(&p->arena, at, last);
        activations_keep(k, i, last);
        if (fused_multiplies(f) && fused_masks(f) && shared)
            f->d_masked = arena_add(&p->arena, activation_bytes(p, f->out, f->out_type), now, last);
        if (fused_multiplies(f) && f->out_type != k->rules->type)
            f->d_converted =
                arena_add(&p->arena, activation_bytes(p, f->out, k->rules->type), now, last);
        if (f->layer->kind == LAYER_SAVE) {
            f->d_saved = p->layers[f->partner].d_output;
            arena_use(&p->arena, f->d_saved, now);
        }
        if (i == p->lowest)
            return;
        if (f->layer->kind != LAYER_ADD && (shared || !gradient_in_place(f->layer->kind)))
            at = arena_add(&p->arena, activation_bytes(p, f->in, f->in_type), now, now);
        f->d_input = at;
        shared = f->layer->kind == LAYER_ADD;
    }
}

/* ---- making ---- */

int plan_new(const program_spec *spec, size_t rows, const plan_rules *rules, plan *out, error *e)
{
    planner k = {.p = out, .spec = spec, .rules = rules};
    *out = (plan){.net = spec->net, .rows = rows, .d_embedding = NOWHERE};
    if (layers_check(&k, e) < 0 || layers_read(&k, e) < 0)
        return -1;
    partners_find(out);
    masks_choose(&k);
    lowest_find(&k);
    types_choose(&k);
    activations_place(&k);
    if (spec->training)
        gradients_place(&k);
    return 0;
}

void plan_free(plan *p)
{
    free(p->layers);
    arena_free(&p->arena);
    *p = (plan){0};
}
