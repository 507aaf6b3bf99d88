/* checksum.h: XXH3-64 (Collet, xxHash) of a stream's bytes from its header to its last batch, as
 * the end record carries it: {"end": ROWS, "xxh3-64": "0123456789abcdef"}. It finds what went wrong
 * by chance; it is no signature.
 *
 * The text is written with a length byte of its own (msgpack's str 8), which no msgpack library
 * does for a text so short. So a program that takes records apart, changes some and writes them all
 * anew, the end record too, as Python filters do, writes it in the short form: that one is of other
 * bytes, and counts as none. */
#ifndef COMMON_STREAM_CHECKSUM_H
#define COMMON_STREAM_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

#define CHECKSUM_KEY "xxh3-64" /* in the end record */
enum { CHECKSUM_TEXT = 16 };   /* hexadecimal digits in its value, in lower case */

/* Data goes in and out of the tools so many bytes at a time: summed while a core's own cache has
 * them. */
enum { CHECKSUM_PART = 128 << 10 };

typedef struct checksum checksum;

checksum *checksum_new(void); /* NULL without memory */
void checksum_free(checksum *c);

void checksum_begin(checksum *c);
void checksum_add(checksum *c, const void *data, size_t bytes);
uint64_t checksum_get(const checksum *c); /* of what was added so far; more may follow */
void checksum_text(uint64_t sum, char text[CHECKSUM_TEXT + 1]);

#define CHECKSUM_STR8 "\xd9\x10" /* before the text: a str 8 of 16 bytes */

#endif
