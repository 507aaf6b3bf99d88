#include "tokens.h"

/* Numbers a row that the layer adds: tokens before, or to all places. */
static size_t own_count(const layer *l)
{
    return l->kind == LAYER_TOKENS ? l->count * l->in.channels : extent_size(l->in);
}

static select_task select_of(const run *r, const layer *l)
{
    return (select_task){.rows = r->rows,
                         .in_places = l->in.height * l->in.width,
                         .in_channels = l->in.channels,
                         .out_places = l->out.height * l->out.width,
                         .out_channels = l->out.channels,
                         .kind = l->kind,
                         .first = l->kind == LAYER_SHUFFLE ? l->groups : l->first};
}

int tokens_forward(const run *r, const fused_layer *f, error *e)
{
    const layer *l = f->layer;
    element type = r->p->gpu->type;
    kernel_stream stream = r->p->gpu->streams[r->slot];
    const void *in = place(r, f->input);
    const float *weight = master_of(r, l->weight);
    void *out = place(r, f->output);
    if (l->kind == LAYER_TOKENS)
        return run_check(
            r,
            kernel_tokens(type, r->rows, own_count(l), extent_size(l->in), weight, in, out, stream),
            "tokens", e);
    if (l->kind == LAYER_POSITION)
        return run_check(r, kernel_position(type, r->rows, own_count(l), weight, in, out, stream),
                         "position", e);
    select_task t = select_of(r, l);
    return run_check(r, kernel_select(type, &t, in, out, stream), "select", e);
}

/* The sum over rows of what reached the layer's own numbers, which begin each row. */
static int own_backward(const run *r, const fused_layer *f, error *e)
{
    const layer *l = f->layer;
    if (own_count(l) == 0)
        return 0;
    return run_check(r,
                     kernel_row_sums(r->p->gpu->type, r->rows, extent_size(l->out), own_count(l),
                                     place(r, f->d_output),
                                     place(r, r->p->places.parameters[l->weight].gradient),
                                     r->p->gpu->streams[r->slot]),
                     "row_sums", e);
}

/* What came in stands behind the tokens. */
static select_task behind_tokens(const run *r, const layer *l)
{
    return (select_task){.rows = r->rows,
                         .in_places = l->out.height * l->out.width,
                         .in_channels = l->out.channels,
                         .out_places = l->in.height * l->in.width,
                         .out_channels = l->in.channels,
                         .kind = LAYER_TAKE,
                         .first = l->count};
}

int tokens_backward(const run *r, const fused_layer *f, error *e)
{
    const layer *l = f->layer;
    element type = r->p->gpu->type;
    kernel_stream stream = r->p->gpu->streams[r->slot];
    const void *d_out = place(r, f->d_output);
    void *d_in = place(r, f->d_input);
    bool adds = l->kind == LAYER_TOKENS || l->kind == LAYER_POSITION;
    if (adds && own_backward(r, f, e) < 0)
        return -1;
    if (!d_in || d_in == d_out)
        return 0;
    if (l->kind == LAYER_POSITION)
        return run_check(r, kernel_scale(type, d_out, d_in, r->rows * own_count(l), 1, stream),
                         "position_backward", e);
    select_task t = adds ? behind_tokens(r, l) : select_of(r, l);
    return run_check(r,
                     adds ? kernel_select(type, &t, d_out, d_in, stream)
                          : kernel_select_backward(type, &t, d_out, d_in, stream),
                     "select_backward", e);
}
