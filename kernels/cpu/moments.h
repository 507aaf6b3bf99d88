/* moments.h: class sums, counts and the Gram matrix, in double. */
#ifndef KERNELS_CPU_MOMENTS_H
#define KERNELS_CPU_MOMENTS_H

#include "cpu.h"

int cpu_moments_new(backend *b, size_t dimension, const float *projection, size_t count,
                    size_t classes, bool gram, moments **out, error *e);
int cpu_moments_add(backend *b, moments *m, const float *embeddings, const int32_t *labels,
                    size_t rows, error *e);
int cpu_moments_get(backend *b, moments *m, double *sums, double *counts, double *gram, error *e);
void cpu_moments_free(backend *b, moments *m);

#endif
