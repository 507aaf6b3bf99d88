/* input.h: pictures on their way in. */
#ifndef KERNELS_CUDA_INPUT_H
#define KERNELS_CUDA_INPUT_H

#include "state.h"

/* A step's rows of the data set, and their labels. */
int input_gather(const run *r, bool augmented, error *e);
/* The staging memory's rows; view 0 is plain. */
int input_take(const run *r, uint64_t first_row, uint32_t view, error *e);

#endif
