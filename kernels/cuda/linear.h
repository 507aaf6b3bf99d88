/* linear.h: Cholesky and eigenvectors by cuSOLVER, in double. A symmetric matrix's lower half in
 * row-major is its upper half in column-major. */
#ifndef KERNELS_CUDA_LINEAR_H
#define KERNELS_CUDA_LINEAR_H

#include "../backend.h"

int cuda_solve(backend *b, double *matrix, size_t n, double ridge, double *right, size_t columns,
               error *e);
int cuda_eigen(backend *b, double *matrix, size_t n, double *values, error *e);

#endif
