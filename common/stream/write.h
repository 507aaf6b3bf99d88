/* write.h: writing tensor streams (read.h says what they are). */
#ifndef COMMON_STREAM_WRITE_H
#define COMMON_STREAM_WRITE_H

#include "../base/output.h"
#include "batch.h"
#include "header.h"
#include "mark.h"

#define STREAM_RECORD_BYTES ((size_t)64 << 20)

typedef struct stream_writer stream_writer;

/* Writes to an open output (output.h), or nowhere for NULL: what it would write is counted alone,
 * and no tensor's data is looked at. Writing a header anew where one stands already (the class
 * list grew) ends the stream and begins the next one. */
int stream_create(output *out, stream_writer **w, error *e);
int stream_write_header(stream_writer *w, const stream_header *h, error *e);
/* The batch's rows; nothing for no rows. A large batch becomes several of STREAM_RECORD_BYTES:
 * Python's msgpack reads no more than 100 MiB at once unless it is told to. */
int stream_write(stream_writer *w, const batch *b, error *e);
/* The same as one batch, whatever its size. */
int stream_write_whole(stream_writer *w, const batch *b, error *e);
/* The same with a mark after its last tensor, which is no column of texts. */
int stream_write_marked(stream_writer *w, const batch *b, stream_mark mark, error *e);
int stream_write_end(stream_writer *w, error *e);
uint64_t stream_written(const stream_writer *w); /* bytes so far */
void stream_writer_free(stream_writer *w);       /* writes nothing */

#endif
