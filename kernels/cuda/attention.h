/* attention.h: self-attention, a head after the other, of all rows at once: products by cuBLAS, a
 * batch of a product a row, and softmax between them. With D channels a head, P places, and
 * matrices column-major as there, so that each is seen transposed:
 *
 *   scores'  [P x P] = k [P x D] q' [D x P]      weights = softmax(scores / sqrt D)
 *   out'     [D x P] = v' [D x P] weights' [P x P]
 *
 *   d_v'     [D x P] = d_out' [D x P] weights [P x P]
 *   d_weights' [P x P] = v [P x D] d_out' [D x P], from which softmax's d_scores
 *   d_q'     [D x P] = k' [D x P] d_scores' [P x P]
 *   d_k'     [D x P] = q' [D x P] d_scores [P x P]
 *
 * One head's matrices are small enough to stay in the card's cache; the backward pass makes the
 * weights anew rather than to keep those of all heads. */
#ifndef KERNELS_CUDA_ATTENTION_H
#define KERNELS_CUDA_ATTENTION_H

#include "state.h"

int attention_prepare(program *p, size_t *workspace, error *e);
int attention_forward(const run *r, const fused_layer *f, error *e);
int attention_backward(const run *r, const fused_layer *f, error *e);

#endif
