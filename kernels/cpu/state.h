/* state.h: what a network that is compiled for the CPU holds. */
#ifndef KERNELS_CPU_STATE_H
#define KERNELS_CPU_STATE_H

#include "../plan/plan.h"
#include "attention.h"
#include "cpu.h"
#include "head.h"
#include "norm.h"
#include "optimizer.h"
#include "product.h"

#include <time.h>

/* What there is beside a fused layer of the plan. */
typedef struct {
    const product_kind *product; /* conv, dense */
    layer shape;                 /* of them: as oneDNN is to see the layer */
    batchnorm norm;
    bool first_conv;          /* conv: in place of oneDNN's gradient of the weights */
    bool pointwise;           /* conv: likewise */
    bool winograd;            /* conv: in place of oneDNN's convolution */
    attention *attention;     /* of program.attentions */
    bool masks_below;         /* winograd: its gradient goes through the ReLU of the layer below */
    float *filters, *rotated; /* winograd: of the parameters of program.filter_version */
} layer_state;

/* Where a program's time went, in seconds; tests/bench shows it. */
typedef struct {
    double forward, mask, weights, back; /* mask: ReLU's and dropout's way back */
} layer_times;
typedef struct {
    double since; /* when the last of them ended */
    double outside, pictures, weights, head,
        optimizer; /* between steps, loading, reordering, ... */
    layer_times *layers;
} program_times;

#define PRIMITIVE_SETS 4

struct program {
    cpu *own;
    program_spec spec;
    const network *net;
    plan plan;    /* its rows at once: the batch in training */
    char *base;   /* the arena's memory */
    size_t taken; /* blocks of the arena that have been given out by program_take */
    layer_state *layers;
    attention *attentions;
    uint8_t *picture_row; /* scratch of input_load */
    float *features, *feature_gradient;
    head_space head;
    /* As network.h lays them out, but for weights whose gradient oneDNN makes in another order: all
     * four keep those in that order (`stored`, one a parameter, NULL for the plain one), since the
     * optimizer does not care. */
    float *parameters, *gradient, *first, *second;
    layout *stored;
    learning_part *parts;
    size_t part_count;
    uint64_t step, version, filter_version;
    float *scratch; /* of one layer at a time: winograd, norms ... */
    float *input_factor,
        *input_offset; /* picture_scale's; NULL for a network that has no normalize */
    primitive_set *sets[PRIMITIVE_SETS];
    uint64_t uses;
    const uint8_t *images;
    const int32_t *labels;
    size_t data_rows;
    program_times times;
};

/* The time since the last call goes to *total. */
static inline void program_time(program *p, double *total)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    double seconds = (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
    *total += seconds - p->times.since;
    p->times.since = seconds;
}

/* The address of a block of the plan; NULL for NOWHERE. */
static inline void *program_at(const program *p, size_t block)
{
    return block == NOWHERE ? NULL : p->base + p->plan.arena.blocks[block].offset;
}

/* Zeroed memory that the program keeps. What takes it is called twice, in the same order: first
 * only to count, while there is none, and then to be given it. */
static inline void *program_take(program *p, size_t bytes)
{
    if (p->base)
        return program_at(p, p->taken++);
    arena_keep(&p->plan.arena, bytes);
    return NULL;
}

/* A parameter's values and gradient; NULL where the layer has none (SIZE_MAX). */
static inline float *program_value(const program *p, size_t parameter)
{
    return parameter == SIZE_MAX ? NULL : p->parameters + p->net->parameters[parameter].start;
}
static inline float *program_gradient(const program *p, size_t parameter)
{
    return parameter == SIZE_MAX ? NULL : p->gradient + p->net->parameters[parameter].start;
}

/* By what the way back through the layer's ReLU and dropout multiplies. */
static inline float program_drop_factor(const fused_layer *f)
{
    return 1 / (1 - f->drop);
}

#endif
