/* read.c: reading tensor streams; see read.h.
 *
 * The heads of maps, arrays and texts are pulled one by one; a tensor's data goes from the file
 * straight into the buffer of its field, once its claimed length was found to be possible. */
#include "read.h"
#include "../base/memory.h"
#include "../base/text.h"
#include "checksum.h"
#include "source.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    GROWTH_BYTES = 16 << 20,
    TENSOR_PAIRS_MAX = 16,
    SKIP_BYTES_MAX = 1 << 20,
    TEXT_BYTES_MAX = 65535
};

/* Memory of one field, kept from batch to batch. */
typedef struct {
    char *data; /* aligned to 64 bytes */
    size_t capacity;
    size_t width; /* the largest that a column of texts here has had */
} field_buffer;

struct stream_reader {
    source src;
    char **paths; /* what is to be read, in order; owned. Empty for memory */
    size_t path_count, next_path;
    uint64_t finished_bytes, total_bytes;

    bool in_stream, have_first, failed;
    stream_header first, later; /* later: the one that holds now, if it is not the first */
    class_list classes;         /* of all headers so far */
    size_t own_count;           /* classes in the header that holds now */
    int32_t *renumber; /* from its numbers to those of `classes`; NULL where they are the same */
    uint64_t rows, stream_rows;
    size_t streams; /* headers read */
    size_t checked; /* streams whose end record had the right checksum */
    checksum *sum;  /* of the stream so far */
    bool marked;
    stream_mark mark; /* of the batch read last */

    batch batch;
    field_buffer buffers[STREAM_FIELDS_MAX];
};

/* ---- opening and closing ---- */

static stream_reader *reader_new(error *e)
{
    stream_reader *r = calloc(1, sizeof *r);
    if (r && !(r->sum = checksum_new())) {
        free(r);
        r = NULL;
    }
    if (!r) {
        error_set(e, "out of memory");
        return NULL;
    }
    r->src.fd = -1;
    r->src.sum = r->sum;
    return r;
}

/* Adds up the sizes; a file that is missing is found now, before any work is done. */
static int measure(stream_reader *r, error *e)
{
    bool known = true;
    for (size_t i = 0; i < r->path_count; i++) {
        struct stat status;
        bool standard = strcmp(r->paths[i], "-") == 0;
        if ((standard ? fstat(0, &status) : stat(r->paths[i], &status)) != 0)
            return error_system(e, "%s: cannot open", r->paths[i]);
        if (S_ISDIR(status.st_mode))
            return error_set(e, "%s: is a folder; name files", r->paths[i]);
        known = known && S_ISREG(status.st_mode);
        r->total_bytes += (uint64_t)status.st_size;
    }
    if (!known)
        r->total_bytes = 0;
    return 0;
}

int stream_open(char *const *paths, size_t count, stream_reader **out, error *e)
{
    static char *const standard[] = {"-"};
    stream_reader *r = reader_new(e);
    if (!r)
        return -1;
    if (count == 0) {
        paths = standard;
        count = 1;
    }
    r->paths = calloc(count, sizeof *r->paths);
    for (; r->paths && r->path_count < count; r->path_count++)
        if (!(r->paths[r->path_count] = strdup(paths[r->path_count])))
            break;
    int status = r->path_count == count ? measure(r, e) : error_set(e, "out of memory");
    if (status != 0) {
        stream_close(r);
        return -1;
    }
    *out = r;
    return 0;
}

int stream_open_memory(const void *data, size_t bytes, const char *name, stream_reader **out,
                       error *e)
{
    stream_reader *r = reader_new(e);
    if (!r)
        return -1;
    source_memory(&r->src, data, bytes, name);
    r->src.sum = r->sum;
    r->total_bytes = bytes;
    *out = r;
    return 0;
}

void stream_close(stream_reader *r)
{
    if (!r)
        return;
    source_close(&r->src);
    for (size_t i = 0; i < r->path_count; i++)
        free(r->paths[i]);
    free(r->paths);
    for (size_t i = 0; i < STREAM_FIELDS_MAX; i++)
        free(r->buffers[i].data);
    batch_free(&r->batch);
    stream_header_free(&r->first);
    stream_header_free(&r->later);
    class_list_free(&r->classes);
    free(r->renumber);
    checksum_free(r->sum);
    free(r);
}

const class_list *stream_classes(const stream_reader *r)
{
    return &r->classes;
}

size_t stream_count(const stream_reader *r)
{
    return r->streams;
}

const stream_header *stream_header_latest(const stream_reader *r)
{
    return r->streams == 0 ? NULL : r->streams == 1 ? &r->first : &r->later;
}

size_t stream_checked(const stream_reader *r)
{
    return r->checked;
}

uint64_t stream_rows(const stream_reader *r)
{
    return r->rows;
}

uint64_t stream_bytes(const stream_reader *r)
{
    return r->finished_bytes + r->src.offset;
}

const stream_mark *stream_mark_read(const stream_reader *r)
{
    return r->marked ? &r->mark : NULL;
}

uint64_t stream_bytes_total(const stream_reader *r)
{
    return r->total_bytes;
}

const char *stream_name(const stream_reader *r)
{
    return r->src.name ? r->src.name : "no file yet";
}

/* ---- headers ---- */

/* Both headers' encoded values of a key are the same, or both lack it. */
static bool same_value(const stream_header *a, const stream_header *b, const char *key)
{
    size_t a_bytes = 0, b_bytes = 0;
    const void *x = stream_header_get_encoded(a, key, &a_bytes);
    const void *y = stream_header_get_encoded(b, key, &b_bytes);
    if (!x || !y)
        return x == y;
    return a_bytes == b_bytes && memcmp(x, y, a_bytes) == 0;
}

/* Appends a later header's classes to those known and sets how its numbers become theirs. */
static int merge_classes(stream_reader *r, const class_list *own, error *e)
{
    free(r->renumber);
    r->renumber = NULL;
    r->own_count = own->count;
    bool same = true;
    int32_t *numbers = malloc((own->count + 1) * sizeof *numbers);
    if (!numbers)
        return error_set(e, "out of memory for the classes");
    for (size_t i = 0; i < own->count; i++) {
        int place = class_list_find(&r->classes, own->names[i]);
        if (place < 0)
            place = class_list_add(&r->classes, own->names[i]);
        if (place < 0) {
            free(numbers);
            return error_set(e, "the streams' headers name more than %d classes together",
                             STREAM_CLASSES_MAX);
        }
        numbers[i] = place;
        same = same && (size_t)place == i;
    }
    if (same)
        free(numbers);
    else
        r->renumber = numbers;
    return 0;
}

/* Takes over a header that was read. */
static int begin_stream(stream_reader *r, stream_header *h, error *e)
{
    r->in_stream = true;
    r->stream_rows = 0;
    if (!r->have_first) {
        r->have_first = true;
        r->first = *h;
        return merge_classes(r, &r->first.classes, e);
    }
    int status = merge_classes(r, &h->classes, e);
    if (status == 0 && !same_value(&r->first, h, "embedding-of"))
        status = error_set(e, "holds embeddings of another model than the stream before it; embed "
                              "all pictures with the same one");
    stream_header_free(&r->later);
    r->later = *h;
    return status;
}

/* Opens the next file. 1, 0 if there is none, -1. */
static int next_file(stream_reader *r, error *e)
{
    r->finished_bytes += r->src.offset;
    source_close(&r->src);
    r->src.offset = 0;
    if (r->next_path == r->path_count)
        return 0;
    return source_open(&r->src, r->paths[r->next_path++], e) == 0 ? 1 : -1;
}

static int empty_input(const stream_reader *r, error *e)
{
    return error_set(e, "%s: empty: no records came; %s", r->src.name,
                     r->src.fd == 0 ? "did the program before in the pipe fail?"
                                    : "make it again with the tool that wrote it");
}

/* Reads on to the next header, into the next file if need be. 1, 0 at the end of all, -1. */
static int read_header(stream_reader *r, error *e)
{
    for (;;) {
        stream_header h;
        bool open = r->src.fd >= 0 || r->path_count == 0;
        checksum_begin(r->sum);
        int status = open ? stream_header_read(&r->src, &h, e) : 0;
        if (status > 0) {
            status = begin_stream(r, &h, e) == 0 ? 1 : -1;
            r->streams++;
        }
        if (status < 0)
            return error_prefix(e, "%s: byte %" PRIu64, r->src.name, r->src.offset);
        if (status > 0)
            return 1;
        if (open && r->src.offset == 0)
            return empty_input(r, e);
        if (r->path_count == 0)
            return 0;
        status = next_file(r, e);
        if (status <= 0)
            return status;
    }
}

int stream_header_first(stream_reader *r, const stream_header **out, error *e)
{
    if (r->failed)
        return error_set(e, "%s: reading failed before", stream_name(r));
    if (!r->have_first) {
        int status = read_header(r, e);
        /* Memory of no bytes, or no header in it, is said to be empty above. */
        if (status <= 0) {
            r->failed = true;
            return status < 0 ? -1 : error_set(e, "no records came");
        }
    }
    *out = &r->first;
    return 0;
}

/* ---- tensors ---- */

/* What is known of a tensor while its map is read. */
typedef struct {
    tensor value;
    bool have_array, have_type, have_shape, have_data, marked;
    stream_mark mark;
    size_t bytes; /* of data */
} tensor_parts;

static int read_nd(source *s, tensor_parts *p, error *e)
{
    value_head h;
    if (source_value(s, &h, e) < 0)
        return -1;
    if (h.type != HEAD_BOOL || !h.value)
        return error_set(e, "is a single number; a field is an array with a row for each record");
    p->have_array = true;
    return 0;
}

static int read_type(source *s, tensor_parts *p, error *e)
{
    value_head h;
    char code[16];
    if (source_value(s, &h, e) < 0)
        return -1;
    if (h.type == HEAD_ARRAY)
        return error_set(e, "has a structured type; write each of its columns as a field");
    int status = source_text(s, &h, code, sizeof code, e);
    if (status != 0)
        return status < 0 ? -1 : error_set(e, "has a type that is no text such as '<f4'");
    if (type_parse(code, strlen(code), &p->value.type) == 0) {
        p->have_type = true;
        return 0;
    }
    if (code[0] == '>')
        return error_set(e, "has big-endian numbers ('%s'); convert it with .astype('<%s')", code,
                         code + 1);
    return error_set(e, "has type '%s'; only bool, whole numbers and floats can be read", code);
}

static int read_kind(source *s, error *e)
{
    value_head h;
    char kind[16];
    if (source_value(s, &h, e) < 0)
        return -1;
    int status = source_text(s, &h, kind, sizeof kind, e);
    if (status < 0)
        return -1;
    if (status > 0 || kind[0] != '\0')
        return error_set(e, "is an array of Python objects or records; only numbers can be read");
    return 0;
}

static int read_shape(source *s, tensor_parts *p, error *e)
{
    value_head h;
    if (source_value(s, &h, e) < 0)
        return -1;
    if (h.type != HEAD_ARRAY || h.value > TENSOR_RANK_MAX)
        return error_set(e, "has a shape that is no list of at most %d numbers", TENSOR_RANK_MAX);
    p->value.rank = (size_t)h.value;
    for (size_t i = 0; i < p->value.rank; i++) {
        if (source_value(s, &h, e) < 0)
            return -1;
        if (h.type != HEAD_UINT)
            return error_set(e, "has a shape with something else than whole numbers");
        p->value.shape[i] = h.value;
    }
    p->have_shape = true;
    return 0;
}

/* The bytes that type and shape make, or an error. */
static int expected_bytes(const tensor *t, size_t *bytes, error *e)
{
    if (t->rank == 0)
        return error_set(e, "has no dimensions; the first one counts rows");
    size_t product = type_size(t->type);
    for (size_t i = t->rank; i-- > 0;) {
        if (i > 0 && t->shape[i] == 0)
            return error_set(e, "has a dimension of 0");
        if (__builtin_mul_overflow(product, t->shape[i], &product) ||
            product > STREAM_BATCH_BYTES_MAX)
            return error_set(e, "has a shape of more than %zu bytes, the most a batch may have",
                             STREAM_BATCH_BYTES_MAX);
    }
    *bytes = product;
    return 0;
}

static int buffer_grow(field_buffer *b, size_t capacity, size_t keep, error *e)
{
    if (capacity <= b->capacity)
        return 0;
    capacity = (capacity + 63) & ~(size_t)63;
    char *grown = memory_aligned(capacity);
    if (!grown)
        return error_set(e, "out of memory for %zu bytes", capacity);
    if (keep)
        memcpy(grown, b->data, keep);
    free(b->data);
    b->data = grown;
    b->capacity = capacity;
    return 0;
}

/* A pipe's claim cannot be checked against what is left of it, so memory grows with what really
 * came. */
static int fill_buffer(source *s, field_buffer *b, size_t bytes, error *e)
{
    bool known = source_left(s) != UINT64_MAX;
    for (size_t have = 0; have < bytes;) {
        size_t want = have > GROWTH_BYTES / 2 ? 2 * have : GROWTH_BYTES;
        if (known || want > bytes)
            want = bytes;
        if ((have == 0 || have == b->capacity) && buffer_grow(b, want, have, e) < 0)
            return -1;
        size_t until = b->capacity < bytes ? b->capacity : bytes;
        if (source_take(s, b->data + have, until - have, e) < 0)
            return -1;
        have = until;
    }
    return 0;
}

/* `used` is what the batch's other tensors take. */
static int read_data(source *s, tensor_parts *p, field_buffer *b, size_t used, error *e)
{
    value_head h;
    size_t expected = 0;
    if (source_value(s, &h, e) < 0)
        return -1;
    if (h.type != HEAD_BIN && h.type != HEAD_STR)
        return error_set(e, "has data that is no byte string");
    if (p->have_type && p->have_shape) {
        if (expected_bytes(&p->value, &expected, e) < 0)
            return -1;
        if (expected != h.value)
            return error_set(e, "claims %" PRIu64 " bytes where its type and shape make %zu",
                             h.value, expected);
    }
    if (h.value > STREAM_BATCH_BYTES_MAX - used)
        return error_set(e, "claims %" PRIu64 " bytes; a batch has at most %zu", h.value,
                         STREAM_BATCH_BYTES_MAX);
    if (h.value > source_left(s))
        return error_set(e,
                         "claims %" PRIu64 " bytes where %" PRIu64 " are left of the file; it is "
                         "cut short",
                         h.value, source_left(s));
    p->bytes = (size_t)h.value;
    p->have_data = true;
    return fill_buffer(s, b, p->bytes, e);
}

/* What the key "mark" has, if it is one. */
static int read_mark(source *s, tensor_parts *p, error *e)
{
    value_head h;
    char numbers[MARK_NUMBERS + 1] = "", sum[CHECKSUM_TEXT + 1] = "", right[CHECKSUM_TEXT + 1];
    if (source_value(s, &h, e) < 0)
        return -1;
    if (h.raw_bytes != 3 || memcmp(h.raw, MARK_STR16, 3) != 0)
        return source_copy(s, &h, NULL, SKIP_BYTES_MAX, e);
    if (source_take(s, numbers, MARK_NUMBERS, e) < 0)
        return -1;
    checksum_text(checksum_get(s->sum), right);
    if (source_take(s, sum, CHECKSUM_TEXT, e) < 0)
        return -1;
    if (strcmp(sum, right) != 0 ||
        sscanf(numbers, "%16" SCNx64 "%16" SCNx64, &p->mark.length, &p->mark.own) != 2)
        return error_set(e, "has a mark whose checksum is not that of what came; the copy is "
                            "damaged, make it again");
    p->marked = true;
    return 0;
}

/* One pair of a tensor's map. */
static int read_part(source *s, tensor_parts *p, field_buffer *b, size_t used, error *e)
{
    value_head h;
    char key[16];
    if (source_value(s, &h, e) < 0)
        return -1;
    int status = source_text(s, &h, key, sizeof key, e);
    if (status != 0)
        return status < 0 ? -1
                          : error_set(e, "is no tensor: a key that msgpack-numpy does not write");
    if (strcmp(key, "nd") == 0)
        return read_nd(s, p, e);
    if (strcmp(key, "type") == 0)
        return read_type(s, p, e);
    if (strcmp(key, "kind") == 0)
        return read_kind(s, e);
    if (strcmp(key, "shape") == 0)
        return read_shape(s, p, e);
    if (strcmp(key, "data") == 0)
        return read_data(s, p, b, used, e);
    if (strcmp(key, MARK_KEY) == 0)
        return read_mark(s, p, e);
    if (source_value(s, &h, e) < 0)
        return -1;
    return source_copy(s, &h, NULL, SKIP_BYTES_MAX, e);
}

/* One text of a column that has `rows` rows so far. */
static int read_text(source *s, field_buffer *b, size_t rows, size_t most, error *e)
{
    value_head h;
    if (source_value(s, &h, e) < 0)
        return -1;
    if (h.type != HEAD_STR || h.value > TEXT_BYTES_MAX)
        return error_set(e, "is an array with something else than texts of at most %d bytes",
                         TEXT_BYTES_MAX);
    size_t width = text_width((size_t)h.value), before = b->width;
    b->width = width > before ? width : before;
    if ((rows + 1) * b->width > most)
        return error_set(e, "has texts of %zu bytes in %zu rows; a batch has at most %zu bytes",
                         b->width, rows + 1, STREAM_BATCH_BYTES_MAX);
    /* Memory grows with what came, not with what was claimed. */
    size_t need = (rows + 1) * b->width;
    if (need > b->capacity && buffer_grow(b, 2 * need, rows * before, e) < 0)
        return -1;
    if (before < b->width)
        text_copy(b->data, before, b->data, b->width, rows);
    char *to = b->data + rows * b->width;
    memset(to, 0, b->width);
    if (source_text(s, &h, to, b->width, e) < 0)
        return -1;
    return utf8_right(to, (size_t)h.value) == h.value
               ? 0
               : error_set(e, "row %zu of the record: the text '%.200s' " UTF8_CURE, rows, to);
}

static int read_texts(source *s, uint64_t rows, tensor *out, field_buffer *b, size_t used, error *e)
{
    if (rows > source_left(s))
        return error_set(e, "claims %" PRIu64 " texts where %" PRIu64 " bytes are left of the file",
                         rows, source_left(s));
    if (b->width == 0)
        b->width = text_width(0);
    for (size_t i = 0; i < rows; i++)
        if (read_text(s, b, i, STREAM_BATCH_BYTES_MAX - used, e) < 0)
            return -1;
    *out = (tensor){TYPE_TEXT, 2, {(size_t)rows, b->width}, b->data};
    return 0;
}

static int read_tensor(stream_reader *r, tensor *out, field_buffer *b, size_t used, error *e)
{
    source *s = &r->src;
    value_head h;
    tensor_parts p = {0};
    size_t expected = 0;
    if (source_value(s, &h, e) < 0)
        return -1;
    if (h.type == HEAD_ARRAY)
        return read_texts(s, h.value, out, b, used, e);
    if (h.type != HEAD_MAP || h.value > TENSOR_PAIRS_MAX)
        return error_set(e,
                         "is no tensor and no column of texts; encode arrays with msgpack_numpy");
    for (uint64_t i = 0; i < h.value; i++)
        if (read_part(s, &p, b, used, e) < 0)
            return -1;
    if (!p.have_array || !p.have_type || !p.have_shape || !p.have_data)
        return error_set(e, "is no tensor: it lacks one of nd, type, shape and data");
    if (expected_bytes(&p.value, &expected, e) < 0)
        return -1;
    if (expected != p.bytes)
        return error_set(e, "has %zu bytes where its type and shape make %zu", p.bytes, expected);
    *out = p.value;
    out->data = b->data;
    r->marked = p.marked && source_left(s) != UINT64_MAX;
    r->mark = p.mark;
    return 0;
}

/* ---- batches ---- */

/* A field's name, its key within the batch's map. */
static int read_name(source *s, const batch *b, char *name, error *e)
{
    value_head h;
    if (source_value(s, &h, e) < 0)
        return -1;
    int status = source_text(s, &h, name, sizeof b->fields[0].name, e);
    if (status < 0)
        return -1;
    if (status > 0 || name[0] == '\0')
        return error_set(e, "a record with a key that is no name of 1 to 63 bytes");
    if (utf8_right(name, strlen(name)) < strlen(name))
        return error_set(e, "the field name '%s' " UTF8_CURE, name);
    for (size_t i = 0; i < b->field_count; i++)
        if (strcmp(b->fields[i].name, name) == 0)
            return error_set(e, "field '%s' stands twice in one batch", name);
    return 0;
}

/* Field number b->field_count, whose name was read. */
static int read_field(stream_reader *r, size_t *used, error *e)
{
    batch *b = &r->batch;
    field *f = &b->fields[b->field_count];
    if (read_tensor(r, &f->value, &r->buffers[b->field_count], *used, e) < 0)
        return error_prefix(e, "field '%s'", f->name);
    *used += tensor_bytes(&f->value);
    if (b->field_count == 0)
        b->rows = tensor_rows(&f->value);
    else if (tensor_rows(&f->value) != b->rows)
        return error_set(e, "field '%s' has %zu rows where '%s' has %zu", f->name,
                         tensor_rows(&f->value), b->fields[0].name, b->rows);
    b->field_count++;
    return 0;
}

/* The checksum's value in an end record, where `sum` is what it must be. */
static int read_checksum(stream_reader *r, uint64_t sum, error *e)
{
    value_head h;
    char value[CHECKSUM_TEXT + 1], right[CHECKSUM_TEXT + 1];
    if (source_value(&r->src, &h, e) < 0)
        return -1;
    if (h.type != HEAD_STR || h.value != CHECKSUM_TEXT)
        return error_set(e, "an end record whose " CHECKSUM_KEY " is no text of %d digits",
                         CHECKSUM_TEXT);
    if (source_text(&r->src, &h, value, sizeof value, e) < 0)
        return -1;
    /* In the short form it was written anew with a record that somebody took apart. */
    if (h.raw_bytes == 1)
        return 0;
    checksum_text(sum, right);
    if (strcmp(value, right) != 0)
        return error_set(e, "the checksum in the end record is not that of what came; the copy is "
                            "damaged, make it again");
    r->checked++;
    return 0;
}

/* One more key of an end record. */
static int read_end_pair(stream_reader *r, uint64_t sum, bool *found, error *e)
{
    value_head h;
    char key[sizeof CHECKSUM_KEY];
    if (source_value(&r->src, &h, e) < 0)
        return -1;
    int status = source_text(&r->src, &h, key, sizeof key, e);
    if (status > 0)
        status = source_copy(&r->src, &h, NULL, SKIP_BYTES_MAX, e) < 0 ? -1 : 1;
    if (status < 0)
        return -1;
    if (status == 0 && strcmp(key, CHECKSUM_KEY) == 0) {
        if (*found)
            return error_set(e, "an end record with " CHECKSUM_KEY " twice");
        *found = true;
        return read_checksum(r, sum, e);
    }
    return source_value(&r->src, &h, e) < 0 || source_copy(&r->src, &h, NULL, SKIP_BYTES_MAX, e) < 0
               ? -1
               : 0;
}

/* The value of the key `end` and what else its map may hold. `sum` is that of all before it. */
static int read_end(stream_reader *r, uint64_t pairs, uint64_t sum, error *e)
{
    value_head h;
    if (source_value(&r->src, &h, e) < 0)
        return -1;
    if (h.type != HEAD_UINT)
        return error_set(e, "an end record without a number of rows");
    if (h.value != r->stream_rows)
        return error_set(e, "the end record counts %" PRIu64 " rows where %" PRIu64 " came",
                         h.value, r->stream_rows);
    bool found = false;
    for (uint64_t i = 1; i < pairs; i++)
        if (read_end_pair(r, sum, &found, e) < 0)
            return -1;
    /* Perhaps the very name of the checksum was damaged. */
    if (pairs > 1 && !found)
        return error_set(e, "an end record of %" PRIu64 " keys, none of them " CHECKSUM_KEY, pairs);
    r->in_stream = false;
    return 0;
}

static int no_end(const stream_reader *r, error *e)
{
    return error_set(e,
                     "ends after %" PRIu64 " rows without an end record; the program that wrote it "
                     "failed or was stopped",
                     r->stream_rows);
}

/* After a mark: whether the file is as long as it was. */
static int check_length(const stream_reader *r, error *e)
{
    uint64_t left = source_left(&r->src), length = stream_bytes(r) + left;
    if (!r->marked || length == r->mark.length)
        return 0;
    return error_set(e, "%s: the file has %" PRIu64 " bytes, and had %" PRIu64 " when it was made",
                     length < r->mark.length ? "cut short" : "something follows it", length,
                     r->mark.length);
}

/* 1 with a batch (perhaps of no rows), 0 after an end record, -1. */
static int read_record(stream_reader *r, error *e)
{
    value_head h;
    batch *b = &r->batch;
    b->field_count = b->rows = 0;
    b->first_row = r->rows;
    uint64_t sum = checksum_get(r->sum); /* should this be the end record, which is not in it */
    r->marked = false;
    int status = source_head(&r->src, &h, e);
    if (status <= 0)
        return status < 0 ? -1 : no_end(r, e);
    if (h.type != HEAD_MAP || h.value == 0)
        return error_set(e, "something that is no record of a tensor stream");
    if (h.value > STREAM_FIELDS_MAX)
        return error_set(e, "a batch of %" PRIu64 " fields; at most %d are taken", h.value,
                         STREAM_FIELDS_MAX);
    size_t used = 0;
    for (uint64_t i = 0; i < h.value; i++) {
        char *name = b->fields[b->field_count].name;
        if (read_name(&r->src, b, name, e) < 0)
            return -1;
        if (i == 0 && strcmp(name, "end") == 0)
            return read_end(r, h.value, sum, e);
        if (i == 0 && strcmp(name, "tensor-stream") == 0)
            return no_end(r, e);
        if (read_field(r, &used, e) < 0)
            return -1;
    }
    return check_length(r, e) < 0 ? -1 : 1;
}

/* ---- renumbering ---- */

static int64_t type_most(tensor_type type)
{
    return type == TYPE_U8    ? UINT8_MAX
           : type == TYPE_I8  ? INT8_MAX
           : type == TYPE_U16 ? UINT16_MAX
           : type == TYPE_I16 ? INT16_MAX
                              : INT32_MAX;
}

static void put_integer(tensor *t, size_t i, int32_t value)
{
    switch (type_size(t->type)) {
    case 1:
        ((uint8_t *)t->data)[i] = (uint8_t)value;
        break;
    case 2:
        ((uint16_t *)t->data)[i] = (uint16_t)value;
        break;
    case 4:
        ((uint32_t *)t->data)[i] = (uint32_t)value;
        break;
    default:
        ((int64_t *)t->data)[i] = value;
        break;
    }
}

/* Makes room for larger numbers where a narrow type has none: in place, from the last to the first.
 * */
static int widen(tensor *t, field_buffer *b, error *e)
{
    size_t count = tensor_rows(t) * tensor_row_size(t), bytes = tensor_bytes(t);
    if (buffer_grow(b, count * sizeof(int32_t), bytes, e) < 0)
        return -1;
    t->data = b->data;
    for (size_t i = count; i-- > 0;) {
        int32_t value = (int32_t)tensor_integer(t, i);
        memcpy(b->data + i * sizeof value, &value, sizeof value);
    }
    t->type = TYPE_I32;
    return 0;
}

/* Classes' numbers from those of this stream's header to the reader's. */
static int renumber_field(stream_reader *r, field *f, field_buffer *b, error *e)
{
    tensor *t = &f->value;
    size_t count = tensor_rows(t) * tensor_row_size(t);
    if (!type_is_integer(t->type))
        return 0; /* its reader will say so */
    if ((int64_t)r->classes.count - 1 > type_most(t->type) && widen(t, b, e) < 0)
        return -1;
    for (size_t i = 0; i < count; i++) {
        int64_t value = tensor_integer(t, i);
        if (value >= (int64_t)r->own_count)
            return error_set(e, "field '%s' has %" PRId64 " where the header names %zu classes",
                             f->name, value, r->own_count);
        if (value >= 0)
            put_integer(t, i, r->renumber[value]);
    }
    return 0;
}

/* The columns of `score` are the first classes of its header: they must be the first ones here too.
 * */
static bool columns_moved(const stream_reader *r, const tensor *score)
{
    size_t columns = tensor_row_size(score);
    for (size_t c = 0; r->renumber && c < columns && c < r->own_count; c++)
        if (r->renumber[c] != (int32_t)c)
            return true;
    return false;
}

static int renumber_batch(stream_reader *r, error *e)
{
    batch *b = &r->batch;
    for (size_t i = 0; i < b->field_count; i++) {
        field *f = &b->fields[i];
        bool number = strcmp(f->name, "label") == 0 || strcmp(f->name, "prediction") == 0;
        if (number && r->renumber && renumber_field(r, f, &r->buffers[i], e) < 0)
            return -1;
        if (strcmp(f->name, "score") == 0 && columns_moved(r, &f->value))
            return error_set(e, "scores over another list of classes than the stream's before it; "
                                "classify both with the same model");
    }
    return 0;
}

/* ---- reading on ---- */

/* As stream_read, without the place in the error. `*placed` is set if it has one. */
static int read_next(stream_reader *r, bool *placed, error *e)
{
    for (;;) {
        if (!r->in_stream) {
            int status = read_header(r, e);
            *placed = status < 0;
            if (status <= 0)
                return status;
        }
        int status = read_record(r, e);
        if (status < 0)
            return -1;
        if (status == 1 && r->batch.rows > 0) {
            if (renumber_batch(r, e) < 0)
                return -1;
            r->rows += r->batch.rows;
            r->stream_rows += r->batch.rows;
            return 1;
        }
    }
}

int stream_read(stream_reader *r, batch **out, error *e)
{
    bool placed = false;
    if (r->failed)
        return error_set(e, "%s: reading failed before", stream_name(r));
    int status = read_next(r, &placed, e);
    if (status > 0)
        *out = &r->batch;
    if (status >= 0)
        return status;
    r->failed = true;
    if (!placed)
        error_prefix(e, "%s: row %" PRIu64 ", byte %" PRIu64, stream_name(r), r->rows,
                     r->src.offset);
    return -1;
}

tensor stream_take_field(stream_reader *r, size_t i)
{
    tensor taken = r->batch.fields[i].value;
    r->batch.fields[i].value.data = NULL;
    r->buffers[i] = (field_buffer){0};
    return taken;
}

bool stream_pauses(const stream_reader *r, int milliseconds)
{
    return r->in_stream && source_pauses(&r->src, milliseconds);
}
