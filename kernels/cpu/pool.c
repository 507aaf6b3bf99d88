#include "loops.h"

/* ---- forward
 * ---------------------------------------------------------------------------------------- */

/* What the loop over a stretch of channels of one output pixel needs. */
typedef struct {
    const void *x;                  /* the window's first pixel */
    size_t pixel, line, high, wide; /* elements between pixels and lines; the window */
    void *y;
    uint8_t *codes;          /* NULL: none wanted */
    const uint16_t *numbers; /* NULL: no dropout */
    uint16_t threshold;
    float factor;
    bool relu;
} stretch;

#define BLOCK 64

/* Maxima and their places of up to 64 channels from channel c on. */
ALWAYS_INLINE void block_maximum(const stretch *s, size_t c, size_t count, float *best,
                                 int32_t *where, bool half)
{
    for (size_t i = 0; i < count; i++) {
        best[i] = element_get(s->x, c + i, half);
        where[i] = 0;
    }
    int32_t code = 0;
    for (size_t dy = 0; dy < s->high; dy++) {
        for (size_t dx = 0; dx < s->wide; dx++, code++) {
            size_t at = dy * s->line + dx * s->pixel + c;
            for (size_t i = 0; i < count; i++) {
                float v = element_get(s->x, at + i, half);
                where[i] = v > best[i] ? code : where[i];
                best[i] = v > best[i] ? v : best[i];
            }
        }
    }
}

ALWAYS_INLINE void pool_stretch(const stretch *s, size_t channels, bool half)
{
    float best[BLOCK];
    int32_t where[BLOCK];
    for (size_t c = 0; c < channels; c += BLOCK) {
        size_t count = channels - c < BLOCK ? channels - c : BLOCK;
        block_maximum(s, c, count, best, where, half);
        if (s->relu)
            for (size_t i = 0; i < count; i++)
                where[i] = best[i] > 0 ? where[i] : POOL_NOTHING;
        if (s->numbers) {
            for (size_t i = 0; i < count; i++) {
                bool kept = s->numbers[c + i] >= s->threshold;
                best[i] = kept ? best[i] * s->factor : 0;
                where[i] = kept ? where[i] : POOL_NOTHING;
            }
        }
        for (size_t i = 0; i < count; i++)
            element_put(s->y, c + i, best[i], half);
        if (s->codes)
            for (size_t i = 0; i < count; i++)
                s->codes[c + i] = (uint8_t)where[i];
    }
}

CLONES static void pool_stretch_float(const stretch *s, size_t channels)
{
    pool_stretch(s, channels, false);
}

CLONES static void pool_stretch_bf16(const stretch *s, size_t channels)
{
    pool_stretch(s, channels, true);
}

/* One line of outputs, in pieces that dropout's numbers have room for. */
static void pool_line(stretch s, const void *x, void *y, uint8_t *codes, element type, extent out,
                      uint64_t first, const dropout *d)
{
    uint16_t room[DROPOUT_ROOM(DROPOUT_PIECE)];
    const uint16_t *numbers = NULL;
    size_t total = out.width * out.channels, ready = 0;
    for (size_t at = 0; at < total;) {
        if (at == ready) {
            size_t n = total - at < DROPOUT_PIECE ? total - at : DROPOUT_PIECE;
            if (d)
                numbers = dropout_numbers(d, first + at, n, room);
            ready = at + n;
        }
        size_t c = at % out.channels;
        size_t count = out.channels - c < ready - at ? out.channels - c : ready - at;
        s.x = element_at(x, at / out.channels * s.wide * s.pixel + c, type);
        s.y = element_at(y, at, type);
        s.codes = codes ? codes + at : NULL;
        s.numbers = numbers;
        (type == ELEMENT_BF16 ? pool_stretch_bf16 : pool_stretch_float)(&s, count);
        if (numbers)
            numbers += count;
        at += count;
    }
}

void maxpool_forward(const void *x, void *y, uint8_t *codes, element type, size_t rows, extent in,
                     extent out, size_t high, size_t wide, bool relu, const dropout *d)
{
    size_t line = in.width * in.channels, out_line = out.width * out.channels;
    stretch s = {.pixel = in.channels,
                 .line = line,
                 .high = high,
                 .wide = wide,
                 .relu = relu,
                 .threshold = d ? (uint16_t)d->threshold : 0,
                 .factor = d ? d->factor : 1};
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < rows * out.height; i++) {
        size_t row = i / out.height, oy = i % out.height;
        pool_line(s, element_at(x, (row * in.height + oy * high) * line, type),
                  element_at(y, i * out_line, type), codes ? codes + i * out_line : NULL, type, out,
                  i * out_line, d);
    }
}

/* ---- backward
 * --------------------------------------------------------------------------------------- */

ALWAYS_INLINE void spread(const void *y_gradient, const uint8_t *codes, int code, void *x_gradient,
                          size_t channels, float factor, bool half)
{
    for (size_t c = 0; c < channels; c++) {
        float g = element_get(y_gradient, c, half) * factor;
        element_put(x_gradient, c, codes[c] == code ? g : 0, half);
    }
}

CLONES static void spread_float(const void *g, const uint8_t *codes, int code, void *x,
                                size_t channels, float factor)
{
    spread(g, codes, code, x, channels, factor, false);
}

CLONES static void spread_bf16(const void *g, const uint8_t *codes, int code, void *x,
                               size_t channels, float factor)
{
    spread(g, codes, code, x, channels, factor, true);
}

/* A line of x's gradient, from the line of outputs that it lies under. */
static void spread_line(const void *y_gradient, const uint8_t *codes, size_t dy, void *x_gradient,
                        element type, extent in, extent out, size_t wide, float factor)
{
    size_t channels = in.channels;
    for (size_t ox = 0; ox < out.width; ox++)
        for (size_t dx = 0; dx < wide; dx++)
            (type == ELEMENT_BF16 ? spread_bf16 : spread_float)(
                element_at(y_gradient, ox * channels, type), codes + ox * channels,
                (int)(dy * wide + dx), element_at(x_gradient, (ox * wide + dx) * channels, type),
                channels, factor);
    size_t covered = out.width * wide * channels;
    memset(element_at(x_gradient, covered, type), 0,
           (in.width * channels - covered) * element_size(type));
}

void maxpool_backward(const void *y_gradient, const uint8_t *codes, void *x_gradient, element type,
                      size_t rows, extent in, extent out, size_t high, size_t wide, float factor)
{
    size_t line = in.width * in.channels, out_line = out.width * out.channels;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < rows * in.height; i++) {
        size_t row = i / in.height, y = i % in.height, oy = y / high;
        void *to = element_at(x_gradient, i * line, type);
        size_t from = (row * out.height + oy) * out_line;
        if (oy < out.height)
            spread_line(element_at(y_gradient, from, type), codes + from, y % high, to, type, in,
                        out, wide, factor);
        else
            memset(to, 0, line * element_size(type));
    }
}

/* One output's gradient to the first of its window's maxima. */
static void search_output(const void *y_gradient, const void *x, void *x_gradient, element type,
                          size_t at, size_t first, size_t line, size_t pixel, size_t high,
                          size_t wide)
{
    bool half = type == ELEMENT_BF16;
    size_t best = first;
    for (size_t k = 1; k < high * wide; k++) {
        size_t place = first + k / wide * line + k % wide * pixel;
        if (element_get(x, place, half) > element_get(x, best, half))
            best = place;
    }
    element_put(x_gradient, best, element_get(y_gradient, at, half), half);
}

void maxpool_backward_search(const void *y_gradient, const void *x, void *x_gradient, element type,
                             size_t rows, extent in, extent out, size_t high, size_t wide)
{
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

/* ---- means
 * ------------------------------------------------------------------------------------------ */

void avgpool_forward(const void *x, void *y, element type, size_t rows, extent in)
{
    size_t pixels = in.height * in.width;
    bool half = type == ELEMENT_BF16;
#pragma omp parallel for schedule(static)
    for (size_t row = 0; row < rows; row++) {
        for (size_t c = 0; c < in.channels; c++) {
            float sum = 0;
            for (size_t p = 0; p < pixels; p++)
                sum += element_get(x, (row * pixels + p) * in.channels + c, half);
            element_put(y, row * in.channels + c, sum / (float)pixels, half);
        }
    }
}

void avgpool_backward(const void *y_gradient, void *x_gradient, element type, size_t rows,
                      extent in)
{
    size_t pixels = in.height * in.width;
    bool half = type == ELEMENT_BF16;
#pragma omp parallel for schedule(static)
    for (size_t row = 0; row < rows; row++)
        for (size_t p = 0; p < pixels; p++)
            for (size_t c = 0; c < in.channels; c++)
                element_put(x_gradient, (row * pixels + p) * in.channels + c,
                            element_get(y_gradient, row * in.channels + c, half) / (float)pixels,
                            half);
}
