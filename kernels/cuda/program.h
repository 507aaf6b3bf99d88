/* program.h: networks on the GPU: the functions of backend.h, and the passes that they are made
 * of. */
#ifndef KERNELS_CUDA_PROGRAM_H
#define KERNELS_CUDA_PROGRAM_H

#include "graph.h"

/* Fills those functions in. */
void cuda_program(backend *b);

/* The state for a call that begins at the program's step, with sums of zero. */
int train_state_set(program *p, error *e);
/* A whole step, as the mode wants it. */
int step_run(const run *r, error *e);
/* From the slot's staging memory to its embeddings, a whole batch, nothing copied; and its last
 * launch alone. */
int embed_compute(const run *r, uint64_t first_row, uint32_t view, error *e);
int embed_to_float(const run *r, error *e);

#endif
