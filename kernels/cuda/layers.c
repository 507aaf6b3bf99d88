/* layers.c: one operation of the plan, forward and back: which kernel, on which arrays. */
#include "cuda.h"

#include "../random.h"

static kernel_drop drop_of(const run *r, const operation *o)
{
    bool active = o->drop > 0 && r->mode != MODE_INFER;
    return (kernel_drop){.active = active,
                         .threshold = random_dropout_threshold(o->drop),
                         .scale = 1.0f / (1.0f - o->drop),
                         .seed = r->p->spec.seed,
                         .layer = (uint32_t)o->drop_layer,
                         .state = active ? state_of(r) : NULL};
}

/* What the backward pass multiplies with where dropout was done in the same pass as a ReLU. */
static float drop_scale(const operation *o)
{
    return o->drop > 0 ? 1.0f / (1.0f - o->drop) : 1.0f;
}

static int done(const run *r, int status, const char *kernel, error *e)
{
    return check_kernel(r->p->gpu, status, kernel, r->p->gpu->streams[r->slot], e);
}

static pool_shape pool_of(const run *r, const operation *o)
{
    const layer *l = &r->p->net->layers[o->layer];
    return (pool_shape){(int)r->rows,          (int)l->in.height,   (int)l->in.width,
                        (int)l->out.height,    (int)l->out.width,   (int)l->out.channels,
                        (int)l->window_height, (int)l->window_width};
}

static norm_task norm_of(const run *r, const operation *o)
{
    const layer *l = &r->p->net->layers[o->layer];
    bool moves = r->mode == MODE_TRAIN && !r->p->spec.freeze_backbone;
    return (norm_task){.rows = r->rows,
                       .places = l->in.height * l->in.width,
                       .channels = l->in.channels,
                       .each = l->group && l->group < r->rows ? l->group : r->rows,
                       .groups = norm_groups(r->rows, l->group),
                       .relu = o->relu,
                       .gamma = master_of(r, l->weight),
                       .beta = master_of(r, l->offset),
                       .running_mean = moves ? master_of(r, l->mean) : NULL,
                       .running_variance = moves ? master_of(r, l->variance) : NULL,
                       .moments = place(r, o->moments),
                       .partials = place(r, o->partials),
                       .ticket = place(r, o->tickets)};
}

/* ---- forward ---- */

/* conv and dense: the product, then what of bias, ReLU and dropout the library did not do. */
static int forward_product(const run *r, const operation *o, error *e)
{
    const struct cuda *g = r->p->gpu;
    bool finished;
    int status =
        o->kind == OP_CONV ? conv_forward(r, o, &finished, e) : dense_forward(r, o, &finished, e);
    kernel_drop drop = drop_of(r, o);
    if (status != 0 || (finished && !drop.active))
        return status;
    void *out = place(r, o->output);
    return done(r,
                kernel_bias(g->type, out, finished ? NULL : place(r, o->bias), out,
                            r->rows * extent_size(o->out), o->out.channels, finished ? 0 : o->relu,
                            &drop, g->streams[r->slot]),
                "bias", e);
}

static int forward_norm(const run *r, const operation *o, error *e)
{
    const struct cuda *g = r->p->gpu;
    const layer *l = &r->p->net->layers[o->layer];
    norm_task t = norm_of(r, o);
    if (r->mode != MODE_INFER)
        return done(r,
                    kernel_norm_train(g->type, &t, place(r, o->input), place(r, o->output),
                                      g->streams[r->slot]),
                    "norm_train", e);
    return done(r,
                kernel_norm_infer(g->type, &t, master_of(r, l->mean), master_of(r, l->variance),
                                  place(r, o->input), place(r, o->output), g->streams[r->slot]),
                "norm_infer", e);
}

static int forward_pool(const run *r, const operation *o, error *e)
{
    const struct cuda *g = r->p->gpu;
    kernel_stream stream = g->streams[r->slot];
    if (o->kind == OP_AVGPOOL)
        return done(r,
                    kernel_avgpool(g->type, place(r, o->input), place(r, o->output), r->rows,
                                   o->in.height * o->in.width, o->in.channels, stream),
                    "avgpool", e);
    pool_shape s = pool_of(r, o);
    kernel_drop drop = drop_of(r, o);
    uint16_t *argmax = r->mode == MODE_INFER ? NULL : place(r, o->argmax);
    return done(
        r,
        kernel_maxpool(g->type, &s, place(r, o->input), place(r, o->output), argmax, &drop, stream),
        "maxpool", e);
}

int operation_forward(const run *r, const operation *o, error *e)
{
    const struct cuda *g = r->p->gpu;
    kernel_stream stream = g->streams[r->slot];
    size_t count = r->rows * extent_size(o->out);
    const void *in = place(r, o->input);
    void *out = place(r, o->output);
    kernel_drop drop = drop_of(r, o);
    switch (o->kind) {
    case OP_CONV:
    case OP_DENSE:
        return forward_product(r, o, e);
    case OP_MAXPOOL:
    case OP_AVGPOOL:
        return forward_pool(r, o, e);
    case OP_BATCHNORM:
        return forward_norm(r, o, e);
    case OP_RELU:
    case OP_DROPOUT:
        return done(
            r, kernel_bias(g->type, in, NULL, out, count, 1, o->kind == OP_RELU, &drop, stream),
            o->kind == OP_RELU ? "relu" : "dropout", e);
    case OP_SCALE:
        return done(r,
                    kernel_scale(g->type, in, out, count, r->p->net->layers[o->layer].rate, stream),
                    "scale", e);
    case OP_ADD:
        return done(r, kernel_add(g->type, in, place(r, o->other), out, count, stream), "add", e);
    case OP_SAVE: /* its output is its input */
        break;
    }
    return 0;
}

/* ---- back ---- */

int operation_backward_mask(const run *r, const operation *o, error *e)
{
    const struct cuda *g = r->p->gpu;
    if ((o->kind != OP_CONV && o->kind != OP_DENSE) || o->settled)
        return 0;
    bool masks = o->mask == MASK_POSITIVE;
    if (!masks && o->d_bias == NOWHERE)
        return 0;
    size_t rows = r->rows * o->out.height * o->out.width;
    return done(r,
                kernel_mask(g->type, masks ? place(r, o->output) : NULL, place(r, o->d_output),
                            masks ? place(r, o->d_masked) : NULL, drop_scale(o), rows,
                            o->out.channels, place(r, o->d_bias), place(r, o->partials),
                            place(r, o->tickets), g->streams[r->slot]),
                "mask", e);
}

int operation_backward_weight(const run *r, const operation *o, int lane, error *e)
{
    if (o->kind == OP_CONV)
        return conv_backward_weight(r, o, lane, e);
    return o->kind == OP_DENSE ? dense_backward_weight(r, o, lane, e) : 0;
}

int operation_weight(const run *r, const operation *o, error *e)
{
    return operation_backward_weight(r, o, r->slot, e);
}

static int backward_norm(const run *r, const operation *o, error *e)
{
    const struct cuda *g = r->p->gpu;
    const layer *l = &r->p->net->layers[o->layer];
    const plan_parameter *parameters = r->p->plan.parameters;
    norm_task t = norm_of(r, o);
    return done(r,
                kernel_norm_backward(g->type, &t, place(r, o->input), place(r, o->output),
                                     place(r, o->d_output),
                                     place(r, parameters[l->weight].gradient),
                                     place(r, parameters[l->offset].gradient), place(r, o->d_input),
                                     g->streams[r->slot]),
                "norm_backward", e);
}

static int backward_pool(const run *r, const operation *o, error *e)
{
    const struct cuda *g = r->p->gpu;
    kernel_stream stream = g->streams[r->slot];
    if (o->kind == OP_AVGPOOL)
        return done(r,
                    kernel_unavgpool(g->type, place(r, o->d_output), place(r, o->d_input), r->rows,
                                     o->in.height * o->in.width, o->in.channels, stream),
                    "unavgpool", e);
    pool_shape s = pool_of(r, o);
    kernel_drop drop = drop_of(r, o);
    float *d_bias = o->settles == NOWHERE ? NULL : place(r, r->p->plan.ops[o->settles].d_bias);
    return done(r,
                kernel_unpool(g->type, &s, o->mask == MASK_POSITIVE ? place(r, o->output) : NULL,
                              place(r, o->argmax), place(r, o->d_output), place(r, o->d_input),
                              &drop, d_bias, place(r, o->partials), place(r, o->tickets), stream),
                "unpool", e);
}

int operation_backward_data(const run *r, const operation *o, error *e)
{
    const struct cuda *g = r->p->gpu;
    kernel_stream stream = g->streams[r->slot];
    if (o->kind == OP_BATCHNORM) /* its parameters' gradients come with it */
        return backward_norm(r, o, e);
    if (!o->want_d_input)
        return 0;
    size_t count = r->rows * extent_size(o->in);
    const void *d_out = place(r, o->d_output);
    void *d_in = place(r, o->d_input);
    kernel_drop drop = drop_of(r, o);
    switch (o->kind) {
    case OP_CONV:
        return conv_backward_data(r, o, r->slot, e);
    case OP_DENSE:
        return dense_backward_data(r, o, r->slot, e);
    case OP_MAXPOOL:
    case OP_AVGPOOL:
        return backward_pool(r, o, e);
    case OP_RELU:
        return done(r,
                    kernel_mask(g->type, place(r, o->output), d_out, d_in, 1, r->rows,
                                extent_size(o->in), NULL, NULL, NULL, stream),
                    "relu_backward", e);
    case OP_DROPOUT:
        return done(r, kernel_bias(g->type, d_out, NULL, d_in, count, 1, 0, &drop, stream),
                    "dropout_backward", e);
    case OP_SCALE:
        return done(
            r, kernel_scale(g->type, d_out, d_in, count, r->p->net->layers[o->layer].rate, stream),
            "scale_backward", e);
    case OP_SAVE: /* what the addition got reaches both of its sides */
        return done(r, kernel_add(g->type, d_out, place(r, o->d_other), d_in, count, stream),
                    "save_backward", e);
    case OP_ADD: /* d_in is d_out */
    case OP_BATCHNORM:
        break;
    }
    return 0;
}
