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
        return conv_is_plain(l);
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

/* Of those that a ReLU may follow in the same pass. */
static bool takes_relu(const fused_layer *f)
{
    return fused_multiplies(f) || f->layer->kind == LAYER_BATCHNORM;
}

bool fused_masks(const fused_layer *f)
{
    return f->relu && !f->masked;
}

/* ---- which layers go together ---- */

static bool has_codes(const planner *k, const layer *l)
{
    return l->kind == LAYER_MAXPOOL && pool_tiles(l) &&
           l->kernel_height * l->kernel_width <= k->rules->window_most;
}

static bool follows(const network *n, size_t i, layer_kind kind)
{
    return i < n->layer_count && n->layers[i].kind == kind;
}

/* Whether nothing but the layer that closes its block reads operand k of that layer behind this
 * point, so that a result may take its place. What a save or a "|" goes back to may be another
 * block's operand, too; dropout outside of training leaves its input where it is. */
static bool operand_is_free(const planner *k, const layer *closes, size_t operand)
{
    const network *n = k->p->net;
    size_t i = n->operands[closes->operands + operand];
    while (i > 0 && n->layers[i - 1].kind == LAYER_DROPOUT)
        i--;
    if (i == 0 || k->spec->training)
        return false;
    layer_kind before = n->layers[i - 1].kind;
    return before != LAYER_SAVE && before != LAYER_BRANCH && before != LAYER_NORMALIZE;
}

static bool joins(const planner *k, const layer *product, const layer *next)
{
    return !k->spec->training && k->rules->joins && k->rules->joins(k->rules->own, product, next);
}

/* Whether layer i reads that operand itself, and so cannot write over it. Behind a "|" it reads
 * what was saved, not what the "|" read. */
static bool reads_operand(const planner *k, size_t i, const layer *closes, size_t operand)
{
    const network *n = k->p->net;
    while (i > 0 && n->layers[i - 1].kind == LAYER_DROPOUT)
        i--;
    return i > 0 && n->operands[closes->operands + operand] == i - 1 &&
           n->layers[i - 1].kind != LAYER_BRANCH;
}

static bool joins_sum(const planner *k, size_t i)
{
    const layer *product = &k->p->net->layers[i], *next = product + 1;
    return next->kind == LAYER_ADD && next->operand_count == 2 && operand_is_free(k, next, 0) &&
           !reads_operand(k, i, next, 0) && joins(k, product, next);
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
    if (fused_multiplies(f) && next < n->layer_count && joins_sum(k, i)) {
        f->sums = true;
        next++;
    }
    if (takes_relu(f) && follows(n, next, LAYER_RELU)) {
        f->relu = true;
        next++;
    } else if (fused_multiplies(f) && next < n->layer_count &&
               n->layers[next].kind == LAYER_ACTIVATION && joins(k, l, &n->layers[next])) {
        f->activation = &n->layers[next++];
    }
    if ((f->relu || has_codes(k, l)) && follows(n, next, LAYER_DROPOUT))
        drop = next++;
    if (drop != NOWHERE && k->spec->training) {
        f->drop = n->layers[drop].rate;
        f->drop_layer = drop;
    }
    return next;
}

/* Dropout of rate 0, or outside training, does nothing; pictures are loaded normalised. */
static int layers_read(planner *k, error *e)
{
    plan *p = k->p;
    p->layers = calloc(p->net->layer_count + 1, sizeof *p->layers);
    p->operands = calloc(2 * p->net->operand_count + 1, sizeof *p->operands);
    if (!p->layers || !p->operands)
        return error_set(e, "out of memory");
    for (size_t i = 0; i < p->net->layer_count;) {
        fused_layer f;
        i = layers_join(k, i, &f);
        if (f.layer->kind == LAYER_NORMALIZE)
            p->normalize = f.layer;
        else if (f.layer->kind != LAYER_DROPOUT || f.drop > 0)
            p->layers[p->count++] = f;
    }
    p->d_operands = p->operands + p->net->operand_count;
    return 0;
}

/* Layers below what learns are computed as in inference. */
static int layers_check(const planner *k, error *e)
{
    const network *n = k->p->net;
    for (size_t i = 0; i < n->layer_count; i++) {
        const layer *l = &n->layers[i];
        bool training = k->spec->training && i >= k->spec->frozen;
        if (k->rules->computes && !k->rules->computes(n, l, training))
            return error_set(e,
                             "word %zu of the network, %s: this device does not %s it; --device "
                             "reference does, slowly",
                             i + 1, layer_name(l), training ? "train" : "compute");
    }
    return 0;
}

static void partners_find(plan *p)
{
    for (size_t i = 0; i < p->count; i++) {
        fused_layer *f = &p->layers[i];
        if (f->layer->partner == SIZE_MAX)
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
        if (!has_codes(k, f->layer) || !takes_relu(below) || below->drop > 0)
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
           (p->layers[p->lowest].index < k->spec->frozen || !fused_learns(&p->layers[p->lowest])))
        p->lowest++;
}

/* ---- types ---- */

static void types_choose(const planner *k)
{
    plan *p = k->p;
    const network *n = p->net;
    size_t last = NOWHERE;
    bool crossed = false; /* a block that begins before the last product ends behind it */
    for (size_t i = 0; i < p->count; i++)
        if (fused_multiplies(&p->layers[i]))
            last = p->layers[i].index;
    for (size_t i = last; i < n->layer_count; i++)
        crossed = crossed || (layer_closes(n->layers[i].kind) && n->layers[i].partner < last);
    bool mixed = k->rules->float_tail && !crossed;
    element type = k->rules->float_tail && last == NOWHERE ? ELEMENT_F32 : k->rules->type;
    p->input_type = type;
    for (size_t i = 0; i < p->count; i++) {
        p->layers[i].in_type = type;
        type = mixed && p->layers[i].index >= last ? ELEMENT_F32 : type;
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

/* What works on each element, or each place, alone. */
static bool works_in_place(layer_kind kind)
{
    return layer_is_activation(kind) || kind == LAYER_SCALE || kind == LAYER_POSITION ||
           kind == LAYER_AFFINE || kind == LAYER_LAYERNORM;
}

/* A save's output is its input. ReLU and dropout write over theirs, and so does in inference what
 * can, unless it was saved. */
static bool keeps_place(const planner *k, size_t i)
{
    const plan *p = k->p;
    layer_kind kind = p->layers[i].layer->kind;
    layer_kind before = i > 0 ? p->layers[i - 1].layer->kind : LAYER_SAVE;
    bool able =
        kind == LAYER_RELU || kind == LAYER_DROPOUT || (works_in_place(kind) && !k->spec->training);
    return kind == LAYER_SAVE || (able && before != LAYER_SAVE && before != LAYER_BRANCH);
}

/* What layer `index` reads is an operand of the layer that closes its block. */
static void operands_note(plan *p, size_t index, size_t place)
{
    for (size_t o = 0; o < p->net->operand_count; o++)
        if (p->net->operands[o] == index)
            p->operands[o] = place;
}

static void operands_use(plan *p, const layer *closes, size_t time)
{
    for (size_t o = 0; o < closes->operand_count; o++)
        arena_use(&p->arena, p->operands[closes->operands + o], time);
}

/* Where fused layer i, that closes a block, may write: over its first operand, if that is free and
 * of the output's shape; NOWHERE for a place of its own. */
static size_t close_place(const planner *k, const fused_layer *f)
{
    const layer *l = f->layer;
    extent first = k->p->net->layers[k->p->net->operands[l->operands]].in;
    bool able = l->kind == LAYER_ADD || l->kind == LAYER_MULTIPLY;
    return able && extent_size(first) == extent_size(l->out) && operand_is_free(k, l, 0)
               ? k->p->operands[l->operands]
               : NOWHERE;
}

/* Where fused layer i writes; `at` is what it reads. */
static size_t output_place(const planner *k, size_t i, size_t at)
{
    plan *p = k->p;
    fused_layer *f = &p->layers[i];
    const layer *l = f->layer;
    size_t place = NOWHERE;
    if (keeps_place(k, i))
        return at;
    if (l->kind == LAYER_BRANCH)
        return p->layers[f->partner].output;
    if (layer_closes(l->kind)) {
        f->saved = p->operands[l->operands];
        operands_use(p, l, i);
        place = close_place(k, f);
    } else if (f->sums) {
        place = f->saved = p->operands[l[1].operands];
    }
    if (place == NOWHERE)
        return arena_add(&p->arena, activation_bytes(p, f->out, f->out_type), i, i);
    arena_use(&p->arena, place, i);
    return place;
}

static void activations_place(const planner *k)
{
    plan *p = k->p;
    const network *n = p->net;
    const layer *first = p->count ? p->layers[0].layer : NULL;
    bool pads = first && first->kind == LAYER_CONV && first->groups == 1;
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
        operands_note(p, f->index, at);
        at = f->output = output_place(k, i, at);
        arena_use(&p->arena, at, i);
        if (f->layer->kind != LAYER_SAVE)
            channels = f->out.channels;
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
    return works_in_place(kind) || kind == LAYER_DROPOUT || kind == LAYER_BATCHNORM ||
           kind == LAYER_SAVE;
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
    if (kind == LAYER_BATCHNORM || kind == LAYER_LAYERNORM || kind == LAYER_AFFINE ||
        kind == LAYER_ATTENTION || kind == LAYER_ACTIVATION ||
        (kind == LAYER_MAXPOOL && f->codes == NOWHERE))
        arena_use(&p->arena, f->input, time_back(p, i));
    if (kind == LAYER_MULTIPLY)
        operands_use(p, f->layer, time_back(p, i));
    if (fused_masks(f) || kind == LAYER_RELU || f->masks_for != NOWHERE)
        arena_use(&p->arena, f->output, time_back(p, i));
}

/* A gradient on its way down. One that an addition has passed on is `shared`: others read it, too,
 * as it is. */
typedef struct {
    size_t at;
    bool shared;
} flow;

/* The gradients of all operands; what goes on is that of the last, the layer's own input. */
static flow close_gradients(const planner *k, fused_layer *f, flow g, size_t now)
{
    plan *p = k->p;
    const layer *l = f->layer;
    bool adds = l->kind == LAYER_ADD;
    for (size_t o = l->operands; o < l->operands + l->operand_count; o++) {
        extent e = p->net->layers[p->net->operands[o]].in;
        p->d_operands[o] =
            adds ? g.at : arena_add(&p->arena, activation_bytes(p, e, f->in_type), now, now);
    }
    f->d_input = p->d_operands[l->operands + l->operand_count - 1];
    return (flow){f->d_input, adds};
}

/* Two gradients of what was saved become one: in the place of either that nobody else reads. */
static flow gradients_sum(const planner *k, fused_layer *f, flow a, flow b, size_t now)
{
    plan *p = k->p;
    f->d_saved = b.at;
    arena_use(&p->arena, b.at, now);
    flow sum = {a.shared ? b.at : a.at, false};
    if (a.shared && b.shared)
        sum.at = arena_add(&p->arena, activation_bytes(p, f->out, f->out_type), now, now);
    f->d_input = sum.at;
    arena_use(&p->arena, sum.at, now);
    return sum;
}

/* At a "|": what came joins what other branches gave to what was saved (*gathered), and the way
 * goes on with the gradient of the operand before it. */
static flow branch_gradients(const planner *k, fused_layer *f, flow g, flow *gathered, size_t now)
{
    plan *p = k->p;
    const network *n = p->net;
    const layer *closes = &n->layers[n->layers[f->layer->partner].partner];
    *gathered = gathered->at == NOWHERE ? g : gradients_sum(k, f, g, *gathered, now);
    size_t o = closes->operands;
    while (n->operands[o] != f->index)
        o++;
    return (flow){p->d_operands[o], closes->kind == LAYER_ADD};
}

static flow save_gradients(const planner *k, fused_layer *f, flow g, flow gathered, size_t now)
{
    plan *p = k->p;
    const network *n = p->net;
    const layer *closes = &n->layers[f->layer->partner];
    if (n->operands[closes->operands] == f->index)
        gathered = (flow){p->d_operands[closes->operands], closes->kind == LAYER_ADD};
    return gradients_sum(k, f, g, gathered, now);
}

/* Of one layer that is not of branches; returns its input's. */
static flow layer_gradients(const planner *k, size_t i, flow g, size_t now, size_t last)
{
    plan *p = k->p;
    fused_layer *f = &p->layers[i];
    if (fused_multiplies(f) && fused_masks(f) && g.shared)
        f->d_masked = arena_add(&p->arena, activation_bytes(p, f->out, f->out_type), now, last);
    if (fused_multiplies(f) && f->out_type != k->rules->type)
        f->d_converted =
            arena_add(&p->arena, activation_bytes(p, f->out, k->rules->type), now, last);
    if (i == p->lowest)
        return g;
    if (g.shared || !gradient_in_place(f->layer->kind))
        g.at = arena_add(&p->arena, activation_bytes(p, f->in, f->in_type), now, now);
    f->d_input = g.at;
    return (flow){g.at, false};
}

/* From the embedding's gradient down, each one's d_output is the d_input of the one behind it, but
 * for those of branches. */
static int gradients_place(const planner *k, error *e)
{
    plan *p = k->p;
    element top = p->count ? p->layers[p->count - 1].out_type : p->input_type;
    size_t bytes = p->rows * p->net->dimension * element_size(top);
    flow *gathered = malloc((p->count + 1) * sizeof *gathered); /* of each save */
    if (!gathered)
        return error_set(e, "out of memory");
    flow g = {p->d_embedding = arena_add(&p->arena, bytes, p->count, p->count), false};
    for (size_t i = p->count; i-- > p->lowest;) {
        fused_layer *f = &p->layers[i];
        layer_kind kind = f->layer->kind;
        size_t now = time_back(p, i), last = now;
        if (fused_multiplies(f) && k->rules->weights_beside)
            last = time_end(p);
        f->d_output = f->d_masked = g.at;
        arena_use(&p->arena, g.at, last);
        activations_keep(k, i, last);
        if (layer_closes(kind)) {
            gathered[f->partner] = (flow){NOWHERE, false};
            g = close_gradients(k, f, g, now);
        } else if (kind == LAYER_BRANCH) {
            g = branch_gradients(k, f, g, &gathered[f->partner], now);
        } else if (kind == LAYER_SAVE) {
            g = save_gradients(k, f, g, gathered[i], now);
        } else {
            g = layer_gradients(k, i, g, now, last);
        }
    }
    free(gathered);
    return 0;
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
    return spec->training ? gradients_place(&k, e) : 0;
}

void plan_free(plan *p)
{
    free(p->layers);
    free(p->operands);
    arena_free(&p->arena);
    *p = (plan){0};
}
