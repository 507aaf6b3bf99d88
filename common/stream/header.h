/* header.h: what a stream begins with: its classes, and other keys. */
#ifndef COMMON_STREAM_HEADER_H
#define COMMON_STREAM_HEADER_H

#include "class_list.h"
#include "source.h"

/* A header's other keys, kept and written on as they came: msgpack key and value, encoded. */
typedef struct {
    class_list classes;
    char *extra; /* the encoded key-value pairs that are not tensor-stream or classes; owned */
    size_t extra_bytes, extra_pairs;
} stream_header;

/* Sets or replaces one extra key with a text; reads one back (NULL if absent or not a text; the
 * caller frees it). Other kinds of value go by encoded msgpack. */
int stream_header_set_text(stream_header *h, const char *key, const char *text);
char *stream_header_get_text(const stream_header *h, const char *key);
int stream_header_set_encoded(stream_header *h, const char *key, const void *value, size_t bytes);
/* The encoded value of a key within h->extra (borrowed), or NULL. */
const void *stream_header_get_encoded(const stream_header *h, const char *key, size_t *bytes);
int stream_header_copy(stream_header *to, const stream_header *from);
void stream_header_free(stream_header *h);

/* 1 and *h, to be freed with stream_header_free; 0 where the source is at its end; -1. At most 64
 * MiB, with values at most 32 deep. */
int stream_header_read(source *from, stream_header *h, error *e);

#endif
