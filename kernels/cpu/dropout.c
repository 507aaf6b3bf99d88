#include "../random.h"
#include "loops.h"

#define LANES 64

/* random_philox for 64 counters at once: 512 numbers of 16 bits, in order. */
CLONES static void philox_lanes(uint64_t key, uint64_t first, uint64_t high, uint16_t *restrict out)
{
    uint32_t c0[LANES], c1[LANES], c2[LANES], c3[LANES];
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
#pragma GCC unroll 1
    for (int i = 0; i < LANES; i++) {
        c0[i] = (uint32_t)(first + (uint64_t)i);
        c1[i] = (uint32_t)((first + (uint64_t)i) >> 32);
        c2[i] = (uint32_t)high;
        c3[i] = (uint32_t)(high >> 32);
    }
#pragma GCC unroll 1
    for (int round = 0; round < 10; round++) {
#pragma GCC unroll 1
        for (int i = 0; i < LANES; i++) {
            uint64_t p0 = (uint64_t)0xD2511F53u * c0[i], p1 = (uint64_t)0xCD9E8D57u * c2[i];
            c0[i] = (uint32_t)(p1 >> 32) ^ c1[i] ^ k0;
            c2[i] = (uint32_t)(p0 >> 32) ^ c3[i] ^ k1;
            c1[i] = (uint32_t)p1;
            c3[i] = (uint32_t)p0;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
#pragma GCC unroll 1
    for (int i = 0; i < LANES; i++) {
        out[8 * i + 0] = (uint16_t)c0[i];
        out[8 * i + 1] = (uint16_t)(c0[i] >> 16);
        out[8 * i + 2] = (uint16_t)c1[i];
        out[8 * i + 3] = (uint16_t)(c1[i] >> 16);
        out[8 * i + 4] = (uint16_t)c2[i];
        out[8 * i + 5] = (uint16_t)(c2[i] >> 16);
        out[8 * i + 6] = (uint16_t)c3[i];
        out[8 * i + 7] = (uint16_t)(c3[i] >> 16);
    }
}

const uint16_t *dropout_numbers(const dropout *d, uint64_t first, size_t count, uint16_t *numbers)
{
    uint64_t block = first / 8, high = random_stream(RANDOM_DROPOUT, d->layer, d->step);
    size_t skip = (size_t)(first % 8);
    for (size_t done = 0; done < skip + count; done += 8 * LANES, block += LANES)
        philox_lanes(d->seed, block, high, numbers + done);
    return numbers + skip;
}

ALWAYS_INLINE void apply(const uint16_t *numbers, uint16_t threshold, float factor, const void *x,
                         void *y, size_t count, bool half)
{
    for (size_t i = 0; i < count; i++) {
        float v = element_get(x, i, half) * factor;
        element_put(y, i, numbers[i] >= threshold ? v : 0, half);
    }
}

CLONES static void apply_float(const uint16_t *numbers, uint16_t threshold, float factor,
                               const void *x, void *y, size_t count)
{
    apply(numbers, threshold, factor, x, y, count, false);
}

CLONES static void apply_bf16(const uint16_t *numbers, uint16_t threshold, float factor,
                              const void *x, void *y, size_t count)
{
    apply(numbers, threshold, factor, x, y, count, true);
}

void dropout_apply(const dropout *d, const void *x, void *y, element type, size_t count)
{
#pragma omp parallel
    {
        uint16_t room[DROPOUT_ROOM(DROPOUT_PIECE)];
        size_t first, last;
        thread_part(count, DROPOUT_PIECE / 8, &first, &last);
        for (size_t i = first; i < last; i += DROPOUT_PIECE) {
            size_t n = last - i < DROPOUT_PIECE ? last - i : DROPOUT_PIECE;
            const uint16_t *numbers = dropout_numbers(d, i, n, room);
            (type == ELEMENT_BF16 ? apply_bf16 : apply_float)(numbers, (uint16_t)d->threshold,
                                                              d->factor, element_at(x, i, type),
                                                              element_at(y, i, type), n);
        }
    }
}
