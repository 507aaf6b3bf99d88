/* loops.h: how plain loops read and write activations, float or bf16, and share their work out.
 *
 * A loop is written once over element_get and element_put with `bf16` a constant at the call, so
 * that the compiler makes one version a type. */
#ifndef KERNELS_CPU_LOOPS_H
#define KERNELS_CPU_LOOPS_H

#include "../plan/element.h"

#include <omp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* One binary for every x86-64: the loader picks the version that the processor runs. Sanitizers
 * start after the loader has called the functions that pick, so they do without. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) &&                             \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define CLONES
#endif
#define ALWAYS_INLINE static inline __attribute__((always_inline))

ALWAYS_INLINE float bf16_to_float(uint16_t h)
{
    uint32_t bits = (uint32_t)h << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* To the nearest, halves to even; a NaN stays one. */
ALWAYS_INLINE uint16_t bf16_from_float(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    uint32_t rounded = (bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16;
    return (uint16_t)((bits & 0x7FFFFFFFu) > 0x7F800000u ? bits >> 16 | 0x40u : rounded);
}

/* call(..., bf16) by the type: the compiler makes one version a type. */
#define OF_TYPE(call, ...)                                                                         \
    if (type == ELEMENT_BF16)                                                                      \
        call(__VA_ARGS__, true);                                                                   \
    else                                                                                           \
        call(__VA_ARGS__, false)

ALWAYS_INLINE float element_get(const void *array, size_t i, bool bf16)
{
    return bf16 ? bf16_to_float(((const uint16_t *)array)[i]) : ((const float *)array)[i];
}

ALWAYS_INLINE void element_put(void *array, size_t i, float value, bool bf16)
{
    if (bf16)
        ((uint16_t *)array)[i] = bf16_from_float(value);
    else
        ((float *)array)[i] = value;
}

ALWAYS_INLINE void *element_at(const void *array, size_t i, element type)
{
    return (char *)array + i * element_size(type);
}

/* This thread's part of `count` things, a multiple of `grain` but for the last: within a parallel
 * region. The same threads and count give the same parts. */
ALWAYS_INLINE void thread_part(size_t count, size_t grain, size_t *first, size_t *last)
{
    size_t threads = (size_t)omp_get_num_threads(), me = (size_t)omp_get_thread_num();
    size_t grains = (count + grain - 1) / grain;
    *first = grains * me / threads * grain;
    *last = grains * (me + 1) / threads * grain;
    if (*first > count)
        *first = count;
    if (*last > count)
        *last = count;
}

#endif
