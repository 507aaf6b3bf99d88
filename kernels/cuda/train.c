/* train.c: training and evaluation. A call's order and rates go to the device at its beginning, its
 * sums come back at its end; between them graphs of whole steps are launched, which read step,
 * place and rate from the device and so need nothing of the host. */
#include "cuda.h"
#include "element.h"

#include <stdlib.h>

#define BURST 16 /* steps in one launch */

/* ---- graphs ---- */

int train_state_set(program *p, error *e)
{
    run r = {.p = p};
    step_state state = {.step = p->step};
    if (check_cuda((int)cudaMemcpyAsync(state_of(&r), &state, sizeof state, cudaMemcpyHostToDevice,
                                        p->gpu->streams[0]),
                   "starting a step", e) != 0)
        return -1;
    return check_cuda((int)cudaStreamSynchronize(p->gpu->streams[0]), "starting a step", e);
}

static int step_pass(const run *r, const operation *o, error *e)
{
    (void)o;
    return run_step(r, e);
}

/* Everything is run once outside of a graph, so that no library loads its kernels in one; that
 * changes sums in the state, which is set anew before the first launch. */
static int warm_up(program *p, run r, error *e)
{
    if (r.mode == MODE_TRAIN)
        r.mode = MODE_GRADIENT;
    if (train_state_set(p, e) != 0 || run_step(&r, e) != 0)
        return -1;
    if (check_cuda(kernel_optimizer_load(p->gpu->type), "loading the optimizer", e) != 0)
        return -1;
    return check_cuda((int)cudaStreamSynchronize(p->gpu->streams[0]), "a first step", e);
}

static captured *graph_find(const program *p, run_mode mode, size_t rows, size_t steps)
{
    for (size_t i = 0; i < p->graph_count; i++) {
        captured *c = &p->graphs[i];
        if (c->mode == mode && c->rows == rows && c->steps == steps)
            return c;
    }
    return NULL;
}

static int graph_make(program *p, run_mode mode, launch l, error *e)
{
    run r = {.p = p, .mode = mode, .rows = l.rows, .slot = 0, .side = 1};
    captured *more = realloc(p->graphs, (p->graph_count + 1) * sizeof *more);
    if (!more)
        return error_set(e, "cuda: out of memory");
    p->graphs = more;
    cudaGraphExec_t ready = NULL;
    if (warm_up(p, r, e) != 0 || graph_capture(&r, step_pass, NULL, l.steps, &ready, e) != 0)
        return -1;
    p->graphs[p->graph_count++] = (captured){mode, l.rows, l.steps, ready};
    return check_cuda((int)cudaGraphUpload(ready, p->gpu->streams[0]), "loading a graph", e);
}

/* All graphs that `rows` rows need. Libraries are readied for every size first: that may want
 * larger workspaces, which the graphs then hold. */
static int graphs_make(program *p, run_mode mode, size_t rows, error *e)
{
    size_t batch = p->spec.batch;
    if ((rows >= batch && run_prepare(p, batch, e) != 0) ||
        (rows % batch && run_prepare(p, rows % batch, e) != 0))
        return -1;
    for (size_t left = rows; left > 0;) {
        launch l = launch_next(left, batch, BURST);
        if (!graph_find(p, mode, l.rows, l.steps) && graph_make(p, mode, l, e) != 0)
            return -1;
        left -= l.rows * l.steps;
    }
    return 0;
}

/* ---- calls ---- */

static int order_check(const program *p, const uint32_t *order, size_t rows, error *e)
{
    if (!p->spec.training)
        return error_set(e, "cuda: this program was not made for training");
    for (size_t r = 0; r < rows; r++)
        if (order[r] >= p->data_rows)
            return error_set(e, "cuda: row %u of a data set of %zu", order[r], p->data_rows);
    return 0;
}

/* Room for the order and rates of that many rows, and at once for those of the whole data set:
 * graphs hold the arrays' addresses, and calls often begin with few rows and go on with more. */
static int order_grow(program *p, size_t rows, error *e)
{
    size_t most = rows > p->data_rows ? rows : p->data_rows, batch = p->spec.batch;
    size_t order_bytes = most * sizeof *p->order,
           rate_bytes = (most + batch - 1) / batch * sizeof *p->rates;
    if (order_bytes <= p->order_bytes && rate_bytes <= p->rate_bytes)
        return 0;
    graphs_discard(p);
    void *o = p->order, *t = p->rates;
    int status = device_grow(&o, &p->order_bytes, order_bytes, "the order of an epoch",
                             "train on fewer pictures", e);
    p->order = o;
    if (status == 0)
        status = device_grow(&t, &p->rate_bytes, rate_bytes, "an epoch's learning rates",
                             "train on fewer pictures", e);
    p->rates = t;
    step_rate *host = status == 0 ? realloc(p->host_rates, rate_bytes) : NULL;
    p->host_rates = host ? host : p->host_rates;
    return status != 0 || host ? status : error_set(e, "cuda: out of memory");
}

/* The rates of this call's steps, with what adam makes of each. */
static int rates_set(program *p, const float *rate, size_t steps, error *e)
{
    const optimizer *o = &p->spec.optimizer;
    for (size_t s = 0; s < steps; s++)
        p->host_rates[s] = (step_rate){
            rate[s], o->kind == OPTIMIZER_SGD
                         ? rate[s]
                         : element_adam_rate(rate[s], o->beta1, o->beta2, p->step + s + 1)};
    return check_cuda((int)cudaMemcpyAsync(p->rates, p->host_rates, steps * sizeof *p->rates,
                                           cudaMemcpyHostToDevice, p->gpu->streams[0]),
                      "copying the learning rates", e);
}

static int order_set(program *p, const uint32_t *order, size_t rows, const float *rate, error *e)
{
    size_t steps = (rows + p->spec.batch - 1) / p->spec.batch;
    size_t order_bytes = rows * sizeof *order;
    cudaStream_t stream = p->gpu->streams[0];
    if (order_grow(p, rows, e) != 0)
        return -1;
    if (check_cuda(
            (int)cudaMemcpyAsync(p->order, order, order_bytes, cudaMemcpyHostToDevice, stream),
            "copying the order", e) != 0)
        return -1;
    return rate ? rates_set(p, rate, steps, e) : 0;
}

static int sums_get(program *p, metrics *total, error *e)
{
    run r = {.p = p};
    step_state state;
    if (check_cuda((int)cudaMemcpyAsync(&state, state_of(&r), sizeof state, cudaMemcpyDeviceToHost,
                                        p->gpu->streams[0]),
                   "copying the sums", e) != 0 ||
        check_cuda((int)cudaStreamSynchronize(p->gpu->streams[0]), "training", e) != 0)
        return -1;
    total->loss += state.loss;
    total->hits += state.hits;
    total->rows += state.rows;
    return 0;
}

static int rows_run(program *p, run_mode mode, const uint32_t *order, size_t rows,
                    const float *rate, metrics *total, error *e)
{
    if (order_check(p, order, rows, e) != 0)
        return -1;
    if (rows == 0)
        return 0;
    if (order_set(p, order, rows, rate, e) != 0 || graphs_make(p, mode, rows, e) != 0 ||
        train_state_set(p, e) != 0)
        return -1;
    for (size_t left = rows; left > 0;) {
        launch l = launch_next(left, p->spec.batch, BURST);
        captured *c = graph_find(p, mode, l.rows, l.steps);
        if (check_cuda((int)cudaGraphLaunch(c->graph, p->gpu->streams[0]), "launching a graph",
                       e) != 0)
            return -1;
        left -= l.rows * l.steps;
    }
    return sums_get(p, total, e);
}

int cuda_train(backend *b, program *p, const uint32_t *order, size_t rows, const float *rate,
               metrics *total, error *e)
{
    (void)b;
    p->second_stale = true;
    if (rows_run(p, MODE_TRAIN, order, rows, rate, total, e) != 0)
        return -1;
    p->step += (rows + p->spec.batch - 1) / p->spec.batch;
    return 0;
}

int cuda_evaluate(backend *b, program *p, const uint32_t *order, size_t rows, metrics *total,
                  error *e)
{
    (void)b;
    return rows_run(p, MODE_INFER, order, rows, NULL, total, e);
}

int cuda_gradients(backend *b, program *p, const uint32_t *order, size_t rows, float *gradient,
                   metrics *total, error *e)
{
    struct cuda *g = cuda_of(b);
    run r = {.p = p, .mode = MODE_GRADIENT, .rows = rows, .slot = 0, .side = 1};
    size_t bytes = p->net->total * sizeof *gradient;
    void *flat;
    if (order_check(p, order, rows, e) != 0)
        return -1;
    if (rows == 0 || rows > p->spec.batch)
        return error_set(e, "cuda: %zu rows in a batch of %zu", rows, p->spec.batch);
    if (order_set(p, order, rows, NULL, e) != 0 || run_prepare(p, rows, e) != 0 ||
        train_state_set(p, e) != 0 || run_step(&r, e) != 0 ||
        scratch_take(g, 1, &bytes, &flat, e) != 0)
        return -1;
    optimizer_task t = optimizer_of(&r);
    cudaStream_t stream = g->streams[0];
    if (check_cuda((int)cudaMemsetAsync(flat, 0, bytes, stream), "clearing gradients", e) != 0 ||
        check_kernel(g, kernel_gradients(g->type, &t, flat, stream), "gradients", stream, e) != 0 ||
        check_cuda((int)cudaMemcpyAsync(gradient, flat, bytes, cudaMemcpyDeviceToHost, stream),
                   "copying gradients", e) != 0)
        return -1;
    return sums_get(p, total, e);
}
