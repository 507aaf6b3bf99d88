#include "pool.h"

#include "elementwise.h"

static pool_shape shape_of(const run *r, const layer *l)
{
    return (pool_shape){(int)r->rows,          (int)l->in.height,   (int)l->in.width,
                        (int)l->out.height,    (int)l->out.width,   (int)l->out.channels,
                        (int)l->kernel_height, (int)l->kernel_width};
}

/* Whether the pool is of windows that overlap, are padded or incomplete, or means of windows that
 * are not the whole picture. */
static bool has_windows(const layer *l)
{
    bool whole = l->out.height == 1 && l->out.width == 1 && l->kernel_height == l->in.height &&
                 l->kernel_width == l->in.width;
    return !pool_tiles(l) || (l->kind == LAYER_AVGPOOL && !whole);
}

static window_shape windows_of(const run *r, const layer *l)
{
    return (window_shape){.rows = (int)r->rows,
                          .in_height = (int)l->in.height,
                          .in_width = (int)l->in.width,
                          .out_height = (int)l->out.height,
                          .out_width = (int)l->out.width,
                          .channels = (int)l->out.channels,
                          .window_height = (int)l->kernel_height,
                          .window_width = (int)l->kernel_width,
                          .stride_height = (int)l->stride_height,
                          .stride_width = (int)l->stride_width,
                          .top = (int)l->pad.top,
                          .left = (int)l->pad.left,
                          .bottom = (int)l->pad.bottom,
                          .right = (int)l->pad.right,
                          .largest = l->kind == LAYER_MAXPOOL,
                          .within = l->within};
}

int pool_forward(const run *r, const fused_layer *f, error *e)
{
    element type = r->p->gpu->type;
    kernel_stream stream = r->p->gpu->streams[r->slot];
    const void *in = place(r, f->input);
    void *out = place(r, f->output);
    window_shape w = windows_of(r, f->layer);
    if (has_windows(f->layer))
        return run_check(r, kernel_windows(type, &w, in, out, stream), "windows", e);
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
    window_shape w = windows_of(r, f->layer);
    if (has_windows(f->layer))
        return run_check(r, kernel_unwindows(type, &w, place(r, f->input), d_out, d_in, stream),
                         "unwindows", e);
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
