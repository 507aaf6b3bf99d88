/* attention.h: self-attention of several heads; reference/attention.c has the formulas. What is
 * multiplied is float. */
#ifndef KERNELS_CPU_ATTENTION_H
#define KERNELS_CPU_ATTENTION_H

#include "../../common/model/network.h"
#include "loops.h"

/* Floats of scratch that one thread takes, with a backward pass or without. */
size_t attention_scratch_count(const layer *l, bool training);

void attention_forward(const layer *l, const void *x, void *y, element type, size_t rows,
                       float *scratch);
void attention_backward(const layer *l, const void *x, const void *y_gradient, void *x_gradient,
                        element type, size_t rows, float *scratch);

#endif
