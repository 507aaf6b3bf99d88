#include "first_conv.h"

#if defined(__x86_64__)

#include "avx512.h"

#define MOST 3 /* input channels */
#define TAPS_MOST (9 * MOST)

#define AVX512_BF16 __attribute__((target(AVX512_WORDS ",avx512bf16")))

bool first_conv_fits(const layer *l)
{
    return l->kind == LAYER_CONV && conv_is_plain(l) && l->kernel_height == 3 &&
           l->kernel_width == 3 && l->in.channels <= MOST && l->out.channels % LANES == 0 &&
           avx512_here();
}

/* ---- memory ---- */

/* Numbers of a picture's line with the zeros around it, and one pixel more for the pairs. */
static size_t line_size(const layer *l)
{
    return (l->in.width + 2 * l->pad.left + 2) * l->in.channels;
}

static size_t picture_size(const layer *l)
{
    size_t count = (l->in.height + 2 * l->pad.top) * line_size(l);
    return (count + LANES - 1) / LANES * LANES;
}

/* A thread's sums: [tap][out], the last of the taps being the bias. */
static size_t sums_size(const layer *l)
{
    return (9 * l->in.channels + 1) * l->out.channels;
}

size_t first_conv_scratch_count(const layer *l, int threads)
{
    return (size_t)threads * (picture_size(l) + sums_size(l));
}

static float *thread_picture(const layer *l, float *scratch, size_t thread)
{
    return scratch + thread * (picture_size(l) + sums_size(l));
}

static float *thread_sums(const layer *l, float *scratch, size_t thread)
{
    return thread_picture(l, scratch, thread) + picture_size(l);
}

/* ---- pictures ---- */

static void picture_pad(const layer *l, const void *x, size_t row, element type, float *out)
{
    size_t width = l->in.width * l->in.channels, line = line_size(l);
    out += l->pad.top * line + l->pad.left * l->in.channels;
    for (size_t y = 0; y < l->in.height; y++) {
        size_t first = (row * l->in.height + y) * width;
        for (size_t i = 0; i < width; i++)
            out[y * line + i] = element_get(x, first + i, type == ELEMENT_BF16);
    }
}

/* Each number with the one a pixel further on: two bf16, the former in the lower half. */
static void picture_pad_pairs(const layer *l, const uint16_t *x, size_t row, uint32_t *out)
{
    size_t channels = l->in.channels, width = l->in.width * channels, line = line_size(l);
    out += l->pad.top * line + l->pad.left * channels;
    for (size_t y = 0; y < l->in.height; y++, out += line) {
        const uint16_t *from = x + (row * l->in.height + y) * width;
        for (size_t i = 0; l->pad.left > 0 && i < channels; i++)
            out[i - channels] = (uint32_t)from[i] << 16;
        for (size_t i = 0; i < width; i++)
            out[i] = from[i] | (i + channels < width ? (uint32_t)from[i + channels] << 16 : 0);
    }
}

/* ---- sums ---- */

/* Adds a picture's to the sums of LANES outputs from k on: one number times LANES at a time. */
AVX512_INLINE void picture_sums(const layer *l, size_t channels, const float *picture,
                                const void *g, size_t row, bool bf16, size_t k, float *sums)
{
    size_t taps = 9 * channels, line = line_size(l), out = l->out.channels;
    size_t first = row * l->out.height * l->out.width * out + k;
    __m512 sum[TAPS_MOST + 1];
#pragma GCC unroll 28
    for (size_t t = 0; t <= taps; t++)
        sum[t] = _mm512_loadu_ps(sums + t * out);
    for (size_t y = 0; y < l->out.height; y++) {
        for (size_t x = 0; x < l->out.width; x++) {
            const float *d = picture + y * line + x * channels;
            size_t at = first + (y * l->out.width + x) * out;
            __m512 v = lanes_get(g, at, bf16);
#pragma GCC unroll 27
            for (size_t t = 0; t < taps; t++)
                sum[t] = _mm512_fmadd_ps(
                    v, _mm512_set1_ps(d[t / (3 * channels) * line + t % (3 * channels)]), sum[t]);
            sum[taps] = _mm512_add_ps(sum[taps], v);
        }
    }
#pragma GCC unroll 28
    for (size_t t = 0; t <= taps; t++)
        _mm512_storeu_ps(sums + t * out, sum[t]);
}

/* As picture_sums with two pixels at a time, by the processor's own products of bf16. */
AVX512_BF16 ALWAYS_INLINE void picture_sums_pairs(const layer *l, size_t channels,
                                                  const uint32_t *picture, const uint16_t *g,
                                                  size_t row, size_t k, float *sums)
{
    size_t taps = 9 * channels, line = line_size(l), out = l->out.channels, width = l->out.width;
    const __m512i ones = _mm512_set1_epi32(0x3F803F80);
    __m512 sum[TAPS_MOST + 1];
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

AVX512 static void picture_add(const layer *l, const float *picture, const void *g, size_t row,
                               element type, float *sums)
{
    bool bf16 = type == ELEMENT_BF16;
    EACH_CHANNELS(picture_sums, picture, g, row, bf16)
}

AVX512_BF16 static void picture_add_pairs(const layer *l, const uint32_t *picture,
                                          const uint16_t *g, size_t row, float *sums)
{
    EACH_CHANNELS(picture_sums_pairs, picture, g, row)
}

static float sum_of_threads(const layer *l, float *scratch, size_t threads, size_t tap, size_t k)
{
    float sum = 0;
    for (size_t t = 0; t < threads; t++)
        sum += thread_sums(l, scratch, t)[tap * l->out.channels + k];
    return sum;
}

void first_conv_weight_gradient(const layer *l, const void *x, const void *y_gradient, element type,
                                size_t rows, float *weight_gradient, float *bias_gradient,
                                float *scratch)
{
    size_t taps = 9 * l->in.channels, threads = 1;
    bool pairs = type == ELEMENT_BF16 && __builtin_cpu_supports("avx512bf16");
#pragma omp parallel
    {
        size_t me = (size_t)omp_get_thread_num(), first, last;
        float *picture = thread_picture(l, scratch, me), *sums = thread_sums(l, scratch, me);
#pragma omp single nowait
        threads = (size_t)omp_get_num_threads();
        memset(picture, 0, (picture_size(l) + sums_size(l)) * sizeof *picture);
        thread_part(rows, 1, &first, &last);
        for (size_t row = first; row < last; row++) {
            if (pairs) {
                picture_pad_pairs(l, x, row, (uint32_t *)picture);
                picture_add_pairs(l, (const uint32_t *)picture, y_gradient, row, sums);
            } else {
                picture_pad(l, x, row, type, picture);
                picture_add(l, picture, y_gradient, row, type, sums);
            }
        }
    }
    for (size_t k = 0; k < l->out.channels; k++) {
        for (size_t t = 0; t < taps; t++)
            weight_gradient[k * taps + t] = sum_of_threads(l, scratch, threads, t, k);
        if (bias_gradient)
            bias_gradient[k] = sum_of_threads(l, scratch, threads, taps, k);
    }
}

#else /* other processors: first_conv_fits says that nothing does */

bool first_conv_fits(const layer *l)
{
    (void)l;
    return false;
}

size_t first_conv_scratch_count(const layer *l, int threads)
{
    (void)l, (void)threads;
    return 0;
}

void first_conv_weight_gradient(const layer *l, const void *x, const void *y_gradient, element type,
                                size_t rows, float *weight_gradient, float *bias_gradient,
                                float *scratch)
{
    (void)l, (void)x, (void)y_gradient, (void)type, (void)rows;
    (void)weight_gradient, (void)bias_gradient, (void)scratch;
}

#endif
