/* checksum.c: see checksum.h. */
#include "checksum.h"

#include <inttypes.h>
#include <stdio.h>
/* The widest vectors of the machine, chosen when the program runs. */
#if defined __x86_64__ && __has_include(<xxh_x86dispatch.h>)
#include <xxh_x86dispatch.h>
#else
#include <xxhash.h>
#endif

checksum *checksum_new(void)
{
    return (checksum *)XXH3_createState();
}

void checksum_free(checksum *c)
{
    XXH3_freeState((XXH3_state_t *)c);
}

void checksum_begin(checksum *c)
{
    XXH3_64bits_reset((XXH3_state_t *)c);
}

void checksum_add(checksum *c, const void *data, size_t bytes)
{
    XXH3_64bits_update((XXH3_state_t *)c, data, bytes);
}

uint64_t checksum_get(const checksum *c)
{
    return XXH3_64bits_digest((const XXH3_state_t *)c);
}

void checksum_text(uint64_t sum, char text[CHECKSUM_TEXT + 1])
{
    snprintf(text, CHECKSUM_TEXT + 1, "%016" PRIx64, sum);
}
