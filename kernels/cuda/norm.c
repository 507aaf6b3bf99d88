#include "norm.h"

#include "elementwise.h"

static norm_task task_of(const run *r, const fused_layer *f, bool relu)
{
    const layer *l = f->layer;
    const layer_places *o = places_of(r, f);
    bool moves = r->mode == MODE_TRAIN && f->index >= r->p->spec.frozen;
    return (norm_task){.rows = r->rows,
                       .places = l->in.height * l->in.width,
                       .channels = l->in.channels,
                       .each = l->group && l->group < r->rows ? l->group : r->rows,
                       .groups = norm_groups(r->rows, l->group),
                       .relu = relu,
                       .scale = drop_scale(f),
                       .gamma = master_of(r, l->weight),
                       .beta = master_of(r, l->offset),
                       .running_mean = moves ? master_of(r, l->mean) : NULL,
                       .running_variance = moves ? master_of(r, l->variance) : NULL,
                       .moments = place(r, o->moments),
                       .partials = place(r, o->partials),
                       .arrivals = place(r, o->arrivals)};
}

int norm_forward(const run *r, const fused_layer *f, error *e)
{
    const struct cuda *g = r->p->gpu;
    const layer *l = f->layer;
    norm_task t = task_of(r, f, f->relu);
    const void *in = place(r, f->input);
    void *out = place(r, f->output);
    if (r->mode == MODE_INFER)
        return run_check(r,
                         kernel_norm_infer(g->type, &t, master_of(r, l->mean),
                                           master_of(r, l->variance), in, out, g->streams[r->slot]),
                         "norm_infer", e);
    if (run_check(r, kernel_norm_train(g->type, &t, in, out, g->streams[r->slot]), "norm_train",
                  e) < 0)
        return -1;
    return output_finish(r, f, true, e);
}

int norm_backward(const run *r, const fused_layer *f, error *e)
{
    const struct cuda *g = r->p->gpu;
    const parameter_places *parameters = r->p->places.parameters;
    norm_task t = task_of(r, f, fused_masks(f));
    return run_check(r,
                     kernel_norm_backward(g->type, &t, place(r, f->input), place(r, f->output),
                                          place(r, f->d_output),
                                          place(r, parameters[f->layer->weight].gradient),
                                          place(r, parameters[f->layer->offset].gradient),
                                          place(r, f->d_input), g->streams[r->slot]),
                     "norm_backward", e);
}

static place_norm_task place_task_of(const run *r, const fused_layer *f)
{
    const layer *l = f->layer;
    const layer_places *o = places_of(r, f);
    bool normalises = l->kind == LAYER_LAYERNORM;
    return (place_norm_task){.places = r->rows * l->in.height * l->in.width,
                             .channels = l->in.channels,
                             .epsilon = l->rate,
                             .normalises = normalises,
                             .gamma = master_of(r, l->weight),
                             .beta = master_of(r, l->offset),
                             .moments = normalises ? place(r, o->moments) : NULL,
                             .partials = place(r, o->partials),
                             .arrivals = place(r, o->arrivals)};
}

int place_norm_forward(const run *r, const fused_layer *f, error *e)
{
    const struct cuda *g = r->p->gpu;
    place_norm_task t = place_task_of(r, f);
    return run_check(r,
                     kernel_place_norm(g->type, &t, place(r, f->input), place(r, f->output),
                                       g->streams[r->slot]),
                     "place_norm", e);
}

int place_norm_backward(const run *r, const fused_layer *f, error *e)
{
    const struct cuda *g = r->p->gpu;
    const parameter_places *parameters = r->p->places.parameters;
    place_norm_task t = place_task_of(r, f);
    return run_check(r,
                     kernel_place_norm_backward(g->type, &t, place(r, f->input),
                                                place(r, f->d_output),
                                                place(r, parameters[f->layer->weight].gradient),
                                                place(r, parameters[f->layer->offset].gradient),
                                                place(r, f->d_input), g->streams[r->slot]),
                     "place_norm_backward", e);
}
