/* linear.h: Cholesky and eigenvectors, by OpenBLAS's LAPACK. */
#ifndef KERNELS_CPU_LINEAR_H
#define KERNELS_CPU_LINEAR_H

#include "cpu.h"

/* Fills its functions in. */
void cpu_linear(algebra *a);

#endif
