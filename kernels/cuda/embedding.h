/* embedding.h: calls on embeddings: rows go to the device in pieces, so that its memory does not
 * grow with their number. Products are by cuBLAS in float. */
#ifndef KERNELS_CUDA_EMBEDDING_H
#define KERNELS_CUDA_EMBEDDING_H

#include "cuda.h"

int cuda_scores(backend *b, const float *embeddings, size_t rows, size_t dimension,
                const float *weights, size_t classes, float *scores, error *e);
int cuda_top_k(backend *b, const float *scores, size_t rows, size_t classes, size_t k,
               uint32_t *index, float *value, error *e);
int cuda_normalise(backend *b, float *embeddings, size_t rows, size_t dimension, error *e);
int cuda_features(backend *b, const float *embeddings, size_t rows, size_t dimension,
                  const float *projection, size_t count, float *features, error *e);
int cuda_assign(backend *b, const float *embeddings, size_t rows, size_t dimension,
                const float *centres, size_t count, uint32_t *nearest, float *similarity, error *e);

/* On the device: scores[row][class] = embeddings . weights, all dense and row-major. */
int device_scores(struct cuda *g, const float *embeddings, size_t rows, size_t dimension,
                  const float *weights, size_t classes, float *scores, error *e);

#endif
