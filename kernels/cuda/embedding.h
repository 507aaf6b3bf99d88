/* embedding.h: calls on embeddings: rows go to the device in pieces, so that its memory does not
 * grow with their number. Products are by cuBLAS in float. */
#ifndef KERNELS_CUDA_EMBEDDING_H
#define KERNELS_CUDA_EMBEDDING_H

#include "cuda.h"

/* Fills its functions in. */
void cuda_embedding(algebra *a);

#endif
