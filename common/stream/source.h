/* source.h: pulling msgpack values out of a file or memory, one head at a time.
 *
 * Nothing is allocated by a length that was only claimed: a head tells what comes, and its reader
 * decides where that goes. Used by the stream reader only. */
#ifndef COMMON_STREAM_SOURCE_H
#define COMMON_STREAM_SOURCE_H

#include "../base/error.h"
#include "checksum.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SOURCE_BUFFER_BYTES = 1 << 14, SOURCE_DEPTH_MAX = 32, SOURCE_PIPE_BYTES = 1 << 20 };

typedef struct {
    int fd; /* -1 for memory */
    const char *name;
    uint64_t offset;     /* bytes taken so far */
    uint64_t size;       /* of a regular file or memory; UINT64_MAX where not known */
    const uint8_t *data; /* the buffer, or the memory */
    size_t start, end;   /* what of it is not taken yet */
    checksum *sum;       /* of what is taken; borrowed, NULL for none */
    uint8_t buffer[SOURCE_BUFFER_BYTES];
} source;

typedef enum {
    HEAD_NIL,
    HEAD_BOOL,
    HEAD_UINT,
    HEAD_NEGATIVE,
    HEAD_FLOAT,
    HEAD_STR,
    HEAD_BIN,
    HEAD_EXT,
    HEAD_ARRAY,
    HEAD_MAP
} head_type;

/* The first bytes of a value: its type, and its number or how many bytes, elements or pairs follow.
 * */
typedef struct {
    head_type type;
    uint64_t value;  /* BOOL: 0 or 1; NEGATIVE: -value is meant; FLOAT: its bits, as a double */
    uint8_t raw[16]; /* as it stood */
    size_t raw_bytes;
} value_head;

/* A growing array of bytes; zero it before use, free(data) after. */
typedef struct {
    uint8_t *data;
    size_t size, capacity;
} byte_array;

int bytes_append(byte_array *to, const void *data, size_t bytes); /* -1: out of memory */

void source_memory(source *s, const void *data, size_t bytes, const char *name);
/* Standard input for NULL or "-". Refuses a terminal. */
int source_open(source *s, const char *path, error *e);
void source_close(source *s);

/* Whether nothing is left in the buffer and no more comes within that time: of a pipe, a socket. */
bool source_pauses(const source *s, int milliseconds);
uint64_t source_left(const source *s); /* bytes, UINT64_MAX where not known */
/* 1, 0 at the end of the file (before any byte), or -1. */
int source_head(source *s, value_head *h, error *e);
/* The same where a value must come. */
int source_value(source *s, value_head *h, error *e);
/* Exactly that many bytes. */
int source_take(source *s, void *to, size_t bytes, error *e);
/* Appends the rest of a value whose head was read to `to` (NULL: skips it), at most `most` bytes.
 * */
int source_copy(source *s, const value_head *h, byte_array *to, size_t most, error *e);
/* The rest of a text (str or bin) of at most `room` - 1 bytes, with no NUL in it. 0, 1 if it is no
 * such text (and then it is not taken), -1. */
int source_text(source *s, const value_head *h, char *to, size_t room, error *e);

#endif
