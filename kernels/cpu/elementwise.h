/* elementwise.h: what each element undergoes alone, and sums over rows. */
#ifndef KERNELS_CPU_ELEMENTWISE_H
#define KERNELS_CPU_ELEMENTWISE_H

#include "../../common/model/network.h"
#include "loops.h"

void elements_convert(const void *from, element from_type, void *to, element to_type, size_t count);
void elements_relu(const void *x, void *y, element type, size_t count);
/* gradient = y > 0 ? gradient * factor : 0, in place. */
void elements_relu_backward(void *gradient, const void *y, element type, size_t count,
                            float factor);
/* Any activation of network.h, and, in place, the gradient of what it was computed from. */
void elements_activation(const layer *l, const void *x, void *y, element type, size_t count);
void elements_activation_backward(const layer *l, const void *x, void *gradient, element type,
                                  size_t count);
void elements_scale(const void *x, void *y, element type, size_t count, float factor);
void elements_add(const void *a, const void *b, void *sum, element type, size_t count);
/* sums[i] = the sum of x[row][i] over the rows, for the first `count` of `all` elements a row. */
void elements_sum_rows(const void *x, element type, size_t rows, size_t count, size_t all,
                       float *sums);

typedef struct {
    uint32_t threshold; /* of random.h's 16-bit numbers: those below are dropped */
    uint32_t layer;
    float factor; /* of what is kept */
    uint64_t seed, step;
} dropout;

/* The 16-bit numbers (random.h) of elements first .. first + count; `numbers` has room for
 * DROPOUT_ROOM(count), and theirs begin at the pointer returned. */
#define DROPOUT_PIECE 4096
#define DROPOUT_ROOM(count) ((count) + 8 + 8 * 64)
const uint16_t *dropout_numbers(const dropout *d, uint64_t first, size_t count, uint16_t *numbers);

/* y = kept ? x * factor : 0; forward and backward are the same. */
void dropout_apply(const dropout *d, const void *x, void *y, element type, size_t count);

#endif
