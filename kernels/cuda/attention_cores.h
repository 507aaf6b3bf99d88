/* attention_cores.h: attention forward by tensor cores (attention_cores.cu). Plain C. */
#ifndef KERNELS_CUDA_ATTENTION_CORES_H
#define KERNELS_CUDA_ATTENTION_CORES_H

#include "kernels.h"

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ATTENTION_PLACES 64 /* of a block */

typedef struct {
    int rows, places, heads, channels; /* channels: of the output, all heads together */
    float scale;                       /* of the products */
} attention_task;

/* Whether the kernel does it: bfloat16, and channels a head that it is made for. */
static inline bool attention_by_cores(element type, const layer *l)
{
    size_t depth = l->out.channels / l->heads;
    return type == ELEMENT_BF16 && depth % 16 == 0 && depth <= 64;
}

/* in [row][place][queries, keys, values], each of all heads one after the other; out
 * [row][place][channels]. */
int kernel_attention(const attention_task *t, const void *in, void *out, kernel_stream stream);

#ifdef __cplusplus
}
#endif

#endif
