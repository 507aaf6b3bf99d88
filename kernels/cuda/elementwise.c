#include "elementwise.h"

#include "../random.h"

kernel_drop drop_of(const run *r, const fused_layer *f)
{
    bool active = f->drop > 0 && r->mode != MODE_INFER;
    return (kernel_drop){.active = active,
                         .threshold = random_dropout_threshold(f->drop),
                         .scale = drop_scale(f),
                         .seed = r->p->spec.seed,
                         .layer = (uint32_t)f->drop_layer,
                         .state = active ? state_of(r) : NULL};
}

float drop_scale(const fused_layer *f)
{
    return 1.0f / (1.0f - f->drop);
}

static const kernel_activation relu = {ACTIVATION_RELU, 0, 0};

static kernel_activation activation_of(const layer *l)
{
    return (kernel_activation){l->activation, l->rate, l->high};
}

int output_finish(const run *r, const fused_layer *f, bool finished, error *e)
{
    const struct cuda *g = r->p->gpu;
    kernel_drop drop = drop_of(r, f);
    kernel_activation own = f->activation ? activation_of(f->activation) : relu;
    const void *bias = finished ? NULL : place(r, places_of(r, f)->bias);
    bool activates = !finished && (f->relu || f->activation);
    if (!bias && !activates && !drop.active)
        return 0;
    void *out = place(r, f->output);
    return run_check(r,
                     kernel_bias(g->type, out, bias, out, r->rows * extent_size(f->out),
                                 f->out.channels, activates ? &own : NULL, &drop,
                                 g->streams[r->slot]),
                     "bias", e);
}

int output_mask(const run *r, const fused_layer *f, error *e)
{
    const struct cuda *g = r->p->gpu;
    const layer_places *o = places_of(r, f);
    bool masks = fused_masks(f);
    if (f->masked || (!masks && o->d_bias == NOWHERE))
        return 0;
    return run_check(r,
                     kernel_mask(g->type, masks ? place(r, f->output) : NULL, place(r, f->d_output),
                                 masks ? place(r, f->d_masked) : NULL, drop_scale(f),
                                 r->rows * f->out.height * f->out.width, f->out.channels,
                                 place(r, o->d_bias), place(r, o->partials), place(r, o->arrivals),
                                 g->streams[r->slot]),
                     "mask", e);
}

/* Of the operands, one after the other; the first pair's sum may lie where the first does. */
static int add_forward(const run *r, const fused_layer *f, size_t count, error *e)
{
    const plan *p = &r->p->plan;
    const size_t *operands = p->operands + f->layer->operands;
    void *out = place(r, f->output);
    const void *sum = place(r, operands[0]);
    for (size_t k = 1; k < f->layer->operand_count; k++, sum = out)
        if (run_check(r,
                      kernel_add(r->p->gpu->type, sum, place(r, operands[k]), out, count,
                                 r->p->gpu->streams[r->slot]),
                      "add", e) < 0)
            return -1;
    return 0;
}

int elementwise_forward(const run *r, const fused_layer *f, error *e)
{
    element type = r->p->gpu->type;
    kernel_stream stream = r->p->gpu->streams[r->slot];
    size_t count = r->rows * extent_size(f->out);
    const void *in = place(r, f->input);
    void *out = place(r, f->output);
    kernel_drop drop = drop_of(r, f);
    kernel_activation own = activation_of(f->layer);
    if (layer_is_activation(f->layer->kind))
        return run_check(r, kernel_bias(type, in, NULL, out, count, 1, &own, &drop, stream),
                         layer_name(f->layer), e);
    switch (f->layer->kind) {
    case LAYER_DROPOUT:
        return run_check(r, kernel_bias(type, in, NULL, out, count, 1, NULL, &drop, stream),
                         "dropout", e);
    case LAYER_SCALE:
        return run_check(r, kernel_scale(type, in, out, count, f->layer->rate, stream), "scale", e);
    case LAYER_ADD:
        return add_forward(r, f, count, e);
    default: /* a save's output is its input, and a "|"'s that of what was saved */
        return 0;
    }
}

int elementwise_backward(const run *r, const fused_layer *f, error *e)
{
    element type = r->p->gpu->type;
    kernel_stream stream = r->p->gpu->streams[r->slot];
    /* A "|" reads one thing and goes back to another, whose gradients these are. */
    size_t count = r->rows * extent_size(f->out);
    const void *d_out = place(r, f->d_output);
    void *d_in = place(r, f->d_input);
    kernel_drop drop = drop_of(r, f);
    kernel_activation own = activation_of(f->layer);
    if (f->layer->kind == LAYER_ACTIVATION)
        return run_check(r,
                         kernel_slope(type, &own, place(r, f->input), d_out, d_in, count, stream),
                         "activation_backward", e);
    switch (f->layer->kind) {
    case LAYER_RELU:
        return run_check(r,
                         kernel_mask(type, place(r, f->output), d_out, d_in, 1, r->rows,
                                     extent_size(f->in), NULL, NULL, NULL, stream),
                         "relu_backward", e);
    case LAYER_DROPOUT:
        return run_check(r, kernel_bias(type, d_out, NULL, d_in, count, 1, NULL, &drop, stream),
                         "dropout_backward", e);
    case LAYER_SCALE:
        return run_check(r, kernel_scale(type, d_out, d_in, count, f->layer->rate, stream),
                         "scale_backward", e);
    case LAYER_SAVE:
    case LAYER_BRANCH: /* what reached it before, and what comes now */
        if (f->d_saved == NOWHERE)
            return 0;
        return run_check(r, kernel_add(type, d_out, place(r, f->d_saved), d_in, count, stream),
                         "save_backward", e);
    default: /* an add's operands have the gradient of its sum */
        return 0;
    }
}
