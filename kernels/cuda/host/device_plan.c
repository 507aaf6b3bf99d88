#include "device_plan.h"

#include <stdlib.h>
#include <string.h>

#define WINDOW_LIMIT 65536 /* places in a window that a uint16 can name */

/* ---- memory ---- */

static size_t aligned(size_t bytes)
{
    return (bytes + ARENA_ALIGNMENT - 1) / ARENA_ALIGNMENT * ARENA_ALIGNMENT;
}

static bool meets(const arena_block *a, const arena_block *b)
{
    return a->first <= b->last && b->first <= a->last;
}

/* The first place at or after which block i collides with none of those before it. */
static size_t place_find(const arena_block *blocks, size_t i)
{
    size_t at = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (size_t k = 0; k < i; k++) {
            const arena_block *b = &blocks[k];
            if (b->bytes == 0 || !meets(b, &blocks[i]))
                continue;
            if (at < b->offset + aligned(b->bytes) && b->offset < at + aligned(blocks[i].bytes)) {
                at = b->offset + aligned(b->bytes);
                moved = true;
            }
        }
    }
    return at;
}

size_t arena_layout(arena_block *blocks, size_t count)
{
    size_t end = 0;
    for (size_t i = 0; i < count; i++) {
        blocks[i].offset = blocks[i].bytes ? place_find(blocks, i) : 0;
        if (blocks[i].bytes && blocks[i].offset + aligned(blocks[i].bytes) > end)
            end = blocks[i].offset + aligned(blocks[i].bytes);
    }
    return end;
}

/* ---- time ---- */

launch launch_next(size_t left, size_t batch, size_t burst)
{
    if (left < batch)
        return (launch){left, left ? 1 : 0};
    return (launch){batch, left / batch >= burst ? burst : 1};
}

/* ---- sums over rows ---- */

size_t norm_groups(size_t rows, size_t group)
{
    return group && group < rows ? (rows + group - 1) / group : 1;
}

/* ---- planning ---- */

/* While planning, a place is the number of a block; at the end it becomes that block's offset. */
typedef struct {
    plan *p;
    const program_spec *spec;
    arena_block *blocks;
    size_t block_count, block_room;
    size_t forever; /* a time after everything */
} planner;

/* A block needed from `first` to `last`; NOWHERE without memory. */
static size_t block_add(planner *k, size_t bytes, size_t first, size_t last)
{
    if (k->block_count == k->block_room) {
        size_t room = k->block_room ? 2 * k->block_room : 64;
        arena_block *more = realloc(k->blocks, room * sizeof *more);
        if (!more)
            return NOWHERE;
        k->blocks = more;
        k->block_room = room;
    }
    k->blocks[k->block_count] = (arena_block){bytes ? bytes : 1, first, last, 0};
    return k->block_count++;
}

static size_t block_keep(planner *k, size_t bytes)
{
    return block_add(k, bytes, 0, k->forever);
}

/* An activation's block; inference gives it back when its last reader is done (block_use says so).
 * */
static size_t block_activation(planner *k, size_t elements, size_t time)
{
    size_t bytes = k->spec->batch * elements * k->p->element;
    return k->spec->training ? block_keep(k, bytes) : block_add(k, bytes, time, time);
}

static void block_use(planner *k, size_t block, size_t time)
{
    if (k->blocks[block].last < time)
        k->blocks[block].last = time;
}

static const layer *layer_at(const network *n, size_t i)
{
    return i < n->layer_count ? &n->layers[i] : NULL;
}

static bool is(const layer *l, layer_kind kind)
{
    return l && l->kind == kind;
}

static op_kind kind_of(layer_kind kind)
{
    static const op_kind kinds[] = {
        [LAYER_CONV] = OP_CONV,           [LAYER_DENSE] = OP_DENSE,
        [LAYER_RELU] = OP_RELU,           [LAYER_MAXPOOL] = OP_MAXPOOL,
        [LAYER_AVGPOOL] = OP_AVGPOOL,     [LAYER_DROPOUT] = OP_DROPOUT,
        [LAYER_BATCHNORM] = OP_BATCHNORM, [LAYER_SCALE] = OP_SCALE,
        [LAYER_SAVE] = OP_SAVE,           [LAYER_ADD] = OP_ADD,
    };
    return kinds[kind];
}

/* The operation that begins with layer *i; *i becomes the layer after it. */
static operation operation_read(const network *n, size_t *i)
{
    const layer *l = &n->layers[*i];
    operation o = {.kind = kind_of(l->kind),
                   .layer = *i,
                   .in = l->in,
                   .out = l->out,
                   .in_channels = l->in.channels,
                   .partner = l->partner,
                   .settles = NOWHERE};
    o.input = o.output = o.other = o.argmax = o.weight = o.bias = NOWHERE;
    o.d_output = o.d_masked = o.d_input = o.d_other = o.d_weight = o.d_bias = NOWHERE;
    o.moments = o.partials = o.tickets = NOWHERE;
    ++*i;
    bool joins = o.kind == OP_CONV || o.kind == OP_DENSE || o.kind == OP_BATCHNORM;
    if (joins && is(layer_at(n, *i), LAYER_RELU)) {
        o.relu = true;
        ++*i;
    }
    bool drops = o.kind == OP_MAXPOOL || (o.relu && o.kind != OP_BATCHNORM);
    if (o.kind == OP_DROPOUT) {
        o.drop = l->rate;
        o.drop_layer = o.layer;
    } else if (drops && is(layer_at(n, *i), LAYER_DROPOUT)) {
        o.drop = n->layers[*i].rate;
        o.drop_layer = (*i)++;
    }
    return o;
}

/* cuDNN counts a tensor's elements in 31 bits, and a grid has so many blocks along its third side.
 * */
#define ELEMENTS_LIMIT ((size_t)1 << 31)
#define GROUPS_LIMIT 65535

static int limits_check(const planner *k, const operation *o, const layer *l, error *e)
{
    size_t rows = k->p->batch, out = extent_size(o->out);
    size_t in = o->in.height * o->in.width *
                (o->in.channels > 8 ? o->in.channels : 8); /* pictures may be padded */
    size_t most = in > out ? in : out;
    if (o->kind == OP_CONV && rows > (ELEMENTS_LIMIT - 1) / most)
        return error_set(
            e,
            "cuda: %zu rows of a convolution's pictures at once are too many; take a smaller "
            "--batch",
            rows);
    if (o->kind == OP_BATCHNORM && k->spec->training && norm_groups(rows, l->group) > GROUPS_LIMIT)
        return error_set(
            e,
            "cuda: batches of %zu rows have more than %d groups of batchnorm; take a smaller "
            "--batch",
            rows, GROUPS_LIMIT);
    return 0;
}

static int operations_read(planner *k, error *e)
{
    const network *n = k->p->net;
    k->p->ops = calloc(n->layer_count + 1, sizeof *k->p->ops);
    if (!k->p->ops)
        return error_set(e, "cuda: out of memory");
    for (size_t i = 0; i < n->layer_count;) {
        operation o = operation_read(n, &i);
        const layer *l = &n->layers[o.layer];
        if (o.kind == OP_MAXPOOL && l->window_height * l->window_width > WINDOW_LIMIT)
            return error_set(e, "cuda: a pool of %zux%zu; at most %d places: take --device cpu",
                             l->window_height, l->window_width, WINDOW_LIMIT);
        if (o.kind == OP_DROPOUT && !k->spec->training)
            continue;
        if (limits_check(k, &o, l, e) != 0)
            return -1;
        k->p->ops[k->p->count++] = o;
    }
    for (size_t i = 0; i < k->p->count; i++) /* partners: from layers to operations */
        for (size_t j = 0; j < k->p->count; j++)
            if ((k->p->ops[i].kind == OP_SAVE || k->p->ops[i].kind == OP_ADD) &&
                k->p->ops[j].layer == n->layers[k->p->ops[i].layer].partner)
                k->p->ops[i].partner = j;
    return 0;
}

/* How the backward pass masks, and which pool settles its predecessor. */
static void masks_choose(planner *k)
{
    for (size_t i = 0; i < k->p->count; i++) {
        operation *o = &k->p->ops[i], *before = i ? o - 1 : NULL;
        bool positive = before && ((before->relu && before->drop == 0) || before->kind == OP_RELU);
        switch (o->kind) {
        case OP_CONV:
        case OP_DENSE:
        case OP_BATCHNORM:
            o->mask = o->relu ? MASK_POSITIVE : MASK_NONE;
            break;
        case OP_RELU:
            o->mask = MASK_POSITIVE;
            break;
        case OP_MAXPOOL:
            o->mask = positive ? MASK_POSITIVE : o->drop > 0 ? MASK_RANDOM : MASK_NONE;
            if (before && (before->kind == OP_CONV || before->kind == OP_DENSE) &&
                before->drop == 0) {
                o->settles = i - 1;
                before->settled = true;
            }
            break;
        case OP_DROPOUT:
            o->mask = MASK_RANDOM;
            break;
        default:
            break;
        }
    }
}

static void activations_place(planner *k)
{
    plan *p = k->p;
    size_t at = p->input, channels = p->input_channels;
    for (size_t i = 0; i < p->count; i++) {
        operation *o = &p->ops[i];
        o->input = at;
        o->in_channels = channels;
        block_use(k, at, i);
        bool passes = o->kind == OP_SAVE;
        o->output = passes ? at : block_activation(k, extent_size(o->out), i);
        if (o->kind == OP_ADD) {
            o->other = p->ops[o->partner].output;
            block_use(k, o->other, i);
        }
        if (o->kind == OP_MAXPOOL && p->training)
            o->argmax = block_keep(k, p->batch * extent_size(o->out) * 2);
        at = o->output;
        channels = passes ? channels : o->out.channels;
    }
    p->embedding = at;
    block_use(k, at, k->forever);
}

/* Parameter `index` of the network: its aligned copy, and its gradient, of the activations' type
 * where the convolution library writes it so. */
static void weight_place(planner *k, size_t index, size_t inner, size_t padded, bool narrow,
                         size_t *copy, size_t *gradient)
{
    if (index == SIZE_MAX)
        return;
    plan *p = k->p;
    const parameter *q = &p->net->parameters[index];
    size_t stored = q->count / inner * padded;
    *copy = block_keep(k, stored * p->element);
    *gradient = p->training ? block_keep(k, stored * (narrow ? p->element : 4)) : NOWHERE;
    plan_parameter *own = &p->parameters[index];
    *own = (plan_parameter){
        *gradient, narrow && p->element != 4, *copy, inner, padded, own->learns, own->decays};
}

static void weights_place(planner *k)
{
    plan *p = k->p;
    for (size_t i = 0; i < p->count; i++) {
        operation *o = &p->ops[i];
        const layer *l = &p->net->layers[o->layer];
        bool conv = o->kind == OP_CONV;
        if (!conv && o->kind != OP_DENSE)
            continue;
        /* A dense layer reads rows of all its inputs, where only the last dimension may be padded.
         * */
        weight_place(k, l->weight, o->in.channels, o->in_channels, conv, &o->weight, &o->d_weight);
        weight_place(k, l->offset, 1, 1, false, &o->bias, &o->d_bias);
    }
    for (size_t q = 0; q < p->net->parameter_count && p->training; q++)
        if (p->parameters[q].gradient == NOWHERE)
            p->parameters[q].gradient = block_keep(k, p->net->parameters[q].count * sizeof(float));
}

/* Whether anything below operation i learns. */
static bool learns_below(const plan *p, size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (p->ops[j].kind == OP_CONV || p->ops[j].kind == OP_DENSE ||
            p->ops[j].kind == OP_BATCHNORM)
            return true;
    return false;
}

/* Sums over rows want room for their partial sums; batchnorm for its moments. */
static void sums_place(planner *k, operation *o)
{
    size_t channels = o->out.channels;
    if (o->kind == OP_BATCHNORM) {
        o->groups = norm_groups(k->p->batch, k->p->net->layers[o->layer].group);
        o->moments = block_keep(k, o->groups * 4 * channels * sizeof(float));
        /* A smaller last batch has fewer groups, and then more blocks each. */
        size_t sums = o->groups > COLUMN_CHUNKS ? o->groups : COLUMN_CHUNKS;
        o->partials = block_keep(k, sums * 2 * channels * sizeof(float));
    } else if (o->kind == OP_CONV || o->kind == OP_DENSE || o->settles != NOWHERE) {
        size_t columns = o->kind == OP_MAXPOOL ? o->in.channels : channels;
        o->partials = block_keep(k, COLUMN_CHUNKS * columns * sizeof(float));
    }
}

/* From the embedding's gradient down, each operation's d_output is the d_input of the one behind
 * it. */
static void gradients_place(planner *k)
{
    plan *p = k->p;
    size_t at = p->d_embedding = block_keep(k, p->batch * p->net->dimension * p->element);
    bool shared = false; /* whether an addition still needs this gradient as it is */
    bool going = !k->spec->freeze_backbone;
    for (size_t i = p->count; i-- > 0;) {
        operation *o = &p->ops[i];
        sums_place(k, o); /* batchnorm normalises by the batch even where nothing learns */
        o->back = going && (learns_below(p, i) || o->kind == OP_CONV || o->kind == OP_DENSE ||
                            o->kind == OP_BATCHNORM);
        if (!o->back)
            continue;
        size_t outputs = p->batch * extent_size(o->out) * p->element;
        o->want_d_input = learns_below(p, i);
        o->d_output = at;
        if (o->kind == OP_SAVE)
            o->d_other = p->ops[o->partner].d_output;
        if (o->kind == OP_CONV || o->kind == OP_DENSE)
            o->d_masked = shared && o->mask != MASK_NONE ? block_keep(k, outputs) : at;
        if (!o->want_d_input)
            continue;
        if (o->kind != OP_ADD)
            at = block_keep(k, p->batch * extent_size(o->in) * p->element);
        o->d_input = at;
        shared = o->kind == OP_ADD;
    }
}

static void training_place(planner *k)
{
    plan *p = k->p;
    const network *n = p->net;
    size_t pairs = p->batch * n->class_count * sizeof(float);
    p->labels = block_keep(k, p->batch * sizeof(int32_t));
    p->d_logits = block_keep(k, pairs);
    p->cosines = block_keep(k, pairs);
    p->inverse_norms = block_keep(k, p->batch * sizeof(float));
    p->row_sums = block_keep(k, p->batch * 4 * sizeof(float));
    p->first = block_keep(k, n->total * sizeof(float));
    p->second = block_keep(k, n->total * sizeof(float));
    gradients_place(k);
    p->zeroed = p->state = block_keep(k, 256);
    for (size_t i = 0; i < p->count; i++)
        p->ops[i].tickets = block_keep(k, 8);
    p->head_tickets = block_keep(k, 8);
    p->optimizer_tickets = block_keep(k, 8);
    p->zeroed_end = block_keep(k, 1);
}

static void parameters_begin(planner *k)
{
    plan *p = k->p;
    const network *n = p->net;
    for (size_t q = 0; q < n->parameter_count; q++) {
        const parameter *own = &n->parameters[q];
        bool head = q == n->head_scale || q == n->head_weight;
        p->parameters[q] = (plan_parameter){NOWHERE,
                                            false,
                                            NOWHERE,
                                            own->count,
                                            own->count,
                                            own->trainable && (head || !k->spec->freeze_backbone),
                                            own->initial == INITIAL_GLOROT};
    }
}

/* From numbers of blocks to offsets. */
static void places_resolve(planner *k)
{
    plan *p = k->p;
    p->bytes = arena_layout(k->blocks, k->block_count);
    size_t *of_plan[] = {
        &p->input,      &p->embedding,     &p->d_embedding,       &p->labels,       &p->d_logits,
        &p->cosines,    &p->inverse_norms, &p->row_sums,          &p->head_tickets, &p->master,
        &p->first,      &p->second,        &p->optimizer_tickets, &p->state,        &p->zeroed,
        &p->zeroed_end, &p->staging,       &p->embeddings};
    for (size_t i = 0; i < sizeof of_plan / sizeof *of_plan; i++)
        if (*of_plan[i] != NOWHERE)
            *of_plan[i] = k->blocks[*of_plan[i]].offset;
    for (size_t i = 0; i < p->count; i++) {
        operation *o = &p->ops[i];
        size_t *of_op[] = {&o->input,    &o->output,   &o->other,    &o->argmax,   &o->weight,
                           &o->bias,     &o->d_output, &o->d_masked, &o->d_input,  &o->d_other,
                           &o->d_weight, &o->d_bias,   &o->moments,  &o->partials, &o->tickets};
        for (size_t j = 0; j < sizeof of_op / sizeof *of_op; j++)
            if (*of_op[j] != NOWHERE)
                *of_op[j] = k->blocks[*of_op[j]].offset;
    }
    for (size_t q = 0; q < p->net->parameter_count; q++) {
        plan_parameter *own = &p->parameters[q];
        own->gradient = own->gradient == NOWHERE ? NOWHERE : k->blocks[own->gradient].offset;
        own->copy = own->copy == NOWHERE ? NOWHERE : k->blocks[own->copy].offset;
    }
}

/* Tensor cores read channels in eights; a convolution that reads the pictures gets them padded. */
static size_t input_channels(const network *n, size_t element)
{
    bool conv = n->layer_count && n->layers[0].kind == LAYER_CONV;
    return conv && element == 2 ? (n->input.channels + 7) / 8 * 8 : n->input.channels;
}

static int plan_make(planner *k, error *e)
{
    plan *p = k->p;
    const network *n = p->net;
    p->d_embedding = p->labels = p->d_logits = p->cosines = p->inverse_norms = p->row_sums =
        NOWHERE;
    p->head_tickets = p->first = p->second = p->optimizer_tickets = p->state = NOWHERE;
    p->zeroed = p->zeroed_end = NOWHERE;
    p->parameters = calloc(n->parameter_count, sizeof *p->parameters);
    if (!p->parameters)
        return error_set(e, "cuda: out of memory");
    parameters_begin(k);
    if (operations_read(k, e) != 0)
        return -1;
    masks_choose(k);
    k->forever = p->count + 1;
    p->input_channels = input_channels(n, p->element);
    p->input = block_activation(k, n->input.height * n->input.width * p->input_channels, 0);
    p->master = block_keep(k, n->total * sizeof(float));
    p->staging = block_keep(k, p->batch * extent_size(n->input));
    p->embeddings = block_keep(k, p->batch * n->dimension * sizeof(float));
    activations_place(k);
    weights_place(k);
    if (p->training)
        training_place(k);
    places_resolve(k);
    return 0;
}

int device_plan_new(const program_spec *spec, precision_kind precision, plan *out, error *e)
{
    if (spec->batch == 0)
        return error_set(e, "cuda: a batch of no rows");
    *out = (plan){.net = spec->net,
                  .batch = spec->batch,
                  .training = spec->training,
                  .element = precision == PRECISION_BF16 ? 2 : 4};
    planner k = {.p = out, .spec = spec};
    /* All blocks that a network can want, so that no later one runs out of memory. */
    k.block_room = 64 + 24 * (spec->net->layer_count + 1) + 4 * spec->net->parameter_count;
    k.blocks = calloc(k.block_room, sizeof *k.blocks);
    int status = k.blocks ? plan_make(&k, e) : error_set(e, "cuda: out of memory");
    free(k.blocks);
    if (status != 0)
        device_plan_free(out);
    return status;
}

void device_plan_free(plan *p)
{
    free(p->ops);
    free(p->parameters);
    *p = (plan){0};
}
