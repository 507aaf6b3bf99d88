/* stream_header.h: reading a header from a source; what else headers do is in stream.h. */
#ifndef COMMON_STREAM_HEADER_H
#define COMMON_STREAM_HEADER_H

#include "source.h"
#include "stream.h"

/* 1 and *h, to be freed with stream_header_free; 0 where the source is at its end; -1. At most 64
 * MiB, with values at most 32 deep. */
int stream_header_read(source *from, stream_header *h, error *e);

#endif
