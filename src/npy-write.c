/* npy-write: records to numpy's arrays; see npy-write(1). */
#include "../common/base/text.h"
#include "../common/base/tool.h"
#include "../common/formats/npy.h"
#include "../common/formats/safetensors.h"
#include "../common/stream/read.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *only;
static bool tensors; /* a safetensors file */

static const tool_option options[] = {
    {"field", "NAME", 0, "write that field alone, as .npy", OPTION_TO(only)},
    {"safetensors", NULL, 0, "write a safetensors file; texts have no place there",
     OPTION_TO(tensors)},
    {0}};

static const tool_description about = {
    .name = "npy-write",
    .summary = "Read records; write numpy's .npz with an array a field, and `classes`.",
    .usage = "[OPTION]... [FILE]...",
    .example =
        "embed --model m photos.records | npy-write -o features.npz\n"
        "python3 -c 'import numpy; print(numpy.load(\"features.npz\")[\"embedding\"].shape)'",
    .options = options};

/* A field's rows wait in a file without a name, until it is known how many they are. */
typedef struct {
    field like; /* name, type and shape of its rows; borrows nothing */
    FILE *rows; /* numbers as they are; texts one after the other, each ended by a zero */
    uint64_t bytes;
    size_t longest; /* characters of a text */
} column;

typedef struct {
    column columns[STREAM_FIELDS_MAX];
    size_t count;
    uint64_t rows;
} table;

static FILE *file_new(error *e)
{
    const char *folder = getenv("TMPDIR");
    char *path;
    if (asprintf(&path, "%s/npy-write.XXXXXX", folder && *folder ? folder : "/tmp") < 0) {
        error_set(e, "out of memory");
        return NULL;
    }
    int fd = mkostemp(path, 0);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w+");
    if (!file)
        error_system(e, "%s", path);
    if (fd >= 0)
        unlink(path);
    free(path);
    return file;
}

static int file_add(column *c, const void *data, size_t bytes, error *e)
{
    if (fwrite(data, 1, bytes, c->rows) != bytes)
        return error_system(e, "a temporary file for %s; $TMPDIR says where", c->like.name);
    c->bytes += bytes;
    return 0;
}

/* ---- rows ---- */

/* The fields of the first batch are those of all. */
static int table_begin(table *t, const batch *b, error *e)
{
    for (size_t i = 0; i < b->field_count; i++) {
        const field *f = &b->fields[i];
        if (only && strcmp(f->name, only) != 0)
            continue;
        column *c = &t->columns[t->count];
        c->like = *f;
        c->like.value.data = NULL;
        c->rows = file_new(e);
        if (!c->rows)
            return -1;
        t->count++;
    }
    return t->count > 0 ? 0 : error_set(e, "the records have no field %s", only);
}

static size_t characters(const char *text)
{
    size_t count = 0;
    for (; *text; text++)
        count += (*text & 0xC0) != 0x80;
    return count;
}

static int texts_add(column *c, const tensor *t, error *e)
{
    for (size_t i = 0; i < t->shape[0]; i++) {
        const char *text = (const char *)t->data + i * t->shape[1];
        size_t length = characters(text);
        c->longest = length > c->longest ? length : c->longest;
        if (file_add(c, text, strlen(text) + 1, e) < 0)
            return -1;
    }
    return 0;
}

static int table_add(table *t, batch *b, error *e)
{
    if (t->count == 0 && table_begin(t, b, e) < 0)
        return -1;
    if (!only && b->field_count != t->count)
        return error_set(e, "row %llu: %zu fields after ones of %zu", (unsigned long long)t->rows,
                         b->field_count, t->count);
    for (size_t i = 0; i < t->count; i++) {
        column *c = &t->columns[i];
        const tensor *value = batch_find(b, c->like.name);
        field f = c->like;
        if (value)
            f.value = *value;
        if (!value || !field_alike(&f, &c->like))
            return error_set(e,
                             "row %llu: the field %s is missing or of another type or shape than "
                             "before; an array has one",
                             (unsigned long long)t->rows, c->like.name);
        if ((value->type == TYPE_TEXT ? texts_add(c, value, e)
                                      : file_add(c, value->data, tensor_bytes(value), e)) < 0)
            return -1;
    }
    t->rows += b->rows;
    return 0;
}

/* ---- texts as numpy has them: four bytes a character, zeros to the longest's length ---- */

static size_t text_convert(const char *from, size_t width, uint32_t *to)
{
    memset(to, 0, width * sizeof *to);
    for (size_t i = 0; *from && i < width; i++) {
        const unsigned char *at = (const unsigned char *)from;
        size_t length = utf8_length(at);
        length = length ? length : 1;
        to[i] = length == 1 ? *at : *at & (0xFFu >> (length + 1));
        for (size_t k = 1; k < length; k++)
            to[i] = to[i] << 6 | (at[k] & 0x3F);
        from += length;
    }
    return width * sizeof *to;
}

/* Puts the column's texts into a file anew. */
static int texts_widen(column *c, error *e)
{
    column wide = {.like = c->like, .rows = file_new(e)};
    size_t width = c->longest ? c->longest : 1, room = 0;
    uint32_t *out = malloc(width * sizeof *out);
    char *text = NULL;
    int status = wide.rows && out ? 0 : wide.rows ? error_set(e, "out of memory") : -1;
    rewind(c->rows);
    while (status == 0 && getdelim(&text, &room, '\0', c->rows) > 0)
        status = file_add(&wide, out, text_convert(text, width, out), e);
    free(text);
    free(out);
    if (status < 0) {
        if (wide.rows)
            fclose(wide.rows);
        return -1;
    }
    fclose(c->rows);
    wide.longest = width;
    *c = wide;
    return 0;
}

/* ---- writing ---- */

/* Its head, the caller's to free. */
static char *head_of(const column *c, uint64_t rows, size_t *bytes)
{
    const tensor *t = &c->like.value;
    size_t shape[TENSOR_RANK_MAX];
    char descr[32];
    memcpy(shape, t->shape, sizeof shape);
    shape[0] = rows;
    if (t->type == TYPE_TEXT)
        snprintf(descr, sizeof descr, "<U%zu", c->longest);
    else
        snprintf(descr, sizeof descr, "%s", type_code(t->type));
    return npy_head_text(descr, t->type == TYPE_TEXT ? 1 : t->rank, shape, bytes);
}

static int data_copy(FILE *from, output *out, error *e)
{
    static char block[1 << 16];
    size_t got;
    rewind(from);
    while ((got = fread(block, 1, sizeof block, from)) > 0)
        if (output_write(out, block, got, e) < 0)
            return -1;
    return ferror(from) ? error_system(e, "a temporary file") : 0;
}

static int column_write(column *c, uint64_t rows, npz_writer *archive, output *out, error *e)
{
    size_t bytes;
    if (c->like.value.type == TYPE_TEXT && texts_widen(c, e) < 0)
        return -1;
    if (fflush(c->rows) != 0)
        return error_system(e, "a temporary file for %s; $TMPDIR says where", c->like.name);
    char *head = head_of(c, rows, &bytes);
    if (!head)
        return error_set(e, "out of memory");
    int status;
    if (archive)
        status = npz_add(archive, c->like.name, head, bytes, c->rows, c->bytes, e);
    else
        status = output_write(out, head, bytes, e) < 0 ? -1 : data_copy(c->rows, out, e);
    free(head);
    return status;
}

/* The classes' names, as one more column. */
static int classes_write(const class_list *classes, npz_writer *archive, error *e)
{
    column c = {.like = {.name = "classes", .value = {TYPE_TEXT, 2, {0}, NULL}}};
    c.rows = file_new(e);
    int status = c.rows ? 0 : -1;
    for (size_t i = 0; status == 0 && i < classes->count; i++) {
        tensor t = {TYPE_TEXT, 2, {1, strlen(classes->names[i]) + 1}, classes->names[i]};
        status = texts_add(&c, &t, e);
    }
    if (status == 0)
        status = column_write(&c, classes->count, archive, NULL, e);
    if (c.rows)
        fclose(c.rows);
    return status;
}

/* Numbers alone, one after the other behind a head. */
static int tensors_write(table *t, const class_list *classes, output *out, error *e)
{
    field of[STREAM_FIELDS_MAX];
    FILE *data[STREAM_FIELDS_MAX];
    size_t count = 0, bytes;
    char *head;
    for (size_t i = 0; i < t->count; i++) {
        const column *c = &t->columns[i];
        if (c->like.value.type == TYPE_TEXT) {
            tool_say("%s: texts, left out; a safetensors file holds numbers", c->like.name);
            continue;
        }
        of[count] = c->like;
        of[count].value.shape[0] = t->rows;
        data[count++] = c->rows;
    }
    if (count == 0)
        return error_set(e, "the records have nothing but texts; a safetensors file holds numbers");
    if (safetensors_head(of, count, classes, &head, &bytes, e) < 0)
        return -1;
    int status = output_write(out, head, bytes, e);
    free(head);
    for (size_t i = 0; status >= 0 && i < count; i++)
        status = data_copy(data[i], out, e);
    return status;
}

static int table_write(table *t, const class_list *classes, output *out, error *e)
{
    npz_writer *archive;
    if (tensors)
        return tensors_write(t, classes, out, e);
    if (only)
        return column_write(&t->columns[0], t->rows, NULL, out, e);
    if (npz_create(out, &archive, e) < 0)
        return -1;
    int status = 0;
    for (size_t i = 0; status == 0 && i < t->count; i++)
        status = column_write(&t->columns[i], t->rows, archive, out, e);
    bool named = classes->count > 0;
    for (size_t i = 0; i < t->count; i++)
        named = named && strcmp(t->columns[i].like.name, "classes") != 0;
    if (status == 0 && named)
        status = classes_write(classes, archive, e);
    if (status == 0)
        status = npz_end(archive, e);
    npz_free(archive);
    return status;
}

static int convert(stream_reader *reader, table *t, output *out, error *e)
{
    batch *b;
    int more;
    progress p;
    progress_begin(&p, "rows", 0);
    while ((more = stream_read(reader, &b, e)) > 0) {
        if (table_add(t, b, e) < 0)
            return error_prefix(e, "%s", stream_name(reader));
        progress_update(&p, t->rows, NULL);
    }
    if (more < 0)
        return -1;
    if (t->count == 0)
        return error_set(e, "no rows came");
    if (table_write(t, stream_classes(reader), out, e) < 0)
        return -1;
    progress_end(&p);
    return 0;
}

int main(int argc, char **argv)
{
    tool_operands files = tool_begin(&about, argc, argv);
    if (tensors && only)
        tool_usage("--field writes .npy; it and --safetensors exclude each other");
    error e;
    table t = {0};
    stream_reader *reader;
    output *out = tool_output("arrays");
    int status = stream_open(files.names, files.count, &reader, &e);
    if (status == 0) {
        status = convert(reader, &t, out, &e);
        stream_close(reader);
    }
    for (size_t i = 0; i < t.count; i++)
        fclose(t.columns[i].rows);
    return tool_end(out, status, &e);
}
