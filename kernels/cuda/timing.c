#include "timing.h"

#include "conv.h"
#include "head.h"
#include "input.h"
#include "layers.h"
#include "optimizer.h"
#include "program.h"

#include <stdio.h>
#include <stdlib.h>

#define REPEATS 20
#define TURNS 5

/* One launch (or a whole step) to be timed. */
typedef struct {
    char name[96];
    launch_pass enqueue;
    const fused_layer *f;
    double bytes, operations;
} launch_kind;

/* ---- what there is to time ---- */

static int gather_pass(const run *r, const fused_layer *f, error *e)
{
    (void)f;
    return r->mode == MODE_TRAIN ? input_gather(r, true, e) : input_take(r, 0, 0, e);
}
static int to_float_pass(const run *r, const fused_layer *f, error *e)
{
    (void)f;
    return embed_to_float(r, e);
}
static int head_pass(const run *r, const fused_layer *f, error *e)
{
    (void)f;
    return head_run(r, false, e);
}
static int head_weight_pass(const run *r, const fused_layer *f, error *e)
{
    (void)f;
    return head_weight_run(r, r->slot, e);
}
static int optimizer_pass(const run *r, const fused_layer *f, error *e)
{
    (void)f;
    return optimizer_run(r, e);
}
static int whole_pass(const run *r, const fused_layer *f, error *e)
{
    (void)f;
    return r->mode == MODE_TRAIN ? step_run(r, e) : embed_compute(r, 0, 0, e);
}

/* Multiplications and additions of a layer's sums, forward. */
static double layer_work(const layer *l)
{
    double out = (double)extent_size(l->out);
    if (l->kind == LAYER_CONV)
        return 2 * out * (double)(l->kernel_height * l->kernel_width * l->in.channels / l->groups);
    if (l->kind == LAYER_ATTENTION) /* two products of places x places by out.channels */
        return 4 * out * (double)(l->in.height * l->in.width);
    return l->kind == LAYER_DENSE ? 2 * out * (double)extent_size(l->in) : 0;
}

/* A fused layer's four launches. Each array is counted once: read or written. */
static size_t layer_kinds(const run *r, const fused_layer *f, launch_kind *out)
{
    layer_kind kind = f->layer->kind;
    double size = (double)element_size(r->p->gpu->type), n = (double)r->rows;
    double in = n * (double)extent_size(f->in) * size;
    double result = n * (double)extent_size(f->out) * size, work = n * layer_work(f->layer);
    bool weighs = fused_multiplies(f), learns = f->d_output != NOWHERE;
    double weights = weighs ? (double)r->p->net->parameters[f->layer->weight].count * size : 0;
    double codes = f->codes != NOWHERE ? result / size * 2 : 0;
    size_t count = 0;
    if (kind != LAYER_SAVE && kind != LAYER_BRANCH)
        out[count++] =
            (launch_kind){" forward", layer_forward, f, in + weights + result + codes, work};
    if (learns && weighs) {
        if (!f->masked && (f->relu || places_of(r, f)->d_bias != NOWHERE))
            out[count++] =
                (launch_kind){" mask, bias gradient", layer_backward_mask, f, 3 * result, 0};
        out[count++] = (launch_kind){" weight gradient", layer_backward_weight, f,
                                     in + result + weights, work};
    }
    if (f->d_input != NOWHERE || (learns && !weighs && fused_learns(f)))
        out[count++] = (launch_kind){" input gradient", layer_backward_data, f,
                                     result + weights + in + codes, work};
    for (size_t i = 0; i < count; i++) {
        launch_pass pass = out[i].enqueue;
        char how[40] = "", what[32];
        snprintf(what, sizeof what, "%s", out[i].name);
        if (kind == LAYER_CONV && !fused_is_product(f) && pass != layer_backward_mask)
            conv_describe(r, f,
                          pass == layer_forward           ? CONV_FORWARD
                          : pass == layer_backward_weight ? CONV_BACKWARD_WEIGHT
                                                          : CONV_BACKWARD_DATA,
                          how, sizeof how);
        snprintf(out[i].name, sizeof out[i].name, "%zu.%s%s%s%s%s%s%s", f->index,
                 layer_name(f->layer), f->relu ? "+relu" : "",
                 f->drop > 0 && kind != LAYER_DROPOUT ? "+dropout" : "", what, *how ? " (" : "",
                 how, *how ? ")" : "");
    }
    return count;
}

/* What a step has beside its layers. */
static size_t head_kinds(const program *p, size_t rows, launch_kind *out)
{
    const network *n = p->net;
    double size = (double)element_size(p->gpu->type), floats = (double)n->total * 4;
    double all = (double)(rows * n->dimension), head = (double)(n->class_count * n->dimension);
    double products = 2 * (double)rows * head;
    if (!p->spec.training) {
        out[0] = (launch_kind){"to_float", to_float_pass, NULL, all * (size + 4), 0};
        return 1;
    }
    out[0] =
        (launch_kind){"head and loss", head_pass, NULL, 2 * all * size + 4 * head, 2 * products};
    out[1] = (launch_kind){"head's weight gradient", head_weight_pass, NULL, all * size + 8 * head,
                           products};
    out[2] = (launch_kind){"optimizer", optimizer_pass, NULL, 7 * floats + floats / 4 * size, 0};
    return 3;
}

/* All of a program's launches in their order, and the whole step. */
static size_t kinds_list(const run *r, launch_kind *out)
{
    const program *p = r->p;
    size_t rows = r->rows;
    double picture = (double)extent_size(p->net->input), bytes = 0, work = 0;
    size_t count = 0;
    out[count++] =
        (launch_kind){"gather", gather_pass, NULL,
                      (double)rows * picture * (double)(1 + element_size(p->gpu->type)), 0};
    for (size_t i = 0; i < p->plan.count; i++)
        count += layer_kinds(r, &p->plan.layers[i], out + count);
    count += head_kinds(p, rows, out + count);
    for (size_t k = 0; k < count; k++) {
        bytes += out[k].bytes;
        work += out[k].operations;
    }
    out[count++] = (launch_kind){"the whole", whole_pass, NULL, bytes, work};
    return count;
}

/* ---- timing ---- */

/* Runs the program once, so that everything is ready to be captured. In training that leaves an
 * order and rates for every repeat behind, through which the state counts on. */
static int train_ready(backend *b, program *p, error *e)
{
    size_t steps = REPEATS * (TURNS + 1), rows = steps * p->spec.batch;
    uint32_t *order = calloc(rows, sizeof *order);
    float *rates = calloc(steps, sizeof *rates);
    metrics unused = {0};
    int status = order && rates ? 0 : error_set(e, "cuda: out of memory");
    if (status == 0)
        status = b->train(b, p, order, rows, rates, &unused, e);
    free(order);
    free(rates);
    return status;
}

static int embed_ready(backend *b, program *p, error *e)
{
    size_t rows = p->spec.batch;
    uint8_t *images = calloc(rows, extent_size(p->net->input));
    float *embeddings = calloc(rows, p->net->dimension * sizeof *embeddings);
    int status = images && embeddings ? 0 : error_set(e, "cuda: out of memory");
    if (status == 0)
        status = b->embed_submit(b, p, images, rows, 0, 0, embeddings, e);
    if (status == 0)
        status = b->embed_wait(b, p, e);
    free(images);
    free(embeddings);
    return status;
}

static int time_one(program *p, const run *r, const launch_kind *k, timing_report report,
                    void *context, error *e)
{
    double seconds = 0;
    if (p->spec.training && train_state_set(p, e) < 0)
        return -1;
    if (graph_time(r, k->enqueue, k->f, REPEATS, TURNS, &seconds, e) < 0)
        return error_prefix(e, "%s", k->name);
    report(context, k->name, seconds, k->bytes, k->operations);
    return 0;
}

int cuda_timing(backend *b, program *p, timing_report report, void *context, error *e)
{
    bool training = p->spec.training;
    run r = {.p = p,
             .mode = training ? MODE_TRAIN : MODE_INFER,
             .rows = p->spec.batch,
             .slot = 0,
             .side = training};
    launch_kind *kinds = calloc(8 + 4 * p->plan.count, sizeof *kinds);
    int status = kinds ? 0 : error_set(e, "cuda: out of memory");
    if (status == 0)
        status = training ? train_ready(b, p, e) : embed_ready(b, p, e);
    size_t count = status == 0 ? kinds_list(&r, kinds) : 0;
    for (size_t i = 0; i < count && status == 0; i++)
        status = time_one(p, &r, &kinds[i], report, context, e);
    free(kinds);
    return status;
}

__attribute__((visibility("default"))) int (*const cuda_plugin_timing)(backend *, program *,
                                                                       timing_report, void *,
                                                                       error *) = cuda_timing;
