/* lanes.h: LANES floats at once, by AVX512 (16) or AVX2 (8), for x86-64. A file says which by
 * defining LANES before it includes this. Functions that use it are marked VECTOR or VECTOR_INLINE,
 * and are called only where the processor has what they are compiled for: cpu_has_avx512() or
 * cpu_has_avx2(). */
#ifndef KERNELS_CPU_LANES_H
#define KERNELS_CPU_LANES_H

#include "loops.h"

#include <immintrin.h>

#define AVX2_WORDS "avx2,fma,bmi,bmi2,f16c,lzcnt,movbe,popcnt"
#define AVX512_WORDS "avx512f,avx512bw,avx512dq,avx512vl,avx512cd," AVX2_WORDS

#if LANES == 16
#define VECTOR __attribute__((target(AVX512_WORDS)))
#define VEC(operation) _mm512_##operation
typedef __m512 vec;
#else
#define VECTOR __attribute__((target(AVX2_WORDS)))
#define VEC(operation) _mm256_##operation
typedef __m256 vec;
#endif
#define VECTOR_INLINE VECTOR ALWAYS_INLINE

#define vec_load VEC(loadu_ps)
#define vec_store VEC(storeu_ps)
#define vec_zero VEC(setzero_ps)
#define vec_all VEC(set1_ps)
#define vec_add VEC(add_ps)
#define vec_sub VEC(sub_ps)
#define vec_mul VEC(mul_ps)
#define vec_fma VEC(fmadd_ps) /* a b + c */
#define vec_max VEC(max_ps)

#if LANES == 16

VECTOR_INLINE vec vec_from_bf16(const uint16_t *x)
{
    __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)x));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

/* As bf16_from_float. */
VECTOR_INLINE void vec_to_bf16(uint16_t *y, vec v)
{
    __m512i bits = _mm512_castps_si512(v);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    __m512i sum = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7FFF)), odd);
    __mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
    sum = _mm512_mask_or_epi32(sum, nan, bits, _mm512_set1_epi32(0x400000));
    _mm256_storeu_si256((__m256i *)y, _mm512_cvtepi32_epi16(_mm512_srli_epi32(sum, 16)));
}

/* v where the gate is above 0, elsewhere 0. */
VECTOR_INLINE vec vec_gated(vec gate, vec v)
{
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(gate, vec_zero(), _CMP_GT_OQ), v);
}

/* x[0], x[stride], x[2 stride], ... */
VECTOR_INLINE vec vec_gather(const float *x, size_t stride)
{
    __m512i at = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    at = _mm512_mullo_epi32(at, _mm512_set1_epi32((int)stride));
    return _mm512_i32gather_ps(at, x, sizeof(float));
}

#else

VECTOR_INLINE vec vec_from_bf16(const uint16_t *x)
{
    __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)x));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}

VECTOR_INLINE void vec_to_bf16(uint16_t *y, vec v)
{
    __m256i bits = _mm256_castps_si256(v);
    __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    __m256i sum = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7FFF)), odd);
    __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
    sum = _mm256_srli_epi32(_mm256_blendv_epi8(sum, quiet, nan), 16);
    sum = _mm256_permute4x64_epi64(_mm256_packus_epi32(sum, sum), 0x08);
    _mm_storeu_si128((__m128i *)y, _mm256_castsi256_si128(sum));
}

VECTOR_INLINE vec vec_gated(vec gate, vec v)
{
    return _mm256_and_ps(_mm256_cmp_ps(gate, vec_zero(), _CMP_GT_OQ), v);
}

VECTOR_INLINE vec vec_gather(const float *x, size_t stride)
{
    __m256i at = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    at = _mm256_mullo_epi32(at, _mm256_set1_epi32((int)stride));
    return _mm256_i32gather_ps(x, at, sizeof(float));
}

#endif

/* LANES numbers from x[i] on, as element_get. */
VECTOR_INLINE vec vec_get(const void *x, size_t i, bool bf16)
{
    return bf16 ? vec_from_bf16((const uint16_t *)x + i) : vec_load((const float *)x + i);
}

VECTOR_INLINE void vec_put(void *y, size_t i, vec v, bool bf16)
{
    if (bf16)
        vec_to_bf16((uint16_t *)y + i, v);
    else
        vec_store((float *)y + i, v);
}

#endif
