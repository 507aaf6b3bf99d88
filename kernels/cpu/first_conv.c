#include "first_conv.h"

#include "cpu.h"

#define GRAIN 16 /* outputs, in multiples of which all sums are computed */

bool first_conv_fits(const layer *l)
{
    return l->kind == LAYER_CONV && conv_is_plain(l) && l->kernel_height == 3 &&
           l->kernel_width == 3 && l->in.channels <= FIRST_CONV_CHANNELS &&
           l->out.channels % GRAIN == 0 && cpu_has_avx2();
}

/* ---- memory ---- */

static size_t picture_size(const layer *l)
{
    size_t count = (l->in.height + 2 * l->pad.top) * first_conv_line(l);
    return (count + GRAIN - 1) / GRAIN * GRAIN;
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

#if defined(__x86_64__)

static void picture_pad(const layer *l, const void *x, size_t row, element type, float *out)
{
    size_t width = l->in.width * l->in.channels, line = first_conv_line(l);
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
    size_t channels = l->in.channels, width = l->in.width * channels, line = first_conv_line(l);
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

/* Adds a row's to the sums; `picture` is for it with the zeros around it, which are there. */
static void picture_sums(const layer *l, const void *x, const void *g, size_t row, element type,
                         float *picture, float *sums)
{
    if (type == ELEMENT_BF16 && cpu_has_avx512_bf16()) {
        picture_pad_pairs(l, x, row, (uint32_t *)picture);
        first_conv_sums_pairs(l, (const uint32_t *)picture, g, row, sums);
        return;
    }
    picture_pad(l, x, row, type, picture);
    if (cpu_has_avx512())
        first_conv_sums_avx512(l, picture, g, row, type, sums);
    else
        first_conv_sums_avx2(l, picture, g, row, type, sums);
}

#else /* other processors: first_conv_fits says that nothing does */

static void picture_sums(const layer *l, const void *x, const void *g, size_t row, element type,
                         float *picture, float *sums)
{
    (void)l, (void)x, (void)g, (void)row, (void)type, (void)picture, (void)sums;
}

#endif

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
#pragma omp parallel
    {
        size_t me = (size_t)omp_get_thread_num(), first, last;
        float *picture = thread_picture(l, scratch, me), *sums = thread_sums(l, scratch, me);
#pragma omp single nowait
        threads = (size_t)omp_get_num_threads();
        memset(picture, 0, (picture_size(l) + sums_size(l)) * sizeof *picture);
        thread_part(rows, 1, &first, &last);
        for (size_t row = first; row < last; row++)
            picture_sums(l, x, y_gradient, row, type, picture, sums);
    }
    for (size_t k = 0; k < l->out.channels; k++) {
        for (size_t t = 0; t < taps; t++)
            weight_gradient[k * taps + t] = sum_of_threads(l, scratch, threads, t, k);
        if (bias_gradient)
            bias_gradient[k] = sum_of_threads(l, scratch, threads, taps, k);
    }
}
