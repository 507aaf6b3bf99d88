/* program.c: a program's memory, parameters and data. */
#include "cuda.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- making ---- */

void graphs_discard(program *p)
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

int workspace_grow(program *p, size_t bytes, error *e)
{
    for (int i = 0; i < 2; i++) {
        if (p->workspace_bytes[i] >= bytes)
            continue;
        graphs_discard(p);
        if (device_grow(&p->workspace[i], &p->workspace_bytes[i], bytes, "the layers' workspace",
                        "take a smaller --batch", e) != 0)
            return -1;
    }
    return 0;
}

static size_t pieces_of(const parameter *q)
{
    return (q->count + OPTIMIZER_PIECE - 1) / OPTIMIZER_PIECE;
}

/* The optimizer's tables, as they will be on the device: all parts, then all pieces. */
static void tables_fill(const program *p, optimizer_part *parts, optimizer_piece *pieces)
{
    const network *n = p->net;
    for (size_t k = 0; k < n->parameter_count; k++) {
        const parameter *q = &n->parameters[k];
        const plan_parameter *own = &p->plan.parameters[k];
        parts[k] = (optimizer_part){
            .start = q->start,
            .count = (uint32_t)q->count,
            .inner = (uint32_t)own->inner,
            .padded = (uint32_t)own->padded,
            .gradient = own->gradient == NOWHERE ? NULL : p->base[0] + own->gradient,
            .copy = own->copy == NOWHERE ? NULL : p->base[0] + own->copy,
            .narrow = own->narrow,
            .learns = own->learns,
            .decays = own->decays};
        for (size_t i = 0; i < pieces_of(q); i++)
            *pieces++ = (optimizer_piece){(uint32_t)k, (uint32_t)(i * OPTIMIZER_PIECE)};
    }
}

static int tables_new(program *p, error *e)
{
    const network *n = p->net;
    size_t pieces = 0;
    for (size_t k = 0; k < n->parameter_count; k++)
        pieces += pieces_of(&n->parameters[k]);
    size_t part_bytes = n->parameter_count * sizeof(optimizer_part);
    size_t bytes = part_bytes + pieces * sizeof(optimizer_piece);
    char *tables = calloc(1, bytes);
    if (!tables)
        return error_set(e, "cuda: out of memory");
    tables_fill(p, (optimizer_part *)tables, (optimizer_piece *)(tables + part_bytes));
    int status =
        device_take(bytes, "the optimizer's tables", "take a smaller network", &p->tables, e);
    if (status == 0)
        status = check_cuda((int)cudaMemcpy(p->tables, tables, bytes, cudaMemcpyHostToDevice),
                            "copying the optimizer's tables", e);
    /* Our streams do not wait for copies of the default one. */
    if (status == 0)
        status = check_cuda((int)cudaDeviceSynchronize(), "copying the optimizer's tables", e);
    free(tables);
    const optimizer *o = &p->spec.optimizer;
    p->optimizer = (optimizer_task){.parts = p->tables,
                                    .pieces = (void *)((char *)p->tables + part_bytes),
                                    .piece_count = pieces,
                                    .kind = (int)o->kind,
                                    .beta1 = o->beta1,
                                    .beta2 = o->beta2,
                                    .epsilon = o->epsilon,
                                    .momentum = o->momentum,
                                    .decay = o->weight_decay};
    return status;
}

static int arena_new(program *p, int slot, error *e)
{
    char what[96];
    snprintf(what, sizeof what, "a network and its activations for %zu rows", p->spec.batch);
    void *memory;
    if (device_take(p->plan.bytes, what, "take a smaller --batch", &memory, e) != 0)
        return -1;
    p->base[slot] = memory;
    if (check_cuda((int)cudaMemset(memory, 0, p->plan.bytes), "clearing memory", e) != 0)
        return -1;
    return check_cuda((int)cudaDeviceSynchronize(), "clearing memory", e);
}

static int events_new(program *p, error *e)
{
    cudaEvent_t *events[] = {&p->forked,          &p->joined,          &p->submitted[0][0],
                             &p->submitted[0][1], &p->submitted[1][0], &p->submitted[1][1]};
    for (size_t i = 0; i < sizeof events / sizeof *events; i++)
        if (check_cuda((int)cudaEventCreateWithFlags(events[i], cudaEventDisableTiming), "event",
                       e) != 0)
            return -1;
    return 0;
}

int cuda_program_new(backend *b, const program_spec *spec, program **out, error *e)
{
    struct cuda *g = cuda_of(b);
    program *p = calloc(1, sizeof *p);
    if (!p)
        return error_set(e, "cuda: out of memory");
    p->gpu = g;
    p->spec = *spec;
    p->net = spec->net;
    if (check_cuda((int)cudaSetDevice(g->device), "choosing the device", e) != 0 ||
        device_plan_new(spec, g->precision, &p->plan, e) != 0 || arena_new(p, 0, e) != 0 ||
        tables_new(p, e) != 0 || events_new(p, e) != 0) {
        cuda_program_free(b, p);
        return -1;
    }
    *out = p;
    return 0;
}

void cuda_program_free(backend *b, program *p)
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
    cudaEvent_t events[] = {p->forked,          p->joined,          p->submitted[0][0],
                            p->submitted[0][1], p->submitted[1][0], p->submitted[1][1]};
    for (size_t i = 0; i < sizeof events / sizeof *events; i++)
        if (events[i])
            cudaEventDestroy(events[i]);
    void *memory[] = {p->base[0], p->base[1], p->workspace[0], p->workspace[1], p->tables,
                      p->images,  p->labels,  p->order,        p->rates};
    for (size_t i = 0; i < sizeof memory / sizeof *memory; i++)
        cudaFree(memory[i]);
    device_plan_free(&p->plan);
    free(p->host_rates);
    free(p);
}

/* ---- parameters ---- */

static int check_training(const program *p, error *e)
{
    return p->spec.training ? 0 : error_set(e, "cuda: this program was not made for training");
}

static int floats_in(program *p, size_t to, const float *from, error *e)
{
    return check_cuda((int)cudaMemcpyAsync(p->base[0] + to, from, p->net->total * sizeof *from,
                                           cudaMemcpyHostToDevice, p->gpu->streams[0]),
                      "copying parameters to the device", e);
}

static int floats_out(program *p, size_t from, float *to, error *e)
{
    return check_cuda((int)cudaMemcpyAsync(to, p->base[0] + from, p->net->total * sizeof *to,
                                           cudaMemcpyDeviceToHost, p->gpu->streams[0]),
                      "copying parameters from the device", e);
}

static int wait(program *p, error *e)
{
    return check_cuda((int)cudaStreamSynchronize(p->gpu->streams[0]), "waiting for the device", e);
}

int cuda_parameters_set(backend *b, program *p, const float *parameters, error *e)
{
    struct cuda *g = cuda_of(b);
    run r = {.p = p};
    optimizer_task t = optimizer_of(&r);
    p->second_stale = true;
    if (cuda_embed_wait(b, p, e) != 0 || floats_in(p, p->plan.master, parameters, e) != 0 ||
        check_kernel(g, kernel_copies(g->type, &t, g->streams[0]), "copies", g->streams[0], e) != 0)
        return -1;
    return wait(p, e);
}

int cuda_parameters_get(backend *b, program *p, float *parameters, error *e)
{
    (void)b;
    return floats_out(p, p->plan.master, parameters, e) != 0 ? -1 : wait(p, e);
}

int cuda_optimizer_set(backend *b, program *p, uint64_t step, const float *first,
                       const float *second, error *e)
{
    (void)b;
    if (check_training(p, e) != 0 || floats_in(p, p->plan.first, first, e) != 0 ||
        floats_in(p, p->plan.second, second, e) != 0)
        return -1;
    p->step = step;
    return wait(p, e);
}

int cuda_optimizer_get(backend *b, program *p, uint64_t *step, float *first, float *second,
                       error *e)
{
    (void)b;
    if (check_training(p, e) != 0 || floats_out(p, p->plan.first, first, e) != 0 ||
        floats_out(p, p->plan.second, second, e) != 0)
        return -1;
    *step = p->step;
    return wait(p, e);
}

/* ---- data ---- */

int cuda_data_set(backend *b, program *p, const uint8_t *images, const int32_t *labels, size_t rows,
                  error *e)
{
    (void)b;
    if (check_training(p, e) != 0)
        return -1;
    graphs_discard(p); /* they hold the old addresses */
    cudaFree(p->images);
    cudaFree(p->labels);
    p->images = NULL;
    p->labels = NULL;
    p->data_rows = 0;
    size_t bytes = rows * extent_size(p->net->input);
    void *memory;
    if (device_take(bytes, "the training set", "use --device cpu, or train on fewer pictures",
                    &memory, e) != 0)
        return -1;
    p->images = memory;
    if (device_take(rows * sizeof *labels, "the training set's labels", "train on fewer pictures",
                    &memory, e) != 0)
        return -1;
    p->labels = memory;
    if (check_cuda((int)cudaMemcpy(p->images, images, bytes, cudaMemcpyHostToDevice),
                   "copying the training set", e) != 0 ||
        check_cuda(
            (int)cudaMemcpy(p->labels, labels, rows * sizeof *labels, cudaMemcpyHostToDevice),
            "copying the training set", e) != 0 ||
        check_cuda((int)cudaDeviceSynchronize(), "copying the training set", e) != 0)
        return -1;
    p->data_rows = rows;
    return 0;
}
