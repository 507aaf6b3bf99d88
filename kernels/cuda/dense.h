/* dense.h: dense layers by cuBLASLt, and convolutions of 1 x 1, which are dense layers over all
 * places of all rows (fused_is_product).
 *
 * All matrices are row-major here and column-major there, so that each is seen transposed:
 *
 *   forward   out'  [O x R] = weight [O x K] in' [K x R]
 *             (weight is stored K x O: transposed)
 *   weight    d_w'  [K x O] = in' [K x R] d_out [R x O]
 *             (d_out is stored O x R: transposed)
 *   data      d_in' [K x R] = weight' [K x O] d_out' [O x R] */
#ifndef KERNELS_CUDA_DENSE_H
#define KERNELS_CUDA_DENSE_H

#include "state.h"

#define PRODUCT_WORKSPACE (32u << 20) /* what cuBLAS wants on the cards with the most */

/* As their likes in conv.h. Where a dropout follows, bias and ReLU are left to its pass, and
 * so is an activation that the library does not do. */
int dense_prepare(program *p, size_t layer, size_t rows, size_t *workspace, error *e);
void dense_discard(dense_ready *d);
int dense_forward(const run *r, const fused_layer *f, error *e);
int dense_backward_weight(const run *r, const fused_layer *f, int lane, error *e);
int dense_backward_data(const run *r, const fused_layer *f, error *e);

#endif
