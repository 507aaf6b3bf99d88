#include "pool.h"

#include "elementwise.h"

static pool_shape shape_of(const run *r, const layer *l)
{
    return (pool_shape){(int)r->rows,          (int)l->in.height,   (int)l->in.width,
                        (int)l->out.height,    (int)l->out.width,   (int)l->out.channels,
                        (int)l->kernel_height, (int)l->kernel_width};
}

int pool_forward(const run *r, const fused_layer *f, error *e)
{
    element type = r->p->gpu->type;
    kernel_stream stream = r->p->gpu->streams[r->slot];
    const void *in = place(r, f->input);
    void *out = place(r, f->output);
    if (f->layer->kind == LAYER_AVGPOOL)
        return run_check(r,
                         kernel_avgpool(type, in, out, r->rows, f->in.height * f->in.width,
                                        f->in.channels, stream),
                         "avgpool", e);
    pool_shape s = shape_of(r, f->layer);
    kernel_drop drop = drop_of(r, f);
    uint16_t *argmax = r->mode == MODE_INFER ? NULL : place(r, f->codes);
    return run_check(r, kernel_maxpool(type, &s, in, out, argmax, &drop, stream), "maxpool", e);
}

int pool_backward(const run *r, const fused_layer *f, error *e)
{
    element type = r->p->gpu->type;
    kernel_stream stream = r->p->gpu->streams[r->slot];
    const void *d_out = place(r, f->d_output), *y = NULL;
    void *d_in = place(r, f->d_input);
    float *d_bias = NULL;
    if (f->layer->kind == LAYER_AVGPOOL)
        return run_check(r,
                         kernel_unavgpool(type, d_out, d_in, r->rows, f->in.height * f->in.width,
                                          f->in.channels, stream),
                         "unavgpool", e);
    if (f->masks_for != NOWHERE) {
        d_bias = place(r, r->p->places.layers[f->masks_for].d_bias);
        y = r->p->plan.layers[f->masks_for].relu ? place(r, f->output) : NULL;
    }
    pool_shape s = shape_of(r, f->layer);
    kernel_drop drop = drop_of(r, f);
    const layer_places *o = places_of(r, f);
    return run_check(r,
                     kernel_unpool(type, &s, y, place(r, f->codes), d_out, d_in, &drop, d_bias,
                                   place(r, o->partials), place(r, o->arrivals), stream),
                     "unpool", e);
}
