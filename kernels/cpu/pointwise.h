/* pointwise.h: the weights' gradient of convolutions of 1x1 with stride 1, such as those of tokens
 * and of bottlenecks: one product of two matrices, by oneDNN's own. Its convolution takes 1.1 to
 * 1.9 times as long (16 to 2,048 channels, 2 threads, AVX2 and AVX-512); tests/bench/driver's
 * `profile fp32` shows it: ViT-S/16's four were 48, 14, 62 and 60 ms, and are 31, 10, 47, 44. */
#ifndef KERNELS_CPU_POINTWISE_H
#define KERNELS_CPU_POINTWISE_H

#include "../../common/base/error.h"
#include "../../common/model/network.h"

bool pointwise_fits(const layer *l);

/* The gradients of the weights, [out][in], and of the bias (NULL: none). x [places][in] and
 * y_gradient [places][out] are floats. */
int pointwise_weight_gradient(const layer *l, const float *x, const float *y_gradient,
                              size_t places, float *weight_gradient, float *bias_gradient,
                              error *e);

#endif
