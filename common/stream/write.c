/* write.c: writing tensor streams; see write.h. */
#include "write.h"
#include "../base/output.h"
#include "checksum.h"

#include <inttypes.h>
#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LARGE_BYTES = 32 << 10 };

struct stream_writer {
    output *out;           /* NULL: bytes are counted alone */
    msgpack_sbuffer heads; /* everything of a record but the tensors' data */
    msgpack_packer packer;
    checksum *sum; /* of what the stream has so far */
    uint64_t rows, bytes;
    bool begun; /* a header stands, with no end yet */
};

int stream_create(output *out, stream_writer **w, error *e)
{
    stream_writer *made = calloc(1, sizeof *made);
    if (!made)
        return error_set(e, "out of memory");
    made->sum = checksum_new();
    if (!made->sum) {
        free(made);
        return error_set(e, "out of memory");
    }
    made->out = out;
    msgpack_sbuffer_init(&made->heads);
    msgpack_packer_init(&made->packer, &made->heads, msgpack_sbuffer_write);
    *w = made;
    return 0;
}

void stream_writer_free(stream_writer *w)
{
    if (!w)
        return;
    msgpack_sbuffer_destroy(&w->heads);
    checksum_free(w->sum);
    free(w);
}

uint64_t stream_written(const stream_writer *w)
{
    return w->bytes;
}

static int put(stream_writer *w, const void *data, size_t bytes, error *e)
{
    w->bytes += bytes;
    return w->out ? output_write(w->out, data, bytes, e) : 0;
}

static int pack_str(msgpack_packer *p, const char *text)
{
    size_t bytes = strlen(text);
    return msgpack_pack_str(p, bytes) || msgpack_pack_str_body(p, text, bytes);
}

/* msgpack-numpy's keys are byte strings. */
static int pack_bin(msgpack_packer *p, const char *text)
{
    size_t bytes = strlen(text);
    return msgpack_pack_bin(p, bytes) || msgpack_pack_bin_body(p, text, bytes);
}

/* ---- header and end ---- */

int stream_write_end(stream_writer *w, error *e)
{
    if (!w->begun)
        return error_set(e, "a stream without a header cannot end");
    char sum[CHECKSUM_TEXT + 1];
    checksum_text(checksum_get(w->sum), sum);
    msgpack_sbuffer_clear(&w->heads);
    int status = msgpack_pack_map(&w->packer, 2) || pack_str(&w->packer, "end") ||
                 msgpack_pack_uint64(&w->packer, w->rows) || pack_str(&w->packer, CHECKSUM_KEY) ||
                 msgpack_sbuffer_write(&w->heads, CHECKSUM_STR8, 2) ||
                 msgpack_sbuffer_write(&w->heads, sum, CHECKSUM_TEXT);
    if (status != 0)
        return error_set(e, "out of memory");
    w->begun = false;
    return put(w, w->heads.data, w->heads.size, e);
}

int stream_write_header(stream_writer *w, const stream_header *h, error *e)
{
    if (w->begun && stream_write_end(w, e) < 0)
        return -1;
    msgpack_packer *p = &w->packer;
    msgpack_sbuffer_clear(&w->heads);
    int status = msgpack_pack_map(p, 2 + h->extra_pairs) || pack_str(p, "tensor-stream") ||
                 msgpack_pack_int(p, 1) || pack_str(p, "classes") ||
                 msgpack_pack_array(p, h->classes.count);
    for (size_t i = 0; i < h->classes.count; i++)
        status |= pack_str(p, h->classes.names[i]);
    if (h->extra_bytes)
        status |= msgpack_sbuffer_write(&w->heads, h->extra, h->extra_bytes);
    if (status != 0)
        return error_set(e, "out of memory");
    w->begun = true;
    w->rows = 0;
    checksum_begin(w->sum);
    checksum_add(w->sum, w->heads.data, w->heads.size);
    return put(w, w->heads.data, w->heads.size, e);
}

/* ---- batches ---- */

static int check_batch(const stream_writer *w, const batch *b, size_t *bytes, error *e)
{
    *bytes = 0;
    if (!w->begun)
        return error_set(e, "a batch without a header before it");
    if (b->field_count == 0)
        return error_set(e, "a batch with no fields");
    for (size_t i = 0; i < b->field_count; i++) {
        const tensor *t = &b->fields[i].value;
        if (t->rank == 0 || tensor_rows(t) != b->rows)
            return error_set(e, "field '%s' has %zu rows where the batch has %zu",
                             b->fields[i].name, tensor_rows(t), b->rows);
        *bytes += tensor_bytes(t);
    }
    if (*bytes > STREAM_BATCH_BYTES_MAX)
        return error_set(e, "a batch of %zu bytes; at most %zu are allowed", *bytes,
                         STREAM_BATCH_BYTES_MAX);
    return 0;
}

/* A column of texts, as an array of str. */
static int pack_texts(msgpack_packer *p, const tensor *t)
{
    size_t rows = tensor_rows(t), width = tensor_row_size(t);
    int status = msgpack_pack_array(p, rows);
    for (size_t row = 0; row < rows && status == 0; row++)
        status = pack_str(p, (const char *)t->data + row * width);
    return status;
}

/* All of a field but its data, as msgpack-numpy writes an array; of texts, all. */
static int pack_field_head(msgpack_packer *p, const field *f, bool marked)
{
    const tensor *t = &f->value;
    int status = pack_str(p, f->name);
    if (t->type == TYPE_TEXT)
        return status || pack_texts(p, t);
    status |= msgpack_pack_map(p, marked ? 6 : 5);
    status |= pack_bin(p, "nd") || msgpack_pack_true(p);
    status |= pack_bin(p, "type") || pack_str(p, type_code(t->type));
    status |= pack_bin(p, "kind") || pack_bin(p, "");
    status |= pack_bin(p, "shape") || msgpack_pack_array(p, t->rank);
    for (size_t i = 0; i < t->rank; i++)
        status |= msgpack_pack_uint64(p, t->shape[i]);
    return status || pack_bin(p, "data") || msgpack_pack_bin(p, tensor_bytes(t));
}

/* Sums and writes, a part at a time: the core's cache has it still when it is copied on, and the
 * reader has work while the rest comes. Data begins a write of its own, never behind a head: in a
 * pipe it then begins a page, and copies of whole pages are the fastest. */
static int write_parts(stream_writer *w, const char *data, size_t bytes, error *e)
{
    if (!w->out)
        return put(w, data, bytes, e);
    while (bytes > 0) {
        size_t part = bytes < CHECKSUM_PART ? bytes : CHECKSUM_PART;
        checksum_add(w->sum, data, part);
        if (put(w, data, part, e) < 0)
            return -1;
        data += part;
        bytes -= part;
    }
    return 0;
}

/* Texts stand in the head whole. */
static size_t data_bytes(const tensor *t)
{
    return t->type == TYPE_TEXT ? 0 : tensor_bytes(t);
}

/* The key, the numbers, then the sum of all up to it. */
static int write_mark(stream_writer *w, const stream_mark *mark, error *e)
{
    char numbers[MARK_NUMBERS + 1], sum[CHECKSUM_TEXT + 1];
    size_t from = w->heads.size;
    snprintf(numbers, sizeof numbers, "%016" PRIx64 "%016" PRIx64, mark->length, mark->own);
    if (pack_bin(&w->packer, MARK_KEY) || msgpack_sbuffer_write(&w->heads, MARK_STR16, 3) ||
        msgpack_sbuffer_write(&w->heads, numbers, MARK_NUMBERS))
        return error_set(e, "out of memory");
    if (write_parts(w, w->heads.data + from, w->heads.size - from, e) < 0)
        return -1;
    checksum_text(checksum_get(w->sum), sum);
    return write_parts(w, sum, CHECKSUM_TEXT, e);
}

/* Of a batch that was checked; `mark` NULL for none. */
static int write_record(stream_writer *w, const batch *b, const stream_mark *mark, error *e)
{
    size_t cuts[STREAM_FIELDS_MAX + 1] = {0}; /* where each field's head begins within the heads */
    msgpack_sbuffer_clear(&w->heads);
    int status = msgpack_pack_map(&w->packer, b->field_count);
    for (size_t i = 0; i < b->field_count; i++) {
        status |= pack_field_head(&w->packer, &b->fields[i], mark && i + 1 == b->field_count);
        cuts[i + 1] = w->heads.size;
    }
    if (status != 0)
        return error_set(e, "out of memory");
    w->rows += b->rows;
    size_t bytes = 0;
    for (size_t i = 0; i < b->field_count; i++) {
        const tensor *t = &b->fields[i].value;
        if (write_parts(w, w->heads.data + cuts[i], cuts[i + 1] - cuts[i], e) < 0 ||
            write_parts(w, t->data, data_bytes(t), e) < 0)
            return -1;
        bytes += cuts[i + 1] - cuts[i] + data_bytes(t);
    }
    if (mark && write_mark(w, mark, e) < 0)
        return -1;
    /* Nothing of a large record waits for the next one. */
    return bytes > LARGE_BYTES && w->out ? output_flush(w->out, e) : 0;
}

int stream_write_whole(stream_writer *w, const batch *b, error *e)
{
    size_t bytes;
    if (b->rows == 0)
        return 0;
    return check_batch(w, b, &bytes, e) < 0 ? -1 : write_record(w, b, NULL, e);
}

int stream_write_marked(stream_writer *w, const batch *b, stream_mark mark, error *e)
{
    size_t bytes;
    return check_batch(w, b, &bytes, e) < 0 ? -1 : write_record(w, b, &mark, e);
}

int stream_write(stream_writer *w, const batch *b, error *e)
{
    size_t bytes;
    if (b->rows == 0)
        return 0;
    if (check_batch(w, b, &bytes, e) < 0)
        return -1;
    if (bytes <= STREAM_RECORD_BYTES)
        return write_record(w, b, NULL, e);
    size_t row = bytes / b->rows, step = row < STREAM_RECORD_BYTES ? STREAM_RECORD_BYTES / row : 1;
    for (size_t first = 0; first < b->rows; first += step) {
        batch part = batch_part(b, first, b->rows - first < step ? b->rows - first : step);
        if (write_record(w, &part, NULL, e) < 0)
            return -1;
    }
    return 0;
}
