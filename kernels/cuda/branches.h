/* branches.h: what closes a block of branches, but for sums (elementwise.h). */
#ifndef KERNELS_CUDA_BRANCHES_H
#define KERNELS_CUDA_BRANCHES_H

#include "state.h"

/* multiply, concat; backward gives all operands their gradients. */
int branches_forward(const run *r, const fused_layer *f, error *e);
int branches_backward(const run *r, const fused_layer *f, error *e);

#endif
