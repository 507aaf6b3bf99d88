/* random.h: the random numbers of training, the same on every backend.
 *
 * Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011)
 * is a function of a key and a counter: any thread computes any number without state, so that the
 * reference, the CPU and the GPU drop the same activations and move the same pictures.
 *
 * Compiles as C and as CUDA. */
#ifndef KERNELS_RANDOM_H
#define KERNELS_RANDOM_H

#include <stdint.h>

#ifdef __CUDACC__
#define RANDOM_FUNCTION __host__ __device__ static inline
#else
#define RANDOM_FUNCTION static inline
#endif

typedef struct {
    uint32_t v[4];
} random_block;

RANDOM_FUNCTION random_block random_philox(uint64_t key, uint64_t low, uint64_t high)
{
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    uint32_t c0 = (uint32_t)low, c1 = (uint32_t)(low >> 32);
    uint32_t c2 = (uint32_t)high, c3 = (uint32_t)(high >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    random_block b = {{c0, c1, c2, c3}};
    return b;
}

/* What a number is for; the upper part of the counter, so that uses never share numbers. */
enum { RANDOM_DROPOUT = 1, RANDOM_AUGMENT = 2, RANDOM_INITIAL = 3, RANDOM_SHUFFLE = 4, RANDOM_KMEANS = 5,
       RANDOM_PROJECTION = 6 };

RANDOM_FUNCTION uint64_t random_stream(uint32_t use, uint32_t what, uint64_t step)
{
    return ((uint64_t)use << 60) ^ ((uint64_t)what << 40) ^ step;
}

/* Dropout. Element i (over rows x height x width x channels of the activation, row-major) of layer
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

/* Augmentation of one picture: mirrored left to right; moved by (dy, dx) in [-shift, shift], with
 * zeros coming in; a square of side `cutout` around (cy, cx) set to zero. In that order. */
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
        view.dx = (int)(((uint64_t)(b.v[0] & 0xFFFFFFFEu) * (uint64_t)(2 * shift + 1)) >> 32) - shift;
    }
    if (cutout) {
        view.cy = (int)(((uint64_t)b.v[2] * (uint64_t)height) >> 32);
        view.cx = (int)(((uint64_t)b.v[3] * (uint64_t)width) >> 32);
    }
    return view;
}

/* A float in [0, 1) from 32 random bits. */
RANDOM_FUNCTION float random_unit(uint32_t bits)
{
    return (float)(bits >> 8) * (1.0f / 16777216.0f);
}

#endif
