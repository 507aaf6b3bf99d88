/* linear.h: Cholesky and eigenvectors by cuSOLVER, in double. A symmetric matrix's lower half in
 * row-major is its upper half in column-major. */
#ifndef KERNELS_CUDA_LINEAR_H
#define KERNELS_CUDA_LINEAR_H

#include "../backend.h"

/* Fills its functions in. */
void cuda_linear(algebra *a);

#endif
