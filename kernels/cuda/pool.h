/* pool.h: pooling. */
#ifndef KERNELS_CUDA_POOL_H
#define KERNELS_CUDA_POOL_H

#include "state.h"

int pool_forward(const run *r, const fused_layer *f, error *e);
int pool_backward(const run *r, const fused_layer *f, error *e);

#endif
