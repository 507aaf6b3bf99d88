/* emulate.h: CUDA C++ for a CPU, as far as kernels/cuda uses it. `make emulated` builds the plug-in
 * anew from its own sources with this folder in the place of CUDA's headers and libraries; the
 * conformance tests then hold all of it, kernels and host, to kernels/reference on machines without
 * a GPU.
 *
 * It is made to show mistakes, not to be quick:
 *   threads    every thread of a block runs on a stack of its own; their order changes from barrier
 *              to barrier, and a barrier or shuffle that some threads never reach ends the program
 *   blocks     one after another, in changing order; shared memory is poison at each one's
 *              beginning
 *   streams    work is done late and in changing order, as far as streams and events leave that
 *              open; a graph's nodes run in any order that their dependencies allow
 *   memory     poison when new, unmapped when freed, with a page behind it that nothing may touch;
 *              the libraries' stand-ins check that arrays lie on the device whole
 *   capture    what may not be called while a graph is captured fails; so does the first launch of
 *              a kernel there, whose loading may not be captured either
 *
 * EMULATED_SEED fixes the orders, EMULATED_MEMORY the card's bytes, EMULATED_CAPABILITY its compute
 * capability ("9.0"), EMULATED_DEVICES their number. With EMULATED_CLOCK=falling whatever is timed
 * takes less than what was timed before: the last of what is tried wins, our own kernels. */
#ifndef EMULATED_EMULATE_H
#define EMULATED_EMULATE_H

#include "cuda_runtime_api.h"

#include <cstdint>
#include <cstring>
#include <functional>
#include <tuple>

/* ---- what the language has ---- */

#define __global__
#define __device__
#define __host__
#define __launch_bounds__(...)
#define __shared__ static __attribute__((section("emulated_shared")))

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_)
    {
    }
};
extern dim3 threadIdx, blockIdx, blockDim, gridDim;

/* ---- bfloat16 ---- */

struct __nv_bfloat16 {
    uint16_t bits;
};
static inline float __bfloat162float(__nv_bfloat16 x)
{
    uint32_t bits = (uint32_t)x.bits << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}
/* To the nearest, ties to even. */
static inline __nv_bfloat16 __float2bfloat16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (x != x)
        return __nv_bfloat16{0x7FFF};
    bits += 0x7FFF + (bits >> 16 & 1);
    return __nv_bfloat16{(uint16_t)(bits >> 16)};
}

/* ---- threads ---- */

namespace emulated
{
enum { WARP_SIZE = 32 };

void block_barrier();
void warp_barrier();
char *warp_slot(unsigned lane); /* eight bytes of this warp's, for shuffles */

/* A kernel's launch: on the stream, or into the graph that it captures. */
int launch_work(const void *kernel, dim3 grid, unsigned threads, cudaStream_t stream,
                std::function<void()> thread);
void kernel_loaded(const void *kernel);

/* Arguments are converted to the parameters' types and kept, as a launch does. */
template <class... P, class... A>
int launch(void (*kernel)(P...), dim3 grid, unsigned threads, cudaStream_t stream, A... arguments)
{
    std::tuple<P...> kept(static_cast<P>(arguments)...);
    return launch_work((const void *)kernel, grid, threads, stream,
                       [kernel, kept] { std::apply(kernel, kept); });
}
} // namespace emulated

#define LAUNCH(kernel, grid, threads, stream, ...)                                                 \
    emulated::launch(kernel, grid, threads, stream, __VA_ARGS__)

struct cudaFuncAttributes {
    int unused;
};
template <class... P>
static inline cudaError_t cudaFuncGetAttributes(cudaFuncAttributes *, void (*kernel)(P...))
{
    emulated::kernel_loaded((const void *)kernel);
    return cudaSuccess;
}

static inline void __syncthreads()
{
    emulated::block_barrier();
}
static inline void __threadfence()
{
}

template <class X> static inline X __shfl_xor_sync(unsigned, X x, int mask)
{
    static_assert(sizeof x <= 8, "a shuffle of more than eight bytes");
    unsigned lane = threadIdx.x % emulated::WARP_SIZE;
    memcpy(emulated::warp_slot(lane), &x, sizeof x);
    emulated::warp_barrier();
    memcpy(&x, emulated::warp_slot(lane ^ (unsigned)mask), sizeof x);
    emulated::warp_barrier();
    return x;
}

namespace emulated
{
/* Every thread of the warp gives an address and sees all of them, until the next barrier. */
static inline void addresses_give(const void *own)
{
    memcpy(warp_slot(threadIdx.x % WARP_SIZE), &own, sizeof own);
    warp_barrier();
}
template <class X> static inline const X *address_of(unsigned lane)
{
    const X *at;
    memcpy(&at, warp_slot(lane), sizeof at);
    return at;
}

/* What cores.cuh says of loading and of products. */
static inline void matrices_load(uint32_t *r, const void *from, bool transposed)
{
    unsigned g = threadIdx.x % WARP_SIZE / 4, t = threadIdx.x % 4;
    if ((uintptr_t)from % 16)
        __builtin_trap();
    addresses_give(from);
    for (unsigned m = 0; m < 4; m++) {
        uint16_t two[2];
        for (unsigned i = 0; i < 2; i++)
            two[i] = transposed ? address_of<uint16_t>(8 * m + 2 * t + i)[g]
                                : address_of<uint16_t>(8 * m + g)[2 * t + i];
        memcpy(&r[m], two, sizeof two);
    }
    warp_barrier();
}
struct operands {
    uint32_t left[4], right[2];
};
static inline float half_of(uint32_t pair, unsigned which)
{
    return __bfloat162float(__nv_bfloat16{(uint16_t)(pair >> 16 * which)});
}
static inline void multiply_add(float *sums, const uint32_t *left, uint32_t right,
                                uint32_t right_below)
{
    unsigned g = threadIdx.x % WARP_SIZE / 4, t = threadIdx.x % 4;
    operands own = {{left[0], left[1], left[2], left[3]}, {right, right_below}};
    addresses_give(&own);
    for (unsigned i = 0; i < 4; i++) {
        unsigned low = i / 2, column = 2 * t + i % 2;
        for (unsigned k = 0; k < 16; k++) {
            const operands *a = address_of<operands>(4 * g + k % 8 / 2);
            const operands *b = address_of<operands>(4 * column + k % 8 / 2);
            sums[i] += half_of(a->left[2 * (k / 8) + low], k % 2) * half_of(b->right[k / 8], k % 2);
        }
    }
    warp_barrier();
}
} // namespace emulated

/* Only one thread runs at a time: plain reads and writes are atomic. */
static inline unsigned atomicAdd(unsigned *at, unsigned value)
{
    unsigned before = *at;
    *at += value;
    return before;
}
static inline unsigned long long atomicMin(unsigned long long *at, unsigned long long value)
{
    unsigned long long before = *at;
    *at = value < before ? value : before;
    return before;
}
template <class X> static inline X __ldcg(const X *at)
{
    return *at;
}

#endif
