/* measure.c: how long each of a program's launches takes on the card, and the least it could take:
 * the bytes it must move and the operations it must do. For tests/gpu/run; no tool calls it.
 *
 * Each launch is captured many times over in one graph, so that what is timed is the card's work
 * and not the host's calls, and its arrays are as warm in the cache as in a step. */
#include "cuda.h"

#include <stdio.h>
#include <stdlib.h>

#define REPEATS 20
#define TURNS 5

/* One launch (or a whole step) to be measured. */
typedef struct {
    char name[96];
    launch_pass enqueue;
    const operation *op;
    double bytes, operations;
} launch_kind;

/* ---- what there is to measure ---- */

static int gather_pass(const run *r, const operation *o, error *e)
{
    (void)o;
    return r->mode == MODE_TRAIN ? run_gather(r, true, e) : embed_gather(r, 0, 0, e);
}
static int widen_pass(const run *r, const operation *o, error *e)
{
    (void)o;
    return embed_widen(r, e);
}
static int head_pass(const run *r, const operation *o, error *e)
{
    (void)o;
    return run_head(r, false, e);
}
static int head_weight_pass(const run *r, const operation *o, error *e)
{
    (void)o;
    return run_head_weight(r, r->slot, e);
}
static int optimizer_pass(const run *r, const operation *o, error *e)
{
    (void)o;
    return run_optimizer(r, e);
}
static int whole_pass(const run *r, const operation *o, error *e)
{
    (void)o;
    return r->mode == MODE_TRAIN ? run_step(r, e) : embed_compute(r, 0, 0, e);
}

static const char *kind_name(op_kind kind)
{
    static const char *const names[] = {"conv",    "dense",     "relu",  "maxpool", "avgpool",
                                        "dropout", "batchnorm", "scale", "save",    "add"};
    return names[kind];
}

/* Multiplications and additions of a layer's sums, forward. */
static double operation_work(const program *p, const operation *o)
{
    const layer *l = &p->net->layers[o->layer];
    double out = (double)extent_size(o->out);
    if (o->kind == OP_CONV)
        return 2 * out * (double)(l->kernel_height * l->kernel_width * l->in.channels);
    return o->kind == OP_DENSE ? 2 * out * (double)extent_size(o->in) : 0;
}

static double weight_elements(const program *p, const operation *o)
{
    size_t weight = p->net->layers[o->layer].weight;
    bool weighs = o->kind == OP_CONV || o->kind == OP_DENSE;
    return weighs ? (double)p->net->parameters[weight].count : 0;
}

/* An operation's four launches. Each array is counted once: read or written. */
static size_t operation_kinds(const program *p, const operation *o, size_t rows, launch_kind *out)
{
    double element = (double)p->plan.element, n = (double)rows;
    double in = n * (double)extent_size(o->in) * element,
           result = n * (double)extent_size(o->out) * element;
    double weights = weight_elements(p, o) * element, work = n * operation_work(p, o);
    bool weighs = o->kind == OP_CONV || o->kind == OP_DENSE, learns = p->spec.training && o->back;
    double argmax = o->kind == OP_MAXPOOL && learns ? result / element * 2 : 0;
    size_t count = 0;
    char name[40];
    snprintf(name, sizeof name, "%zu.%s%s%s", o->layer, kind_name(o->kind), o->relu ? "+relu" : "",
             o->drop > 0 && o->kind != OP_DROPOUT ? "+dropout" : "");
    if (o->kind != OP_SAVE)
        out[count++] =
            (launch_kind){"", operation_forward, o, in + weights + result + argmax, work};
    if (learns && weighs) {
        if (!o->settled && (o->mask == MASK_POSITIVE || o->d_bias != NOWHERE))
            out[count++] = (launch_kind){"", operation_backward_mask, o, 3 * result, 0};
        out[count++] = (launch_kind){"", operation_weight, o, in + result + weights, work};
    }
    if (learns && (o->want_d_input || o->kind == OP_BATCHNORM))
        out[count++] =
            (launch_kind){"", operation_backward_data, o, result + weights + in + argmax, work};
    for (size_t i = 0; i < count; i++) {
        launch_pass pass = out[i].enqueue;
        char how[40] = "";
        if (o->kind == OP_CONV && pass != operation_backward_mask)
            conv_describe(p, o, rows,
                          pass == operation_forward  ? CONV_FORWARD
                          : pass == operation_weight ? CONV_BACKWARD_WEIGHT
                                                     : CONV_BACKWARD_DATA,
                          how, sizeof how);
        snprintf(out[i].name, sizeof out[i].name, "%s %s%s%s%s", name,
                 pass == operation_forward         ? "forward"
                 : pass == operation_backward_mask ? "mask, bias gradient"
                 : pass == operation_weight        ? "weight gradient"
                                                   : "input gradient",
                 *how ? " (" : "", how, *how ? ")" : "");
    }
    return count;
}

/* What a step has beside its operations. */
static size_t head_kinds(const program *p, size_t rows, launch_kind *out)
{
    const network *n = p->net;
    double element = (double)p->plan.element, floats = (double)n->total * 4;
    double all = (double)(rows * n->dimension), head = (double)(n->class_count * n->dimension);
    double products = 2 * (double)rows * head;
    if (!p->spec.training) {
        out[0] = (launch_kind){"widen", widen_pass, NULL, all * (element + 4), 0};
        return 1;
    }
    out[0] =
        (launch_kind){"head and loss", head_pass, NULL, 2 * all * element + 4 * head, 2 * products};
    out[1] = (launch_kind){"head's weight gradient", head_weight_pass, NULL,
                           all * element + 8 * head, products};
    out[2] = (launch_kind){"optimizer", optimizer_pass, NULL, 7 * floats + floats / 4 * element, 0};
    return 3;
}

/* All of a program's launches in their order, and the whole step. */
static size_t kinds_list(const program *p, size_t rows, launch_kind *out)
{
    double picture = (double)extent_size(p->net->input), bytes = 0, work = 0;
    size_t count = 0;
    out[count++] = (launch_kind){"gather", gather_pass, NULL,
                                 (double)rows * picture * (1 + (double)p->plan.element), 0};
    for (size_t i = 0; i < p->plan.count; i++)
        count += operation_kinds(p, &p->plan.ops[i], rows, out + count);
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
static int train_ready(program *p, error *e)
{
    size_t steps = REPEATS * (TURNS + 1), rows = steps * p->spec.batch;
    uint32_t *order = calloc(rows, sizeof *order);
    float *rates = calloc(steps, sizeof *rates);
    metrics unused = {0};
    int status = order && rates ? 0 : error_set(e, "cuda: out of memory");
    if (status == 0)
        status = cuda_train(NULL, p, order, rows, rates, &unused, e);
    free(order);
    free(rates);
    return status;
}

static int embed_ready(program *p, error *e)
{
    size_t rows = p->spec.batch;
    uint8_t *images = calloc(rows, extent_size(p->net->input));
    float *embeddings = calloc(rows, p->net->dimension * sizeof *embeddings);
    int status = images && embeddings ? 0 : error_set(e, "cuda: out of memory");
    if (status == 0)
        status = cuda_embed_submit(NULL, p, images, rows, 0, 0, embeddings, e);
    if (status == 0)
        status = cuda_embed_wait(NULL, p, e);
    free(images);
    free(embeddings);
    return status;
}

static int measure_one(program *p, const run *r, const launch_kind *k, measure_report report,
                       void *context, error *e)
{
    double seconds = 0;
    if (p->spec.training && train_state_set(p, e) != 0)
        return -1;
    if (graph_time(r, k->enqueue, k->op, REPEATS, TURNS, &seconds, e) != 0)
        return error_prefix(e, "%s", k->name);
    report(context, k->name, seconds, k->bytes, k->operations);
    return 0;
}

int cuda_measure(program *p, measure_report report, void *context, error *e)
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
        status = training ? train_ready(p, e) : embed_ready(p, e);
    size_t count = status == 0 ? kinds_list(p, r.rows, kinds) : 0;
    for (size_t i = 0; i < count && status == 0; i++)
        status = measure_one(p, &r, &kinds[i], report, context, e);
    free(kinds);
    return status;
}

__attribute__((visibility("default"))) int (*const cuda_plugin_measure)(program *, measure_report,
                                                                        void *,
                                                                        error *) = cuda_measure;
