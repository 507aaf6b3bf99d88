/* optimizer.h: the step over all parameters. */
#ifndef KERNELS_CUDA_OPTIMIZER_H
#define KERNELS_CUDA_OPTIMIZER_H

#include "state.h"

/* Makes the program's tables of what the step works on. */
int optimizer_new(program *p, error *e);
step_rate optimizer_rate(const optimizer *o, float rate, uint64_t step); /* step 1 is the first */
optimizer_task optimizer_of(const run *r);
int optimizer_run(const run *r, error *e);

#endif
