/* elementwise.h: what each element undergoes alone, forward and back, and what is left of bias,
 * ReLU and dropout behind a product or batchnorm. */
#ifndef KERNELS_CUDA_ELEMENTWISE_H
#define KERNELS_CUDA_ELEMENTWISE_H

#include "state.h"

/* The layer's dropout, as the run's mode wants it. */
kernel_drop drop_of(const run *r, const fused_layer *f);
/* By what the backward pass multiplies where dropout was done in the same pass as a ReLU. */
float drop_scale(const fused_layer *f);

/* On an output in place: bias and activation, unless they are `finished`, and dropout. */
int output_finish(const run *r, const fused_layer *f, bool finished, error *e);
/* conv, dense: the gradient through ReLU and dropout, and its sum, the bias' gradient. */
int output_mask(const run *r, const fused_layer *f, error *e);

/* activations, dropout, scale, save, "|" and add. */
int elementwise_forward(const run *r, const fused_layer *f, error *e);
int elementwise_backward(const run *r, const fused_layer *f, error *e);

#endif
