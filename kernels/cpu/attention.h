/* attention.h: self-attention of several heads; reference/attention.c has the formulas. A few rows
 * at once, oneDNN multiplies the matrices of all their heads. Where the processor has tiles of bf16
 * (AMX), activations of bf16 are multiplied as such, else as floats; scores are always floats. */
#ifndef KERNELS_CPU_ATTENTION_H
#define KERNELS_CPU_ATTENTION_H

#include "../../common/model/network.h"
#include "cpu.h"
#include "loops.h"

/* Primitives and memory, which all layers of one shape and type of a program share. */
typedef struct attention attention;

/* The one of the list for that layer, put in front where it is new; NULL with *e filled. */
attention *attention_get(attention **list, const cpu *own, const layer *l, element type,
                         bool training, error *e);
void attention_free(attention *list);

int attention_forward(attention *a, const cpu *own, const void *x, void *y, size_t rows, error *e);
int attention_backward(attention *a, const cpu *own, const void *x, const void *y_gradient,
                       void *x_gradient, size_t rows, error *e);

#endif
