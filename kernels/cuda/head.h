/* head.h: the classifier on top. */
#ifndef KERNELS_CUDA_HEAD_H
#define KERNELS_CUDA_HEAD_H

#include "state.h"

/* Logits, loss and hits, and, unless inferring, the gradient by embedding and scale. `advances`:
 * the next step reads the next rows. */
int head_run(const run *r, bool advances, error *e);
/* After it, the gradient by the weights; `lane`: on that stream. */
int head_weight_run(const run *r, int lane, error *e);

#endif
