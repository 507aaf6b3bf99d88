/* tokens.h: what adds to places, and what moves places and channels about: tokens, position, take,
 * channels, shuffle. weight and its gradient are the layer's parameter (NULL for tokens:0), which
 * backward functions set. */
#ifndef KERNELS_CPU_TOKENS_H
#define KERNELS_CPU_TOKENS_H

#include "../../common/model/network.h"
#include "loops.h"

void tokens_forward(const layer *l, const void *x, void *y, element type, size_t rows,
                    const float *weight);
/* x_gradient NULL: not wanted. */
void tokens_backward(const layer *l, const void *y_gradient, void *x_gradient, element type,
                     size_t rows, float *weight_gradient);

void position_forward(const layer *l, const void *x, void *y, element type, size_t rows,
                      const float *weight);
/* x's gradient is y's. */
void position_backward(const layer *l, const void *y_gradient, element type, size_t rows,
                       float *weight_gradient);

void select_forward(const layer *l, const void *x, void *y, element type, size_t rows);
void select_backward(const layer *l, const void *y_gradient, void *x_gradient, element type,
                     size_t rows);

#endif
