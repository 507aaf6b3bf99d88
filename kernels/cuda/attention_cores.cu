/* attention_cores.cu: attention forward in bfloat16 by tensor cores, all heads in one launch and
 * without the square of weights in memory: keys come 64 at a time, and what was summed before is
 * scaled when a larger product comes (Dao et al., FlashAttention, NeurIPS 2022). The formula is in
 * kernels/reference/attention.c.
 *
 * A block has 64 places of a head of a row, and those of one row run together: they read the same
 * keys, and the heads' channels lie side by side. A warp has 16 places. DEPTH: channels a head. */
#include "attention_cores.h"
#include "cores.cuh"

#define KEYS 64 /* at a time */
#define WARPS (ATTENTION_PLACES / 16)

/* A row's pictures: [place][width] from `at` on. */
struct matrix_view {
    const bfloat16 *at;
    size_t width;
};

/* Begins to copy KEYS places from `first` on; zeros behind the last. */
template <int DEPTH>
__device__ static inline void keys_copy(const matrix_view &m, int first, int places, line *to)
{
    constexpr int LINES = DEPTH / LINE;
    for (int i = (int)threadIdx.x; i < KEYS * LINES; i += (int)blockDim.x) {
        int place = first + i / LINES, part = i % LINES;
        bool there = place < places;
        copy_begin(&to[i / LINES * (LINES + 1) + part],
                   m.at + (size_t)(there ? place : 0) * m.width + (size_t)(part * LINE), there);
    }
}

/* The largest, or the sum, over the four threads that share a line of products. */
__device__ static inline float quad_most(float x)
{
    x = fmaxf(x, __shfl_xor_sync(0xFFFFFFFFu, x, 1));
    return fmaxf(x, __shfl_xor_sync(0xFFFFFFFFu, x, 2));
}
__device__ static inline float quad_sum(float x)
{
    x += __shfl_xor_sync(0xFFFFFFFFu, x, 1);
    return x + __shfl_xor_sync(0xFFFFFFFFu, x, 2);
}

/* products [16][KEYS] = queries keys^T; sixteen keys of which none is below `count` are left out,
 * in all that follows, if not WHOLE: a whole tile has no such branches in its way. */
template <int DEPTH, bool WHOLE>
__device__ static inline void keys_multiply(const uint32_t (*query)[4], const line *keys, int count,
                                            float (*products)[4])
{
    constexpr int PITCH = DEPTH / LINE + 1;
    int lane = (int)threadIdx.x % WARP;
    for (int j = 0; j < KEYS / LINE; j++)
        for (int i = 0; i < 4; i++)
            products[j][i] = 0;
#pragma unroll
    for (int d = 0; d < DEPTH / 16; d++) {
#pragma unroll
        for (int j = 0; j < KEYS / 16; j++) {
            if (!WHOLE && 16 * j >= count)
                continue;
            uint32_t right[4];
            matrices_load(
                right, &keys[(16 * j + lane % 8 + lane / 16 * 8) * PITCH + 2 * d + lane / 8 % 2]);
            multiply_add(products[2 * j], query[d], right[0], right[1]);
            multiply_add(products[2 * j + 1], query[d], right[2], right[3]);
        }
    }
}

/* sums [16][DEPTH] += weights values. */
template <int DEPTH, bool WHOLE>
__device__ static inline void values_add(const float (*weights)[4], const line *values, int count,
                                         float (*sums)[4])
{
    constexpr int PITCH = DEPTH / LINE + 1;
    int lane = (int)threadIdx.x % WARP;
#pragma unroll
    for (int j = 0; j < KEYS / 16; j++) {
        if (!WHOLE && 16 * j >= count)
            continue;
        const float *a = weights[2 * j], *b = weights[2 * j + 1];
        uint32_t left[4] = {pair_of(a[0], a[1]), pair_of(a[2], a[3]), pair_of(b[0], b[1]),
                            pair_of(b[2], b[3])};
#pragma unroll
        for (int d = 0; d < DEPTH / 16; d++) {
            uint32_t right[4];
            matrices_load_transposed(
                right, &values[(16 * j + lane % 8 + lane / 8 % 2 * 8) * PITCH + 2 * d + lane / 16]);
            multiply_add(sums[2 * d], left, right[0], right[1]);
            multiply_add(sums[2 * d + 1], left, right[2], right[3]);
        }
    }
}

/* What a thread knows of its two places: [g] and [g + 8] of the warp's. */
template <int DEPTH> struct attention_state {
    float most[2], total[2], sums[DEPTH / LINE][4];
};

/* Products become weights, and what was summed before is scaled to them. scale: of products, times
 * log2 e. */
template <int DEPTH, bool WHOLE>
__device__ static inline void weights_make(attention_state<DEPTH> &a, float (*products)[4],
                                           int count, float scale)
{
    int t = (int)threadIdx.x % 4;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        float most = a.most[half], total = 0;
#pragma unroll
        for (int j = 0; j < KEYS / LINE; j++)
            for (int k = 0; k < 2; k++) {
                float &x = products[j][2 * half + k];
                x = WHOLE || LINE * j + 2 * t + k < count ? x : -INFINITY;
                most = fmaxf(most, x);
            }
        most = quad_most(most);
        float kept = exp2f((a.most[half] - most) * scale);
#pragma unroll
        for (int j = 0; j < KEYS / LINE; j++) {
            if (!WHOLE && 16 * (j / 2) >= count)
                continue;
            for (int k = 0; k < 2; k++) {
                float &x = products[j][2 * half + k];
                x = exp2f((x - most) * scale);
                total += x;
            }
        }
        a.most[half] = most;
        a.total[half] = a.total[half] * kept + total;
#pragma unroll
        for (int d = 0; d < DEPTH / LINE; d++)
            for (int k = 0; k < 2; k++)
                a.sums[d][2 * half + k] *= kept;
    }
}

/* A tile of keys and values. */
template <int DEPTH, bool WHOLE>
__device__ static inline void keys_add(attention_state<DEPTH> &a, const uint32_t (*query)[4],
                                       const line *keys, const line *values, int count, float scale)
{
    float products[KEYS / LINE][4];
    keys_multiply<DEPTH, WHOLE>(query, keys, count, products);
    weights_make<DEPTH, WHOLE>(a, products, count, scale);
    values_add<DEPTH, WHOLE>(products, values, count, a.sums);
}

/* Four blocks a multiprocessor: 128 registers a thread. */
template <int DEPTH>
__global__ static void __launch_bounds__(WARPS *WARP, 4)
    attention(attention_task task, const bfloat16 *in, bfloat16 *out)
{
    constexpr int LINES = DEPTH / LINE, SIZE = KEYS * (LINES + 1);
    __shared__ line keys[2][SIZE], values[2][SIZE];
    int lane = (int)threadIdx.x % WARP, g = lane / 4, t = lane % 4, places = task.places;
    unsigned each = ((unsigned)places + ATTENTION_PLACES - 1) / ATTENTION_PLACES;
    unsigned heads = (unsigned)task.heads, first_channel = blockIdx.x / each % heads * DEPTH;
    size_t before = (size_t)(blockIdx.x / each / heads) * (size_t)places; /* of the rows before */
    int own = (int)(blockIdx.x % each) * ATTENTION_PLACES + (int)threadIdx.x / WARP * 16 + g;
    bool works = own - g < places; /* the warp has a place */
    size_t channels = (size_t)task.channels, width = 3 * channels;
    const bfloat16 *row = in + before * width + first_channel;
    matrix_view k = {row + channels, width}, v = {row + 2 * channels, width};
    keys_copy<DEPTH>(k, 0, places, keys[0]);
    keys_copy<DEPTH>(v, 0, places, values[0]);
    copies_commit();
    uint32_t query[DEPTH / 16][4];
#pragma unroll
    for (int d = 0; d < DEPTH / 16; d++)
        for (int i = 0; i < 4; i++) {
            int place = own + i % 2 * 8;
            size_t at = (size_t)(place < places ? place : places - 1) * width;
            query[d][i] = pair_load(row + at + 16 * d + i / 2 * 8 + 2 * t);
        }
    float scale = task.scale * 1.44269504f; /* log2 e */
    attention_state<DEPTH> a = {{-INFINITY, -INFINITY}, {}, {}};
    for (int first = 0, side = 0; first < places; first += KEYS, side ^= 1) {
        if (first + KEYS < places) { /* the next ones, while these are worked on */
            keys_copy<DEPTH>(k, first + KEYS, places, keys[side ^ 1]);
            keys_copy<DEPTH>(v, first + KEYS, places, values[side ^ 1]);
        }
        copies_commit();
        copies_wait<1>();
        __syncthreads();
        int count = places - first;
        if (works && count >= KEYS)
            keys_add<DEPTH, true>(a, query, keys[side], values[side], count, scale);
        else if (works)
            keys_add<DEPTH, false>(a, query, keys[side], values[side], count, scale);
        __syncthreads(); /* before the copies of the turn after the next */
    }
#pragma unroll
    for (int half = 0; half < 2; half++) {
        int place = own + 8 * half;
        float inverse = 1 / quad_sum(a.total[half]);
        bfloat16 *to = out + (before + (size_t)place) * channels + first_channel + 2 * t;
#pragma unroll
        for (int d = 0; place < places && d < LINES; d++) {
            pack<bfloat16, 2> two = {{from_float<bfloat16>(a.sums[d][2 * half] * inverse),
                                      from_float<bfloat16>(a.sums[d][2 * half + 1] * inverse)}};
            store(to + LINE * d, two);
        }
    }
}

template <int DEPTH>
static int attention_launch(const attention_task *t, const void *in, void *out,
                            kernel_stream stream)
{
    unsigned blocks =
        blocks_for((size_t)t->places, ATTENTION_PLACES) * (unsigned)(t->heads * t->rows);
    return LAUNCH(attention<DEPTH>, blocks, WARPS * WARP, stream, *t, (const bfloat16 *)in,
                  (bfloat16 *)out);
}

extern "C" int kernel_attention(const attention_task *t, const void *in, void *out,
                                kernel_stream stream)
{
    switch (t->channels / t->heads) {
    case 16:
        return attention_launch<16>(t, in, out, stream);
    case 32:
        return attention_launch<32>(t, in, out, stream);
    case 48:
        return attention_launch<48>(t, in, out, stream);
    default:
        return attention_launch<64>(t, in, out, stream);
    }
}
