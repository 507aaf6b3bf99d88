#include "elementwise.h"

#include "../random.h"
#include "function.h"

/* Each function: its loop over a part, once a type, and the call that shares the parts out. */

#define GRAIN 64
/* Each thread makes the call with its own part of `count` elements, first to last. */
#define IN_PARTS(count, call)                                                                      \
    _Pragma("omp parallel")                                                                        \
    {                                                                                              \
        size_t first, last;                                                                        \
        thread_part(count, GRAIN, &first, &last);                                                  \
        call;                                                                                      \
    }

ALWAYS_INLINE void relu_forward_part(const void *x, void *y, size_t first, size_t last, bool bf16)
{
    for (size_t i = first; i < last; i++) {
        float v = element_get(x, i, bf16);
        element_put(y, i, v > 0 ? v : 0, bf16);
    }
}

ALWAYS_INLINE void relu_backward_part(void *gradient, const void *y, size_t first, size_t last,
                                      float factor, bool bf16)
{
    for (size_t i = first; i < last; i++) {
        float g = element_get(gradient, i, bf16) * factor;
        element_put(gradient, i, element_get(y, i, bf16) > 0 ? g : 0, bf16);
    }
}

/* Where the factor is 1 nothing is computed, only chosen. */
CLONES static void relu_backward_choose(uint16_t *gradient, const int16_t *y, size_t first,
                                        size_t last)
{
    for (size_t i = first; i < last; i++)
        gradient[i] = y[i] > 0 ? gradient[i] : 0;
}

ALWAYS_INLINE void scale_part(const void *x, void *y, size_t first, size_t last, float factor,
                              bool bf16)
{
    for (size_t i = first; i < last; i++)
        element_put(y, i, element_get(x, i, bf16) * factor, bf16);
}

ALWAYS_INLINE void add_part(const void *a, const void *b, void *sum, size_t first, size_t last,
                            bool bf16)
{
    for (size_t i = first; i < last; i++)
        element_put(sum, i, element_get(a, i, bf16) + element_get(b, i, bf16), bf16);
}

#define BOTH_TYPES(name, arguments, call_float, call_bf16)                                         \
    CLONES static void name##_float arguments                                                      \
    {                                                                                              \
        call_float;                                                                                \
    }                                                                                              \
    CLONES static void name##_bf16 arguments                                                       \
    {                                                                                              \
        call_bf16;                                                                                 \
    }

BOTH_TYPES(relu_forward, (const void *x, void *y, size_t first, size_t last),
           relu_forward_part(x, y, first, last, false), relu_forward_part(x, y, first, last, true))
BOTH_TYPES(relu_backward, (void *g, const void *y, size_t first, size_t last, float factor),
           relu_backward_part(g, y, first, last, factor, false),
           relu_backward_part(g, y, first, last, factor, true))
BOTH_TYPES(scale, (const void *x, void *y, size_t first, size_t last, float factor),
           scale_part(x, y, first, last, factor, false),
           scale_part(x, y, first, last, factor, true))
BOTH_TYPES(add, (const void *a, const void *b, void *sum, size_t first, size_t last),
           add_part(a, b, sum, first, last, false), add_part(a, b, sum, first, last, true))

CLONES static void to_bf16(const float *from, uint16_t *to, size_t first, size_t last)
{
    for (size_t i = first; i < last; i++)
        to[i] = bf16_from_float(from[i]);
}

CLONES static void to_float(const uint16_t *from, float *to, size_t first, size_t last)
{
    for (size_t i = first; i < last; i++)
        to[i] = bf16_to_float(from[i]);
}

void elements_convert(const void *from, element from_type, void *to, element to_type, size_t count)
{
#pragma omp parallel
    {
        size_t first, last;
        thread_part(count, GRAIN, &first, &last);
        if (from_type == to_type)
            memmove(element_at(to, first, to_type), element_at(from, first, to_type),
                    (last - first) * element_size(to_type));
        else if (to_type == ELEMENT_BF16)
            to_bf16(from, to, first, last);
        else
            to_float(from, to, first, last);
    }
}

void elements_relu(const void *x, void *y, element type, size_t count)
{
    IN_PARTS(count,
             (type == ELEMENT_BF16 ? relu_forward_bf16 : relu_forward_float)(x, y, first, last))
}

void elements_relu_backward(void *gradient, const void *y, element type, size_t count, float factor)
{
    if (type == ELEMENT_BF16 && factor == 1)
        IN_PARTS(count, relu_backward_choose(gradient, y, first, last))
    else if (type == ELEMENT_BF16)
        IN_PARTS(count, relu_backward_bf16(gradient, y, first, last, factor))
    else
        IN_PARTS(count, relu_backward_float(gradient, y, first, last, factor))
}

void elements_scale(const void *x, void *y, element type, size_t count, float factor)
{
    IN_PARTS(count, (type == ELEMENT_BF16 ? scale_bf16 : scale_float)(x, y, first, last, factor))
}

void elements_add(const void *a, const void *b, void *sum, element type, size_t count){
    IN_PARTS(count, (type == ELEMENT_BF16 ? add_bf16 : add_float)(a, b, sum, first, last))}

/* ---- activations ---- */

/* Elements at once, as float. */
#define PIECE 256

ALWAYS_INLINE float sigmoid(float x)
{
    return 1 / (1 + exp_float(-x));
}

ALWAYS_INLINE float clamp(float x, float low, float high)
{
    x = x > low ? x : low;
    return x < high ? x : high;
}

ALWAYS_INLINE float hard_sigmoid(float x)
{
    return clamp(x * (1.0f / 6) + 0.5f, 0, 1);
}

/* reference/elementwise.c has the formulas. */
static const float cubic = 0.044715f, root = 0.7978845608f; /* sqrt(2 / pi) */

ALWAYS_INLINE float inner_tanh(float x)
{
    return 1 - 2 / (1 + exp_float(2 * root * (x + cubic * x * x * x)));
}

#define EACH(expression)                                                                           \
    for (size_t i = 0; i < count; i++) {                                                           \
        float v = x[i];                                                                            \
        x[i] = (expression);                                                                       \
    }                                                                                              \
    break

CLONES static void activate(const layer *l, float *x, size_t count)
{
    const float rate = l->rate, high = l->high;
    switch (l->activation) {
    case ACTIVATION_CLIP:
        EACH(clamp(v, rate, high));
    case ACTIVATION_LEAKYRELU:
        EACH(v > 0 ? v : rate * v);
    case ACTIVATION_SIGMOID:
        EACH(sigmoid(v));
    case ACTIVATION_SILU:
        EACH(v * sigmoid(v));
    case ACTIVATION_HARDSIGMOID:
        EACH(hard_sigmoid(v));
    case ACTIVATION_HARDSWISH:
        EACH(v * hard_sigmoid(v));
    case ACTIVATION_GELU:
        EACH(v * normal_below(v));
    case ACTIVATION_TANHGELU:
        EACH(0.5f * v * (1 + inner_tanh(v)));
    case ACTIVATION_RELU:
        EACH(v > 0 ? v : 0);
    }
}

ALWAYS_INLINE float silu_slope(float v)
{
    float s = sigmoid(v);
    return s * (1 + v * (1 - s));
}

ALWAYS_INLINE float sigmoid_slope(float v)
{
    float s = sigmoid(v);
    return s * (1 - s);
}

ALWAYS_INLINE float tanhgelu_slope(float v)
{
    float t = inner_tanh(v);
    return 0.5f * (1 + t) + 0.5f * v * (1 - t * t) * root * (1 + 3 * cubic * v * v);
}

CLONES static void slope(const layer *l, float *x, size_t count)
{
    const float rate = l->rate, high = l->high;
    switch (l->activation) {
    case ACTIVATION_CLIP:
        EACH(v > rate && v < high ? 1.0f : 0.0f);
    case ACTIVATION_LEAKYRELU:
        EACH(v > 0 ? 1.0f : rate);
    case ACTIVATION_SIGMOID:
        EACH(sigmoid_slope(v));
    case ACTIVATION_SILU:
        EACH(silu_slope(v));
    case ACTIVATION_HARDSIGMOID:
        EACH(v > -3 && v < 3 ? 1.0f / 6 : 0.0f);
    case ACTIVATION_HARDSWISH:
        EACH(hard_sigmoid(v) + (v > -3 && v < 3 ? v * (1.0f / 6) : 0.0f));
    case ACTIVATION_GELU:
        EACH(normal_below(v) + v * normal_density(v));
    case ACTIVATION_TANHGELU:
        EACH(tanhgelu_slope(v));
    case ACTIVATION_RELU:
        EACH(v > 0 ? 1.0f : 0.0f);
    }
}

/* Elements as float, and back. */
static void floats_get(const void *x, element type, float *out, size_t count)
{
    if (type == ELEMENT_BF16)
        to_float(x, out, 0, count);
    else
        memcpy(out, x, count * sizeof *out);
}

static void floats_put(const float *from, void *y, element type, size_t count)
{
    if (type == ELEMENT_BF16)
        to_bf16(from, y, 0, count);
    else
        memcpy(y, from, count * sizeof *from);
}

static void activation_part(const layer *l, const void *x, void *y, element type, size_t first,
                            size_t last)
{
    float values[PIECE];
    for (size_t i = first; i < last; i += PIECE) {
        size_t count = last - i < PIECE ? last - i : PIECE;
        floats_get(element_at(x, i, type), type, values, count);
        activate(l, values, count);
        floats_put(values, element_at(y, i, type), type, count);
    }
}

static void activation_backward_part(const layer *l, const void *x, void *gradient, element type,
                                     size_t first, size_t last)
{
    float slopes[PIECE], values[PIECE];
    for (size_t i = first; i < last; i += PIECE) {
        size_t count = last - i < PIECE ? last - i : PIECE;
        floats_get(element_at(x, i, type), type, slopes, count);
        floats_get(element_at(gradient, i, type), type, values, count);
        slope(l, slopes, count);
        for (size_t k = 0; k < count; k++)
            values[k] *= slopes[k];
        floats_put(values, element_at(gradient, i, type), type, count);
    }
}

void elements_activation(const layer *l, const void *x, void *y, element type, size_t count)
{
    IN_PARTS(count, activation_part(l, x, y, type, first, last))
}

void elements_activation_backward(const layer *l, const void *x, void *gradient, element type,
                                  size_t count)
{
    IN_PARTS(count, activation_backward_part(l, x, gradient, type, first, last))
}

/* ---- sums over rows ---- */

enum {
    STRIPE = 64,  /* elements of a row that one thread sums */
    SUMMED = 256, /* rows summed in float, before they go into a double */
};

ALWAYS_INLINE void sum_stripe(const void *x, size_t rows, size_t from, size_t count, size_t all,
                              float *out, bool bf16)
{
    double sums[STRIPE] = {0};
    for (size_t first = 0; first < rows; first += SUMMED) {
        size_t end = first + SUMMED < rows ? first + SUMMED : rows;
        float part[STRIPE] = {0};
        for (size_t row = first; row < end; row++)
            for (size_t i = 0; i < count; i++)
                part[i] += element_get(x, row * all + from + i, bf16);
        for (size_t i = 0; i < count; i++)
            sums[i] += part[i];
    }
    for (size_t i = 0; i < count; i++)
        out[i] = (float)sums[i];
}

CLONES static void sum_stripe_type(const void *x, size_t rows, size_t from, size_t count,
                                   size_t all, float *out, element type)
{
    OF_TYPE(sum_stripe, x, rows, from, count, all, out);
}

void elements_sum_rows(const void *x, element type, size_t rows, size_t count, size_t all,
                       float *sums)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < count; i += STRIPE)
        sum_stripe_type(x, rows, i, count - i < STRIPE ? count - i : STRIPE, all, sums + i, type);
}

/* ---- dropout ---- */

#define PHILOX_LANES 64

/* random_philox for 64 counters at once: 512 numbers of 16 bits, in order. */
CLONES static void philox_lanes(uint64_t key, uint64_t first, uint64_t high, uint16_t *restrict out)
{
    uint32_t c0[PHILOX_LANES], c1[PHILOX_LANES], c2[PHILOX_LANES], c3[PHILOX_LANES];
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
#pragma GCC unroll 1
    for (int i = 0; i < PHILOX_LANES; i++) {
        c0[i] = (uint32_t)(first + (uint64_t)i);
        c1[i] = (uint32_t)((first + (uint64_t)i) >> 32);
        c2[i] = (uint32_t)high;
        c3[i] = (uint32_t)(high >> 32);
    }
#pragma GCC unroll 1
    for (int round = 0; round < 10; round++) {
#pragma GCC unroll 1
        for (int i = 0; i < PHILOX_LANES; i++) {
            uint64_t p0 = (uint64_t)0xD2511F53u * c0[i], p1 = (uint64_t)0xCD9E8D57u * c2[i];
            c0[i] = (uint32_t)(p1 >> 32) ^ c1[i] ^ k0;
            c2[i] = (uint32_t)(p0 >> 32) ^ c3[i] ^ k1;
            c1[i] = (uint32_t)p1;
            c3[i] = (uint32_t)p0;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
#pragma GCC unroll 1
    for (int i = 0; i < PHILOX_LANES; i++) {
        out[8 * i + 0] = (uint16_t)c0[i];
        out[8 * i + 1] = (uint16_t)(c0[i] >> 16);
        out[8 * i + 2] = (uint16_t)c1[i];
        out[8 * i + 3] = (uint16_t)(c1[i] >> 16);
        out[8 * i + 4] = (uint16_t)c2[i];
        out[8 * i + 5] = (uint16_t)(c2[i] >> 16);
        out[8 * i + 6] = (uint16_t)c3[i];
        out[8 * i + 7] = (uint16_t)(c3[i] >> 16);
    }
}

const uint16_t *dropout_numbers(const dropout *d, uint64_t first, size_t count, uint16_t *numbers)
{
    uint64_t block = first / 8, high = random_stream(RANDOM_DROPOUT, d->layer, d->step);
    size_t skip = (size_t)(first % 8);
    for (size_t done = 0; done < skip + count; done += 8 * PHILOX_LANES, block += PHILOX_LANES)
        philox_lanes(d->seed, block, high, numbers + done);
    return numbers + skip;
}

ALWAYS_INLINE void dropout_part(const uint16_t *numbers, uint16_t threshold, float factor,
                                const void *x, void *y, size_t count, bool bf16)
{
    for (size_t i = 0; i < count; i++) {
        float v = element_get(x, i, bf16) * factor;
        element_put(y, i, numbers[i] >= threshold ? v : 0, bf16);
    }
}

CLONES static void dropout_type(const uint16_t *numbers, uint16_t threshold, float factor,
                                const void *x, void *y, size_t count, element type)
{
    OF_TYPE(dropout_part, numbers, threshold, factor, x, y, count);
}

void dropout_apply(const dropout *d, const void *x, void *y, element type, size_t count)
{
#pragma omp parallel
    {
        uint16_t room[DROPOUT_ROOM(DROPOUT_PIECE)];
        size_t first, last;
        thread_part(count, DROPOUT_PIECE / 8, &first, &last);
        for (size_t i = first; i < last; i += DROPOUT_PIECE) {
            size_t n = last - i < DROPOUT_PIECE ? last - i : DROPOUT_PIECE;
            const uint16_t *numbers = dropout_numbers(d, i, n, room);
            dropout_type(numbers, (uint16_t)d->threshold, d->factor, element_at(x, i, type),
                         element_at(y, i, type), n, type);
        }
    }
}
