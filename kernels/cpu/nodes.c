#include "cpu.h"

#include "../random.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- memory ---- */

void *program_memory(program *p, size_t bytes, const char *what, error *e)
{
    void **grown = realloc(p->memory, (p->memory_count + 1) * sizeof *grown);
    void *memory = NULL;
    if (grown) {
        p->memory = grown;
        size_t padded = bytes / 64 * 64 + 128;
        memory = padded < bytes ? NULL : aligned_alloc(64, padded);
    }
    if (!memory) {
        error_set(e,
                  "out of memory: %zu bytes for %s of %zu rows at once; make the batch smaller "
                  "(--batch)",
                  bytes, what, p->chunk);
        return NULL;
    }
    memset(memory, 0, bytes);
    p->memory[p->memory_count++] = memory;
    return memory;
}

/* ---- which layers go together ---- */

static bool multiplies(const layer *l)
{
    return l->kind == LAYER_CONV || l->kind == LAYER_DENSE;
}

static bool is_dropout(const program *p, size_t i)
{
    const network *n = p->net;
    return i < n->layer_count && n->layers[i].kind == LAYER_DROPOUT && n->layers[i].rate > 0;
}

static dropout dropout_of(const program *p, size_t index)
{
    float rate = p->net->layers[index].rate;
    return (dropout){.threshold = random_dropout_threshold(rate),
                     .layer = (uint32_t)index,
                     .factor = 1 / (1 - rate),
                     .seed = p->spec.seed};
}

/* A pooling's codes carry the gradient through the dropout after it and the ReLU before it. */
static bool has_codes(const layer *l)
{
    return l->window_height * l->window_width <= POOL_CODES_MAX;
}

/* Makes the node of layer i and returns the index of the first layer that is not in it. */
static size_t node_make(program *p, size_t i, node *d)
{
    const network *n = p->net;
    const layer *l = &n->layers[i];
    *d = (node){.word = l, .in = l->in, .out = l->out, .partner = SIZE_MAX};
    if (l->kind == LAYER_DROPOUT)
        d->drop = dropout_of(p, i);
    i++;
    bool may_relu = multiplies(l) || l->kind == LAYER_BATCHNORM;
    if (may_relu && i < n->layer_count && n->layers[i].kind == LAYER_RELU) {
        d->relu = true;
        i++;
    }
    bool may_drop = d->relu || (l->kind == LAYER_MAXPOOL && has_codes(l));
    if (may_drop && is_dropout(p, i))
        d->drop = dropout_of(p, i++);
    return i;
}

/* Dropout of rate 0 does nothing. */
static void nodes_make(program *p)
{
    const network *n = p->net;
    for (size_t i = 0; i < n->layer_count;) {
        if (n->layers[i].kind == LAYER_DROPOUT && n->layers[i].rate <= 0) {
            i++;
            continue;
        }
        i = node_make(p, i, &p->nodes[p->node_count++]);
    }
    for (size_t i = 0; i < p->node_count; i++) {
        node *d = &p->nodes[i];
        if (d->word->kind == LAYER_SAVE || d->word->kind == LAYER_ADD)
            for (size_t j = 0; j < p->node_count; j++)
                if (p->nodes[j].word == &n->layers[d->word->partner])
                    d->partner = j;
        if (i > 0 && d->word->kind == LAYER_MAXPOOL && has_codes(d->word)) {
            node *below = &p->nodes[i - 1];
            below->relu_passed = below->relu && !below->drop.threshold;
        }
    }
}

/* ---- types ---- */

/* What follows the last convolution or dense layer stays in float, so that embeddings are; unless a
 * residual from before it is added. */
static void types_choose(program *p)
{
    size_t last = 0;
    bool any = false;
    for (size_t i = 0; i < p->node_count; i++) {
        if (multiplies(p->nodes[i].word)) {
            last = i;
            any = true;
        }
    }
    bool crossed = false;
    for (size_t i = last; any && i < p->node_count; i++)
        crossed = crossed || (p->nodes[i].word->kind == LAYER_ADD && p->nodes[i].partner <= last);
    for (size_t i = 0; i < p->node_count; i++) {
        bool tail = !any || (i >= last && !crossed);
        p->nodes[i].out_type = tail ? ELEMENT_F32 : p->own->type;
        if (i + 1 < p->node_count)
            p->nodes[i + 1].in_type = p->nodes[i].out_type;
    }
    if (p->node_count)
        p->nodes[0].in_type = any ? p->own->type : ELEMENT_F32;
}

/* ---- where results lie ---- */

static size_t out_bytes(const program *p, const node *d)
{
    return p->chunk * extent_size(d->out) * element_size(d->out_type);
}

static bool in_place(const program *p, size_t i)
{
    layer_kind kind = p->nodes[i].word->kind;
    return (kind == LAYER_RELU || kind == LAYER_DROPOUT) && i > 0 &&
           p->nodes[i - 1].word->kind != LAYER_SAVE;
}

/* In training each result has memory of its own: the way back reads it. */
static int results_keep(program *p, error *e)
{
    void *below = p->input;
    for (size_t i = 0; i < p->node_count; i++) {
        node *d = &p->nodes[i];
        d->in_data = below;
        if (d->word->kind == LAYER_SAVE || in_place(p, i))
            d->out_data = below;
        else if (!(d->out_data = program_memory(p, out_bytes(p, d), "activations", e)))
            return -1;
        below = d->out_data;
    }
    return 0;
}

/* Otherwise a few pieces of memory take turns: one is free again once its reader is done, or for a
 * saved result once its add is. */
static int results_share(program *p, error *e)
{
    size_t count = 2, largest = 0;
    for (size_t i = 0; i < p->node_count; i++) {
        count += p->nodes[i].word->kind == LAYER_SAVE;
        largest = out_bytes(p, &p->nodes[i]) > largest ? out_bytes(p, &p->nodes[i]) : largest;
    }
    void **pieces = calloc(count, sizeof *pieces);
    size_t *busy_until = calloc(count, sizeof *busy_until);
    int status = pieces && busy_until ? 0 : error_set(e, "out of memory");
    void *below = p->input;
    size_t held = SIZE_MAX; /* the piece that `below` is; SIZE_MAX for the input */
    for (size_t i = 0; i < p->node_count && status == 0; i++) {
        node *d = &p->nodes[i];
        d->in_data = d->out_data = below;
        if (d->word->kind == LAYER_SAVE && held != SIZE_MAX && busy_until[held] < d->partner)
            busy_until[held] = d->partner;
        if (d->word->kind == LAYER_SAVE || d->word->kind == LAYER_DROPOUT)
            continue;
        size_t k = 0;
        while (k == held || (busy_until[k] && busy_until[k] >= i))
            k++;
        if (!pieces[k] && !(pieces[k] = program_memory(p, largest, "activations", e)))
            status = -1;
        d->out_data = below = pieces[k];
        held = k;
        busy_until[k] = 0;
    }
    free(pieces);
    free(busy_until);
    return status;
}

/* ---- where gradients lie ---- */

/* Whether nobody reads a node's result once the node above has come back: its memory may then take
 * the gradient. */
static bool result_is_free(const program *p, size_t i)
{
    const node *d = &p->nodes[i];
    return (multiplies(d->word) || d->word->kind == LAYER_BATCHNORM) &&
           (!d->relu || d->relu_passed) && !d->drop.threshold;
}

static bool passes_in_place(layer_kind kind)
{
    return kind == LAYER_RELU || kind == LAYER_DROPOUT || kind == LAYER_SCALE ||
           kind == LAYER_SAVE || kind == LAYER_ADD || kind == LAYER_BATCHNORM;
}

static int gradients_place(program *p, error *e)
{
    size_t largest = p->chunk * p->net->dimension * sizeof(float), converted = 0;
    for (size_t i = p->lowest; i < p->node_count; i++) {
        const node *d = &p->nodes[i];
        largest = out_bytes(p, d) > largest ? out_bytes(p, d) : largest;
        if (multiplies(d->word) && d->out_type != p->own->type && out_bytes(p, d) > converted)
            converted = out_bytes(p, d);
    }
    if (p->lowest == p->node_count)
        return 0;
    void *turns[2] = {program_memory(p, largest, "gradients", e), NULL};
    if (!turns[0] || !(turns[1] = program_memory(p, largest, "gradients", e)))
        return -1;
    if (converted && !(p->converted = program_memory(p, converted, "gradients", e)))
        return -1;
    void *at = turns[0];
    for (size_t i = p->node_count; i-- > p->lowest;) {
        node *d = &p->nodes[i];
        d->out_gradient = at;
        if (passes_in_place(d->word->kind))
            d->in_gradient = at;
        else if (d->word->kind == LAYER_MAXPOOL && i > 0 && result_is_free(p, i - 1) && d->codes)
            d->in_gradient = d->in_data;
        else
            d->in_gradient = at == turns[0] ? turns[1] : turns[0];
        at = d->in_gradient;
    }
    p->nodes[p->lowest].in_gradient = NULL;
    return 0;
}

/* ---- filters ---- */

int filters_new(program *p, error *e)
{
    size_t scratch = 0;
    for (size_t i = 0; i < p->node_count; i++) {
        node *d = &p->nodes[i];
        size_t narrow = d->narrow ? narrow_scratch_count(d->word, p->own->threads) : 0;
        scratch = narrow > scratch ? narrow : scratch;
        if (!d->winograd)
            continue;
        size_t bytes = winograd_filter_count(d->word) * sizeof(float);
        size_t wanted = winograd_scratch_count(d->word, p->own->threads);
        if (!(d->filters = program_memory(p, bytes, "weights", e)) ||
            (d->in_gradient && !(d->turned = program_memory(p, bytes, "weights", e))))
            return -1;
        scratch = wanted > scratch ? wanted : scratch;
    }
    if (scratch == 0)
        return 0;
    p->conv_scratch = program_memory(p, scratch * sizeof(float), "scratch memory", e);
    return p->conv_scratch ? 0 : -1;
}

void filters_refresh(program *p)
{
    if (p->filter_version == p->version)
        return;
    for (size_t i = 0; i < p->node_count; i++) {
        const node *d = &p->nodes[i];
        if (!d->winograd)
            continue;
        const float *weights = p->parameters + p->net->parameters[d->word->weight].start;
        winograd_filters(d->word, weights, d->filters);
        if (d->turned)
            winograd_filters_turned(d->word, weights, d->turned);
    }
    p->filter_version = p->version;
}

/* ---- making ---- */

static int node_space(program *p, node *d, error *e)
{
    const layer *l = d->word;
    bool training = p->spec.training;
    if (l->kind == LAYER_BATCHNORM && batchnorm_new(l, p->chunk, &d->norm) != 0)
        return error_set(e, "out of memory for batch normalisation of %zu rows", p->chunk);
    if (!training)
        return 0;
    if (l->kind == LAYER_MAXPOOL && has_codes(l) &&
        !(d->codes = program_memory(p, p->chunk * extent_size(d->out), "pooling", e)))
        return -1;
    if (l->kind == LAYER_SAVE && !(d->kept = program_memory(p, out_bytes(p, d), "gradients", e)))
        return -1;
    return 0;
}

static bool learns(const program *p, const layer *l)
{
    return !p->spec.freeze_backbone && l->weight != SIZE_MAX;
}

/* The way back through Winograd's takes that through the ReLU and dropout of the node below along.
 */
static void convolution_choose(program *p, size_t i)
{
    node *d = &p->nodes[i], *below = d - 1;
    d->narrow = d->learns && narrow_fits(d->word);
    d->winograd = !(p->own->type == ELEMENT_BF16 && cpu_has_tiles()) &&
                  winograd_fits(d->word, p->own->threads);
    if (!d->winograd || i == 0 || !below->relu || below->relu_passed)
        return;
    d->gates_below = true;
    below->relu_passed = true;
}

int nodes_new(program *p, error *e)
{
    p->nodes = calloc(p->net->layer_count + 1, sizeof *p->nodes);
    if (!p->nodes)
        return error_set(e, "out of memory");
    nodes_make(p);
    types_choose(p);
    p->lowest = p->node_count;
    for (size_t i = p->node_count; i-- > 0;) {
        p->nodes[i].learns = learns(p, p->nodes[i].word);
        convolution_choose(p, i);
        if (p->nodes[i].learns)
            p->lowest = i;
    }
    for (size_t i = 0; i < p->node_count; i++)
        if (node_space(p, &p->nodes[i], e) != 0)
            return -1;
    element type = p->node_count ? p->nodes[0].in_type : ELEMENT_F32;
    size_t size = p->chunk * extent_size(p->net->input) * element_size(type);
    if (!(p->input = program_memory(p, size, "pictures", e)))
        return -1;
    if ((p->spec.training ? results_keep : results_share)(p, e) != 0)
        return -1;
    if (p->spec.training && gradients_place(p, e) != 0)
        return -1;
    return filters_new(p, e);
}

void nodes_free(program *p)
{
    for (size_t i = 0; i < p->node_count; i++)
        batchnorm_free(&p->nodes[i].norm);
    for (size_t i = 0; i < p->memory_count; i++)
        free(p->memory[i]);
    free(p->memory);
    free(p->nodes);
}
