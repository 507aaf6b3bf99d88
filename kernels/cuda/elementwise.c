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

int output_finish(const run *r, const fused_layer *f, bool finished, error *e)
{
    const struct cuda *g = r->p->gpu;
    kernel_drop drop = drop_of(r, f);
    if (finished && !drop.active)
        return 0;
    void *out = place(r, f->output);
    return run_check(r,
                     kernel_bias(g->type, out, finished ? NULL : place(r, places_of(r, f)->bias),
                                 out, r->rows * extent_size(f->out), f->out.channels,
                                 !finished && f->relu, &drop, g->streams[r->slot]),
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

int elementwise_forward(const run *r, const fused_layer *f, error *e)
{
    element type = r->p->gpu->type;
    kernel_stream stream = r->p->gpu->streams[r->slot];
    size_t count = r->rows * extent_size(f->out);
    const void *in = place(r, f->input);
    void *out = place(r, f->output);
    kernel_drop drop = drop_of(r, f);
    switch (f->layer->kind) {
    case LAYER_RELU:
        return run_check(r, kernel_bias(type, in, NULL, out, count, 1, true, &drop, stream), "relu",
                         e);
    case LAYER_DROPOUT:
        return run_check(r, kernel_bias(type, in, NULL, out, count, 1, false, &drop, stream),
                         "dropout", e);
    case LAYER_SCALE:
        return run_check(r, kernel_scale(type, in, out, count, f->layer->rate, stream), "scale", e);
    case LAYER_ADD:
        return run_check(r, kernel_add(type, in, place(r, f->saved), out, count, stream), "add", e);
    default: /* a save's output is its input */
        return 0;
    }
}

int elementwise_backward(const run *r, const fused_layer *f, error *e)
{
    element type = r->p->gpu->type;
    kernel_stream stream = r->p->gpu->streams[r->slot];
    size_t count = r->rows * extent_size(f->in);
    const void *d_out = place(r, f->d_output);
    void *d_in = place(r, f->d_input);
    kernel_drop drop = drop_of(r, f);
    switch (f->layer->kind) {
    case LAYER_RELU:
        return run_check(r,
                         kernel_mask(type, place(r, f->output), d_out, d_in, 1, r->rows,
                                     extent_size(f->in), NULL, NULL, NULL, stream),
                         "relu_backward", e);
    case LAYER_DROPOUT:
        return run_check(r, kernel_bias(type, d_out, NULL, d_in, count, 1, false, &drop, stream),
                         "dropout_backward", e);
    case LAYER_SCALE:
        return run_check(r, kernel_scale(type, d_out, d_in, count, f->layer->rate, stream),
                         "scale_backward", e);
    case LAYER_SAVE: /* what the addition got reaches both of its sides */
        return run_check(r, kernel_add(type, d_out, place(r, f->d_saved), d_in, count, stream),
                         "save_backward", e);
    default: /* an add's d_input is its d_output */
        return 0;
    }
}
