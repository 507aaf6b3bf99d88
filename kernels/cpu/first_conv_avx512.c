#include "first_conv.h"

#if defined(__x86_64__)

#define LANES 16
#define FIRST_CONV_SUMS first_conv_sums_avx512
#include "first_conv_sums.h"

#define AVX512_BF16 __attribute__((target(AVX512_WORDS ",avx512bf16")))

/* As rows_sums with two pixels at a time, by the processor's own products of bf16. */
AVX512_BF16 ALWAYS_INLINE void picture_sums_pairs(const layer *l, size_t channels,
                                                  const uint32_t *picture, const uint16_t *g,
                                                  size_t row, size_t k, float *sums)
{
    size_t taps = 9 * channels, line = first_conv_line(l), out = l->out.channels,
           width = l->out.width;
    const __m512i ones = _mm512_set1_epi32(0x3F803F80);
    __m512 sum[SUMS_MOST];
    g += row * l->out.height * width * out + k;
#pragma GCC unroll 28
    for (size_t t = 0; t <= taps; t++)
        sum[t] = _mm512_loadu_ps(sums + t * out);
    for (size_t y = 0; y < l->out.height; y++) {
        for (size_t x = 0; x < width; x += 2) {
            const uint32_t *d = picture + y * line + x * channels;
            const uint16_t *from = g + (y * width + x) * out;
            __m512i v = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)from));
            if (x + 1 < width)
                v = _mm512_or_si512(v, _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(
                                                             (const __m256i *)(from + out))),
                                                         16));
#pragma GCC unroll 27
            for (size_t t = 0; t < taps; t++) {
                uint32_t pair = d[t / (3 * channels) * line + t % (3 * channels)];
                sum[t] =
                    _mm512_dpbf16_ps(sum[t], (__m512bh)v, (__m512bh)_mm512_set1_epi32((int)pair));
            }
            sum[taps] = _mm512_dpbf16_ps(sum[taps], (__m512bh)v, (__m512bh)ones);
        }
    }
#pragma GCC unroll 28
    for (size_t t = 0; t <= taps; t++)
        _mm512_storeu_ps(sums + t * out, sum[t]);
}

AVX512_BF16 void first_conv_sums_pairs(const layer *l, const uint32_t *picture, const uint16_t *g,
                                       size_t row, float *sums)
{
    EACH_CHANNELS(picture_sums_pairs, picture, g, row)
}

#endif
