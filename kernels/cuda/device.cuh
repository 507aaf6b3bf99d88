/* device.cuh: what the kernel files share: types, vectors, sums over warps, blocks and columns.
 *
 * A file that is compiled with EMULATED defined runs on the CPU (tests/gpu/emulated), for checking
 * the kernels' indices and barriers where there is no GPU. */
#ifndef KERNELS_CUDA_DEVICE_CUH
#define KERNELS_CUDA_DEVICE_CUH

#ifdef EMULATED
#include "emulate.h"
#else
#include <cuda_bf16.h>
#include <cuda_runtime.h>
#define LAUNCH(kernel, grid, threads, stream, ...)                                                 \
    (kernel<<<(grid), (threads), 0, (stream)>>>(__VA_ARGS__), (int)cudaPeekAtLastError())
#endif

#include "formulas.h"
#include "kernels.h"

typedef __nv_bfloat16 bfloat16;

#define THREADS 256 /* of a block, where nothing else is said */
#define WARP 32

__device__ static inline float to_float(float x)
{
    return x;
}
__device__ static inline float to_float(bfloat16 x)
{
    return __bfloat162float(x);
}
template <class T> __device__ static inline T from_float(float x);
template <> __device__ inline float from_float<float>(float x)
{
    return x;
}
template <> __device__ inline bfloat16 from_float<bfloat16>(float x)
{
    return __float2bfloat16(x);
}

/* V elements that are read and written at once: 16 bytes, or one element where rows are not
 * aligned. */
template <class T, int V> struct alignas(sizeof(T) * V) pack {
    T v[V];
};
template <class T, int V> __device__ static inline pack<T, V> load(const T *at)
{
    return *reinterpret_cast<const pack<T, V> *>(at);
}
template <class T, int V> __device__ static inline void store(T *at, const pack<T, V> &p)
{
    *reinterpret_cast<pack<T, V> *>(at) = p;
}

/* V floats, of which nobody says that they are aligned; they mostly are. */
template <int V> __device__ static inline void floats_load(const float *at, float *to)
{
    constexpr int W = V % 4 == 0 ? 4 : 1;
    bool aligned = (uintptr_t)at % (W * sizeof(float)) == 0;
    for (int i = 0; i < V; i += W) {
        pack<float, W> p;
        if (aligned)
            p = load<float, W>(at + i);
        for (int k = 0; k < W; k++)
            to[i + k] = aligned ? p.v[k] : at[i + k];
    }
}

/* A type and a number of its elements, as a value. */
template <class E, int N> struct vector_of {
    typedef E type;
    static constexpr int width = N;
};

/* Calls f for the type, with 16-byte vectors where `width` elements are a whole number of them. */
template <class F> static inline int dispatch(element type, size_t width, const F &f)
{
    if (type == ELEMENT_F32)
        return width % 4 == 0 ? f(vector_of<float, 4>()) : f(vector_of<float, 1>());
    return width % 8 == 0 ? f(vector_of<bfloat16, 8>()) : f(vector_of<bfloat16, 1>());
}

static inline unsigned blocks_for(size_t items, size_t each)
{
    size_t blocks = (items + each - 1) / each;
    return (unsigned)(blocks ? blocks : 1);
}

/* ---- sums ---- */

template <class X> __device__ static inline X warp_sum(X x)
{
    for (int d = WARP / 2; d > 0; d /= 2)
        x += __shfl_xor_sync(0xFFFFFFFFu, x, d);
    return x;
}

/* The sum over all threads of the block, for each of them. All must call it; blockDim.x is a
 * multiple of 32. */
template <class X> __device__ static inline X block_sum(X x)
{
    __shared__ X sums[WARP];
    x = warp_sum(x);
    __syncthreads(); /* the sums of a call before are read */
    if (threadIdx.x % WARP == 0)
        sums[threadIdx.x / WARP] = x;
    __syncthreads();
    X total = 0;
    for (unsigned w = 0; w < blockDim.x / WARP; w++)
        total += sums[w];
    return total;
}

/* The best (value, place) over all threads: the largest value, the lowest place among equals. */
__device__ static inline void block_best(float &value, uint32_t &place)
{
    __shared__ float values[WARP];
    __shared__ uint32_t places[WARP];
    for (int d = WARP / 2; d > 0; d /= 2) {
        float v = __shfl_xor_sync(0xFFFFFFFFu, value, d);
        uint32_t p = __shfl_xor_sync(0xFFFFFFFFu, place, d);
        if (element_before(v, p, value, place)) {
            value = v;
            place = p;
        }
    }
    __syncthreads();
    if (threadIdx.x % WARP == 0) {
        values[threadIdx.x / WARP] = value;
        places[threadIdx.x / WARP] = place;
    }
    __syncthreads();
    value = values[0];
    place = places[0];
    for (unsigned w = 1; w < blockDim.x / WARP; w++) {
        if (element_before(values[w], places[w], value, place)) {
            value = values[w];
            place = places[w];
        }
    }
}

/* Whether this block is the last of `blocks` to come here: it then sees what all others wrote
 * before. `arrivals` counts them and is zero again afterwards. */
__device__ static inline bool block_is_last(unsigned *arrivals, unsigned blocks)
{
    __shared__ bool last;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
        last = atomicAdd(arrivals, 1u) == blocks - 1;
        if (last)
            *arrivals = 0;
    }
    __syncthreads();
    if (last)
        __threadfence();
    return last;
}

/* ---- sums over columns ---- */

/* A block of THREADS threads over a matrix of `columns`: lanes side by side, each with V columns,
 * and as many rows at once as fit. blockIdx.y chooses the columns. */
#define TILE_LANES 64
template <int V> struct column_tile {
    int lane, lanes, row, rows;
    size_t column, columns;
    bool active;

    __device__ column_tile(size_t all) : columns(all)
    {
        size_t packs = columns / V;
        lanes = packs < TILE_LANES ? (int)packs : TILE_LANES;
        rows = THREADS / lanes;
        lane = (int)threadIdx.x % lanes;
        row = (int)threadIdx.x / lanes;
        column = ((size_t)blockIdx.y * (size_t)lanes + (size_t)lane) * V;
        active = row < rows && column < columns;
    }
};

static inline unsigned tile_groups(size_t columns, int v)
{
    size_t packs = columns / (size_t)v;
    return blocks_for(packs, packs < TILE_LANES ? packs : TILE_LANES);
}

/* How many blocks share the rows: as many as there is work for. */
static inline unsigned tile_chunks(size_t rows, size_t columns, int v, size_t most)
{
    size_t packs = columns / (size_t)v, lanes = packs < TILE_LANES ? packs : TILE_LANES;
    size_t chunks = blocks_for(rows, THREADS / lanes);
    return (unsigned)(chunks < most ? chunks : most);
}

/* The sums over the tile's rows go to out[column ...]. All threads call it; as many as fit share a
 * column. */
template <int V>
__device__ static inline void tile_sum(const column_tile<V> &t, const float *sums, float *out)
{
    __shared__ float all[THREADS * V], shares[THREADS * V];
    int columns = t.lanes * V, parts = columns < THREADS ? THREADS / columns : 1;
    int own = parts > 1 ? columns : THREADS; /* threads of a part */
    __syncthreads();
    for (int i = 0; i < V; i++)
        all[(int)threadIdx.x * V + i] = t.active ? sums[i] : 0;
    __syncthreads();
    int part = (int)threadIdx.x / own;
    for (int c = (int)threadIdx.x % own; part < parts && c < columns; c += own) {
        float sum = 0;
#pragma unroll 8
        for (int r = part; r < t.rows; r += parts)
            sum += all[r * columns + c];
        shares[part * columns + c] = sum;
    }
    __syncthreads();
    size_t first = (size_t)blockIdx.y * (size_t)columns;
    for (int c = (int)threadIdx.x; c < columns; c += THREADS) {
        float sum = shares[c];
        for (int q = 1; q < parts; q++)
            sum += shares[q * columns + c];
        if (first + (size_t)c < t.columns)
            out[first + (size_t)c] = sum;
    }
}

/* By all threads of one block: sum over chunks of partials[chunk * stride + column], for column =
 * base + threadIdx.x % lanes; right for threads below lanes. `lanes` divides into THREADS as often
 * as it fits, and so many threads share a column. Loads are under way SUM_LOADS at a time: one
 * after the other each takes the way to the cache and back. */
#define SUM_LOADS 16
template <class X>
__device__ static inline X chunk_sum(const float *partials, unsigned chunks, size_t stride,
                                     size_t column, size_t columns, unsigned lanes)
{
    __shared__ X all[THREADS];
    unsigned parts = THREADS / lanes, part = threadIdx.x / lanes;
    X sum = 0;
    bool adds = part < parts && column < columns;
    for (unsigned k = part; adds && k < chunks; k += SUM_LOADS * parts) {
        float x[SUM_LOADS];
#pragma unroll
        for (unsigned i = 0; i < SUM_LOADS; i++) {
            unsigned chunk = k + i * parts;
            x[i] = chunk < chunks ? __ldcg(partials + chunk * stride + column) : 0;
        }
#pragma unroll
        for (unsigned i = 0; i < SUM_LOADS; i++)
            sum += (X)x[i];
    }
    __syncthreads();
    all[threadIdx.x] = sum;
    __syncthreads();
    for (unsigned p = 1; p < parts && threadIdx.x < lanes; p++)
        sum += all[p * lanes + threadIdx.x];
    return sum;
}

/* By the last block: out[c] = sum over chunks of partials[chunk][c]. */
__device__ static inline void columns_finish(const float *partials, unsigned chunks, size_t columns,
                                             float *out)
{
    unsigned lanes = columns < THREADS ? (unsigned)columns : THREADS;
    for (size_t base = 0; base < columns; base += lanes) {
        size_t column = base + threadIdx.x % lanes;
        float sum = chunk_sum<float>(partials, chunks, columns, column, columns, lanes);
        if (threadIdx.x < lanes && column < columns)
            out[column] = sum;
    }
}

#endif
