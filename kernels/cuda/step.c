/* step.c: a step's launches, in order. They are captured into a graph for training and evaluation,
 * and run one by one for gradients. */
#include "cuda.h"

static int done(const run *r, int status, const char *kernel, error *e)
{
    return check_kernel(r->p->gpu, status, kernel, r->p->gpu->streams[r->slot], e);
}

int run_prepare(program *p, size_t rows, error *e)
{
    for (size_t i = 0; i < p->plan.count; i++) {
        op_kind kind = p->plan.ops[i].kind;
        if ((kind == OP_CONV && conv_prepare(p, i, rows, e) != 0) ||
            (kind == OP_DENSE && dense_prepare(p, i, rows, e) != 0))
            return -1;
    }
    return 0;
}

int run_forward(const run *r, error *e)
{
    for (size_t i = 0; i < r->p->plan.count; i++)
        if (operation_forward(r, &r->p->plan.ops[i], e) != 0)
            return -1;
    return 0;
}

int run_gather(const run *r, bool augmented, error *e)
{
    const program *p = r->p;
    const augmentation *a = &p->spec.augment;
    gather_task t = {.images = p->images,
                     .order = p->order,
                     .state = state_of(r),
                     .labels = p->labels,
                     .batch_labels = place(r, p->plan.labels),
                     .height = (int)p->net->input.height,
                     .width = (int)p->net->input.width,
                     .channels = (int)p->net->input.channels,
                     .stored = (int)p->plan.input_channels,
                     .augmented = augmented && (a->flip || a->shift || a->cutout),
                     .flip = a->flip,
                     .shift = a->shift,
                     .cutout = a->cutout,
                     .seed = p->spec.seed,
                     .rows = r->rows,
                     .out = place(r, p->plan.input)};
    return done(r, kernel_gather(p->gpu->type, &t, p->gpu->streams[r->slot]), "gather", e);
}

static head_task head_of(const run *r)
{
    const program *p = r->p;
    const plan *q = &p->plan;
    const network *n = p->net;
    bool learns = r->mode != MODE_INFER, cosine = n->head == HEAD_COSINE;
    return (head_task){
        .rows = r->rows,
        .dimension = n->dimension,
        .classes = n->class_count,
        .embedding = place(r, q->embedding),
        .weight = master_of(r, n->head_weight),
        .scale = cosine ? master_of(r, n->head_scale) : NULL,
        .labels = place(r, q->labels),
        .smoothing = learns ? p->spec.label_smoothing : 0,
        .cosines = place(r, q->cosines),
        .pulls = place(r, q->d_logits),
        .inverse_norms = place(r, q->inverse_norms),
        .row_sums = place(r, q->row_sums),
        .d_embedding = learns && !p->spec.freeze_backbone ? place(r, q->d_embedding) : NULL,
        .d_scale = learns && cosine ? place(r, q->parameters[n->head_scale].gradient) : NULL,
        .d_weight = learns ? place(r, q->parameters[n->head_weight].gradient) : NULL,
        .state = state_of(r),
        .ticket = place(r, q->head_tickets)};
}

int run_head(const run *r, bool advances, error *e)
{
    head_task t = head_of(r);
    t.advances = advances;
    return done(r, kernel_head(r->p->gpu->type, &t, r->p->gpu->streams[r->slot]), "head", e);
}

int run_head_weight(const run *r, int lane, error *e)
{
    const struct cuda *g = r->p->gpu;
    head_task t = head_of(r);
    return check_kernel(g, kernel_head_weight(g->type, &t, g->streams[lane]), "head_weight",
                        g->streams[lane], e);
}

/* What the side stream is given next comes after what the main one has been given so far. */
static int fork_side(const run *r, error *e)
{
    const program *p = r->p;
    if (r->side == r->slot)
        return 0;
    if (check_cuda((int)cudaEventRecord(p->forked, p->gpu->streams[r->slot]), "fork", e) != 0)
        return -1;
    return check_cuda((int)cudaStreamWaitEvent(p->gpu->streams[r->side], p->forked, 0), "fork", e);
}

static int join_side(const run *r, error *e)
{
    const program *p = r->p;
    if (r->side == r->slot)
        return 0;
    if (check_cuda((int)cudaEventRecord(p->joined, p->gpu->streams[r->side]), "join", e) != 0)
        return -1;
    return check_cuda((int)cudaStreamWaitEvent(p->gpu->streams[r->slot], p->joined, 0), "join", e);
}

int run_backward(const run *r, error *e)
{
    if (fork_side(r, e) != 0 || run_head_weight(r, r->side, e) != 0)
        return -1;
    for (size_t i = r->p->plan.count; i-- > 0;) {
        const operation *o = &r->p->plan.ops[i];
        if (!o->back)
            continue;
        if (operation_backward_mask(r, o, e) != 0)
            return -1;
        bool weighs = o->kind == OP_CONV || o->kind == OP_DENSE;
        if (weighs && (fork_side(r, e) != 0 || operation_backward_weight(r, o, r->side, e) != 0))
            return -1;
        if (operation_backward_data(r, o, e) != 0)
            return -1;
    }
    return join_side(r, e);
}

optimizer_task optimizer_of(const run *r)
{
    const program *p = r->p;
    optimizer_task t = p->optimizer;
    t.master = place(r, p->plan.master);
    t.first = place(r, p->plan.first);
    t.second = place(r, p->plan.second);
    t.rates = p->rates;
    t.rows = r->rows;
    t.state = p->plan.training ? state_of(r) : NULL;
    t.ticket = place(r, p->plan.optimizer_tickets);
    return t;
}

int run_optimizer(const run *r, error *e)
{
    optimizer_task t = optimizer_of(r);
    return done(r, kernel_optimizer(r->p->gpu->type, &t, r->p->gpu->streams[r->slot]), "optimizer",
                e);
}

int run_step(const run *r, error *e)
{
    bool learns = r->mode != MODE_INFER;
    if (run_gather(r, learns, e) != 0 || run_forward(r, e) != 0 || run_head(r, !learns, e) != 0)
        return -1;
    if (learns && run_backward(r, e) != 0)
        return -1;
    return r->mode == MODE_TRAIN ? run_optimizer(r, e) : 0;
}
