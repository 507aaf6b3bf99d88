/* norm.h: batch normalisation; layer normalisation and affine ("place norms"). */
#ifndef KERNELS_CUDA_NORM_H
#define KERNELS_CUDA_NORM_H

#include "state.h"

int norm_forward(const run *r, const fused_layer *f, error *e);
/* The gradients of gamma and beta come with the input's. */
int norm_backward(const run *r, const fused_layer *f, error *e);

int place_norm_forward(const run *r, const fused_layer *f, error *e);
int place_norm_backward(const run *r, const fused_layer *f, error *e);

#endif
