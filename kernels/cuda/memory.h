/* memory.h: the card's memory, and the libraries' handles, which are made when first wanted. */
#ifndef KERNELS_CUDA_MEMORY_H
#define KERNELS_CUDA_MEMORY_H

#include "cuda.h"

/* `what` and `advice` are for the error: "the network's activations", "take a smaller --batch". */
int device_take(size_t bytes, const char *what, const char *advice, void **out, error *e);
/* Grows *memory to that size; what was in it is lost. */
int device_grow(void **memory, size_t *have, size_t bytes, const char *what, const char *advice,
                error *e);
/* The bytes of so many arrays side by side; unless `memory` is NULL, places[i] gets the address of
 * each one in it (NULL: of no bytes). */
size_t memory_split(void *memory, size_t count, const size_t *bytes, void **places);
/* The same in the scratch memory, which has room for them. */
int scratch_take(struct cuda *g, size_t count, const size_t *bytes, void **places, error *e);
int dnn_wake(struct cuda *g, error *e);
int blas_wake(struct cuda *g, error *e);
int products_wake(struct cuda *g, error *e);
int solver_wake(struct cuda *g, error *e);

/* Enqueued on the first stream, in the order of the calls; and waiting for it. */
int copy_in(struct cuda *g, void *to, const void *from, size_t bytes, error *e);
int copy_out(struct cuda *g, void *to, const void *from, size_t bytes, error *e);
int device_wait(struct cuda *g, error *e);

#endif
