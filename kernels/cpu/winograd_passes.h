/* winograd_passes.h: winograd.h's functions, compiled once for each width of registers: a file that
 * includes this defines LANES (lanes.h) and WINOGRAD_PASSES, the name of the table of them. */
#ifndef KERNELS_CPU_WINOGRAD_PASSES_H
#define KERNELS_CPU_WINOGRAD_PASSES_H

#include "lanes.h"
#include "winograd.h"

/* The larger tile: outputs and inputs across, and points at which they are multiplied. */
#define TILE 5
#define SPAN 7
#define POINTS (SPAN * SPAN)
/* The inner loops of products hold so many channels of so many tiles: in all registers but two. */
#define PANEL (2 * LANES)
#define STRIP (LANES == 16 ? 12 : 6)
/* Tiles at once: as many as leave what lies between a thread's steps in its cache, but enough that
 * the filters, which each block reads anew, are not what takes the time: of 24, 48 and 96 at the
 * least 48 was best for resnet9 and ResNet-18 and -50 of 224 pixels
 * (tests/bench/beside_networks.py). */
#define BLOCK_FLOATS ((size_t)150000)
#define BLOCK_LEAST 48
#define BLOCK_MOST 96
#define SCRATCH_MAX ((size_t)1 << 27) /* floats */

/* ---- shapes ---- */

/* One pass: from pictures of `in` to pictures of `out`. */
typedef struct {
    extent in, out;
    size_t pad_height, pad_width;
    size_t tile, points; /* outputs across a tile; multiplications a pair of channels */
    size_t tiles_high, tiles_wide;
    size_t tiles, block; /* in all rows; computed at once, a multiple of STRIP */
} shape;

static size_t tiles_across(size_t outputs, size_t tile)
{
    return (outputs + tile - 1) / tile;
}

static size_t picture_work(extent out, size_t tile)
{
    return (tile + 2) * (tile + 2) * tiles_across(out.height, tile) * tiles_across(out.width, tile);
}

static size_t tile_of(extent out)
{
    return picture_work(out, 5) < picture_work(out, 4) ? 5 : 4;
}

static size_t block_of(size_t in_channels, size_t out_channels)
{
    size_t tiles = BLOCK_FLOATS / POINTS / (in_channels + out_channels) / STRIP * STRIP;
    tiles = tiles > BLOCK_MOST ? BLOCK_MOST : tiles;
    return tiles < BLOCK_LEAST ? BLOCK_LEAST : tiles;
}

/* No larger than `most`, so that all threads have equally many blocks. */
static size_t block_even(size_t tiles, size_t most)
{
    size_t threads = (size_t)omp_get_max_threads();
    size_t rounds = (tiles + most * threads - 1) / (most * threads);
    size_t block = (tiles + rounds * threads - 1) / (rounds * threads);
    return (block + STRIP - 1) / STRIP * STRIP;
}

static shape shape_of(extent in, extent out, size_t pad_height, size_t pad_width, size_t rows)
{
    shape s = {.in = in, .out = out, .pad_height = pad_height, .pad_width = pad_width};
    s.tile = tile_of(out);
    s.points = (s.tile + 2) * (s.tile + 2);
    s.tiles_high = tiles_across(out.height, s.tile);
    s.tiles_wide = tiles_across(out.width, s.tile);
    s.tiles = rows * s.tiles_high * s.tiles_wide;
    s.block = block_even(s.tiles, block_of(in.channels, out.channels));
    return s;
}

static shape shape_forward(const layer *l, size_t rows)
{
    return shape_of(l->in, l->out, l->pad.top, l->pad.left, rows);
}

static shape shape_backward(const layer *l, size_t rows)
{
    return shape_of(l->out, l->in, 2 - l->pad.top, 2 - l->pad.left, rows);
}

/* ---- memory ---- */

/* Floats from one point's tiles to the next one's: an odd number of lines, so that they do not all
 * fall into the same sets of the cache. */
static size_t point_stride(size_t block, size_t channels)
{
    return block * channels + LANES;
}

static size_t domain_count(size_t block, size_t channels)
{
    return POINTS * point_stride(block, channels);
}

static size_t filter_count(const layer *l)
{
    return POINTS * l->in.channels * l->out.channels;
}

/* Of one thread: both domains, and its share of the weights' and the bias's gradient. */
static size_t thread_scratch(const layer *l)
{
    size_t in = l->in.channels, out = l->out.channels, block = block_of(in, out);
    return domain_count(block, in) + domain_count(block, out) + filter_count(l) + out;
}

static size_t scratch_count(const layer *l, int threads)
{
    return (size_t)threads * thread_scratch(l);
}

/* ---- elements ---- */

VECTOR_INLINE vec times(float a, vec x)
{
    return vec_mul(vec_all(a), x);
}

/* a x + y */
VECTOR_INLINE vec plus(float a, vec x, vec y)
{
    return vec_fma(vec_all(a), x, y);
}

#define ADD vec_add
#define SUB vec_sub

static bool fits(const layer *l, int threads)
{
    if (l->kind != LAYER_CONV || !conv_is_plain(l) || l->kernel_height != 3 ||
        l->kernel_width != 3 || l->pad.top > 2 || l->pad.left > 2 || l->in.channels % PANEL ||
        l->out.channels % PANEL)
        return false;
    if (scratch_count(l, threads) > SCRATCH_MAX)
        return false;
    /* At least half of the multiplications must be saved, edges and all. */
    size_t direct = 9 * l->out.height * l->out.width;
    return 2 * picture_work(l->out, tile_of(l->out)) <= direct;
}

/* ---- the transforms in one dimension ---------------------------------------------------------
 *
 * F(4, 3) multiplies at the points 0, 1, -1, 2, -2 and infinity. F(5, 3) has 1/2 for a seventh: its
 * polynomials of the other six are F(4, 3)'s times x - 1/2. So the inputs d[i + 1] - d[i] / 2 go
 * through F(4, 3)'s transform, and its filters are divided by p - 1/2. */

static const float by_half[] = {-2, 2, -2.0f / 3, 2.0f / 3, -2.0f / 5, 1}; /* 1 / (p - 1/2) */
#define AT_HALF (32.0f / 45) /* 1 / the product of 1/2 - p over the other points */

/* Inputs: B^T d. */
VECTOR_INLINE void line_input(size_t tile, const vec *d, size_t step, vec *out, size_t to)
{
    vec e[6];
    for (size_t i = 0; i < 6; i++)
        e[i] = tile == 5 ? plus(-0.5f, d[i * step], d[(i + 1) * step]) : d[i * step];
    vec a = plus(-4, e[2], e[4]), b = plus(-4, e[1], e[3]);
    vec c = SUB(e[4], e[2]), f = SUB(e[3], e[1]);
    out[0] = plus(4, e[0], plus(-5, e[2], e[4]));
    out[to] = ADD(a, b);
    out[2 * to] = SUB(a, b);
    out[3 * to] = plus(2, f, c);
    out[4 * to] = plus(-2, f, c);
    out[5 * to] = plus(4, e[1], plus(-5, e[3], e[5]));
    if (tile == 5)
        out[6 * to] = plus(4, d[step], plus(-5, d[3 * step], d[5 * step]));
}

/* Outputs: A^T m. */
VECTOR_INLINE void line_output(size_t tile, const vec *m, size_t step, vec *out, size_t to)
{
    vec s = ADD(m[step], m[2 * step]), d = SUB(m[step], m[2 * step]);
    vec s2 = ADD(m[3 * step], m[4 * step]), d2 = SUB(m[3 * step], m[4 * step]);
    vec last = m[5 * step];
    if (tile == 4) {
        out[0] = ADD(ADD(m[0], s), s2);
        out[to] = plus(2, d2, d);
        out[2 * to] = plus(4, s2, s);
        out[3 * to] = ADD(plus(8, d2, d), last);
        return;
    }
    vec h = m[6 * step];
    out[0] = ADD(ADD(m[0], s), ADD(s2, h));
    out[to] = plus(1.0f / 2, h, plus(2, d2, d));
    out[2 * to] = plus(1.0f / 4, h, plus(4, s2, s));
    out[3 * to] = plus(1.0f / 8, h, plus(8, d2, d));
    out[4 * to] = plus(1.0f / 16, h, ADD(plus(16, s2, s), last));
}

/* The outputs' gradient: A y. */
VECTOR_INLINE void line_gradient(size_t tile, const vec *y, size_t step, vec *out, size_t to)
{
    vec y0 = y[0], y1 = y[step], y2 = y[2 * step], y3 = y[3 * step];
    vec even = ADD(y0, y2), odd = ADD(y1, y3);
    vec even2 = plus(4, y2, y0), half_odd2 = plus(4, y3, y1);
    if (tile == 5) {
        vec y4 = y[4 * step];
        even = ADD(even, y4);
        even2 = plus(16, y4, even2);
        out[6 * to] =
            plus(1.0f / 2, plus(1.0f / 4, y3, y1), plus(1.0f / 4, y2, plus(1.0f / 16, y4, y0)));
    }
    out[0] = y0;
    out[to] = ADD(even, odd);
    out[2 * to] = SUB(even, odd);
    out[3 * to] = plus(2, half_odd2, even2);
    out[4 * to] = plus(-2, half_odd2, even2);
    out[5 * to] = y[(tile - 1) * step];
}

/* Filters: G g. */
VECTOR_INLINE void line_filter(size_t tile, const vec *g, size_t step, vec *out, size_t to)
{
    vec g0 = g[0], g1 = g[step], g2 = g[2 * step];
    vec even = times(-1.0f / 6, ADD(g0, g2)), even2 = plus(1.0f / 6, g2, times(1.0f / 24, g0));
    out[0] = times(0.25f, g0);
    out[to] = plus(-1.0f / 6, g1, even);
    out[2 * to] = plus(1.0f / 6, g1, even);
    out[3 * to] = plus(1.0f / 12, g1, even2);
    out[4 * to] = plus(-1.0f / 12, g1, even2);
    out[5 * to] = g2;
    if (tile == 4)
        return;
    for (size_t p = 0; p < 6; p++)
        out[p * to] = times(by_half[p], out[p * to]);
    out[6 * to] = times(AT_HALF, plus(1.0f / 2, g1, plus(1.0f / 4, g2, g0)));
}

/* The filters' gradient: G^T u. */
VECTOR_INLINE void line_filter_gradient(size_t tile, const vec *u, size_t step, vec *out, size_t to)
{
    vec v[6];
    for (size_t p = 0; p < 6; p++)
        v[p] = tile == 5 ? times(by_half[p], u[p * step]) : u[p * step];
    vec s = times(1.0f / 6, ADD(v[1], v[2])), d = times(1.0f / 6, SUB(v[2], v[1]));
    vec s2 = ADD(v[3], v[4]), d2 = SUB(v[3], v[4]);
    out[0] = plus(0.25f, v[0], SUB(times(1.0f / 24, s2), s));
    out[to] = plus(1.0f / 12, d2, d);
    out[2 * to] = plus(1.0f / 6, s2, SUB(v[5], s));
    for (size_t i = 0; i < 3 && tile == 5; i++)
        out[i * to] = plus(AT_HALF / (float)(1 << i), u[6 * step], out[i * to]);
}

/* ---- filters ---- */

/* LANES filters [3][3] to the points of `out`, which are `stride` floats apart. */
VECTOR_INLINE void filter_transform(size_t tile, const vec g[9], float *out, size_t stride)
{
    vec half_way[3 * SPAN], line[SPAN];
    size_t span = tile + 2;
    for (size_t j = 0; j < 3; j++)
        line_filter(tile, g + j, 3, half_way + j, 3);
    for (size_t i = 0; i < span; i++) {
        line_filter(tile, half_way + 3 * i, 1, line, 1);
        for (size_t j = 0; j < span; j++)
            vec_store(out + (span * i + j) * stride, line[j]);
    }
}

VECTOR static void filter_put(size_t tile, const vec g[9], float *out, size_t stride)
{
    if (tile == 5)
        filter_transform(5, g, out, stride);
    else
        filter_transform(4, g, out, stride);
}

/* Filters lie as [point][panel of the outputs][input][PANEL]. */
static size_t filter_place(size_t inputs, size_t input, size_t output)
{
    return output / PANEL * inputs * PANEL + input * PANEL + output % PANEL;
}

VECTOR static void filters_of_input(const layer *l, const float *weights, size_t c, float *filters)
{
    size_t in = l->in.channels, out = l->out.channels;
    for (size_t k = 0; k < out; k += LANES) {
        vec g[9];
        for (size_t i = 0; i < 9; i++)
            g[i] = vec_gather(weights + (k * 9 + i) * in + c, 9 * in);
        filter_put(tile_of(l->out), g, filters + filter_place(in, c, k), in * out);
    }
}

VECTOR static void rotated_filters_of_output(const layer *l, const float *weights, size_t k,
                                             float *filters)
{
    size_t in = l->in.channels, out = l->out.channels;
    for (size_t c = 0; c < in; c += LANES) {
        vec g[9];
        for (size_t i = 0; i < 9; i++)
            g[i] = vec_load(weights + (k * 9 + 8 - i) * in + c);
        filter_put(tile_of(l->in), g, filters + filter_place(out, k, c), in * out);
    }
}

static void filters_all(const layer *l, const float *weights, float *filters)
{
#pragma omp parallel for schedule(static)
    for (size_t c = 0; c < l->in.channels; c++)
        filters_of_input(l, weights, c, filters);
}

static void rotated_filters_all(const layer *l, const float *weights, float *filters)
{
#pragma omp parallel for schedule(static)
    for (size_t k = 0; k < l->out.channels; k++)
        rotated_filters_of_output(l, weights, k, filters);
}

/* ---- tiles ---- */

/* Where a tile lies: its picture, and its first output. */
typedef struct {
    size_t row, y, x;
} place;

static inline place place_of(const shape *s, size_t tile)
{
    size_t across = tile % s->tiles_wide, rest = tile / s->tiles_wide;
    return (place){rest / s->tiles_high, rest % s->tiles_high * s->tile, across * s->tile};
}

/* Asks for a tile's span x span inputs before they are read: no processor foresees the jump from
 * line to line. Training keras-cnn gained 4 % by it (tests/bench/driver.c in turns, with AVX2). */
static void tile_fetch(size_t span, const shape *s, const void *x, place at, bool bf16)
{
    extent e = s->in;
    size_t bytes = e.channels * (bf16 ? sizeof(uint16_t) : sizeof(float));
    size_t left = at.x < s->pad_width ? 0 : at.x - s->pad_width;
    size_t right = at.x + span - s->pad_width;
    right = right > e.width ? e.width : right;
    for (size_t i = 0; i < span; i++) {
        size_t y = at.y + i - s->pad_height; /* what is negative wraps to very large */
        if (y >= e.height)
            continue;
        const char *line = (const char *)x + ((at.row * e.height + y) * e.width + left) * bytes;
        for (size_t b = 0; b < (right - left) * bytes; b += 64)
            __builtin_prefetch(line + b);
    }
}

/* LANES channels of the span x span inputs of a tile; zeros outside of the picture. */
VECTOR_INLINE void tile_read(size_t span, const shape *s, const void *x, place at, size_t channel,
                             bool bf16, vec *d)
{
    extent e = s->in;
    ptrdiff_t top = (ptrdiff_t)at.y - (ptrdiff_t)s->pad_height;
    ptrdiff_t left = (ptrdiff_t)at.x - (ptrdiff_t)s->pad_width;
    size_t picture = at.row * e.height * e.width;
    if (top >= 0 && left >= 0 && (size_t)top + span <= e.height && (size_t)left + span <= e.width) {
        size_t first = (picture + (size_t)top * e.width + (size_t)left) * e.channels + channel;
        for (size_t i = 0; i < span; i++)
            for (size_t j = 0; j < span; j++)
                d[span * i + j] = vec_get(x, first + (i * e.width + j) * e.channels, bf16);
        return;
    }
    for (size_t i = 0; i < span; i++) {
        for (size_t j = 0; j < span; j++) {
            size_t py = (size_t)(top + (ptrdiff_t)i), px = (size_t)(left + (ptrdiff_t)j);
            bool inside = py < e.height && px < e.width; /* what is negative wraps to very large */
            d[span * i + j] =
                inside ? vec_get(x, (picture + py * e.width + px) * e.channels + channel, bf16)
                       : vec_zero();
        }
    }
}

/* v[point][tile][channel] of `count` tiles from `first` on. */
VECTOR_INLINE void tiles_input(size_t tile, const shape *s, const void *x, bool bf16, size_t first,
                               size_t count, float *v)
{
    size_t span = tile + 2, stride = point_stride(s->block, s->in.channels);
    for (size_t t = 0; t < count; t++) {
        place at = place_of(s, first + t);
        if (t + 1 < count)
            tile_fetch(span, s, x, place_of(s, first + t + 1), bf16);
        for (size_t c = 0; c < s->in.channels; c += LANES) {
            vec d[POINTS], half_way[POINTS], line[SPAN];
            float *out = v + t * s->in.channels + c;
            tile_read(span, s, x, at, c, bf16, d);
            for (size_t j = 0; j < span; j++)
                line_input(tile, d + j, span, half_way + j, span);
            for (size_t i = 0; i < span; i++) {
                line_input(tile, half_way + span * i, 1, line, 1);
                for (size_t j = 0; j < span; j++)
                    vec_store(out + (span * i + j) * stride, line[j]);
            }
        }
    }
}

/* What becomes of a pass's results. */
typedef struct {
    void *y;
    bool bf16;
    const float *bias; /* NULL: none */
    bool relu;
    const void *gate; /* NULL: none; see winograd_backward */
    float factor;
} outputs;

VECTOR_INLINE void output_put(const outputs *o, size_t i, vec value, vec offset, bool bf16)
{
    value = ADD(value, offset);
    if (o->relu)
        value = vec_max(value, vec_zero());
    if (o->gate)
        value = vec_mul(vec_gated(vec_get(o->gate, i, bf16), value), vec_all(o->factor));
    vec_put(o->y, i, value, bf16);
}

/* The outputs from m[point][tile][channel]. */
VECTOR_INLINE void tiles_output(size_t tile, const shape *s, const float *m, size_t first,
                                size_t count, const outputs *o, bool bf16)
{
    extent e = s->out;
    size_t span = tile + 2, stride = point_stride(s->block, e.channels);
    for (size_t t = 0; t < count; t++) {
        place at = place_of(s, first + t);
        size_t high = e.height - at.y, wide = e.width - at.x;
        size_t corner = (at.row * e.height + at.y) * e.width + at.x;
        for (size_t c = 0; c < e.channels; c += LANES) {
            vec column[SPAN], half_way[TILE * SPAN], line[TILE];
            vec offset = o->bias ? vec_load(o->bias + c) : vec_zero();
            const float *from = m + t * e.channels + c;
            for (size_t j = 0; j < span; j++) {
                for (size_t i = 0; i < span; i++)
                    column[i] = vec_load(from + (span * i + j) * stride);
                line_output(tile, column, 1, half_way + j, span);
            }
            for (size_t i = 0; i < tile && i < high; i++) {
                size_t pixel = corner + i * e.width;
                line_output(tile, half_way + span * i, 1, line, 1);
                for (size_t j = 0; j < tile && j < wide; j++)
                    output_put(o, (pixel + j) * e.channels + c, line[j], offset, bf16);
            }
        }
    }
}

/* w[point][tile][channel] of the outputs' gradient; adds each channel's to `sums`. */
VECTOR_INLINE void tiles_gradient(size_t tile, const shape *s, const void *g, bool bf16,
                                  size_t first, size_t count, float *w, float *sums)
{
    extent e = s->out;
    size_t span = tile + 2, stride = point_stride(s->block, e.channels);
    for (size_t t = 0; t < count; t++) {
        place at = place_of(s, first + t);
        size_t high = e.height - at.y, wide = e.width - at.x;
        size_t corner = (at.row * e.height + at.y) * e.width + at.x;
        for (size_t c = 0; c < e.channels; c += LANES) {
            vec y[TILE * TILE], half_way[SPAN * TILE], line[SPAN];
            vec sum = vec_load(sums + c);
            float *out = w + t * e.channels + c;
            for (size_t i = 0; i < tile; i++) {
                for (size_t j = 0; j < tile; j++) {
                    size_t pixel = corner + i * e.width + j;
                    y[tile * i + j] = i < high && j < wide
                                          ? vec_get(g, pixel * e.channels + c, bf16)
                                          : vec_zero();
                    sum = ADD(sum, y[tile * i + j]);
                }
            }
            vec_store(sums + c, sum);
            for (size_t j = 0; j < tile; j++)
                line_gradient(tile, y + j, tile, half_way + j, tile);
            for (size_t i = 0; i < span; i++) {
                line_gradient(tile, half_way + tile * i, 1, line, 1);
                for (size_t j = 0; j < span; j++)
                    vec_store(out + (span * i + j) * stride, line[j]);
            }
        }
    }
}

/* The loops over tiles are compiled for each tile and type. */
#define EACH_VERSION(call, tile, bf16)                                                             \
    do {                                                                                           \
        if ((tile) == 5 && (bf16))                                                                 \
            call(5, true);                                                                         \
        else if ((tile) == 5)                                                                      \
            call(5, false);                                                                        \
        else if (bf16)                                                                             \
            call(4, true);                                                                         \
        else                                                                                       \
            call(4, false);                                                                        \
    } while (0)

VECTOR static void block_input(const shape *s, const void *x, bool x_bf16, size_t first,
                               size_t count, float *v)
{
#define INPUT(tile, bf16) tiles_input(tile, s, x, bf16, first, count, v)
    EACH_VERSION(INPUT, s->tile, x_bf16);
}

VECTOR static void block_output(const shape *s, const float *m, size_t first, size_t count,
                                const outputs *o)
{
#define OUTPUT(tile, bf16) tiles_output(tile, s, m, first, count, o, bf16)
    EACH_VERSION(OUTPUT, s->tile, o->bf16);
}

VECTOR static void block_output_gradient(const shape *s, const void *g, bool g_bf16, size_t first,
                                         size_t count, float *w, float *sums)
{
#define GRADIENT(tile, bf16) tiles_gradient(tile, s, g, bf16, first, count, w, sums)
    EACH_VERSION(GRADIENT, s->tile, g_bf16);
}

/* ---- products ---- */

/* m[STRIP][PANEL] = v[STRIP][inputs] u[inputs][PANEL] */
VECTOR_INLINE void strip_product(const float *v, const float *u, size_t inputs, float *m,
                                 size_t outputs)
{
    vec sum[STRIP][2];
#pragma GCC unroll 12
    for (size_t t = 0; t < STRIP; t++)
        sum[t][0] = sum[t][1] = vec_zero();
    for (size_t c = 0; c < inputs; c++) {
        vec u0 = vec_load(u + c * PANEL), u1 = vec_load(u + c * PANEL + LANES);
#pragma GCC unroll 12
        for (size_t t = 0; t < STRIP; t++) {
            vec one = vec_all(v[t * inputs + c]);
            sum[t][0] = vec_fma(one, u0, sum[t][0]);
            sum[t][1] = vec_fma(one, u1, sum[t][1]);
        }
    }
#pragma GCC unroll 12
    for (size_t t = 0; t < STRIP; t++) {
        vec_store(m + t * outputs, sum[t][0]);
        vec_store(m + t * outputs + LANES, sum[t][1]);
    }
}

VECTOR static void block_product(const shape *s, size_t count, const float *v, const float *filters,
                                 float *m)
{
    size_t in = s->in.channels, out = s->out.channels;
    for (size_t p = 0; p < s->points; p++) {
        const float *from = v + p * point_stride(s->block, in);
        float *to = m + p * point_stride(s->block, out);
        for (size_t k = 0; k < out; k += PANEL) {
            const float *u = filters + p * in * out + k * in;
            for (size_t t = 0; t < count; t += STRIP)
                strip_product(from + t * in, u, in, to + t * out + k, out);
        }
    }
}

#define COLUMN (LANES / 2) /* outputs whose gradients are summed at once */

/* sum[COLUMN][PANEL] += w[tiles][COLUMN]^T v[tiles][PANEL] */
VECTOR_INLINE void gradient_product(const float *w, size_t outputs, const float *v, size_t inputs,
                                    size_t tiles, float *total)
{
    vec sum[COLUMN][2];
#pragma GCC unroll 8
    for (size_t k = 0; k < COLUMN; k++) {
        sum[k][0] = vec_load(total + k * inputs);
        sum[k][1] = vec_load(total + k * inputs + LANES);
    }
    for (size_t t = 0; t < tiles; t++) {
        vec v0 = vec_load(v + t * inputs), v1 = vec_load(v + t * inputs + LANES);
#pragma GCC unroll 8
        for (size_t k = 0; k < COLUMN; k++) {
            vec one = vec_all(w[t * outputs + k]);
            sum[k][0] = vec_fma(one, v0, sum[k][0]);
            sum[k][1] = vec_fma(one, v1, sum[k][1]);
        }
    }
#pragma GCC unroll 8
    for (size_t k = 0; k < COLUMN; k++) {
        vec_store(total + k * inputs, sum[k][0]);
        vec_store(total + k * inputs + LANES, sum[k][1]);
    }
}

/* total[point][output][input] += the block's */
VECTOR static void block_gradient(const shape *s, size_t count, const float *v, const float *w,
                                  float *total)
{
    size_t in = s->in.channels, out = s->out.channels;
    for (size_t p = 0; p < s->points; p++) {
        const float *from = v + p * point_stride(s->block, in);
        const float *with = w + p * point_stride(s->block, out);
        for (size_t k = 0; k < out; k += COLUMN)
            for (size_t c = 0; c < in; c += PANEL)
                gradient_product(with + k, out, from + c, in, count,
                                 total + (p * out + k) * in + c);
    }
}

/* ---- forward and backward ---- */

/* What a pass reads and writes. */
typedef struct {
    shape s;
    const void *x;
    bool bf16;
    const float *filters;
    outputs to;
} pass;

static void convolve(const layer *l, const pass *p, float *scratch)
{
    const shape *s = &p->s;
    size_t blocks = (s->tiles + s->block - 1) / s->block;
#pragma omp parallel
    {
        float *v = scratch + (size_t)omp_get_thread_num() * thread_scratch(l);
        float *m = v + domain_count(s->block, s->in.channels);
#pragma omp for schedule(static)
        for (size_t b = 0; b < blocks; b++) {
            size_t first = b * s->block, left = s->tiles - first;
            size_t count = left < s->block ? left : s->block;
            block_input(s, p->x, p->bf16, first, count, v);
            block_product(s, count, v, p->filters, m);
            block_output(s, m, first, count, &p->to);
        }
    }
}

static void forward(const layer *l, const void *x, const float *filters, const float *bias,
                    bool relu, void *y, element x_type, element y_type, size_t rows, float *scratch)
{
    pass p = {.s = shape_forward(l, rows),
              .x = x,
              .bf16 = x_type == ELEMENT_BF16,
              .filters = filters,
              .to = {.y = y, .bf16 = y_type == ELEMENT_BF16, .bias = bias, .relu = relu}};
    convolve(l, &p, scratch);
}

static void backward(const layer *l, const void *y_gradient, const float *filters, const void *gate,
                     float factor, void *x_gradient, element y_type, element x_type, size_t rows,
                     float *scratch)
{
    pass p = {
        .s = shape_backward(l, rows),
        .x = y_gradient,
        .bf16 = y_type == ELEMENT_BF16,
        .filters = filters,
        .to = {.y = x_gradient, .bf16 = x_type == ELEMENT_BF16, .gate = gate, .factor = factor}};
    convolve(l, &p, scratch);
}

/* ---- the weights' gradient ---- */

/* A thread's scratch: inputs, outputs' gradients, the sums so far. */
typedef struct {
    float *v, *w, *total, *bias;
} share;

static share share_of(const layer *l, const shape *s, float *scratch, size_t thread)
{
    share h = {.v = scratch + thread * thread_scratch(l)};
    h.w = h.v + domain_count(s->block, s->in.channels);
    h.total = h.w + domain_count(s->block, s->out.channels);
    h.bias = h.total + filter_count(l);
    return h;
}

/* One output's [3][3][in] from the sums of all threads. */
VECTOR_INLINE void filter_gradient(size_t tile, const layer *l, const shape *s, float *scratch,
                                   size_t threads, size_t k, float *out)
{
    size_t in = l->in.channels, all = l->out.channels, span = tile + 2;
    for (size_t c = 0; c < in; c += LANES) {
        vec u[POINTS], half_way[3 * SPAN], g[9];
        for (size_t p = 0; p < span * span; p++) {
            u[p] = vec_zero();
            for (size_t t = 0; t < threads; t++)
                u[p] =
                    ADD(u[p], vec_load(share_of(l, s, scratch, t).total + (p * all + k) * in + c));
        }
        for (size_t j = 0; j < span; j++)
            line_filter_gradient(tile, u + j, span, half_way + j, span);
        for (size_t i = 0; i < 3; i++)
            line_filter_gradient(tile, half_way + span * i, 1, g + 3 * i, 1);
        for (size_t i = 0; i < 9; i++)
            vec_store(out + i * in + c, g[i]);
    }
}

VECTOR static void gradient_of_output(const layer *l, const shape *s, float *scratch,
                                      size_t threads, size_t k, float *out)
{
    if (s->tile == 5)
        filter_gradient(5, l, s, scratch, threads, k, out);
    else
        filter_gradient(4, l, s, scratch, threads, k, out);
}

static void weight_gradient(const layer *l, const void *x, const void *y_gradient, element x_type,
                            element y_type, size_t rows, float *weight_gradient,
                            float *bias_gradient, float *scratch)
{
    shape s = shape_forward(l, rows);
    size_t in = l->in.channels, out = l->out.channels;
    size_t blocks = (s.tiles + s.block - 1) / s.block;
#pragma omp parallel
    {
        size_t threads = (size_t)omp_get_num_threads(), first, last;
        share h = share_of(l, &s, scratch, (size_t)omp_get_thread_num());
        memset(h.total, 0, (filter_count(l) + out) * sizeof *h.total);
        thread_part(blocks, 1, &first, &last);
        for (size_t b = first; b < last; b++) {
            size_t left = s.tiles - b * s.block;
            size_t count = left < s.block ? left : s.block;
            block_input(&s, x, x_type == ELEMENT_BF16, b * s.block, count, h.v);
            block_output_gradient(&s, y_gradient, y_type == ELEMENT_BF16, b * s.block, count, h.w,
                                  h.bias);
            block_gradient(&s, count, h.v, h.w, h.total);
        }
#pragma omp barrier
#pragma omp for schedule(static)
        for (size_t k = 0; k < out; k++) {
            gradient_of_output(l, &s, scratch, threads, k, weight_gradient + k * 9 * in);
            float sum = 0;
            for (size_t t = 0; t < threads; t++)
                sum += share_of(l, &s, scratch, t).bias[k];
            if (bias_gradient)
                bias_gradient[k] = sum;
        }
    }
}

const winograd_passes WINOGRAD_PASSES = {.fits = fits,
                                         .filter_count = filter_count,
                                         .filters = filters_all,
                                         .filters_rotated = rotated_filters_all,
                                         .scratch_count = scratch_count,
                                         .forward = forward,
                                         .backward = backward,
                                         .weight_gradient = weight_gradient};

#endif
