/* moments.h: class sums, counts and the Gram matrix, in double on the device: sums are a product
 * with the labels as a matrix of ones and zeros, the Gram matrix a symmetric update, both by
 * cuBLAS. */
#ifndef KERNELS_CUDA_MOMENTS_H
#define KERNELS_CUDA_MOMENTS_H

#include "../backend.h"

int cuda_moments_new(backend *b, size_t dimension, const float *projection, size_t count,
                     size_t classes, bool gram, moments **out, error *e);
int cuda_moments_add(backend *b, moments *m, const float *embeddings, const int32_t *labels,
                     size_t rows, error *e);
int cuda_moments_get(backend *b, moments *m, double *sums, double *counts, double *gram, error *e);
void cuda_moments_free(backend *b, moments *m);

#endif
