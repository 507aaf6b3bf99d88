/* first_conv_sums.h: the sums of one picture, compiled once for each width of registers: a file
 * that includes this defines LANES (lanes.h) and FIRST_CONV_SUMS, the name of the function. */
#ifndef KERNELS_CPU_FIRST_CONV_SUMS_H
#define KERNELS_CPU_FIRST_CONV_SUMS_H

#include "first_conv.h"
#include "lanes.h"

#define ROWS (LANES == 16 ? 3 : 1) /* of the filters, whose sums registers hold at once */
#define SUMS_MOST (3 * ROWS * FIRST_CONV_CHANNELS + 1)

/* Adds a picture's to the sums of LANES outputs from k on, for ROWS rows of the filters from `from`
 * on, and with the last of them the bias's: one number times LANES at a time. */
VECTOR_INLINE void rows_sums(const layer *l, size_t channels, size_t from, const float *picture,
                             const void *g, size_t row, bool bf16, size_t k, float *sums)
{
    size_t taps = 3 * ROWS * channels, line = first_conv_line(l), out = l->out.channels;
    size_t first = row * l->out.height * l->out.width * out + k;
    size_t count = taps + (from + ROWS == 3 ? 1 : 0);
    vec sum[SUMS_MOST];
    picture += from * line;
    sums += from * 3 * channels * out;
#pragma GCC unroll 28
    for (size_t t = 0; t < count; t++)
        sum[t] = vec_load(sums + t * out);
    for (size_t y = 0; y < l->out.height; y++) {
        for (size_t x = 0; x < l->out.width; x++) {
            const float *d = picture + y * line + x * channels;
            vec v = vec_get(g, first + (y * l->out.width + x) * out, bf16);
#pragma GCC unroll 27
            for (size_t t = 0; t < taps; t++)
                sum[t] =
                    vec_fma(v, vec_all(d[t / (3 * channels) * line + t % (3 * channels)]), sum[t]);
            if (count > taps)
                sum[taps] = vec_add(sum[taps], v);
        }
    }
#pragma GCC unroll 28
    for (size_t t = 0; t < count; t++)
        vec_store(sums + t * out, sum[t]);
}

VECTOR_INLINE void picture_sums(const layer *l, size_t channels, const float *picture,
                                const void *g, size_t row, bool bf16, size_t k, float *sums)
{
#pragma GCC unroll 3
    for (size_t from = 0; from < 3; from += ROWS)
        rows_sums(l, channels, from, picture, g, row, bf16, k, sums);
}

/* The loops are compiled for each number of channels. */
#define EACH_CHANNELS(sums_of, ...)                                                                \
    for (size_t k = 0; k < l->out.channels; k += LANES) {                                          \
        if (l->in.channels == 1)                                                                   \
            sums_of(l, 1, __VA_ARGS__, k, sums + k);                                               \
        else if (l->in.channels == 2)                                                              \
            sums_of(l, 2, __VA_ARGS__, k, sums + k);                                               \
        else                                                                                       \
            sums_of(l, 3, __VA_ARGS__, k, sums + k);                                               \
    }

VECTOR void FIRST_CONV_SUMS(const layer *l, const float *picture, const void *g, size_t row,
                            element type, float *sums)
{
    bool bf16 = type == ELEMENT_BF16;
    EACH_CHANNELS(picture_sums, picture, g, row, bf16)
}

#endif
