/* random.h: the random numbers of training: dropout and augmentation, the same on every backend.
 *
 * They are functions of a seed and a place (common/base/random.h), so that the reference, the CPU
 * and the GPU drop the same activations and move the same pictures.
 *
 * Compiles as C and as CUDA. */
#ifndef KERNELS_RANDOM_H
#define KERNELS_RANDOM_H

#include "../common/base/random.h"

/* A step is the number of optimizer steps done before it: 0 for a new program's first.
 *
 * Dropout. Element i (over rows x height x width x channels of the activation, row-major) of layer
 * `layer` at step `step` is dropped if its 16-bit number is below random_dropout_threshold(rate).
 * One block serves eight elements: element i uses block i / 8, word (i % 8) / 2, low half first. */
RANDOM_FUNCTION uint32_t random_dropout_threshold(float rate)
{
    return (uint32_t)(rate * 65536.0f + 0.5f);
}

RANDOM_FUNCTION int random_dropout_keeps(uint64_t seed, uint32_t layer, uint64_t step, uint64_t i,
                                         uint32_t threshold)
{
    random_block b = random_philox(seed, i / 8, random_stream(RANDOM_DROPOUT, layer, step));
    uint32_t half = b.v[(i % 8) / 2] >> (16 * (i % 2)) & 0xFFFFu;
    return half >= threshold;
}

/* Augmentation of one picture, in this order: mirrored left to right; moved, out[y][x] = in[y - dy]
 * [x - dx] with dy, dx in [-shift, shift] and zeros from outside; rows cy - cutout / 2 + [0,
 * cutout) and columns cx - cutout / 2 + [0, cutout) set to zero (whole division). */
typedef struct {
    int flip, dy, dx, cy, cx;
} random_view;

/* In training `row` is the row's place in its batch and `step` the step. In embedding `row` is the
 * row's number in the stream and `step` the view. */
RANDOM_FUNCTION random_view random_augment(uint64_t seed, uint64_t step, uint64_t row, int flip,
                                           int shift, int cutout, int height, int width)
{
    random_view view = {0, 0, 0, 0, 0};
    random_block b = random_philox(seed, row, random_stream(RANDOM_AUGMENT, 0, step));
    if (flip)
        view.flip = (int)(b.v[0] & 1u);
    if (shift) {
        view.dy = (int)(((uint64_t)b.v[1] * (uint64_t)(2 * shift + 1)) >> 32) - shift;
        view.dx =
            (int)(((uint64_t)(b.v[0] & 0xFFFFFFFEu) * (uint64_t)(2 * shift + 1)) >> 32) - shift;
    }
    if (cutout) {
        view.cy = (int)(((uint64_t)b.v[2] * (uint64_t)height) >> 32);
        view.cx = (int)(((uint64_t)b.v[3] * (uint64_t)width) >> 32);
    }
    return view;
}

#endif
