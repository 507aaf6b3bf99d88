/* moments.h: class sums, counts and the Gram matrix, in double on the device: sums are a product
 * with the labels as a matrix of ones and zeros, the Gram matrix a symmetric update, both by
 * cuBLAS. */
#ifndef KERNELS_CUDA_MOMENTS_H
#define KERNELS_CUDA_MOMENTS_H

#include "../backend.h"

/* Fills its functions in. */
void cuda_moments(algebra *a);

#endif
