#include "optimizer.h"

#include "formulas.h"
#include "memory.h"

#include <stdlib.h>

static size_t pieces_of(const parameter *q)
{
    return (q->count + OPTIMIZER_PIECE - 1) / OPTIMIZER_PIECE;
}

/* The optimizer's tables, as they will be on the device: all parts, then all pieces. */
static void tables_fill(program *p, optimizer_part *parts, optimizer_piece *pieces)
{
    const network *n = p->net;
    run r = {.p = p};
    for (size_t k = 0; k < n->parameter_count; k++) {
        const parameter *q = &n->parameters[k];
        const parameter_places *own = &p->places.parameters[k];
        parts[k] = (optimizer_part){.start = q->start,
                                    .count = (uint32_t)q->count,
                                    .inner = (uint32_t)own->inner,
                                    .padded = (uint32_t)own->padded,
                                    .gradient = place(&r, own->gradient),
                                    .copy = place(&r, own->copy),
                                    .bf16 = own->bf16,
                                    .learns = own->learns,
                                    .decays = own->decays};
        for (size_t i = 0; i < pieces_of(q); i++)
            *pieces++ = (optimizer_piece){(uint32_t)k, (uint32_t)(i * OPTIMIZER_PIECE)};
    }
}

int optimizer_new(program *p, error *e)
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
    if (status == 0 &&
        (copy_in(p->gpu, p->tables, tables, bytes, e) < 0 || device_wait(p->gpu, e) < 0))
        status = -1;
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

step_rate optimizer_rate(const optimizer *o, float rate, uint64_t step)
{
    bool adam = o->kind != OPTIMIZER_SGD;
    return (step_rate){rate, adam ? element_adam_rate(rate, o->beta1, o->beta2, step) : rate};
}

optimizer_task optimizer_of(const run *r)
{
    const program *p = r->p;
    optimizer_task t = p->optimizer;
    t.master = place(r, p->places.master);
    t.first = place(r, p->places.first);
    t.second = place(r, p->places.second);
    t.rates = p->rates;
    t.rows = r->rows;
    t.state = state_of(r);
    t.arrivals = place(r, p->places.optimizer_arrivals);
    return t;
}

int optimizer_run(const run *r, error *e)
{
    optimizer_task t = optimizer_of(r);
    return run_check(r, kernel_optimizer(r->p->gpu->type, &t, r->p->gpu->streams[r->slot]),
                     "optimizer", e);
}
