/* cores.cuh: small products of bfloat16 by the tensor cores of one warp (compute capability 8.0 and
 * more), from shared memory.
 *
 * A line is 8 numbers, one pack; a warp loads four matrices of 8 lines each, thread i the address
 * of line i % 8 of matrix i / 8. With g = lane / 4 and t = lane % 4, thread `lane` then has, of
 * each matrix, the pair at [g][2 t]; transposed, the pair at [2 t][g] and [2 t + 1][g]. Of a
 * product [16 x 8] = [16 x 16] [16 x 8], it has
 *
 *   left      [g][2 t], [g + 8][2 t], [g][2 t + 8], [g + 8][2 t + 8], pairs along a row
 *   right     [2 t][g], [2 t + 8][g], pairs along a column
 *   sums      [g][2 t], [g][2 t + 1], [g + 8][2 t], [g + 8][2 t + 1]
 *
 * NVIDIA's PTX manual has these under ldmatrix and mma.m16n8k16. */
#ifndef KERNELS_CUDA_CORES_CUH
#define KERNELS_CUDA_CORES_CUH

#include "device.cuh"

#define LINE 8 /* numbers that are loaded and copied at once */
typedef pack<bfloat16, LINE> line;

#ifdef EMULATED

__device__ static inline void matrices_load(uint32_t *r, const line *from)
{
    emulated::matrices_load(r, from, false);
}
__device__ static inline void matrices_load_transposed(uint32_t *r, const line *from)
{
    emulated::matrices_load(r, from, true);
}
__device__ static inline void multiply_add(float *sums, const uint32_t *left, uint32_t right,
                                           uint32_t right_below)
{
    emulated::multiply_add(sums, left, right, right_below);
}
__device__ static inline void copy_begin(line *to, const bfloat16 *from, bool there)
{
    if (there)
        *to = load<bfloat16, LINE>(from);
    else
        memset((void *)to, 0, sizeof *to);
}
template <int LEFT> __device__ static inline void copies_wait()
{
}
__device__ static inline void copies_commit()
{
}

#else

__device__ static inline uint32_t shared_address(const line *at)
{
    return (uint32_t)__cvta_generic_to_shared(at);
}

__device__ static inline void matrices_load(uint32_t *r, const line *from)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(from))
                 : "memory");
}
__device__ static inline void matrices_load_transposed(uint32_t *r, const line *from)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(from))
                 : "memory");
}

/* sums += left times right, whose rows 8 to 15 are in right_below. */
__device__ static inline void multiply_add(float *sums, const uint32_t *left, uint32_t right,
                                           uint32_t right_below)
{
#if __CUDA_ARCH__ >= 800
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
                 : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "r"(right),
                   "r"(right_below));
#endif
}

/* Begins to copy a line to shared memory, or zeros where it is not there. */
__device__ static inline void copy_begin(line *to, const bfloat16 *from, bool there)
{
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)),
                 "l"(from), "r"(there ? 16 : 0)
                 : "memory");
#endif
}
/* Closes a group of copies. */
__device__ static inline void copies_commit()
{
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}
/* Waits for this thread's copies, but for the LEFT groups that were closed last. */
template <int LEFT> __device__ static inline void copies_wait()
{
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_group %0;" ::"n"(LEFT) : "memory");
#endif
}

#endif

/* Two numbers that lie side by side, the first in the lower half. */
__device__ static inline uint32_t pair_of(float first, float second)
{
    pack<bfloat16, 2> p = {{from_float<bfloat16>(first), from_float<bfloat16>(second)}};
    uint32_t bits;
    memcpy(&bits, &p, sizeof bits);
    return bits;
}
__device__ static inline uint32_t pair_load(const bfloat16 *at)
{
    return *reinterpret_cast<const uint32_t *>(at);
}

/* Among the four threads of equal g: thread t gives x[j] to thread j and has afterwards, in x[j],
 * what thread j had in x[t]. So pairs of four products, [g][2 t] of each, become a line of the
 * t-th. */
__device__ static inline void quad_transpose(uint32_t *x)
{
    bool odd = threadIdx.x % 2, high = threadIdx.x / 2 % 2;
    for (int i = 0; i < 4; i += 2) {
        uint32_t given = __shfl_xor_sync(0xFFFFFFFFu, odd ? x[i] : x[i + 1], 1);
        (odd ? x[i] : x[i + 1]) = given;
    }
    for (int i = 0; i < 2; i++) {
        uint32_t given = __shfl_xor_sync(0xFFFFFFFFu, high ? x[i] : x[i + 2], 2);
        (high ? x[i] : x[i + 2]) = given;
    }
}

__device__ static inline void line_store(bfloat16 *to, const uint32_t *x)
{
    pack<uint32_t, 4> whole = {{x[0], x[1], x[2], x[3]}};
    *reinterpret_cast<pack<uint32_t, 4> *>(to) = whole;
}

#endif
