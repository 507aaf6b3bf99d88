/* embedding.h: products with embeddings, by oneDNN, and what is read off them. */
#ifndef KERNELS_CPU_EMBEDDING_H
#define KERNELS_CPU_EMBEDDING_H

#include "cpu.h"

/* Fills its functions in. */
void cpu_embedding(algebra *a);

#endif
