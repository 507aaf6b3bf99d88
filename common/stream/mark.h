/* mark.h: a mark in a stream: a place where a reader that has what it needs may stop, as sure of
 * what came as at the end record. It stands in the map of a tensor, after its data: the key "mark",
 * and a text of three numbers of 16 hexadecimal digits: the length of the whole file in bytes, one
 * that is the writer's own, and the XXH3-64 of the stream's bytes up to these last 16.
 *
 * The text's length is written longer (msgpack's str 16) than any msgpack library does: a program
 * that takes records apart and writes them anew makes it another text, which is no mark. */
#ifndef COMMON_STREAM_MARK_H
#define COMMON_STREAM_MARK_H

#include "checksum.h"

#define MARK_KEY "mark"
#define MARK_STR16 "\xda\x00\x30"
enum { MARK_NUMBERS = 32 }; /* digits before the sum */

typedef struct {
    uint64_t length, own;
} stream_mark;

#endif
