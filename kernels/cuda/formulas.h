/* formulas.h: what one thread computes of one element, in C and in CUDA, so that the formulas are
 * tested against kernels/reference on machines without a GPU. */
#ifndef KERNELS_CUDA_FORMULAS_H
#define KERNELS_CUDA_FORMULAS_H

#include "../../common/model/network.h"
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

/* ---- activations: kernels/reference/elementwise.c has the formulas ---- */

ELEMENT float element_sigmoid(float x)
{
    return 1.0f / (1.0f + expf(-x));
}

ELEMENT float element_hard_sigmoid(float x)
{
    return fminf(fmaxf(x * (1.0f / 6) + 0.5f, 0.0f), 1.0f);
}

/* The probability that a standard normal number is below x, and its density. */
ELEMENT float element_normal_below(float x)
{
    return 0.5f * erfcf(-x * 0.70710678f);
}

ELEMENT float element_normal_density(float x)
{
    return 0.39894228f * expf(-0.5f * x * x);
}

#define GELU_CUBIC 0.044715f
#define GELU_ROOT 0.79788456f /* sqrt(2 / pi) */

ELEMENT float element_gelu_tanh(float x)
{
    return tanhf(GELU_ROOT * (x + GELU_CUBIC * x * x * x));
}

/* The activation `kind`, with the layer's rate and high. */
ELEMENT float element_activate(activation_kind kind, float rate, float high, float x)
{
    switch (kind) {
    case ACTIVATION_CLIP:
        return fminf(fmaxf(x, rate), high);
    case ACTIVATION_LEAKYRELU:
        return x > 0 ? x : rate * x;
    case ACTIVATION_SIGMOID:
        return element_sigmoid(x);
    case ACTIVATION_SILU:
        return x * element_sigmoid(x);
    case ACTIVATION_HARDSIGMOID:
        return element_hard_sigmoid(x);
    case ACTIVATION_HARDSWISH:
        return x * element_hard_sigmoid(x);
    case ACTIVATION_GELU:
        return x * element_normal_below(x);
    case ACTIVATION_TANHGELU:
        return 0.5f * x * (1.0f + element_gelu_tanh(x));
    case ACTIVATION_RELU:
        break;
    }
    return x > 0 ? x : 0;
}

ELEMENT float element_tanhgelu_slope(float x)
{
    float t = element_gelu_tanh(x), inner = GELU_ROOT * (1.0f + 3.0f * GELU_CUBIC * x * x);
    return 0.5f * (1.0f + t) + 0.5f * x * (1.0f - t * t) * inner;
}

/* Its derivative. */
ELEMENT float element_slope(activation_kind kind, float rate, float high, float x)
{
    float inside = fabsf(x) < 3 ? 1.0f / 6 : 0, s = 0;
    switch (kind) {
    case ACTIVATION_CLIP:
        return x > rate && x < high ? 1.0f : 0.0f;
    case ACTIVATION_LEAKYRELU:
        return x > 0 ? 1.0f : rate;
    case ACTIVATION_SIGMOID:
        s = element_sigmoid(x);
        return s * (1.0f - s);
    case ACTIVATION_SILU:
        s = element_sigmoid(x);
        return s * (1.0f + x * (1.0f - s));
    case ACTIVATION_HARDSIGMOID:
        return inside;
    case ACTIVATION_HARDSWISH:
        return element_hard_sigmoid(x) + x * inside;
    case ACTIVATION_GELU:
        return element_normal_below(x) + x * element_normal_density(x);
    case ACTIVATION_TANHGELU:
        return element_tanhgelu_slope(x);
    case ACTIVATION_RELU:
        break;
    }
    return x > 0 ? 1.0f : 0.0f;
}

/* ---- windows of pools ---- */

/* The part of a window, along one side, that lies on the input: [first, last); and how many of its
 * elements lie on the input and its padding. */
typedef struct {
    int first, last, padded;
} element_span;

ELEMENT element_span element_window(int at, int stride, int window, int before, int size, int after)
{
    int from = at * stride - before, to = from + window, end = size + after;
    element_span s;
    s.first = from < 0 ? 0 : from;
    s.last = to < size ? to : size;
    s.padded = (to < end ? to : end) - from;
    return s;
}

/* The windows [first, last), of `windows`, in which place `at` of the input lies. */
ELEMENT element_span element_windows_of(int at, int stride, int window, int before, int windows)
{
    int low = at + before - window + 1, high = (at + before) / stride + 1;
    element_span s;
    s.first = low > 0 ? (low + stride - 1) / stride : 0;
    s.last = high < windows ? high : windows;
    s.padded = 0;
    return s;
}

/* ---- places and channels that move ---- */

/* Where in one picture of the input element i of the output of take, channels or shuffle comes
 * from; `in` and `out` are channels, a is the first place or channel, or shuffle's groups. */
ELEMENT size_t element_source(int kind, size_t in, size_t out, size_t a, size_t i)
{
    size_t place = i / out, channel = i % out;
    if (kind == LAYER_TAKE)
        return (a + place) * in + channel;
    if (kind == LAYER_CHANNELS)
        return place * in + a + channel;
    return place * in + channel % a * (in / a) + channel / a;
}

/* Where in the output, of `places` and `out` channels, element i of the input goes; SIZE_MAX:
 * nowhere. */
ELEMENT size_t element_target_of(int kind, size_t in, size_t places, size_t out, size_t a, size_t i)
{
    size_t place = i / in, channel = i % in;
    if (kind == LAYER_TAKE)
        return place >= a && place - a < places ? (place - a) * out + channel : SIZE_MAX;
    if (kind == LAYER_CHANNELS)
        return channel >= a && channel - a < out ? place * out + channel - a : SIZE_MAX;
    size_t each = in / a;
    return place * out + channel % each * a + channel / each;
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
