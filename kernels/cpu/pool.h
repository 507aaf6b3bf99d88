/* pool.h: pooling, over windows that tile their input and over others. */
#ifndef KERNELS_CPU_POOL_H
#define KERNELS_CPU_POOL_H

#include "../../common/model/network.h"
#include "elementwise.h"

#define POOL_NOTHING 255   /* the code of an output that passes no gradient */
#define POOL_CODES_MAX 255 /* windows of more elements have no codes */

/* Maxima over the layer's windows. With codes, also where in its window each maximum was (the first
 * of equals), or POOL_NOTHING where dropout (which acts on the result; NULL for none) dropped it
 * or, with `relu`, where it is not above 0. */
void maxpool_forward(const layer *l, const void *x, void *y, uint8_t *codes, element type,
                     size_t rows, bool relu, const dropout *d);
/* x_gradient = y_gradient * factor where the code says, else 0. */
void maxpool_backward(const layer *l, const void *y_gradient, const uint8_t *codes,
                      void *x_gradient, element type, size_t rows, float factor);
/* Without codes, for larger windows: finds the maximum again. */
void maxpool_backward_search(const layer *l, const void *y_gradient, const void *x,
                             void *x_gradient, element type, size_t rows);

/* Any windows. Scratch: a picture of floats a thread. */
void windows_forward(const layer *l, const void *x, void *y, element type, size_t rows);
void windows_backward(const layer *l, const void *y_gradient, const void *x, void *x_gradient,
                      element type, size_t rows, float *scratch);

/* The mean over height x width, to rows x channels. */
void avgpool_forward(const void *x, void *y, element type, size_t rows, extent in);
void avgpool_backward(const void *y_gradient, void *x_gradient, element type, size_t rows,
                      extent in);

#endif
