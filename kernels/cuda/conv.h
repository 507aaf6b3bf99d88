/* conv.h: convolutions by cuDNN, NHWC, by its functions of fixed kind (cudnnConvolutionForward and
 * its like) rather than its graphs of operations: what is wanted of it are plain convolutions, with
 * bias and ReLU at best, which both have; these are plain C with few things to go wrong in, and
 * every fusion beyond them is done by kernels of our own.
 *
 * For each direction and shape the algorithms that the library thinks likeliest are timed, once,
 * and the quickest kept; with --deterministic the first that works of those that give the same
 * bytes each time. Where it has none, conv.cu does it. They are timed in graphs, as training runs
 * them: the library's own search (cudnnFind...) times a single call each, with what the host does
 * for it, which for small layers is the longer part. */
#ifndef KERNELS_CUDA_CONV_H
#define KERNELS_CUDA_CONV_H

#include "state.h"

/* Readies a convolution for the rows, choosing algorithms once a shape; *workspace: the bytes that
 * they want. Runs it many times, on what lies in the first slot's arrays: nothing else may be under
 * way there, nor a capture. */
int conv_prepare(program *p, size_t layer, size_t rows, size_t *workspace, error *e);
void conv_discard(conv_ready *c);

int conv_forward(const run *r, const fused_layer *f, error *e);
/* lane: stream and handle. */
int conv_backward_weight(const run *r, const fused_layer *f, int lane, error *e);
int conv_backward_data(const run *r, const fused_layer *f, error *e);

/* How it was chosen to be done, for people: "algorithm 1, with bias", "own kernel". */
void conv_describe(const run *r, const fused_layer *f, conv_direction direction, char *text,
                   size_t size);

#endif
