#include "head.h"

static head_task head_of(const run *r)
{
    const program *p = r->p;
    const places *q = &p->places;
    const network *n = p->net;
    bool learns = r->mode != MODE_INFER, cosine = n->head == HEAD_COSINE;
    return (head_task){
        .rows = r->rows,
        .dimension = n->dimension,
        .classes = n->class_count,
        .embedding = place(r, p->plan.embedding),
        .weight = master_of(r, n->head_weight),
        .scale = cosine ? master_of(r, n->head_scale) : NULL,
        .labels = place(r, q->labels),
        .smoothing = learns ? p->spec.label_smoothing : 0,
        .cosines = place(r, q->cosines),
        .d_logits = place(r, q->d_logits),
        .inverse_norms = place(r, q->inverse_norms),
        .row_sums = place(r, q->row_sums),
        .d_embedding =
            learns && p->spec.frozen < n->layer_count ? place(r, p->plan.d_embedding) : NULL,
        .d_scale = learns && cosine ? place(r, q->parameters[n->head_scale].gradient) : NULL,
        .d_weight = learns ? place(r, q->parameters[n->head_weight].gradient) : NULL,
        .state = state_of(r),
        .arrivals = place(r, q->head_arrivals)};
}

int head_run(const run *r, bool advances, error *e)
{
    head_task t = head_of(r);
    t.advances = advances;
    return run_check(r, kernel_head(r->p->gpu->type, &t, r->p->gpu->streams[r->slot]), "head", e);
}

int head_weight_run(const run *r, int lane, error *e)
{
    const struct cuda *g = r->p->gpu;
    head_task t = head_of(r);
    return check_kernel(g, kernel_head_weight(g->type, &t, g->streams[lane]), "head_weight",
                        g->streams[lane], e);
}
