/* relay.c: see relay.h. */
#include "relay.h"

#include <string.h>

static bool same_header(const stream_header *a, const stream_header *b)
{
    return a->extra_bytes == b->extra_bytes && class_list_equal(&a->classes, &b->classes) &&
           (a->extra_bytes == 0 || memcmp(a->extra, b->extra, a->extra_bytes) == 0);
}

int relay_follow(relay *r, stream_reader *from, stream_writer *to, error *e)
{
    const stream_header *first;
    stream_header header;
    bool begins = r->streams == 0;
    if (begins && stream_header_first(from, &first, e) < 0)
        return -1;
    if (stream_count(from) == r->streams)
        return 0;
    r->streams = stream_count(from);
    if (stream_header_copy(&header, stream_header_latest(from)) < 0)
        return error_set(e, "out of memory for the header");
    class_list_free(&header.classes);
    if (class_list_copy(&header.classes, stream_classes(from)) < 0) {
        stream_header_free(&header);
        return error_set(e, "out of memory for %zu classes", stream_classes(from)->count);
    }
    bool anew = begins || !same_header(&r->header, &header);
    stream_header_free(&r->header);
    r->header = header;
    return anew && to && stream_write_header(to, &r->header, e) < 0 ? -1 : 1;
}

void relay_free(relay *r)
{
    stream_header_free(&r->header);
}
