/* layers.h: which functions do a fused layer, forward and back. */
#ifndef KERNELS_CUDA_LAYERS_H
#define KERNELS_CUDA_LAYERS_H

#include "state.h"

/* Readies the libraries for layer i of so many rows; *workspace: the bytes that they want. */
int layer_prepare(program *p, size_t i, size_t rows, size_t *workspace, error *e);

/* A fused layer's passes (launch_pass). The three parts of going back: masking and sums; the
 * weights' gradient, of conv and dense; the input's, and with it that of all other parameters. */
int layer_forward(const run *r, const fused_layer *f, error *e);
int layer_backward_mask(const run *r, const fused_layer *f, error *e);
int layer_backward_weight(const run *r, const fused_layer *f, error *e);
int layer_backward_data(const run *r, const fused_layer *f, error *e);
/* The weights' gradient on another stream. */
int layer_backward_beside(const run *r, const fused_layer *f, int lane, error *e);

#endif
