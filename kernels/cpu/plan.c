#include "cpu.h"

#include <stdlib.h>

/* ---- failures ---- */

/* What is being made, for messages. */
typedef struct {
    program *p;
    plan *s;
    const node *d; /* NULL: a reorder of weights */
    const char *what;
    error *e;
} maker;

static int check(const maker *m, dnnl_status_t status)
{
    if (status == dnnl_success)
        return 0;
    if (!m->d)
        return error_set(m->e, "oneDNN: %s: %s", m->what, dnnl_status_text(status));
    extent in = m->d->in, out = m->d->out;
    const char *advice = status == dnnl_out_of_memory ? "; make the batch smaller (--batch)" : "";
    return error_set(m->e, "oneDNN: %s of %zux%zux%zu to %zux%zux%zu, %zu rows, in %s: %s%s",
                     m->what, in.height, in.width, in.channels, out.height, out.width, out.channels,
                     m->s->rows, m->p->own->type == ELEMENT_BF16 ? "bf16" : "fp32",
                     dnnl_status_text(status), advice);
}

static void *plan_memory(const maker *m, size_t bytes)
{
    size_t padded = bytes / 64 * 64 + 128;
    void *memory = padded < bytes ? NULL : aligned_alloc(64, padded);
    if (!memory)
        error_set(m->e,
                  "out of memory: %zu bytes for %s of %zu rows; make the batch smaller (--batch)",
                  bytes, m->what, m->s->rows);
    return memory;
}

/* ---- operations ---- */

static int operation_bind(const maker *m, operation *o, int argument, layout l, void *data)
{
    dnnl_memory_t memory;
    if (check(m, dnnl_memory_create(&memory, l, m->p->own->engine, data)) != 0)
        return -1;
    o->arguments[o->count++] = (dnnl_exec_arg_t){argument, memory};
    return 0;
}

/* The scratchpad is shared by all of a plan's operations and bound when its size is known. */
static int operation_make(const maker *m, operation *o)
{
    return check(m, dnnl_primitive_create(&o->primitive, o->pd));
}

static void operation_free(operation *o)
{
    for (int i = 0; i < o->count; i++)
        dnnl_memory_destroy(o->arguments[i].memory);
    if (o->primitive)
        dnnl_primitive_destroy(o->primitive);
    if (o->pd)
        dnnl_primitive_desc_destroy(o->pd);
}

static size_t scratch_bytes(const operation *o)
{
    return o->pd ? layout_bytes(layout_of(o->pd, dnnl_query_scratchpad_md)) : 0;
}

static int scratch_bind(const maker *m, operation *o)
{
    if (scratch_bytes(o) == 0)
        return 0;
    return operation_bind(m, o, DNNL_ARG_SCRATCHPAD, layout_of(o->pd, dnnl_query_scratchpad_md),
                          m->s->scratch);
}

int operation_run(program *p, const operation *o, error *e)
{
    dnnl_status_t status =
        dnnl_primitive_execute(o->primitive, p->own->stream, o->count, o->arguments);
    if (status != dnnl_success)
        return error_set(e, "oneDNN: %s while computing", dnnl_status_text(status));
    return 0;
}

static int reorder_make(const maker *m, operation *o, layout from, void *from_data, layout to,
                        void *to_data)
{
    dnnl_engine_t engine = m->p->own->engine;
    dnnl_primitive_attr_t attributes = NULL;
    int status = check(m, attributes_new(false, &attributes));
    if (status == 0)
        status = check(
            m, dnnl_reorder_primitive_desc_create(&o->pd, from, engine, to, engine, attributes));
    if (attributes)
        dnnl_primitive_attr_destroy(attributes);
    if (status != 0 || operation_bind(m, o, DNNL_ARG_FROM, from, from_data) != 0 ||
        operation_bind(m, o, DNNL_ARG_TO, to, to_data) != 0)
        return -1;
    return operation_make(m, o);
}

/* ---- layouts ---- */

static dnnl_data_type_t data_type(element type)
{
    return type == ELEMENT_BF16 ? dnnl_bf16 : dnnl_f32;
}

/* Activations lie as rows x height x width x channels; for dense layers that is rows x numbers. */
static int activation_layout(const maker *m, bool dense, extent e, element type, layout *out)
{
    dnnl_dim_t rows = (dnnl_dim_t)m->s->rows;
    dnnl_dim_t flat[] = {rows, (dnnl_dim_t)extent_size(e)};
    dnnl_dim_t picture[] = {rows, (dnnl_dim_t)e.channels, (dnnl_dim_t)e.height,
                            (dnnl_dim_t)e.width};
    return check(m, dense ? layout_new(2, flat, data_type(type), dnnl_nc, out)
                          : layout_new(4, picture, data_type(type), dnnl_nhwc, out));
}

/* Weights as network.h lays them out (plain), or as oneDNN likes them. */
static int weight_layout(const maker *m, bool plain, element type, layout *out)
{
    const layer *l = m->d->word;
    if (l->kind == LAYER_DENSE) {
        dnnl_dim_t sizes[] = {(dnnl_dim_t)extent_size(l->out), (dnnl_dim_t)extent_size(l->in)};
        return check(
            m, layout_new(2, sizes, data_type(type), plain ? dnnl_oi : dnnl_format_tag_any, out));
    }
    dnnl_dim_t sizes[] = {(dnnl_dim_t)l->out.channels, (dnnl_dim_t)l->in.channels,
                          (dnnl_dim_t)l->kernel_height, (dnnl_dim_t)l->kernel_width};
    return check(
        m, layout_new(4, sizes, data_type(type), plain ? dnnl_ohwi : dnnl_format_tag_any, out));
}

static int bias_layout(const maker *m, layout *out)
{
    const layer *l = m->d->word;
    *out = NULL;
    if (l->offset == SIZE_MAX)
        return 0;
    dnnl_dim_t size = (dnnl_dim_t)(l->kind == LAYER_DENSE ? extent_size(l->out) : l->out.channels);
    return check(m, layout_new(1, &size, dnnl_f32, dnnl_x, out));
}

/* What the operations of one layer are made from. */
typedef struct {
    layout source, target, gradient; /* gradient: of the target, in the type that is multiplied */
    layout plain, any, any_float;    /* weights */
    layout bias;
    dnnl_primitive_attr_t plainly, through_relu;
    dnnl_dim_t padding[2];
} ingredients;

static int ingredients_new(const maker *m, ingredients *g)
{
    const node *d = m->d;
    bool dense = d->word->kind == LAYER_DENSE;
    element type = m->p->own->type;
    *g =
        (ingredients){.padding = {(dnnl_dim_t)d->word->pad_height, (dnnl_dim_t)d->word->pad_width}};
    if (activation_layout(m, dense, d->in, type, &g->source) != 0 ||
        activation_layout(m, dense, d->out, d->out_type, &g->target) != 0 ||
        activation_layout(m, dense, d->out, type, &g->gradient) != 0 ||
        weight_layout(m, true, ELEMENT_F32, &g->plain) != 0 ||
        weight_layout(m, false, type, &g->any) != 0 ||
        weight_layout(m, false, ELEMENT_F32, &g->any_float) != 0 || bias_layout(m, &g->bias) != 0)
        return -1;
    if (check(m, attributes_new(false, &g->plainly)) != 0)
        return -1;
    return check(m, attributes_new(d->relu, &g->through_relu));
}

static void ingredients_free(ingredients *g)
{
    layout_free(g->source);
    layout_free(g->target);
    layout_free(g->gradient);
    layout_free(g->plain);
    layout_free(g->any);
    layout_free(g->any_float);
    layout_free(g->bias);
    if (g->plainly)
        dnnl_primitive_attr_destroy(g->plainly);
    if (g->through_relu)
        dnnl_primitive_attr_destroy(g->through_relu);
}

/* ---- weights ---- */

static layout stored_layout(const program *p, size_t parameter, layout plain)
{
    return p->stored[parameter] ? p->stored[parameter] : plain;
}

/* The parameter as `want` describes it: in place where it lies so already, else a copy that
 * plan_refresh keeps up to date. */
static int weights_prepare(const maker *m, size_t parameter, layout plain, layout want, void **out)
{
    plan *s = m->s;
    float *flat = m->p->parameters + m->p->net->parameters[parameter].start;
    layout have = stored_layout(m->p, parameter, plain);
    if (layout_equal(have, want)) {
        *out = flat;
        return 0;
    }
    for (size_t i = 0; i < s->weight_count; i++) {
        if (s->weights[i].parameter == parameter && layout_equal(s->weights[i].want, want)) {
            *out = s->weights[i].data;
            return 0;
        }
    }
    prepared *w = &s->weights[s->weight_count++];
    *w = (prepared){.parameter = parameter, .want = want};
    if (!(w->data = *out = plan_memory(m, layout_bytes(want))))
        return -1;
    return reorder_make(m, &w->reorder, have, flat, want, w->data);
}

int plan_refresh(program *p, plan *s, error *e)
{
    if (s->version == p->version)
        return 0;
    for (size_t i = 0; i < s->weight_count; i++)
        if (operation_run(p, &s->weights[i].reorder, e) != 0)
            return -1;
    s->version = p->version;
    return 0;
}

/* ---- one layer's operations ---- */

static int forward_make(const maker *m, const ingredients *g, node_operations *o)
{
    const node *d = m->d;
    const layer *l = d->word;
    dnnl_engine_t engine = m->p->own->engine;
    operation *f = &o->forward;
    bool training = m->s->training;
    dnnl_status_t status =
        l->kind == LAYER_DENSE
            ? dense_forward(engine, training, g->source, g->any, g->bias, g->target,
                            g->through_relu, &f->pd)
            : convolution_forward(engine, training, g->source, g->any, g->bias, g->target,
                                  g->padding, g->through_relu, &f->pd);
    layout want;
    void *weights;
    if (check(m, status) != 0)
        return -1;
    want = layout_of(f->pd, dnnl_query_weights_md);
    if (weights_prepare(m, l->weight, g->plain, want, &weights) != 0 ||
        operation_bind(m, f, DNNL_ARG_SRC, g->source, d->in_data) != 0 ||
        operation_bind(m, f, DNNL_ARG_WEIGHTS, want, weights) != 0 ||
        operation_bind(m, f, DNNL_ARG_DST, g->target, d->out_data) != 0)
        return -1;
    if (g->bias && operation_bind(m, f, DNNL_ARG_BIAS, g->bias,
                                  m->p->parameters + m->p->net->parameters[l->offset].start) != 0)
        return -1;
    return operation_make(m, f);
}

/* The backward operations ask for the forward one's description, without its post-operations and
 * with a target of the type that is multiplied. */
static int hint_make(const maker *m, const ingredients *g, dnnl_primitive_desc_t *hint)
{
    dnnl_engine_t engine = m->p->own->engine;
    return check(m, m->d->word->kind == LAYER_DENSE
                        ? dense_forward(engine, true, g->source, g->any, g->bias, g->gradient,
                                        g->plainly, hint)
                        : convolution_forward(engine, true, g->source, g->any, g->bias, g->gradient,
                                              g->padding, g->plainly, hint));
}

static void *operand_gradient(const maker *m)
{
    const node *d = m->d;
    return d->out_type == m->p->own->type ? d->out_gradient : m->p->converted;
}

static int backward_data_make(const maker *m, const ingredients *g, dnnl_primitive_desc_t hint,
                              node_operations *o)
{
    const node *d = m->d;
    dnnl_engine_t engine = m->p->own->engine;
    operation *b = &o->backward_data;
    dnnl_status_t status =
        d->word->kind == LAYER_DENSE
            ? dense_backward_data(engine, g->source, g->any, g->gradient, hint, g->plainly, &b->pd)
            : convolution_backward_data(engine, g->source, g->any, g->gradient, g->padding, hint,
                                        g->plainly, &b->pd);
    void *weights;
    if (check(m, status) != 0)
        return -1;
    layout want = layout_of(b->pd, dnnl_query_weights_md);
    if (weights_prepare(m, d->word->weight, g->plain, want, &weights) != 0 ||
        operation_bind(m, b, DNNL_ARG_DIFF_DST, g->gradient, operand_gradient(m)) != 0 ||
        operation_bind(m, b, DNNL_ARG_WEIGHTS, want, weights) != 0 ||
        operation_bind(m, b, DNNL_ARG_DIFF_SRC, g->source, d->in_gradient) != 0)
        return -1;
    return operation_make(m, b);
}

static int backward_weights_describe(const maker *m, const ingredients *g,
                                     dnnl_primitive_desc_t hint, dnnl_primitive_desc_t *pd)
{
    dnnl_engine_t engine = m->p->own->engine;
    return check(m,
                 m->d->word->kind == LAYER_DENSE
                     ? dense_backward_weights(engine, g->source, g->any_float, g->bias, g->gradient,
                                              hint, g->plainly, pd)
                     : convolution_backward_weights(engine, g->source, g->any_float, g->bias,
                                                    g->gradient, g->padding, hint, g->plainly, pd));
}

static int backward_weights_make(const maker *m, const ingredients *g, dnnl_primitive_desc_t hint,
                                 node_operations *o)
{
    const node *d = m->d;
    const layer *l = d->word;
    const parameter *all = m->p->net->parameters;
    operation *b = &o->backward_weights;
    if (backward_weights_describe(m, g, hint, &b->pd) != 0)
        return -1;
    layout made = layout_of(b->pd, dnnl_query_diff_weights_md);
    float *flat = m->p->gradient + all[l->weight].start;
    layout have = stored_layout(m->p, l->weight, g->plain);
    void *data = flat;
    if (!layout_equal(made, have)) {
        if (!(data = o->weight_gradient = plan_memory(m, layout_bytes(made))) ||
            reorder_make(m, &o->weight_gradient_reorder, made, data, have, flat) != 0)
            return -1;
    }
    if (operation_bind(m, b, DNNL_ARG_SRC, g->source, d->in_data) != 0 ||
        operation_bind(m, b, DNNL_ARG_DIFF_DST, g->gradient, operand_gradient(m)) != 0 ||
        operation_bind(m, b, DNNL_ARG_DIFF_WEIGHTS, made, data) != 0)
        return -1;
    if (g->bias && operation_bind(m, b, DNNL_ARG_DIFF_BIAS, g->bias,
                                  m->p->gradient + all[l->offset].start) != 0)
        return -1;
    return operation_make(m, b);
}

static int backward_make(const maker *m, const ingredients *g, node_operations *o)
{
    dnnl_primitive_desc_t hint = NULL;
    int status = hint_make(m, g, &hint);
    if (status == 0 && m->d->learns && !m->d->narrow)
        status = backward_weights_make(m, g, hint, o);
    if (status == 0 && m->d->in_gradient)
        status = backward_data_make(m, g, hint, o);
    if (hint)
        dnnl_primitive_desc_destroy(hint);
    return status;
}

static int node_operations_make(program *p, plan *s, size_t i, error *e)
{
    const node *d = &p->nodes[i];
    maker m = {p, s, d, d->word->kind == LAYER_DENSE ? "dense layer" : "convolution", e};
    ingredients g;
    int status = ingredients_new(&m, &g);
    if (status == 0)
        status = forward_make(&m, &g, &s->nodes[i]);
    if (status == 0 && s->training && i >= p->lowest)
        status = backward_make(&m, &g, &s->nodes[i]);
    ingredients_free(&g);
    return status;
}

/* ---- storage ---- */

/* The order of the weights' gradient, if it is no larger than the plain one. */
static int storage_choose(const maker *m)
{
    ingredients g;
    dnnl_primitive_desc_t hint = NULL, pd = NULL;
    int status = ingredients_new(m, &g);
    if (status == 0)
        status = hint_make(m, &g, &hint);
    if (status == 0)
        status = backward_weights_describe(m, &g, hint, &pd);
    if (status == 0) {
        layout made = layout_of(pd, dnnl_query_diff_weights_md);
        if (!layout_equal(made, g.plain) && layout_bytes(made) == layout_bytes(g.plain))
            status = check(m, layout_copy(made, &m->p->stored[m->d->word->weight]));
    }
    if (pd)
        dnnl_primitive_desc_destroy(pd);
    if (hint)
        dnnl_primitive_desc_destroy(hint);
    ingredients_free(&g);
    return status;
}

int storage_new(program *p, error *e)
{
    plan shape = {.rows = p->chunk, .training = true};
    p->stored = calloc(p->net->parameter_count, sizeof *p->stored);
    if (!p->stored)
        return error_set(e, "out of memory");
    for (size_t i = 0; i < p->node_count && p->spec.training; i++) {
        const node *d = &p->nodes[i];
        layer_kind kind = d->word->kind;
        maker m = {p, &shape, d, "weights", e};
        if (d->learns && !d->winograd && !d->narrow &&
            (kind == LAYER_CONV || kind == LAYER_DENSE) && storage_choose(&m) != 0)
            return -1;
    }
    return 0;
}

void storage_free(program *p)
{
    for (size_t k = 0; p->stored && k < p->net->parameter_count; k++)
        layout_free(p->stored[k]);
    free(p->stored);
}

/* One node's weights, between the two orders. */
static int storage_move(const maker *m, const float *from, float *to, bool in)
{
    size_t k = m->d->word->weight, start = m->p->net->parameters[k].start;
    layout plain = NULL, stored = m->p->stored[k];
    operation o = {0};
    void *scratch = NULL;
    int status = weight_layout(m, true, ELEMENT_F32, &plain);
    if (status == 0)
        status = reorder_make(m, &o, in ? plain : stored, (float *)from + start,
                              in ? stored : plain, to + start);
    if (status == 0 && scratch_bytes(&o) > 0) {
        plan shape = {.scratch = scratch = plan_memory(m, scratch_bytes(&o))};
        maker with = *m;
        with.s = &shape;
        status = scratch ? scratch_bind(&with, &o) : -1;
    }
    if (status == 0)
        status = operation_run(m->p, &o, m->e);
    operation_free(&o);
    free(scratch);
    layout_free(plain);
    return status;
}

static int storage_move_all(program *p, const float *from, float *to, bool in, error *e)
{
    plan shape = {.rows = p->chunk};
    memcpy(to, from, p->net->total * sizeof *to);
    for (size_t i = 0; i < p->node_count; i++) {
        maker m = {p, &shape, &p->nodes[i], "weights", e};
        size_t k = p->nodes[i].word->weight;
        if (k != SIZE_MAX && p->stored[k] && storage_move(&m, from, to, in) != 0)
            return -1;
    }
    return 0;
}

int storage_put(program *p, const float *plain, float *stored, error *e)
{
    return storage_move_all(p, plain, stored, true, e);
}

int storage_get(program *p, const float *stored, float *plain, error *e)
{
    return storage_move_all(p, stored, plain, false, e);
}

/* ---- the plan ---- */

static void scratch_measure(const operation *o, size_t *bytes)
{
    *bytes = scratch_bytes(o) > *bytes ? scratch_bytes(o) : *bytes;
}

static int scratch_share(program *p, plan *s, error *e)
{
    maker m = {p, s, NULL, "scratch memory", e};
    size_t bytes = 0;
    for (size_t i = 0; i < p->node_count; i++) {
        scratch_measure(&s->nodes[i].forward, &bytes);
        scratch_measure(&s->nodes[i].backward_data, &bytes);
        scratch_measure(&s->nodes[i].backward_weights, &bytes);
        scratch_measure(&s->nodes[i].weight_gradient_reorder, &bytes);
    }
    for (size_t i = 0; i < s->weight_count; i++)
        scratch_measure(&s->weights[i].reorder, &bytes);
    if (!(s->scratch = plan_memory(&m, bytes)))
        return -1;
    int status = 0;
    for (size_t i = 0; i < p->node_count; i++) {
        node_operations *o = &s->nodes[i];
        if (scratch_bind(&m, &o->forward) != 0 || scratch_bind(&m, &o->backward_data) != 0 ||
            scratch_bind(&m, &o->backward_weights) != 0 ||
            scratch_bind(&m, &o->weight_gradient_reorder) != 0)
            status = -1;
    }
    for (size_t i = 0; i < s->weight_count; i++)
        if (scratch_bind(&m, &s->weights[i].reorder) != 0)
            status = -1;
    return status;
}

static int plan_make(program *p, plan *s, error *e)
{
    s->nodes = calloc(p->node_count + 1, sizeof *s->nodes);
    s->weights = calloc(2 * p->node_count + 1, sizeof *s->weights);
    if (!s->nodes || !s->weights)
        return error_set(e, "out of memory");
    for (size_t i = 0; i < p->node_count; i++) {
        layer_kind kind = p->nodes[i].word->kind;
        bool ours = p->nodes[i].winograd;
        if ((kind == LAYER_CONV || kind == LAYER_DENSE) && !ours &&
            node_operations_make(p, s, i, e) != 0)
            return -1;
    }
    return scratch_share(p, s, e);
}

void plan_free(plan *s)
{
    if (!s)
        return;
    for (size_t i = 0; s->weights && i < s->weight_count; i++) {
        operation_free(&s->weights[i].reorder);
        free(s->weights[i].data);
    }
    for (size_t i = 0; s->nodes && i < s->node_count; i++) {
        node_operations *o = &s->nodes[i];
        operation_free(&o->forward);
        operation_free(&o->backward_data);
        operation_free(&o->backward_weights);
        operation_free(&o->weight_gradient_reorder);
        free(o->weight_gradient);
    }
    free(s->weights);
    free(s->nodes);
    free(s->scratch);
    free(s);
}

plan *plan_get(program *p, size_t rows, bool training, error *e)
{
    size_t place = 0;
    for (size_t i = 0; i < PLANS; i++) {
        plan *s = p->plans[i];
        if (s && s->rows == rows && s->training == training) {
            s->used = ++p->uses;
            return s;
        }
        if (p->plans[place] && (!s || s->used < p->plans[place]->used))
            place = i;
    }
    plan_free(p->plans[place]);
    p->plans[place] = NULL;
    plan *s = calloc(1, sizeof *s);
    if (!s) {
        error_set(e, "out of memory");
        return NULL;
    }
    *s = (plan){.rows = rows, .node_count = p->node_count, .training = training, .used = ++p->uses};
    if (plan_make(p, s, e) != 0) {
        plan_free(s);
        return NULL;
    }
    return p->plans[place] = s;
}
