/* linear.h: Cholesky and eigenvectors, by OpenBLAS's LAPACK. */
#ifndef KERNELS_CPU_LINEAR_H
#define KERNELS_CPU_LINEAR_H

#include "cpu.h"

int cpu_solve(backend *b, double *matrix, size_t n, double ridge, double *right, size_t columns,
              error *e);
int cpu_eigen(backend *b, double *matrix, size_t n, double *values, error *e);

#endif
