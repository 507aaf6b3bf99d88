/* formulas.h: what one thread computes of one element, in C and in CUDA, so that the formulas are
 * tested against kernels/reference on machines without a GPU. */
#ifndef KERNELS_CUDA_FORMULAS_H
#define KERNELS_CUDA_FORMULAS_H

#include "../random.h"

#include <math.h>

#define ELEMENT RANDOM_FUNCTION

/* Where element i of an array lies when its rows of `inner` are stored `padded` apart. */
ELEMENT uint32_t element_padded(uint32_t i, uint32_t inner, uint32_t padded)
{
    return inner == padded ? i : i / inner * padded + i % inner;
}

/* ---- pictures ---- */

/* Which pixel of the picture (y * width + x) is seen at (y, x): cut out, moved, mirrored, in the
 * reverse of the order in which they are done. -1 where nothing is. */
ELEMENT int element_pixel(int height, int width, random_view view, int cutout, int y, int x)
{
    int in_rows = y >= view.cy - cutout / 2 && y < view.cy - cutout / 2 + cutout;
    int in_columns = x >= view.cx - cutout / 2 && x < view.cx - cutout / 2 + cutout;
    if (cutout && in_rows && in_columns)
        return -1;
    y -= view.dy;
    x -= view.dx;
    if (y < 0 || y >= height || x < 0 || x >= width)
        return -1;
    return y * width + (view.flip ? width - 1 - x : x);
}

/* ---- dropout ---- */

/* Whether element `place` (0 to 7) of the block of eight is kept. */
ELEMENT int element_keeps(random_block b, int place, uint32_t threshold)
{
    /* Chosen by comparison: an index not known when compiling would put the block into local
     * memory. */
    uint32_t low = place & 2 ? b.v[1] : b.v[0], high = place & 2 ? b.v[3] : b.v[2];
    uint32_t word = place & 4 ? high : low;
    return (word >> (16 * (place & 1)) & 0xFFFFu) >= threshold;
}

ELEMENT random_block element_drop_block(uint64_t seed, uint32_t layer, uint64_t step,
                                        uint64_t eighth)
{
    return random_philox(seed, eighth, random_stream(RANDOM_DROPOUT, layer, step));
}

/* ---- the head ---- */

/* 1 / |x| of the squared norm; 0 for a vector that has no direction. */
ELEMENT float element_inverse_norm(float square)
{
    float norm = sqrtf(square);
    return norm < 1e-12f ? 0.0f : 1.0f / norm;
}

/* Label smoothing's target: (1 - a) onehot + a / classes. */
ELEMENT float element_target(int is_label, float a, float classes)
{
    return (is_label ? 1.0f - a : 0.0f) + a / classes;
}

/* Cross-entropy of a row, -sum t log p, from what is summed over its classes: all z relative to the
 * largest; sum of exp(z), z of the label, sum of z. */
ELEMENT float element_loss(float sum_exp, float z_label, float sum_z, float a, float classes)
{
    float loss = logf(sum_exp) - (1.0f - a) * z_label;
    return a > 0 ? loss - a * (sum_z / classes) : loss;
}

/* ---- batch normalisation ---- */

#define NORM_EPSILON 1e-5
#define NORM_MOMENTUM 0.9

/* The derivative by the input, from the group's sums of d and of d z over n elements. */
ELEMENT float element_norm_backward(float gamma, float inverse, float d, float z, float sum_d,
                                    float sum_dz, float n)
{
    return gamma * inverse * (d - sum_d / n - z * (sum_dz / n));
}

/* ---- the optimizer ---- */

/* rate * sqrt(1 - beta2^t) / (1 - beta1^t) */
ELEMENT float element_adam_rate(float rate, float beta1, float beta2, uint64_t t)
{
    return (float)((double)rate * sqrt(1 - pow((double)beta2, (double)t)) /
                   (1 - pow((double)beta1, (double)t)));
}

ELEMENT void element_adam(float *w, float *m, float *v, float g, float corrected, float beta1,
                          float beta2, float epsilon)
{
    *m = beta1 * *m + (1.0f - beta1) * g;
    *v = beta2 * *v + (1.0f - beta2) * g * g;
    *w -= corrected * *m / (sqrtf(*v) + epsilon);
}

ELEMENT void element_sgd(float *w, float *m, float g, float rate, float momentum, float decay)
{
    g += decay * *w;
    *m = momentum * *m + g;
    *w -= rate * (g + momentum * *m);
}

/* ---- rankings ---- */

/* Whether score a at place i stands before score b at place j. */
ELEMENT int element_before(float a, uint32_t i, float b, uint32_t j)
{
    return a > b || (a == b && i < j);
}

#endif
