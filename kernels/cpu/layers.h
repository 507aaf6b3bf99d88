/* layers.h: each kind of layer, forward and back, from where the plan has its inputs to where it
 * has its results. */
#ifndef KERNELS_CPU_LAYERS_H
#define KERNELS_CPU_LAYERS_H

#include "state.h"

typedef enum {
    MODE_INFER,    /* running statistics, no dropout */
    MODE_GRADIENT, /* as in training, but running statistics stay */
    MODE_TRAIN
} run_mode;

/* plan_rules' `joins`; own is a cpu. */
bool layer_joins(const void *own, const layer *product, const layer *next);
/* Floats of program.scratch that fused layer i takes. */
size_t layer_scratch_count(const program *p, size_t i);

int layer_forward(program *p, const primitive_set *s, size_t i, run_mode mode, error *e);
int layer_backward(program *p, const primitive_set *s, size_t i, error *e);

#endif
