/* input.h: pictures on their way in. */
#ifndef KERNELS_CPU_INPUT_H
#define KERNELS_CPU_INPUT_H

#include "../backend.h"
#include "loops.h"

/* How pictures are changed; see random_augment. */
typedef struct {
    augmentation kind;
    uint64_t seed, step, row; /* row: the number of the first row */
} picture_change;

/* By line of a picture, width x channels: pixel / 255 (both NULL), or pixel factor + offset. */
typedef struct {
    const float *factor, *offset;
} picture_scale;
/* Those of a layer `normalize`. */
void input_scale(const layer *normalize, extent shape, float *factor, float *offset);

/* out[i] = images[order[i]], scaled, and changed if `change` is not NULL; order NULL is 0, 1, ...
 * Scratch, for changes only: width x channels bytes a thread. */
void input_load(const uint8_t *images, const uint32_t *order, size_t rows, extent shape,
                picture_scale scale, const picture_change *change, uint8_t *scratch, void *out,
                element type);

#endif
