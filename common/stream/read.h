/* read.h: reading tensor streams, the records of tensor-stream(5).
 *
 * A stream is a sequence of msgpack maps: a header {"tensor-stream": 1, "classes": [...], ...}, any
 * number of batches {"image": T, "label": T, ...} whose tensors agree in their first dimension, and
 * an end {"end": ROWS}. Streams concatenate. Tensors are encoded as Python's msgpack-numpy does. */
#ifndef COMMON_STREAM_READ_H
#define COMMON_STREAM_READ_H

#include "batch.h"
#include "header.h"
#include "mark.h"

typedef struct stream_reader stream_reader;

/* Reads the files named, one after the other as if concatenated, or standard input where count is 0
 * or a name is "-". Nothing is read yet. */
int stream_open(char *const *paths, size_t count, stream_reader **out, error *e);
/* The same over memory (not copied). For tests and fuzzers. */
int stream_open_memory(const void *data, size_t bytes, const char *name, stream_reader **out,
                       error *e);

/* The first header, reading up to it if need be. No bytes at all is an error: nothing came. It
 * stands for all of the stream: other headers' extra keys are not kept, but a later one whose
 * "embedding-of" differs from the first's is an error. */
int stream_header_first(stream_reader *r, const stream_header **out, error *e);

/* The header of the stream that the latest batch came from, its classes as that stream lists them
 * (fields other than label and prediction are as its writer made them). Borrowed until the next
 * read; NULL before the first header. */
const stream_header *stream_header_latest(const stream_reader *r);

/* 1 and *out, a batch of at least 1 row; 0 at the end of the last stream; -1 on failure, also at an
 * end of file without an end record, or one that counts other rows than came. Where a later stream
 * has another class list, its names are appended to the reader's (stream_classes) and its labels
 * and predictions are renumbered, so that a label always is an index into stream_classes. */
int stream_read(stream_reader *r, batch **out, error *e);
/* Whether nothing more comes within that time, from a pipe whose writer is at other work. */
bool stream_pauses(const stream_reader *r, int milliseconds);
/* The mark at the end of the batch read last: what came is right, and the file as long as the mark
 * says. NULL if it has none, and of a pipe, whose writer would fail if nobody read on. */
const stream_mark *stream_mark_read(const stream_reader *r);
/* Field i of the batch read last, whose memory is the caller's from now on: free(data). */
tensor stream_take_field(stream_reader *r, size_t i);
const class_list *stream_classes(const stream_reader *r);
size_t stream_count(const stream_reader *r);         /* streams begun so far: headers read */
size_t stream_checked(const stream_reader *r);       /* of them, ended with a right checksum */
uint64_t stream_rows(const stream_reader *r);        /* read so far */
uint64_t stream_bytes(const stream_reader *r);       /* read so far */
uint64_t stream_bytes_total(const stream_reader *r); /* of all regular files; 0 if not known */
const char *stream_name(const stream_reader *r);     /* the file being read, "standard input" */
void stream_close(stream_reader *r);

#endif
