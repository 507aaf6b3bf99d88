/* embedding.h: products with embeddings, by oneDNN, and what is read off them. */
#ifndef KERNELS_CPU_EMBEDDING_H
#define KERNELS_CPU_EMBEDDING_H

#include "cpu.h"

int cpu_scores(backend *b, const float *embeddings, size_t rows, size_t dimension,
               const float *weights, size_t classes, float *scores, error *e);
int cpu_top_k(backend *b, const float *scores, size_t rows, size_t classes, size_t k,
              uint32_t *index, float *value, error *e);
int cpu_normalise(backend *b, float *embeddings, size_t rows, size_t dimension, error *e);
int cpu_features(backend *b, const float *embeddings, size_t rows, size_t dimension,
                 const float *projection, size_t count, float *features, error *e);
int cpu_assign(backend *b, const float *embeddings, size_t rows, size_t dimension,
               const float *centres, size_t count, uint32_t *nearest, float *similarity, error *e);

#endif
