/* tokens.h: what adds to places, and what moves places and channels about: tokens, position, take,
 * channels, shuffle. */
#ifndef KERNELS_CUDA_TOKENS_H
#define KERNELS_CUDA_TOKENS_H

#include "state.h"

int tokens_forward(const run *r, const fused_layer *f, error *e);
/* The parameters' gradients come with the input's. */
int tokens_backward(const run *r, const fused_layer *f, error *e);

#endif
