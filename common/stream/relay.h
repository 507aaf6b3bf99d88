/* relay.h: the headers of a tool that passes rows on as they are. */
#ifndef COMMON_STREAM_RELAY_H
#define COMMON_STREAM_RELAY_H

#include "read.h"
#include "write.h"

/* What stands in the output; zeroed before use. */
typedef struct {
    size_t streams; /* of the input, whose headers were seen */
    stream_header header;
} relay;

/* Called at the beginning and after each read. Where a stream of the input has begun since, its
 * header goes on with the classes of all so far, unless the output has that one already (`to` NULL:
 * it is only kept in r->header), and 1 is returned; else 0; -1 on failure. */
int relay_follow(relay *r, stream_reader *from, stream_writer *to, error *e);
void relay_free(relay *r);

#endif
