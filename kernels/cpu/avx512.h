/* avx512.h: what the files written for x86-64 with AVX512 share. Functions that use it are marked
 * so, and are called only where avx512_here() says that the processor has it. */
#ifndef KERNELS_CPU_AVX512_H
#define KERNELS_CPU_AVX512_H

#include "loops.h"

#include <immintrin.h>

#define LANES 16 /* floats in a register */

#define AVX512_WORDS                                                                               \
    "avx512f,avx512bw,avx512dq,avx512vl,avx512cd,avx2,fma,bmi,bmi2,f16c,lzcnt,movbe,popcnt"
#define AVX512 __attribute__((target(AVX512_WORDS)))
#define AVX512_INLINE AVX512 ALWAYS_INLINE

static inline bool avx512_here(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512cd");
}

/* LANES numbers from x[i] on, as element_get. */
AVX512_INLINE __m512 lanes_get(const void *x, size_t i, bool bf16)
{
    if (!bf16)
        return _mm512_loadu_ps((const float *)x + i);
    __m256i bits = _mm256_loadu_si256((const __m256i *)((const uint16_t *)x + i));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}

#endif
