/* hash.h: FNV-1a, 64 bits (Fowler, Noll, Vo): names data, keeps nothing secret. */
#ifndef COMMON_BASE_HASH_H
#define COMMON_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define HASH_BEGIN 0xcbf29ce484222325u
#define HASH_PRIME 0x100000001b3u

/* Goes on from `hash`, HASH_BEGIN at first: the same for two parts as for both together. */
static inline uint64_t hash_bytes(uint64_t hash, const void *data, size_t bytes)
{
    const uint8_t *at = data;
    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ at[i]) * HASH_PRIME;
    return hash;
}

/* Takes eight bytes at a time, for much data; gives other numbers than hash_bytes. */
static inline uint64_t hash_words(uint64_t hash, const void *data, size_t bytes)
{
    const uint8_t *at = data;
    for (; bytes >= 8; bytes -= 8, at += 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        hash = (hash ^ word) * HASH_PRIME;
        hash ^= hash >> 32;
    }
    return hash_bytes(hash, at, bytes);
}

#endif
