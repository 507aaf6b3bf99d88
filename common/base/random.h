/* random.h: random numbers that are the same on every machine and every backend.
 *
 * Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC
 * 2011) is a function of a key and a counter: any thread computes any number without state.
 *
 * Compiles as C and as CUDA. */
#ifndef COMMON_BASE_RANDOM_H
#define COMMON_BASE_RANDOM_H

#include <stdint.h>

#ifdef __CUDACC__
#define RANDOM_FUNCTION __host__ __device__ static inline
#else
#define RANDOM_FUNCTION static inline
#endif

typedef struct {
    uint32_t v[4];
} random_block;

RANDOM_FUNCTION random_block random_philox(uint64_t key, uint64_t low, uint64_t high)
{
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    uint32_t c0 = (uint32_t)low, c1 = (uint32_t)(low >> 32);
    uint32_t c2 = (uint32_t)high, c3 = (uint32_t)(high >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    random_block b = {{c0, c1, c2, c3}};
    return b;
}

/* What a number is for; the upper part of the counter, so that uses never share numbers. */
enum {
    RANDOM_DROPOUT = 1,
    RANDOM_AUGMENT = 2,
    RANDOM_INITIAL = 3,
    RANDOM_SHUFFLE = 4,
    RANDOM_KMEANS = 5,
    RANDOM_PROJECTION = 6,
    RANDOM_SAMPLE = 7,
    RANDOM_SPLIT = 8
};

RANDOM_FUNCTION uint64_t random_stream(uint32_t use, uint32_t what, uint64_t step)
{
    return ((uint64_t)use << 60) ^ ((uint64_t)what << 40) ^ step;
}

/* A float in [0, 1) from 32 random bits. */
RANDOM_FUNCTION float random_unit(uint32_t bits)
{
    return (float)(bits >> 8) * (1.0f / 16777216.0f);
}

#endif
