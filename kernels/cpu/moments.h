/* moments.h: class sums, counts and the Gram matrix, in double. */
#ifndef KERNELS_CPU_MOMENTS_H
#define KERNELS_CPU_MOMENTS_H

#include "cpu.h"

/* Fills its functions in. */
void cpu_moments(algebra *a);

#endif
