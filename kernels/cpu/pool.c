#include "pool.h"

#include <math.h>

/* ---- forward ---- */

/* A stretch of outputs: some whole pixels of a line, or some channels of one pixel. */
typedef struct {
    const void *x;           /* the first window's first element */
    size_t pixels, channels; /* outputs */
    size_t pixel, line;      /* elements between x's pixels and lines */
    size_t high, wide;       /* the window */
    void *y;
    uint8_t *codes;          /* NULL: none wanted */
    const uint16_t *numbers; /* NULL: no dropout */
    uint16_t threshold;
    float factor;
    bool relu;
} stretch;

#define BLOCK 64

/* Maxima of up to 64 channels, and which of the window's elements they are. */
ALWAYS_INLINE void maximum_float(const float *x, const stretch *s, size_t count,
                                 float *restrict best, int32_t *restrict where)
{
    for (size_t i = 0; i < count; i++) {
        best[i] = x[i];
        where[i] = 0;
    }
    int32_t code = 0;
    for (size_t dy = 0; dy < s->high; dy++) {
        for (size_t dx = 0; dx < s->wide; dx++, code++) {
            const float *from = x + dy * s->line + dx * s->pixel;
            for (size_t i = 0; i < count; i++) {
                where[i] = from[i] > best[i] ? code : where[i];
                best[i] = from[i] > best[i] ? from[i] : best[i];
            }
        }
    }
}

/* Outputs at .. at + count of the stretch, all of one pixel. */
ALWAYS_INLINE void pool_block_float(const stretch *s, size_t at, size_t count)
{
    float best[BLOCK];
    int32_t where[BLOCK];
    const float *x = (const float *)s->x + at / s->channels * s->wide * s->pixel + at % s->channels;
    float *y = (float *)s->y + at;
    maximum_float(x, s, count, best, where);
    for (size_t i = 0; s->relu && i < count; i++)
        where[i] = best[i] > 0 ? where[i] : POOL_NOTHING;
    if (s->numbers) {
        const uint16_t *numbers = s->numbers + at;
        const int32_t threshold = s->threshold;
        const float factor = s->factor;
        for (size_t i = 0; i < count; i++) {
            where[i] = numbers[i] >= threshold ? where[i] : POOL_NOTHING;
            best[i] = numbers[i] >= threshold ? best[i] * factor : 0;
        }
    }
    for (size_t i = 0; i < count; i++)
        y[i] = best[i];
    if (s->codes) {
        uint8_t *codes = s->codes + at;
        for (size_t i = 0; i < count; i++)
            codes[i] = (uint8_t)where[i];
    }
}

/* bfloat16's bits as integers of the same order, and back. */
ALWAYS_INLINE int16_t ordered(uint16_t bits)
{
    return (int16_t)(bits ^ ((int16_t)bits < 0 ? 0x7FFF : 0));
}

ALWAYS_INLINE void maximum_bf16(const uint16_t *x, const stretch *s, size_t count,
                                int16_t *restrict best, int16_t *restrict where)
{
    for (size_t i = 0; i < count; i++) {
        best[i] = ordered(x[i]);
        where[i] = 0;
    }
    int16_t code = 0;
    for (size_t dy = 0; dy < s->high; dy++) {
        for (size_t dx = 0; dx < s->wide; dx++, code++) {
            const uint16_t *from = x + dy * s->line + dx * s->pixel;
            for (size_t i = 0; i < count; i++) {
                int16_t v = ordered(from[i]);
                where[i] = v > best[i] ? code : where[i];
                best[i] = v > best[i] ? v : best[i];
            }
        }
    }
}

ALWAYS_INLINE void pool_block_bf16(const stretch *s, size_t at, size_t count)
{
    int16_t best[BLOCK], where[BLOCK];
    const uint16_t *x =
        (const uint16_t *)s->x + at / s->channels * s->wide * s->pixel + at % s->channels;
    uint16_t *y = (uint16_t *)s->y + at;
    maximum_bf16(x, s, count, best, where);
    for (size_t i = 0; s->relu && i < count; i++)
        where[i] = best[i] > 0 ? where[i] : POOL_NOTHING;
    for (size_t i = 0; i < count; i++)
        best[i] = ordered((uint16_t)best[i]);
    if (s->numbers) {
        const uint16_t *numbers = s->numbers + at, threshold = s->threshold;
        const float factor = s->factor;
        for (size_t i = 0; i < count; i++) {
            where[i] = numbers[i] >= threshold ? where[i] : POOL_NOTHING;
            best[i] = numbers[i] >= threshold ? best[i] : 0;
        }
        for (size_t i = 0; i < count; i++)
            y[i] = bf16_from_float(bf16_to_float((uint16_t)best[i]) * factor);
    } else {
        for (size_t i = 0; i < count; i++)
            y[i] = (uint16_t)best[i];
    }
    if (s->codes) {
        uint8_t *codes = s->codes + at;
        for (size_t i = 0; i < count; i++)
            codes[i] = (uint8_t)where[i];
    }
}

/* Blocks of the usual sizes have loops of known length. */
ALWAYS_INLINE void pool_stretch(const stretch *s,
                                void (*block)(const stretch *s, size_t at, size_t count))
{
    for (size_t at = 0; at < s->pixels * s->channels;) {
        size_t left = s->channels - at % s->channels, count = left < BLOCK ? left : BLOCK;
        if (count == BLOCK)
            block(s, at, BLOCK);
        else if (count == BLOCK / 2)
            block(s, at, BLOCK / 2);
        else
            block(s, at, count);
        at += count;
    }
}

CLONES static void pool_stretch_float(const stretch *s)
{
    pool_stretch(s, pool_block_float);
}

CLONES static void pool_stretch_bf16(const stretch *s)
{
    pool_stretch(s, pool_block_bf16);
}

/* One line of outputs, in stretches that dropout's numbers have room for. */
static void pool_line(stretch s, const void *x, void *y, uint8_t *codes, element type, extent out,
                      uint64_t first, const dropout *d)
{
    uint16_t room[DROPOUT_ROOM(DROPOUT_PIECE)];
    size_t total = out.width * out.channels, most = DROPOUT_PIECE / out.channels * out.channels;
    for (size_t at = 0; at < total;) {
        size_t c = at % out.channels, count = out.channels - c;
        if (most == 0) {
            s.pixels = 1;
            s.channels = count = count < DROPOUT_PIECE ? count : DROPOUT_PIECE;
        } else {
            count = total - at < most ? total - at : most;
            s.pixels = count / out.channels;
            s.channels = out.channels;
        }
        s.x = element_at(x, at / out.channels * s.wide * s.pixel + c, type);
        s.y = element_at(y, at, type);
        s.codes = codes ? codes + at : NULL;
        s.numbers = d ? dropout_numbers(d, first + at, count, room) : NULL;
        (type == ELEMENT_BF16 ? pool_stretch_bf16 : pool_stretch_float)(&s);
        at += count;
    }
}

void maxpool_forward(const layer *l, const void *x, void *y, uint8_t *codes, element type,
                     size_t rows, bool relu, const dropout *d)
{
    extent in = l->in, out = l->out;
    size_t line = in.width * in.channels, out_line = out.width * out.channels;
    stretch s = {.pixel = in.channels,
                 .line = line,
                 .high = l->kernel_height,
                 .wide = l->kernel_width,
                 .relu = relu,
                 .threshold = d ? (uint16_t)d->threshold : 0,
                 .factor = d ? d->factor : 1};
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < rows * out.height; i++) {
        size_t row = i / out.height, oy = i % out.height;
        pool_line(s, element_at(x, (row * in.height + oy * s.high) * line, type),
                  element_at(y, i * out_line, type), codes ? codes + i * out_line : NULL, type, out,
                  i * out_line, d);
    }
}

/* ---- backward ---- */

ALWAYS_INLINE void spread(const void *y_gradient, const uint8_t *codes, int code, void *x_gradient,
                          size_t channels, float factor, bool bf16)
{
    for (size_t c = 0; c < channels; c++) {
        float g = element_get(y_gradient, c, bf16) * factor;
        element_put(x_gradient, c, codes[c] == code ? g : 0, bf16);
    }
}

/* A line of x's gradient, from the line of outputs that it lies under. */
ALWAYS_INLINE void spread_line(const void *y_gradient, const uint8_t *codes, size_t dy,
                               void *x_gradient, extent in, extent out, size_t wide, float factor,
                               bool bf16)
{
    size_t channels = in.channels, size = bf16 ? 2 : 4;
    for (size_t ox = 0; ox < out.width; ox++)
        for (size_t dx = 0; dx < wide; dx++)
            spread((const char *)y_gradient + ox * channels * size, codes + ox * channels,
                   (int)(dy * wide + dx), (char *)x_gradient + (ox * wide + dx) * channels * size,
                   channels, factor, bf16);
    size_t covered = out.width * wide * channels;
    memset((char *)x_gradient + covered * size, 0, (in.width * channels - covered) * size);
}

CLONES static void spread_line_type(const void *y_gradient, const uint8_t *codes, size_t dy,
                                    void *x_gradient, extent in, extent out, size_t wide,
                                    float factor, element type)
{
    OF_TYPE(spread_line, y_gradient, codes, dy, x_gradient, in, out, wide, factor);
}

void maxpool_backward(const layer *l, const void *y_gradient, const uint8_t *codes,
                      void *x_gradient, element type, size_t rows, float factor)
{
    extent in = l->in, out = l->out;
    size_t high = l->kernel_height, wide = l->kernel_width;
    size_t line = in.width * in.channels, out_line = out.width * out.channels;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < rows * in.height; i++) {
        size_t row = i / in.height, y = i % in.height, oy = y / high;
        void *to = element_at(x_gradient, i * line, type);
        size_t from = (row * out.height + oy) * out_line;
        if (oy < out.height)
            spread_line_type(element_at(y_gradient, from, type), codes + from, y % high, to, in,
                             out, wide, factor, type);
        else
            memset(to, 0, line * element_size(type));
    }
}

/* One output's gradient to the first of its window's maxima. */
static void search_output(const void *y_gradient, const void *x, void *x_gradient, element type,
                          size_t at, size_t first, size_t line, size_t pixel, size_t high,
                          size_t wide)
{
    bool bf16 = type == ELEMENT_BF16;
    size_t best = first;
    for (size_t k = 1; k < high * wide; k++) {
        size_t place = first + k / wide * line + k % wide * pixel;
        if (element_get(x, place, bf16) > element_get(x, best, bf16))
            best = place;
    }
    element_put(x_gradient, best, element_get(y_gradient, at, bf16), bf16);
}

void maxpool_backward_search(const layer *l, const void *y_gradient, const void *x,
                             void *x_gradient, element type, size_t rows)
{
    extent in = l->in, out = l->out;
    size_t high = l->kernel_height, wide = l->kernel_width;
    size_t line = in.width * in.channels, size = extent_size(in);
#pragma omp parallel for schedule(static)
    for (size_t row = 0; row < rows; row++) {
        memset(element_at(x_gradient, row * size, type), 0, size * element_size(type));
        for (size_t i = 0; i < extent_size(out); i++) {
            size_t oy = i / (out.width * out.channels), ox = i / out.channels % out.width;
            size_t first =
                row * size + oy * high * line + ox * wide * in.channels + i % out.channels;
            search_output(y_gradient, x, x_gradient, type, row * extent_size(out) + i, first, line,
                          in.channels, high, wide);
        }
    }
}

/* ---- means ---- */

void avgpool_forward(const void *x, void *y, element type, size_t rows, extent in)
{
    size_t pixels = in.height * in.width;
    bool bf16 = type == ELEMENT_BF16;
#pragma omp parallel for schedule(static)
    for (size_t row = 0; row < rows; row++) {
        for (size_t c = 0; c < in.channels; c++) {
            float sum = 0;
            for (size_t p = 0; p < pixels; p++)
                sum += element_get(x, (row * pixels + p) * in.channels + c, bf16);
            element_put(y, row * in.channels + c, sum / (float)pixels, bf16);
        }
    }
}

void avgpool_backward(const void *y_gradient, void *x_gradient, element type, size_t rows,
                      extent in)
{
    size_t pixels = in.height * in.width;
    bool bf16 = type == ELEMENT_BF16;
#pragma omp parallel for schedule(static)
    for (size_t row = 0; row < rows; row++)
        for (size_t p = 0; p < pixels; p++)
            for (size_t c = 0; c < in.channels; c++)
                element_put(x_gradient, (row * pixels + p) * in.channels + c,
                            element_get(y_gradient, row * in.channels + c, bf16) / (float)pixels,
                            bf16);
}

/* ---- any windows ---- */

/* The part of a window that lies on the input, and the number by which its mean divides. */
typedef struct {
    size_t top, left, bottom, right; /* the last two are the first behind it */
    float counted;
} window;

static void window_side(size_t at, size_t stride, size_t size, size_t before, size_t in,
                        size_t after, size_t *first, size_t *last, size_t *padded)
{
    size_t begin = at * stride, end = begin + size; /* counted from the padding's beginning */
    size_t limit = before + in + after;
    *padded = (end < limit ? end : limit) - begin;
    *first = begin > before ? begin - before : 0;
    *last = (end < before + in ? end : before + in) - before;
}

static window window_at(const layer *l, size_t y, size_t x)
{
    window w;
    size_t high, wide;
    window_side(y, l->stride_height, l->kernel_height, l->pad.top, l->in.height, l->pad.bottom,
                &w.top, &w.bottom, &high);
    window_side(x, l->stride_width, l->kernel_width, l->pad.left, l->in.width, l->pad.right,
                &w.left, &w.right, &wide);
    w.counted = (float)(l->within ? (w.bottom - w.top) * (w.right - w.left) : high * wide);
    return w;
}

/* One output's channels, up to BLOCK of them. */
ALWAYS_INLINE void window_reduce(const layer *l, const void *x, void *y, window w, size_t first,
                                 size_t count, bool bf16)
{
    float best[BLOCK];
    bool most = l->kind == LAYER_MAXPOOL;
    size_t channels = l->in.channels;
    for (size_t c = 0; c < count; c++)
        best[c] = most ? -INFINITY : 0;
    for (size_t row = w.top; row < w.bottom; row++) {
        for (size_t column = w.left; column < w.right; column++) {
            size_t from = (row * l->in.width + column) * channels + first;
            for (size_t c = 0; c < count; c++) {
                float v = element_get(x, from + c, bf16);
                best[c] = most ? (v > best[c] ? v : best[c]) : best[c] + v;
            }
        }
    }
    for (size_t c = 0; c < count; c++)
        element_put(y, first + c, most ? best[c] : best[c] / w.counted, bf16);
}

CLONES static void window_output(const layer *l, const void *x, void *y, window w, element type)
{
    for (size_t c = 0; c < l->in.channels; c += BLOCK) {
        size_t left = l->in.channels - c;
        OF_TYPE(window_reduce, l, x, y, w, c, left < BLOCK ? left : BLOCK);
    }
}

void windows_forward(const layer *l, const void *x, void *y, element type, size_t rows)
{
    extent in = l->in, out = l->out;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < rows * out.height; i++) {
        const void *picture = element_at(x, i / out.height * extent_size(in), type);
        for (size_t ox = 0; ox < out.width; ox++)
            window_output(l, picture, element_at(y, (i * out.width + ox) * out.channels, type),
                          window_at(l, i % out.height, ox), type);
    }
}

/* The place of the window's first largest element of channel c. */
static size_t window_largest(const layer *l, const void *x, window w, size_t c, bool bf16)
{
    size_t best = SIZE_MAX;
    for (size_t row = w.top; row < w.bottom; row++) {
        for (size_t column = w.left; column < w.right; column++) {
            size_t at = (row * l->in.width + column) * l->in.channels + c;
            if (best == SIZE_MAX || element_get(x, at, bf16) > element_get(x, best, bf16))
                best = at;
        }
    }
    return best;
}

static void window_spread(const layer *l, const void *d, const void *x, float *d_x, window w,
                          bool bf16)
{
    size_t channels = l->in.channels;
    if (l->kind == LAYER_MAXPOOL) {
        for (size_t c = 0; c < channels; c++)
            d_x[window_largest(l, x, w, c, bf16)] += element_get(d, c, bf16);
        return;
    }
    for (size_t row = w.top; row < w.bottom; row++)
        for (size_t column = w.left; column < w.right; column++)
            for (size_t c = 0; c < channels; c++)
                d_x[(row * l->in.width + column) * channels + c] +=
                    element_get(d, c, bf16) / w.counted;
}

void windows_backward(const layer *l, const void *y_gradient, const void *x, void *x_gradient,
                      element type, size_t rows, float *scratch)
{
    extent in = l->in, out = l->out;
    bool bf16 = type == ELEMENT_BF16;
    size_t size = extent_size(in);
#pragma omp parallel for schedule(static)
    for (size_t row = 0; row < rows; row++) {
        float *sums = scratch + (size_t)omp_get_thread_num() * size;
        memset(sums, 0, size * sizeof *sums);
        for (size_t i = 0; i < out.height * out.width; i++) {
            size_t at = row * extent_size(out) + i * out.channels;
            window_spread(l, element_at(y_gradient, at, type), element_at(x, row * size, type),
                          sums, window_at(l, i / out.width, i % out.width), bf16);
        }
        for (size_t i = 0; i < size; i++)
            element_put(x_gradient, row * size + i, sums[i], bf16);
    }
}
