/* memory.h: the card's memory, and the libraries' handles, which are made when first wanted. */
#ifndef KERNELS_CUDA_MEMORY_H
#define KERNELS_CUDA_MEMORY_H

#include "cuda.h"

/* `what` and `advice` are for the error: "the network's activations", "take a smaller --batch". */
int device_take(size_t bytes, const char *what, const char *advice, void **out, error *e);
/* Grows *memory to that size; what was in it is lost. */
int device_grow(void **memory, size_t *have, size_t bytes, const char *what, const char *advice,
                error *e);
/* Room in the scratch memory, in the arrays of those bytes; places[i] gets each one's address. */
int scratch_take(struct cuda *g, size_t count, const size_t *bytes, void **places, error *e);
int dnn_wake(struct cuda *g, error *e);
int blas_wake(struct cuda *g, error *e);
int solver_wake(struct cuda *g, error *e);

#endif
