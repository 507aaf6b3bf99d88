/* conv_cores.cu: convolutions in bfloat16 by tensor cores, of two kinds that the library is slow
 * at: weights' gradients of small convolutions (few weights, each a sum over very many places), and
 * convolutions of eight channels, which are pictures. A tile of the input lies in shared memory
 * with zeros around it and is read there once for each of the kernel's elements ("taps"). The
 * formulas are in kernels/reference/conv.c. */
#include "conv_cores.h"
#include "cores.cuh"

/* The part of one picture that a block has at once: `high` rows of the output, and what they read
 * of the input, from (top, left) on. */
struct conv_tile {
    int picture, y, high, top, left, in_high;
};
__device__ static inline conv_tile tile_find(const conv_shape &s, const conv_tiling &t, int index)
{
    conv_tile c;
    c.picture = index / t.each;
    c.y = index % t.each * t.high;
    int left = s.out_height - c.y;
    c.high = t.high < left ? t.high : left;
    c.top = c.y * s.stride_height - s.top;
    c.left = -s.left;
    c.in_high = (c.high - 1) * s.stride_height + (s.kernel_height - 1) * s.dilation_height + 1;
    return c;
}

/* Begins to copy channels [channel, channel + 8 LINES) of the tile's input; `pitch` lines apart. */
template <int LINES>
__device__ static inline void input_copy(const conv_shape &s, const conv_tiling &t,
                                         const conv_tile &c, const bfloat16 *in, int channel,
                                         line *to, int pitch)
{
    int count = c.in_high * t.wide * LINES;
    for (int i = (int)threadIdx.x; i < count; i += (int)blockDim.x) {
        int place = i / LINES, part = i % LINES;
        int y = c.top + place / t.wide, x = c.left + place % t.wide;
        bool there = y >= 0 && y < s.in_height && x >= 0 && x < s.in_width;
        size_t from = (((size_t)c.picture * (size_t)s.in_height + (size_t)(there ? y : 0)) *
                           (size_t)s.in_width +
                       (size_t)(there ? x : 0)) *
                          (size_t)s.in_channels +
                      (size_t)(channel + part * LINE);
        copy_begin(&to[place * pitch + part], in + from, there);
    }
}

/* Where, in a tile of the input, the output's place p reads its first tap. */
__device__ static inline int first_tap(const conv_shape &s, const conv_tiling &t, int p)
{
    return p / s.out_width * s.stride_height * t.wide + p % s.out_width * s.stride_width;
}
/* How far behind it lies another. */
__device__ static inline int tap_offset(const conv_shape &s, const conv_tiling &t, int tap)
{
    return tap / s.kernel_width * s.dilation_height * t.wide +
           tap % s.kernel_width * s.dilation_width;
}

/* ---- weights' gradients ----
 *
 * blockIdx: x chunk of the tiles, y 32 channels of the output and C of the input, z taps, one a
 * warp. [32 outputs][C inputs] of a tap = sum over places of d_out^T in, in partials
 * [chunk][output][tap][input]. */

template <int C>
__global__ static void weight_sums(conv_shape s, conv_tiling t, const bfloat16 *in,
                                   const bfloat16 *d_out, float *partials)
{
    /* Odd numbers of lines from place to place: neighbours are in different banks. */
    constexpr int LINES = C / LINE, PITCH = LINES == 1 ? 1 : LINES + 1,
                  D_LINES = CORES_OUTPUTS / LINE;
    constexpr int HALVES = C == LINE ? 2 : 1, STEP = 16 * HALVES;
    __shared__ line d_tile[CORES_PLACES * (D_LINES + 1)], in_tile[CORES_LINES];
    __shared__ uint16_t firsts[CORES_PLACES];
    int lane = (int)threadIdx.x % WARP, warp = (int)threadIdx.x / WARP;
    int taps = s.kernel_height * s.kernel_width, tap = (int)blockIdx.z * CORES_TAPS + warp;
    int groups = s.in_channels / C, output = (int)blockIdx.y / groups * CORES_OUTPUTS;
    int input = (int)blockIdx.y % groups * C, own = tap < taps ? tap_offset(s, t, tap) : 0;
    float sums[2][LINES][4] = {};
    for (int p = (int)threadIdx.x; p < t.high * s.out_width; p += (int)blockDim.x)
        firsts[p] = (uint16_t)first_tap(s, t, p);
    for (int index = (int)blockIdx.x; index < t.count; index += (int)gridDim.x) {
        conv_tile c = tile_find(s, t, index);
        int places = c.high * s.out_width, whole = (places + STEP - 1) / STEP * STEP;
        size_t first =
            ((size_t)c.picture * (size_t)s.out_height + (size_t)c.y) * (size_t)s.out_width;
        __syncthreads(); /* the tile before is read */
        for (int i = (int)threadIdx.x; i < whole * D_LINES; i += (int)blockDim.x) {
            int p = i / D_LINES, part = i % D_LINES;
            bool there = p < places;
            size_t from = (first + (size_t)(there ? p : 0)) * (size_t)s.out_channels +
                          (size_t)(output + part * LINE);
            copy_begin(&d_tile[p * (D_LINES + 1) + part], d_out + from, there);
        }
        input_copy<LINES>(s, t, c, in, input, in_tile, PITCH);
        copies_commit();
        copies_wait<0>();
        __syncthreads();
        for (int k = 0; tap < taps && k < whole; k += STEP) {
            uint32_t left[HALVES][2][4], right[4];
            for (int h = 0; h < HALVES; h++)
                for (int m = 0; m < 2; m++)
                    matrices_load_transposed(
                        left[h][m],
                        &d_tile[(k + 16 * h + lane % 8 + lane / 16 * 8) * (D_LINES + 1) + 2 * m +
                                lane / 8 % 2]);
            if (C == LINE) { /* four times eight places */
                int p = k + lane;
                matrices_load_transposed(right, &in_tile[(p < places ? firsts[p] : 0) + own]);
                for (int h = 0; h < HALVES; h++)
                    for (int m = 0; m < 2; m++)
                        multiply_add(sums[m][0], left[h][m], right[2 * h], right[2 * h + 1]);
                continue;
            }
            int p = k + lane % 8 + lane / 8 % 2 * 8;
            const line *at = &in_tile[((p < places ? firsts[p] : 0) + own) * PITCH + lane / 16];
            for (int j = 0; j + 1 < LINES; j += 2) {
                matrices_load_transposed(right, at + j);
                for (int m = 0; m < 2; m++) {
                    multiply_add(sums[m][j], left[0][m], right[0], right[1]);
                    multiply_add(sums[m][j + 1], left[0][m], right[2], right[3]);
                }
            }
        }
    }
    for (int m = 0; tap < taps && m < 2; m++) {
        for (int j = 0; j < LINES; j++) {
            for (int half = 0; half < 2; half++) {
                int o = output + 16 * m + 8 * half + lane / 4, i = input + LINE * j + lane % 4 * 2;
                size_t at =
                    (((size_t)blockIdx.x * (size_t)s.out_channels + (size_t)o) * (size_t)taps +
                     (size_t)tap) *
                        (size_t)s.in_channels +
                    (size_t)i;
                pack<float, 2> two = {{sums[m][j][2 * half], sums[m][j][2 * half + 1]}};
                store(partials + at, two);
            }
        }
    }
}

/* The sums of all chunks, 32 weights a block. */
__global__ static void weight_finish(const float *partials, unsigned chunks, size_t count,
                                     bfloat16 *d_weight)
{
    size_t weight = (size_t)blockIdx.x * WARP + threadIdx.x % WARP;
    float sum = chunk_sum<float>(partials, chunks, count, weight, count, WARP);
    if (threadIdx.x < WARP && weight < count)
        d_weight[weight] = from_float<bfloat16>(sum);
}

__device__ static inline float relu_of(float x)
{
    return element_activate(ACTIVATION_RELU, 0, 0, x);
}

/* ---- eight channels ----
 *
 * blockIdx: x tile, y 32 channels of the output. A warp does 16 places at once, two taps at a
 * time. */

template <int PAIRS>
__global__ static void eight_forward(conv_shape s, conv_tiling t, const bfloat16 *in,
                                     const bfloat16 *weight, const bfloat16 *bias, int relu,
                                     bfloat16 *out)
{
    constexpr int WIDE = CORES_OUTPUTS / LINE;
    __shared__ line tile[CORES_LINES];
    int lane = (int)threadIdx.x % WARP, warp = (int)threadIdx.x / WARP, g = lane / 4, u = lane % 4;
    int taps = s.kernel_height * s.kernel_width, output = (int)blockIdx.y * CORES_OUTPUTS;
    conv_tile c = tile_find(s, t, (int)blockIdx.x);
    input_copy<1>(s, t, c, in, 0, tile, 1);
    copies_commit();
    uint32_t right[PAIRS][WIDE][2];
    float offset[WIDE][2] = {};
    int tap_at[PAIRS];
    for (int q = 0; q < PAIRS; q++) {
        for (int j = 0; j < WIDE; j++) {
            for (int half = 0; half < 2; half++) {
                int o = output + LINE * j + g, tap = 2 * q + half;
                size_t at = ((size_t)o * (size_t)taps + (size_t)tap) * LINE + (size_t)(2 * u);
                right[q][j][half] = tap < taps ? pair_load(weight + at) : 0;
            }
        }
        int tap = 2 * q + lane / 16;
        tap_at[q] = tap < taps ? tap_offset(s, t, tap) : 0;
    }
    for (int j = 0; bias && j < WIDE; j++)
        for (int k = 0; k < 2; k++)
            offset[j][k] = to_float(bias[output + LINE * j + 2 * u + k]);
    copies_wait<0>();
    __syncthreads();
    int places = c.high * s.out_width;
    bfloat16 *to = out +
                   ((size_t)c.picture * (size_t)s.out_height + (size_t)c.y) * (size_t)s.out_width *
                       (size_t)s.out_channels +
                   output + LINE * u;
    for (int first = 16 * warp; first < places; first += 16 * (int)(blockDim.x / WARP)) {
        int p = first + lane % 8 + lane / 8 % 2 * 8;
        int at = first_tap(s, t, p < places ? p : places - 1);
        float sums[WIDE][4] = {};
        for (int q = 0; q < PAIRS; q++) {
            uint32_t left[4];
            matrices_load(left, &tile[at + tap_at[q]]);
            for (int j = 0; j < WIDE; j++)
                multiply_add(sums[j], left, right[q][j][0], right[q][j][1]);
        }
        for (int half = 0; half < 2; half++) {
            uint32_t x[WIDE];
            for (int j = 0; j < WIDE; j++) {
                float a = sums[j][2 * half] + offset[j][0],
                      b = sums[j][2 * half + 1] + offset[j][1];
                x[j] = relu ? pair_of(relu_of(a), relu_of(b)) : pair_of(a, b);
            }
            quad_transpose(x);
            p = first + 8 * half + g;
            if (p < places)
                line_store(to + (size_t)p * (size_t)s.out_channels, x);
        }
    }
}

/* ---- launches ---- */

static inline int taps_of(const conv_shape *s)
{
    return s->kernel_height * s->kernel_width;
}

extern "C" int kernel_conv_cores_weight(const conv_shape *s, int blocks, const void *in,
                                        const void *d_out, void *d_weight, float *partials,
                                        kernel_stream stream)
{
    conv_tiling t = conv_cores_weight_tiling(s, blocks);
    int c = conv_cores_channels(s), taps = taps_of(s);
    size_t count = (size_t)s->out_channels * (size_t)taps * (size_t)s->in_channels;
    dim3 grid((unsigned)t.chunks,
              (unsigned)(s->out_channels / CORES_OUTPUTS * (s->in_channels / c)),
              blocks_for((size_t)taps, CORES_TAPS));
    auto kernel = c == LINE ? weight_sums<LINE> : weight_sums<32>;
    int warps = taps < CORES_TAPS ? taps : CORES_TAPS;
    int status = LAUNCH(kernel, grid, (unsigned)(warps * WARP), stream, *s, t, (const bfloat16 *)in,
                        (const bfloat16 *)d_out, partials);
    return status ? status
                  : LAUNCH(weight_finish, blocks_for(count, WARP), THREADS, stream, partials,
                           (unsigned)t.chunks, count, (bfloat16 *)d_weight);
}

extern "C" int kernel_conv_cores_forward(const conv_shape *s, int blocks, const void *in,
                                         const void *weight, const void *bias, int relu, void *out,
                                         kernel_stream stream)
{
    conv_tiling t = conv_cores_forward_tiling(s, blocks);
    dim3 grid((unsigned)t.count, (unsigned)(s->out_channels / CORES_OUTPUTS));
    return LAUNCH(eight_forward<CORES_PAIRS>, grid, THREADS, stream, *s, t, (const bfloat16 *)in,
                  (const bfloat16 *)weight, (const bfloat16 *)bias, relu, (bfloat16 *)out);
}
