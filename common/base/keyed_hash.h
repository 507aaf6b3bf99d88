/* keyed_hash.h: SipHash-1-3 (Aumasson, Bernstein, 2012) under a key that each run draws anew, for
 * tables of texts that a stranger chose: nobody can prepare many that fall in one place. No
 * result may depend on it. */
#ifndef COMMON_BASE_KEYED_HASH_H
#define COMMON_BASE_KEYED_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t siphash_13(uint64_t key0, uint64_t key1, const void *data, size_t bytes);
uint64_t keyed_hash(const void *data, size_t bytes); /* under this run's key */

#endif
