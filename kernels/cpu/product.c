#include "product.h"

#include "../../common/base/memory.h"
#include "state.h"

#include <stdlib.h>

/* ---- failures ---- */

/* What is being made, for messages. */
typedef struct {
    program *p;
    primitive_set *s;
    const fused_layer *f; /* NULL: a reorder of weights */
    const char *what;
    error *e;
} maker;

static int check(const maker *m, dnnl_status_t status)
{
    if (status == dnnl_success)
        return 0;
    if (!m->f)
        return error_set(m->e, "oneDNN: %s: %s", m->what, dnnl_status_text(status));
    extent in = m->f->in, out = m->f->out;
    const char *advice = status == dnnl_out_of_memory ? "; make the batch smaller (--batch)" : "";
    return error_set(m->e, "oneDNN: %s of %zux%zux%zu to %zux%zux%zu, %zu rows, in %s: %s%s",
                     m->what, in.height, in.width, in.channels, out.height, out.width, out.channels,
                     m->s->rows, m->p->own->type == ELEMENT_BF16 ? "bf16" : "fp32",
                     dnnl_status_text(status), advice);
}

static void *set_memory(const maker *m, size_t bytes)
{
    void *memory = memory_aligned(bytes);
    if (!memory)
        error_set(m->e,
                  "out of memory: %zu bytes for %s of %zu rows; make the batch smaller (--batch)",
                  bytes, m->what, m->s->rows);
    return memory;
}

static int bind(const maker *m, primitive *o, int argument, layout l, void *data)
{
    return check(m, primitive_bind(m->p->own, o, argument, l, data));
}

/* ---- layouts ---- */

static dnnl_data_type_t data_type(element type)
{
    return type == ELEMENT_BF16 ? dnnl_bf16 : dnnl_f32;
}

static const product_kind *kind_of(const program *p, const fused_layer *f)
{
    return p->layers[f - p->plan.layers].product;
}

static const layer *shape_of(const maker *m)
{
    return &m->p->layers[m->f - m->p->plan.layers].shape;
}

/* What the primitives of one layer are made from. */
typedef struct {
    layout source, target, gradient; /* gradient: of the target, in the type that is multiplied */
    layout plain, any, any_float;    /* weights */
    layout bias;
    dnnl_primitive_attr_t plainly, finished;
} ingredients;

#if DNNL_VERSION_MAJOR >= 3
#define HARD_SWISH 1.0f / 6, 0.5f
#else
#define HARD_SWISH 0, 0
#endif

/* The activation as post-operations; returns how many. */
static size_t activation_operations(const layer *l, post_operation *out)
{
    switch (l->activation) {
    case ACTIVATION_CLIP:
        out[0] = (post_operation){false, dnnl_eltwise_clip, l->rate, l->high};
        return 1;
    case ACTIVATION_LEAKYRELU:
        out[0] = (post_operation){false, dnnl_eltwise_relu, l->rate, 0};
        return 1;
    case ACTIVATION_SIGMOID:
        out[0] = (post_operation){false, dnnl_eltwise_logistic, 0, 0};
        return 1;
    case ACTIVATION_SILU:
        out[0] = (post_operation){false, dnnl_eltwise_swish, 1, 0};
        return 1;
    case ACTIVATION_HARDSIGMOID:
        out[0] = (post_operation){false, dnnl_eltwise_linear, 1.0f / 6, 0.5f};
        out[1] = (post_operation){false, dnnl_eltwise_clip, 0, 1};
        return 2;
    case ACTIVATION_HARDSWISH:
        out[0] = (post_operation){false, dnnl_eltwise_hardswish, HARD_SWISH};
        return 1;
    case ACTIVATION_GELU:
        out[0] = (post_operation){false, dnnl_eltwise_gelu_erf, 0, 0};
        return 1;
    case ACTIVATION_TANHGELU:
        out[0] = (post_operation){false, dnnl_eltwise_gelu_tanh, 0, 0};
        return 1;
    case ACTIVATION_RELU:
        break;
    }
    out[0] = (post_operation){false, dnnl_eltwise_relu, 0, 0};
    return 1;
}

/* What happens to the product's results in the same pass. */
static dnnl_status_t finish_attributes(const fused_layer *f, dnnl_primitive_attr_t *out)
{
    post_operation operations[4];
    size_t count = 0;
    if (f->sums)
        operations[count++] = (post_operation){.sum = true};
    if (f->relu)
        operations[count++] = (post_operation){false, dnnl_eltwise_relu, 0, 0};
    else if (f->activation)
        count += activation_operations(f->activation, operations + count);
    return attributes_new(operations, count, out);
}

static int ingredients_new(const maker *m, ingredients *g)
{
    const fused_layer *f = m->f;
    const layer *l = shape_of(m);
    const product_kind *k = kind_of(m->p, f);
    size_t rows = m->s->rows;
    dnnl_data_type_t type = data_type(m->p->own->type);
    dnnl_dim_t outputs = (dnnl_dim_t)l->out.channels;
    *g = (ingredients){0};
    if (check(m, k->activation(rows, l->in, type, &g->source)) < 0 ||
        check(m, k->activation(rows, f->out, data_type(f->out_type), &g->target)) < 0 ||
        check(m, k->activation(rows, f->out, type, &g->gradient)) < 0 ||
        check(m, k->weight(l, true, dnnl_f32, &g->plain)) < 0 ||
        check(m, k->weight(l, false, type, &g->any)) < 0 ||
        check(m, k->weight(l, false, dnnl_f32, &g->any_float)) < 0 ||
        check(m, attributes_new(NULL, 0, &g->plainly)) < 0 ||
        check(m, finish_attributes(f, &g->finished)) < 0)
        return -1;
    if (l->offset == SIZE_MAX)
        return 0;
    return check(m, layout_new(1, &outputs, dnnl_f32, dnnl_x, &g->bias));
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
    if (g->finished)
        dnnl_primitive_attr_destroy(g->finished);
}

/* A primitive's descriptor; target is that of the product, or its gradient. */
static int describe(const maker *m, product_maker *make, const ingredients *g, layout weights,
                    layout target, dnnl_primitive_attr_t attributes, dnnl_primitive_desc_t hint,
                    dnnl_primitive_desc_t *out)
{
    const layer *l = shape_of(m);
    product_request r = {
        .engine = m->p->own->engine,
        .source = g->source,
        .weights = weights,
        .bias = g->bias,
        .target = target,
        .strides = {(dnnl_dim_t)l->stride_height, (dnnl_dim_t)l->stride_width},
        .dilation = {(dnnl_dim_t)l->dilation_height - 1, (dnnl_dim_t)l->dilation_width - 1},
        .padding = {(dnnl_dim_t)l->pad.top, (dnnl_dim_t)l->pad.left},
        .padding_behind = {(dnnl_dim_t)l->pad.bottom, (dnnl_dim_t)l->pad.right},
        .attributes = attributes,
        .training = m->s->training,
        .hint = hint};
    return check(m, make(&r, out));
}

/* ---- weights ---- */

static layout stored_layout(const program *p, size_t parameter, layout plain)
{
    return p->stored[parameter] ? p->stored[parameter] : plain;
}

/* The parameter as `want` describes it: in place where it lies so already, else a copy that
 * primitives_refresh keeps up to date. */
static int weights_prepare(const maker *m, layout plain, layout want, void **out)
{
    primitive_set *s = m->s;
    size_t parameter = m->f->layer->weight;
    float *flat = program_value(m->p, parameter);
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
    if (!(w->data = *out = set_memory(m, layout_bytes(want))))
        return -1;
    return check(m, reorder_make(m->p->own, &w->reorder, have, flat, want, w->data));
}

int primitives_refresh(const program *p, primitive_set *s, error *e)
{
    if (s->version == p->version)
        return 0;
    for (size_t i = 0; i < s->weight_count; i++)
        if (primitive_run(p->own, &s->weights[i].reorder, e) < 0)
            return -1;
    s->version = p->version;
    return 0;
}

/* ---- one layer's primitives ---- */

static int forward_make(const maker *m, const ingredients *g, primitive *o)
{
    const fused_layer *f = m->f;
    void *weights;
    if (describe(m, kind_of(m->p, f)->forward, g, g->any, g->target, g->finished, NULL, &o->pd) < 0)
        return -1;
    layout want = layout_of(o->pd, dnnl_query_weights_md);
    if (weights_prepare(m, g->plain, want, &weights) < 0 ||
        bind(m, o, DNNL_ARG_SRC, g->source, program_at(m->p, f->input)) < 0 ||
        bind(m, o, DNNL_ARG_WEIGHTS, want, weights) < 0 ||
        bind(m, o, DNNL_ARG_DST, g->target, program_at(m->p, f->output)) < 0)
        return -1;
    if (g->bias && bind(m, o, DNNL_ARG_BIAS, g->bias, program_value(m->p, f->layer->offset)) < 0)
        return -1;
    return check(m, primitive_make(o));
}

void *product_gradient(const program *p, const fused_layer *f)
{
    return program_at(p, f->d_converted == NOWHERE ? f->d_masked : f->d_converted);
}

/* With the weights as oneDNN likes them, but as they lie where it does not matter: no copy then. */
static int backward_data_describe(const maker *m, const ingredients *g, dnnl_primitive_desc_t hint,
                                  dnnl_primitive_desc_t *out)
{
    product_maker *make = kind_of(m->p, m->f)->backward_data;
    layout have = stored_layout(m->p, m->f->layer->weight, g->plain);
    if (describe(m, make, g, g->any, g->gradient, g->plainly, hint, out) < 0)
        return -1;
    if (!is_gemm(*out) || layout_equal(layout_of(*out, dnnl_query_weights_md), have))
        return 0;
    dnnl_primitive_desc_destroy(*out);
    *out = NULL;
    return describe(m, make, g, have, g->gradient, g->plainly, hint, out);
}

static int backward_data_make(const maker *m, const ingredients *g, dnnl_primitive_desc_t hint,
                              primitive *o)
{
    const fused_layer *f = m->f;
    void *weights;
    if (backward_data_describe(m, g, hint, &o->pd) < 0)
        return -1;
    layout want = layout_of(o->pd, dnnl_query_weights_md);
    if (weights_prepare(m, g->plain, want, &weights) < 0 ||
        bind(m, o, DNNL_ARG_DIFF_DST, g->gradient, product_gradient(m->p, f)) < 0 ||
        bind(m, o, DNNL_ARG_WEIGHTS, want, weights) < 0 ||
        bind(m, o, DNNL_ARG_DIFF_SRC, g->source, program_at(m->p, f->d_input)) < 0)
        return -1;
    return check(m, primitive_make(o));
}

static int backward_weights_describe(const maker *m, const ingredients *g,
                                     dnnl_primitive_desc_t hint, dnnl_primitive_desc_t *out)
{
    return describe(m, kind_of(m->p, m->f)->backward_weights, g, g->any_float, g->gradient,
                    g->plainly, hint, out);
}

static int backward_weights_make(const maker *m, const ingredients *g, dnnl_primitive_desc_t hint,
                                 layer_primitives *o)
{
    const fused_layer *f = m->f;
    primitive *b = &o->backward_weights;
    if (backward_weights_describe(m, g, hint, &b->pd) < 0)
        return -1;
    layout made = layout_of(b->pd, dnnl_query_diff_weights_md);
    layout have = stored_layout(m->p, f->layer->weight, g->plain);
    void *flat = program_gradient(m->p, f->layer->weight), *data = flat;
    if (!layout_equal(made, have)) {
        if (!(data = o->weight_gradient = set_memory(m, layout_bytes(made))) ||
            check(m, reorder_make(m->p->own, &o->weight_gradient_reorder, made, data, have, flat)) <
                0)
            return -1;
    }
    if (bind(m, b, DNNL_ARG_SRC, g->source, program_at(m->p, f->input)) < 0 ||
        bind(m, b, DNNL_ARG_DIFF_DST, g->gradient, product_gradient(m->p, f)) < 0 ||
        bind(m, b, DNNL_ARG_DIFF_WEIGHTS, made, data) < 0)
        return -1;
    if (g->bias &&
        bind(m, b, DNNL_ARG_DIFF_BIAS, g->bias, program_gradient(m->p, f->layer->offset)) < 0)
        return -1;
    return check(m, primitive_make(b));
}

/* The backward primitives ask for the forward one's description, without its post-operations and
 * with a target of the type that is multiplied. */
static int hint_make(const maker *m, const ingredients *g, dnnl_primitive_desc_t *hint)
{
    return describe(m, kind_of(m->p, m->f)->forward, g, g->any, g->gradient, g->plainly, NULL,
                    hint);
}

static int backward_make(const maker *m, const ingredients *g, bool weights, layer_primitives *o)
{
    dnnl_primitive_desc_t hint = NULL;
    int status = hint_make(m, g, &hint);
    if (status == 0 && weights)
        status = backward_weights_make(m, g, hint, o);
    if (status == 0 && m->f->d_input != NOWHERE)
        status = backward_data_make(m, g, hint, &o->backward_data);
    if (hint)
        dnnl_primitive_desc_destroy(hint);
    return status;
}

/* Whether the weights' gradient is computed without a primitive. */
static bool gradient_is_ours(const layer_state *own)
{
    return own->winograd || own->first_conv || own->pointwise;
}

static int layer_primitives_make(program *p, primitive_set *s, size_t i, error *e)
{
    const fused_layer *f = &p->plan.layers[i];
    maker m = {p, s, f, kind_of(p, f)->name, e};
    ingredients g;
    int status = ingredients_new(&m, &g);
    if (status == 0)
        status = forward_make(&m, &g, &s->layers[i].forward);
    if (status == 0 && s->training && i >= p->plan.lowest)
        status = backward_make(&m, &g, !gradient_is_ours(&p->layers[i]), &s->layers[i]);
    ingredients_free(&g);
    return status;
}

/* ---- running ---- */

int product_forward(const program *p, const primitive_set *s, size_t i, error *e)
{
    return primitive_run(p->own, &s->layers[i].forward, e);
}

int product_backward_weights(const program *p, const primitive_set *s, size_t i, error *e)
{
    const layer_primitives *o = &s->layers[i];
    if (primitive_run(p->own, &o->backward_weights, e) < 0)
        return -1;
    return o->weight_gradient ? primitive_run(p->own, &o->weight_gradient_reorder, e) : 0;
}

int product_backward_data(const program *p, const primitive_set *s, size_t i, error *e)
{
    bool wanted = p->plan.layers[i].d_input != NOWHERE;
    return wanted ? primitive_run(p->own, &s->layers[i].backward_data, e) : 0;
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
            status = check(m, layout_copy(made, &m->p->stored[m->f->layer->weight]));
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
    primitive_set shape = {.rows = p->plan.rows, .training = true};
    p->stored = calloc(p->net->parameter_count, sizeof *p->stored);
    if (!p->stored)
        return error_set(e, "out of memory");
    for (size_t i = p->plan.lowest; i < p->plan.count && p->spec.training; i++) {
        maker m = {p, &shape, &p->plan.layers[i], "weights", e};
        if (fused_multiplies(m.f) && !gradient_is_ours(&p->layers[i]) && storage_choose(&m) < 0)
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

/* One layer's weights, between the two orders. */
static int storage_move(const maker *m, const float *from, float *to, bool in)
{
    size_t k = m->f->layer->weight, start = m->p->net->parameters[k].start;
    layout plain = NULL, stored = m->p->stored[k];
    primitive o = {0};
    void *scratch = NULL;
    int status = check(m, kind_of(m->p, m->f)->weight(shape_of(m), true, dnnl_f32, &plain));
    if (status == 0)
        status = check(m, reorder_make(m->p->own, &o, in ? plain : stored, (float *)from + start,
                                       in ? stored : plain, to + start));
    if (status == 0 && primitive_scratch(&o) > 0) {
        scratch = set_memory(m, primitive_scratch(&o));
        status = scratch ? check(m, primitive_scratch_bind(m->p->own, &o, scratch)) : -1;
    }
    if (status == 0)
        status = primitive_run(m->p->own, &o, m->e);
    primitive_free(&o);
    free(scratch);
    layout_free(plain);
    return status;
}

static int storage_move_all(program *p, const float *from, float *to, bool in, error *e)
{
    primitive_set shape = {.rows = p->plan.rows};
    memcpy(to, from, p->net->total * sizeof *to);
    for (size_t i = 0; i < p->plan.count; i++) {
        maker m = {p, &shape, &p->plan.layers[i], "weights", e};
        size_t k = m.f->layer->weight;
        if (k != SIZE_MAX && p->stored[k] && storage_move(&m, from, to, in) < 0)
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

/* ---- all primitives ---- */

/* The i-th primitive of a set; NULL behind the last. */
static primitive *set_primitive(const primitive_set *s, size_t i)
{
    if (i >= 4 * s->count)
        return i - 4 * s->count < s->weight_count ? &s->weights[i - 4 * s->count].reorder : NULL;
    layer_primitives *o = &s->layers[i / 4];
    primitive *all[] = {&o->forward, &o->backward_data, &o->backward_weights,
                        &o->weight_gradient_reorder};
    return all[i % 4];
}

/* All take turns with one piece of scratch memory. */
static int scratch_share(program *p, primitive_set *s, error *e)
{
    maker m = {p, s, NULL, "scratch memory", e};
    size_t most = 0;
    for (size_t i = 0; set_primitive(s, i); i++) {
        size_t bytes = primitive_scratch(set_primitive(s, i));
        most = bytes > most ? bytes : most;
    }
    if (!(s->scratch = set_memory(&m, most)))
        return -1;
    for (size_t i = 0; set_primitive(s, i); i++)
        if (check(&m, primitive_scratch_bind(p->own, set_primitive(s, i), s->scratch)) < 0)
            return -1;
    return 0;
}

static int primitives_make(program *p, primitive_set *s, error *e)
{
    s->layers = calloc(s->count + 1, sizeof *s->layers);
    s->weights = calloc(2 * s->count + 1, sizeof *s->weights);
    if (!s->layers || !s->weights)
        return error_set(e, "out of memory");
    for (size_t i = 0; i < s->count; i++)
        if (fused_multiplies(&p->plan.layers[i]) && !p->layers[i].winograd &&
            layer_primitives_make(p, s, i, e) < 0)
            return -1;
    return scratch_share(p, s, e);
}

void primitives_free(primitive_set *s)
{
    if (!s)
        return;
    for (size_t i = 0; s->layers && s->weights && set_primitive(s, i); i++)
        primitive_free(set_primitive(s, i));
    for (size_t i = 0; s->weights && i < s->weight_count; i++)
        free(s->weights[i].data);
    for (size_t i = 0; s->layers && i < s->count; i++)
        free(s->layers[i].weight_gradient);
    free(s->weights);
    free(s->layers);
    free(s->scratch);
    free(s);
}

primitive_set *primitives_get(program *p, size_t rows, bool training, error *e)
{
    size_t place = 0;
    for (size_t i = 0; i < PRIMITIVE_SETS; i++) {
        primitive_set *s = p->sets[i];
        if (s && s->rows == rows && s->training == training) {
            s->used = ++p->uses;
            return s;
        }
        if (p->sets[place] && (!s || s->used < p->sets[place]->used))
            place = i;
    }
    primitives_free(p->sets[place]);
    p->sets[place] = NULL;
    primitive_set *s = calloc(1, sizeof *s);
    if (!s) {
        error_set(e, "out of memory");
        return NULL;
    }
    *s = (primitive_set){
        .rows = rows, .count = p->plan.count, .training = training, .used = ++p->uses};
    if (primitives_make(p, s, e) < 0 || cpu_room(e) < 0) {
        primitives_free(s);
        return NULL;
    }
    return p->sets[place] = s;
}
