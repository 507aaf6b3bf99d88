/* keyed_hash.c: see keyed_hash.h. */
#include "keyed_hash.h"

#include <pthread.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

static uint64_t rotate(uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

static void mix(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

static void take(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    mix(v);
    v[0] ^= word;
}

uint64_t siphash_13(uint64_t key0, uint64_t key1, const void *data, size_t bytes)
{
    uint64_t v[4] = {key0 ^ 0x736f6d6570736575u, key1 ^ 0x646f72616e646f6du,
                     key0 ^ 0x6c7967656e657261u, key1 ^ 0x7465646279746573u};
    const uint8_t *at = data;
    uint64_t word, last = (uint64_t)bytes << 56;
    for (size_t left = bytes; left >= 8; left -= 8, at += 8) {
        memcpy(&word, at, 8); /* little-endian, as all that is read here */
        take(v, word);
    }
    for (size_t i = 0; i < bytes % 8; i++)
        last |= (uint64_t)at[i] << 8 * i;
    take(v, last);
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        mix(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static uint64_t key[2];

static void draw_key(void)
{
    if (getrandom(key, sizeof key, GRND_NONBLOCK) == (ssize_t)sizeof key)
        return;
    /* No kernel of ours is without it; then what a stranger cannot know in advance must do. */
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    key[0] = (uint64_t)now.tv_nsec << 32 ^ (uint64_t)now.tv_sec ^ (uint64_t)getpid();
    key[1] = (uint64_t)(uintptr_t)&now;
}

uint64_t keyed_hash(const void *data, size_t bytes)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, draw_key);
    return siphash_13(key[0], key[1], data, bytes);
}
