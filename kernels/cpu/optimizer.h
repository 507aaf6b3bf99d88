/* optimizer.h: one optimizer step over all parameters, in one pass through memory. */
#ifndef KERNELS_CPU_OPTIMIZER_H
#define KERNELS_CPU_OPTIMIZER_H

#include "../backend.h"

/* A stretch of the flat array that learns. */
typedef struct {
    size_t start, count;
    bool decays; /* weight decay acts on it */
} learning_part;

/* The step that backend.h describes; step counts from 1; all arrays are the network's flat ones.
 * second may be NULL for sgd. */
void optimizer_step(const optimizer *o, const learning_part *parts, size_t count, uint64_t step,
                    float rate, float *parameters, const float *gradient, float *first,
                    float *second);

#endif
