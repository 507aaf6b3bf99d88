/* Any bytes: the stream reader takes them or refuses them with one line, from memory and from a
 * pipe alike, and what it takes can be checked, cut down, written and read again. */
#include "../../common/base/output.h"
#include "../../common/stream/read.h"
#include "../../common/stream/write.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void expect(int holds)
{
    if (!holds)
        abort();
}

static void use_batch(batch *b, const class_list *classes)
{
    error e = {""};
    tensor *t;
    int32_t *labels;
    char text[256];
    expect(b->rows > 0 && b->field_count > 0);
    for (size_t i = 0; i < b->field_count; i++) {
        const tensor *value = &b->fields[i].value;
        tensor_describe(value, text, sizeof text);
        expect(tensor_rows(value) == b->rows && (uintptr_t)value->data % 64 == 0);
        batch_require(b, b->fields[i].name, value->type, value->rank, &t, &e);
    }
    if (batch_labels(b, classes, &labels, &e) == 0)
        for (size_t i = 0; i < b->rows; i++)
            expect(labels[i] >= 0 && (size_t)labels[i] < classes->count);
    bool *keep = malloc(b->rows);
    expect(keep != NULL);
    for (size_t i = 0; i < b->rows; i++)
        keep[i] = i % 3 != 1;
    batch_keep(b, keep);
    free(keep);
}

static void use_header(const stream_header *h)
{
    stream_header copy;
    expect(stream_header_copy(&copy, h) == 0);
    free(stream_header_get_text(&copy, "embedding-of"));
    expect(stream_header_set_text(&copy, "embedding-of", "x") == 0);
    char *text = stream_header_get_text(&copy, "embedding-of");
    expect(text && strcmp(text, "x") == 0);
    free(text);
    bool *chosen = calloc(copy.classes.count + 1, 1);
    error e;
    for (size_t i = 0; i < copy.classes.count && i < 8; i++)
        expect(class_list_choose(&copy.classes, copy.classes.names[i], chosen, &e) == 0);
    free(chosen);
    stream_header_free(&copy);
}

/* A pipe that takes all that comes of an input here without anyone reading. */
static void make_pipe(int ends[2])
{
    expect(pipe(ends) == 0 && fcntl(ends[1], F_SETPIPE_SZ, 1 << 20) > 0);
}

/* A reader of what a pipe holds, and nothing after it; closes both ends. */
static stream_reader *read_pipe(int ends[2])
{
    char path[64];
    char *paths[] = {path};
    stream_reader *r;
    const stream_header *h;
    error e;
    close(ends[1]);
    snprintf(path, sizeof path, "/proc/self/fd/%d", ends[0]);
    expect(stream_open(paths, 1, &r, &e) == 0);
    stream_header_first(r, &h, &e); /* opens the pipe, so that our end can go */
    close(ends[0]);
    return r;
}

/* Rows, or -1. What came is written to `fd`, unless that is -1. */
static long read_all(stream_reader *r, int fd)
{
    error e = {""};
    const stream_header *h;
    output *out = NULL;
    stream_writer *w = NULL;
    batch *b;
    long kept = 0;
    int status = stream_header_first(r, &h, &e);
    if (status == 0 && fd >= 0) {
        char path[64];
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        use_header(h);
        expect(output_open(path, false, &out, &e) == 0 && stream_create(out, &w, &e) == 0);
        expect(stream_write_header(w, h, &e) == 0);
    }
    while (status == 0 && (status = stream_read(r, &b, &e)) > 0) {
        status = 0;
        use_batch(b, stream_classes(r));
        kept += (long)b->rows;
        if (w)
            expect(stream_write(w, b, &e) == 0);
    }
    if (w)
        expect(stream_write_end(w, &e) == 0);
    stream_writer_free(w);
    if (out)
        expect(output_commit(out, &e) == 0);
    if (status < 0)
        expect(*e.text && !strchr(e.text, '\n'));
    stream_close(r);
    return status < 0 ? -1 : kept;
}

/* What we write we read. Labels of later streams, renumbered to classes that the one header written
 * here lacks, are not looked at. */
static void read_again(int ends[2], long rows)
{
    stream_reader *r = read_pipe(ends);
    error e;
    batch *b;
    long again = 0;
    int status;
    while ((status = stream_read(r, &b, &e)) > 0)
        again += (long)b->rows;
    expect(status == 0 && again == rows);
    stream_close(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    stream_reader *r;
    error e;
    int in[2], out[2];
    if (size > 65536)
        return 0;
    make_pipe(out);
    expect(stream_open_memory(data, size, "input", &r, &e) == 0);
    long rows = read_all(r, out[1]);
    make_pipe(in);
    expect(write(in[1], data, size) == (ssize_t)size);
    expect(read_all(read_pipe(in), -1) == rows);
    if (rows >= 0) {
        read_again(out, rows);
    } else {
        close(out[0]);
        close(out[1]);
    }
    return 0;
}
