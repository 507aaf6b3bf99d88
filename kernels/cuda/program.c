#include "program.h"

#include "conv.h"
#include "dense.h"
#include "head.h"
#include "input.h"
#include "layers.h"
#include "memory.h"
#include "optimizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- making ---- */

static void graphs_discard(program *p)
{
    for (size_t i = 0; i < p->graph_count; i++)
        cudaGraphExecDestroy(p->graphs[i].graph);
    p->graph_count = 0;
    for (int slot = 0; slot < 2; slot++) {
        if (p->embedding[slot])
            cudaGraphExecDestroy(p->embedding[slot]);
        p->embedding[slot] = NULL;
    }
}

/* Workspaces of at least that size on both streams. What was captured with smaller ones is
 * forgotten. */
static int workspace_grow(program *p, size_t bytes, error *e)
{
    for (int i = 0; i < 2; i++) {
        if (p->workspace_bytes[i] >= bytes)
            continue;
        graphs_discard(p);
        if (device_grow(&p->workspace[i], &p->workspace_bytes[i], bytes, "the layers' workspace",
                        "take a smaller --batch", e) < 0)
            return -1;
    }
    return 0;
}

static int arena_new(program *p, error *e)
{
    char what[96];
    void *memory;
    size_t bytes = p->plan.arena.bytes;
    snprintf(what, sizeof what, "a network and its activations for %zu rows", p->spec.batch);
    if (device_take(bytes, what, "take a smaller --batch", &memory, e) < 0)
        return -1;
    p->base[0] = memory;
    if (check_cuda((int)cudaMemset(memory, 0, bytes), "clearing memory", e) < 0)
        return -1;
    return check_cuda((int)cudaDeviceSynchronize(), "clearing memory", e);
}

static int events_new(program *p, error *e)
{
    for (size_t i = 0; i < EVENTS; i++)
        if (check_cuda((int)cudaEventCreateWithFlags(&p->events[i], cudaEventDisableTiming),
                       "event", e) < 0)
            return -1;
    return 0;
}

static void cuda_program_free(backend *b, program *p)
{
    (void)b;
    if (!p)
        return;
    cudaDeviceSynchronize();
    graphs_discard(p);
    free(p->graphs);
    for (size_t i = 0; i < p->conv_count; i++)
        conv_discard(&p->convs[i]);
    for (size_t i = 0; i < p->dense_count; i++)
        dense_discard(&p->denses[i]);
    free(p->convs);
    free(p->denses);
    for (size_t i = 0; i < EVENTS; i++)
        if (p->events[i])
            cudaEventDestroy(p->events[i]);
    void *memory[] = {p->base[0], p->base[1], p->workspace[0], p->workspace[1], p->tables,
                      p->images,  p->labels,  p->order,        p->rates};
    for (size_t i = 0; i < sizeof memory / sizeof *memory; i++)
        cudaFree(memory[i]);
    plan_free(&p->plan);
    places_free(&p->places);
    free(p->host_rates);
    free(p);
}

static int cuda_program_new(backend *b, const program_spec *spec, program **out, error *e)
{
    struct cuda *g = b->own;
    program *p = calloc(1, sizeof *p);
    if (!p)
        return error_set(e, "cuda: out of memory");
    p->gpu = g;
    p->spec = *spec;
    p->net = spec->net;
    if (check_cuda((int)cudaSetDevice(g->device), "choosing the device", e) < 0 ||
        places_new(spec, g->precision, &p->plan, &p->places, e) < 0 || arena_new(p, e) < 0 ||
        optimizer_new(p, e) < 0 || events_new(p, e) < 0) {
        cuda_program_free(b, p);
        return -1;
    }
    *out = p;
    return 0;
}

/* ---- parameters ---- */

static int check_training(const program *p, error *e)
{
    return p->spec.training ? 0 : error_set(e, "cuda: this program was not made for training");
}

/* One of the flat arrays of floats, to the device and back. */
static int floats_in(program *p, size_t to, const float *from, error *e)
{
    run r = {.p = p};
    return copy_in(p->gpu, place(&r, to), from, p->net->total * sizeof *from, e);
}

static int floats_out(program *p, size_t from, float *to, error *e)
{
    run r = {.p = p};
    return copy_out(p->gpu, to, place(&r, from), p->net->total * sizeof *to, e);
}

static int cuda_embed_wait(backend *b, program *p, error *e)
{
    (void)b;
    for (int i = 0; i < 2; i++)
        if (check_cuda((int)cudaStreamSynchronize(p->gpu->streams[i]), "embedding", e) < 0)
            return -1;
    return 0;
}

static int cuda_parameters_set(backend *b, program *p, const float *parameters, error *e)
{
    struct cuda *g = b->own;
    run r = {.p = p};
    optimizer_task t = optimizer_of(&r);
    p->second_stale = true;
    if (cuda_embed_wait(b, p, e) < 0 || floats_in(p, p->places.master, parameters, e) < 0 ||
        check_kernel(g, kernel_copies(g->type, &t, g->streams[0]), "copies", g->streams[0], e) < 0)
        return -1;
    return device_wait(p->gpu, e);
}

static int cuda_parameters_get(backend *b, program *p, float *parameters, error *e)
{
    (void)b;
    return floats_out(p, p->places.master, parameters, e) < 0 ? -1 : device_wait(p->gpu, e);
}

static int cuda_optimizer_set(backend *b, program *p, uint64_t step, const float *first,
                              const float *second, error *e)
{
    (void)b;
    if (check_training(p, e) < 0 || floats_in(p, p->places.first, first, e) < 0 ||
        floats_in(p, p->places.second, second, e) < 0)
        return -1;
    p->step = step;
    return device_wait(p->gpu, e);
}

static int cuda_optimizer_get(backend *b, program *p, uint64_t *step, float *first, float *second,
                              error *e)
{
    (void)b;
    if (check_training(p, e) < 0 || floats_out(p, p->places.first, first, e) < 0 ||
        floats_out(p, p->places.second, second, e) < 0)
        return -1;
    *step = p->step;
    return device_wait(p->gpu, e);
}

/* ---- data ---- */

/* Libraries are readied at a size's first use. */
static int run_prepare(program *p, size_t rows, error *e)
{
    for (size_t i = 0; i < p->plan.count; i++) {
        size_t workspace = 0;
        if (layer_prepare(p, i, rows, &workspace, e) < 0 || workspace_grow(p, workspace, e) < 0)
            return -1;
    }
    return 0;
}

static int cuda_data_set(backend *b, program *p, const uint8_t *images, const int32_t *labels,
                         size_t rows, error *e)
{
    (void)b;
    if (check_training(p, e) < 0)
        return -1;
    graphs_discard(p); /* they hold the old addresses */
    cudaFree(p->images);
    cudaFree(p->labels);
    p->images = NULL;
    p->labels = NULL;
    p->data_rows = 0;
    size_t bytes = rows * extent_size(p->net->input), label_bytes = rows * sizeof *labels;
    void *memory;
    if (device_take(bytes, "the training set", "use --device cpu, or train on fewer pictures",
                    &memory, e) < 0)
        return -1;
    p->images = memory;
    if (device_take(label_bytes, "the training set's labels", "train on fewer pictures", &memory,
                    e) < 0)
        return -1;
    p->labels = memory;
    if (copy_in(p->gpu, p->images, images, bytes, e) < 0 ||
        copy_in(p->gpu, p->labels, labels, label_bytes, e) < 0 || device_wait(p->gpu, e) < 0)
        return -1;
    p->data_rows = rows;
    return rows < p->spec.batch ? 0 : run_prepare(p, p->spec.batch, e);
}

/* ---- passes: all enqueued, nothing waited for ---- */

static int forward(const run *r, error *e)
{
    for (size_t i = 0; i < r->p->plan.count; i++)
        if (layer_forward(r, &r->p->plan.layers[i], e) < 0)
            return -1;
    return 0;
}

/* What stream `then` is given next comes after what stream `first` has been given so far. */
static int follow(const program *p, int event, int first, int then, error *e)
{
    if (first == then)
        return 0;
    if (check_cuda((int)cudaEventRecord(p->events[event], p->gpu->streams[first]), "event", e) < 0)
        return -1;
    return check_cuda((int)cudaStreamWaitEvent(p->gpu->streams[then], p->events[event], 0), "event",
                      e);
}

static int fork_side(const run *r, error *e)
{
    return follow(r->p, EVENT_FORKED, r->slot, r->side, e);
}

static int backward(const run *r, error *e)
{
    if (fork_side(r, e) < 0 || head_weight_run(r, r->side, e) < 0)
        return -1;
    for (size_t i = r->p->plan.count; i-- > r->p->plan.lowest;) {
        const fused_layer *f = &r->p->plan.layers[i];
        if (layer_backward_mask(r, f, e) < 0)
            return -1;
        if (fused_multiplies(f) &&
            (fork_side(r, e) < 0 || layer_backward_beside(r, f, r->side, e) < 0))
            return -1;
        if (layer_backward_data(r, f, e) < 0)
            return -1;
    }
    return follow(r->p, EVENT_JOINED, r->side, r->slot, e);
}

int step_run(const run *r, error *e)
{
    bool learns = r->mode != MODE_INFER;
    if (input_gather(r, learns, e) < 0 || forward(r, e) < 0 || head_run(r, !learns, e) < 0)
        return -1;
    if (learns && backward(r, e) < 0)
        return -1;
    return r->mode == MODE_TRAIN ? optimizer_run(r, e) : 0;
}

/* ---- training and evaluation ----
 *
 * A call's order and rates go to the device at its beginning, its sums come back at its end;
 * between them graphs of whole steps are launched, which read step, place and rate from the device
 * and so need nothing of the host. */

#define BURST 16 /* steps in one launch */

int train_state_set(program *p, error *e)
{
    run r = {.p = p};
    step_state state = {.step = p->step};
    if (copy_in(p->gpu, state_of(&r), &state, sizeof state, e) < 0)
        return -1;
    return device_wait(p->gpu, e);
}

static int step_pass(const run *r, const fused_layer *f, error *e)
{
    (void)f;
    return step_run(r, e);
}

/* Everything is run once outside of a graph, so that no library loads its kernels in one; that
 * changes sums in the state, which is set anew before the first launch. */
static int warm_up(program *p, run r, error *e)
{
    if (r.mode == MODE_TRAIN)
        r.mode = MODE_GRADIENT;
    if (train_state_set(p, e) < 0 || step_run(&r, e) < 0)
        return -1;
    if (check_cuda(kernel_optimizer_load(p->gpu->type), "loading the optimizer", e) < 0)
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
    if (warm_up(p, r, e) < 0 || graph_capture(&r, step_pass, NULL, l.steps, &ready, e) < 0)
        return -1;
    p->graphs[p->graph_count++] = (captured){mode, l.rows, l.steps, ready};
    return check_cuda((int)cudaGraphUpload(ready, p->gpu->streams[0]), "loading a graph", e);
}

/* All graphs that `rows` rows need. Libraries are readied for every size first: that may want
 * larger workspaces, which the graphs then hold. */
static int graphs_make(program *p, run_mode mode, size_t rows, error *e)
{
    size_t batch = p->spec.batch;
    if ((rows >= batch && run_prepare(p, batch, e) < 0) ||
        (rows % batch && run_prepare(p, rows % batch, e) < 0))
        return -1;
    for (size_t left = rows; left > 0;) {
        launch l = launch_next(left, batch, BURST);
        if (!graph_find(p, mode, l.rows, l.steps) && graph_make(p, mode, l, e) < 0)
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
    return status < 0 || host ? status : error_set(e, "cuda: out of memory");
}

/* The rates of this call's steps. */
static int rates_set(program *p, const float *rate, size_t steps, error *e)
{
    for (size_t s = 0; s < steps; s++)
        p->host_rates[s] = optimizer_rate(&p->spec.optimizer, rate[s], p->step + s + 1);
    return copy_in(p->gpu, p->rates, p->host_rates, steps * sizeof *p->rates, e);
}

static int order_set(program *p, const uint32_t *order, size_t rows, const float *rate, error *e)
{
    size_t steps = (rows + p->spec.batch - 1) / p->spec.batch;
    if (order_grow(p, rows, e) < 0 || copy_in(p->gpu, p->order, order, rows * sizeof *order, e) < 0)
        return -1;
    return rate ? rates_set(p, rate, steps, e) : 0;
}

static int sums_get(program *p, metrics *total, error *e)
{
    run r = {.p = p};
    step_state state;
    if (copy_out(p->gpu, &state, state_of(&r), sizeof state, e) < 0 || device_wait(p->gpu, e) < 0)
        return -1;
    total->loss += state.loss;
    total->hits += state.hits;
    total->rows += state.rows;
    return 0;
}

static int rows_run(program *p, run_mode mode, const uint32_t *order, size_t rows,
                    const float *rate, metrics *total, error *e)
{
    if (order_check(p, order, rows, e) < 0)
        return -1;
    if (rows == 0)
        return 0;
    if (order_set(p, order, rows, rate, e) < 0 || graphs_make(p, mode, rows, e) < 0 ||
        train_state_set(p, e) < 0)
        return -1;
    for (size_t left = rows; left > 0;) {
        launch l = launch_next(left, p->spec.batch, BURST);
        captured *c = graph_find(p, mode, l.rows, l.steps);
        if (check_cuda((int)cudaGraphLaunch(c->graph, p->gpu->streams[0]), "launching a graph", e) <
            0)
            return -1;
        left -= l.rows * l.steps;
    }
    return sums_get(p, total, e);
}

static int cuda_train(backend *b, program *p, const uint32_t *order, size_t rows, const float *rate,
                      metrics *total, error *e)
{
    (void)b;
    p->second_stale = true;
    if (rows_run(p, MODE_TRAIN, order, rows, rate, total, e) < 0)
        return -1;
    p->step += (rows + p->spec.batch - 1) / p->spec.batch;
    return 0;
}

static int cuda_evaluate(backend *b, program *p, const uint32_t *order, size_t rows, metrics *total,
                         error *e)
{
    (void)b;
    return rows_run(p, MODE_INFER, order, rows, NULL, total, e);
}

static int cuda_gradients(backend *b, program *p, const uint32_t *order, size_t rows,
                          float *gradient, metrics *total, error *e)
{
    struct cuda *g = b->own;
    run r = {.p = p, .mode = MODE_GRADIENT, .rows = rows, .slot = 0, .side = 1};
    size_t bytes = p->net->total * sizeof *gradient;
    void *flat;
    if (order_check(p, order, rows, e) < 0)
        return -1;
    if (rows == 0 || rows > p->spec.batch)
        return error_set(e, "cuda: %zu rows in a batch of %zu", rows, p->spec.batch);
    if (order_set(p, order, rows, NULL, e) < 0 || run_prepare(p, rows, e) < 0 ||
        train_state_set(p, e) < 0 || step_run(&r, e) < 0 ||
        scratch_take(g, 1, &bytes, &flat, e) < 0)
        return -1;
    optimizer_task t = optimizer_of(&r);
    cudaStream_t stream = g->streams[0];
    if (check_cuda((int)cudaMemsetAsync(flat, 0, bytes, stream), "clearing gradients", e) < 0 ||
        check_kernel(g, kernel_gradients(g->type, &t, flat, stream), "gradients", stream, e) < 0 ||
        copy_out(g, gradient, flat, bytes, e) < 0)
        return -1;
    return sums_get(p, total, e);
}

/* ---- embeddings of pictures that stream in ----
 *
 * Batches go to two slots in turn, each with a stream and memory of its own, so that one's copies
 * run beside the other's computing. */

/* The second slot's memory is a copy of the first's: parameters lie in both. A program for training
 * has only one. */
static int slot_ready(program *p, int slot, error *e)
{
    if (slot == 0 || (p->base[1] && !p->second_stale))
        return 0;
    if (!p->base[1]) {
        void *memory;
        if (device_take(p->plan.arena.bytes, "a second batch under way", "take a smaller --batch",
                        &memory, e) < 0)
            return -1;
        p->base[1] = memory;
    }
    p->second_stale = false;
    if (check_cuda((int)cudaDeviceSynchronize(), "waiting for the device", e) < 0 ||
        check_cuda(
            (int)cudaMemcpy(p->base[1], p->base[0], p->plan.arena.bytes, cudaMemcpyDeviceToDevice),
            "copying the network", e) < 0)
        return -1;
    return check_cuda((int)cudaDeviceSynchronize(), "copying the network", e);
}

/* Readies convolutions and products, at the first batch. All batches are computed whole, also the
 * last, of fewer rows: what the library needs for another size takes longer. */
static int batch_ready(program *p, error *e)
{
    if (p->embeds)
        return 0;
    if (check_cuda((int)cudaDeviceSynchronize(), "waiting for the device", e) < 0 ||
        run_prepare(p, p->spec.batch, e) < 0 ||
        check_cuda((int)cudaDeviceSynchronize(), "timing convolutions", e) < 0)
        return -1;
    p->embeds = true;
    return 0;
}

int embed_to_float(const run *r, error *e)
{
    const program *p = r->p;
    cudaStream_t stream = p->gpu->streams[r->slot];
    return check_kernel(p->gpu,
                        kernel_to_float(p->gpu->type, place(r, p->plan.embedding),
                                        place(r, p->places.embeddings), r->rows * p->net->dimension,
                                        stream),
                        "to_float", stream, e);
}

static int forward_pass(const run *r, const fused_layer *f, error *e)
{
    (void)f;
    return forward(r, e) < 0 ? -1 : embed_to_float(r, e);
}

int embed_compute(const run *r, uint64_t first_row, uint32_t view, error *e)
{
    return input_take(r, first_row, view, e) < 0 ? -1 : forward_pass(r, NULL, e);
}

/* From gathered pictures to embeddings: launch by launch at a slot's first batch, which loads what
 * is needed, then by a graph, since the libraries' calls can take the host longer than the card. */
static int forward_launch(const run *r, error *e)
{
    program *p = r->p;
    int slot = r->slot;
    if (!p->warm[slot] || p->gpu->wait) {
        p->warm[slot] = true;
        return forward_pass(r, NULL, e);
    }
    if (!p->embedding[slot] && graph_capture(r, forward_pass, NULL, 1, &p->embedding[slot], e) < 0)
        return -1;
    return check_cuda((int)cudaGraphLaunch(p->embedding[slot], p->gpu->streams[slot]), "embedding",
                      e);
}

static int embed_batch(const run *r, const uint8_t *images, size_t rows, uint64_t first_row,
                       uint32_t view, float *embeddings, error *e)
{
    const program *p = r->p;
    cudaStream_t stream = p->gpu->streams[r->slot];
    if (check_cuda((int)cudaMemcpyAsync(place(r, p->places.staging), images,
                                        rows * extent_size(p->net->input), cudaMemcpyHostToDevice,
                                        stream),
                   "copying pictures", e) < 0 ||
        input_take(r, first_row, view, e) < 0 || forward_launch(r, e) < 0)
        return -1;
    return check_cuda((int)cudaMemcpyAsync(embeddings, place(r, p->places.embeddings),
                                           rows * p->net->dimension * sizeof *embeddings,
                                           cudaMemcpyDeviceToHost, stream),
                      "copying embeddings", e);
}

/* Those of the submission before the last, and then of the next one: one a stream. */
static cudaEvent_t *submission_events(program *p)
{
    return &p->events[EVENT_SUBMITTED + 2 * (p->submissions % 2)];
}

/* The submission before the last is over: its arrays are the caller's again. */
static int submission_begin(program *p, error *e)
{
    cudaEvent_t *over = submission_events(p);
    for (int i = 0; i < 2 && p->submissions >= 2; i++)
        if (check_cuda((int)cudaEventSynchronize(over[i]), "embedding", e) < 0)
            return -1;
    return 0;
}

static int submission_end(program *p, error *e)
{
    cudaEvent_t *over = submission_events(p);
    for (int i = 0; i < 2; i++)
        if (check_cuda((int)cudaEventRecord(over[i], p->gpu->streams[i]), "embedding", e) < 0)
            return -1;
    p->submissions++;
    return 0;
}

static int cuda_embed_submit(backend *b, program *p, const uint8_t *images, size_t rows,
                             uint64_t first_row, uint32_t view, float *embeddings, error *e)
{
    (void)b;
    if (submission_begin(p, e) < 0)
        return -1;
    for (size_t at = 0; at < rows; at += p->spec.batch) {
        size_t count = rows - at < p->spec.batch ? rows - at : p->spec.batch;
        int slot = p->spec.training ? 0 : (int)(p->chunks++ % 2);
        run r = {.p = p, .mode = MODE_INFER, .rows = p->spec.batch, .slot = slot, .side = slot};
        if (batch_ready(p, e) < 0 || slot_ready(p, slot, e) < 0 ||
            embed_batch(&r, images + at * extent_size(p->net->input), count, first_row + at, view,
                        embeddings + at * p->net->dimension, e) < 0)
            return -1;
    }
    return submission_end(p, e);
}

void cuda_program(backend *b)
{
    b->program_new = cuda_program_new;
    b->program_free = cuda_program_free;
    b->parameters_set = cuda_parameters_set;
    b->parameters_get = cuda_parameters_get;
    b->optimizer_set = cuda_optimizer_set;
    b->optimizer_get = cuda_optimizer_get;
    b->data_set = cuda_data_set;
    b->train = cuda_train;
    b->evaluate = cuda_evaluate;
    b->gradients = cuda_gradients;
    b->embed_submit = cuda_embed_submit;
    b->embed_wait = cuda_embed_wait;
}
