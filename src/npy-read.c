/* npy-read: numpy's arrays to records; see npy-read(1). */
#include "../common/base/text.h"
#include "../common/base/tool.h"
#include "../common/formats/npy.h"
#include "../common/formats/safetensors.h"
#include "../common/stream/class_names.h"
#include "../common/stream/write.h"

#include <stdlib.h>
#include <string.h>

enum { BATCH_BYTES = 1 << 20 };

static const char *names_path;

static const tool_option options[] = {
    {"names", "FILE", 0,
     "the classes' names, one a line (default: the archive's array `classes`, the labels "
     "themselves where they are texts, else their numbers)",
     OPTION_TO(names_path)},
    {0}};

static const tool_description about = {
    .name = "npy-read",
    .summary = "Read numpy's arrays, .npz or .npy, plain or gzip, or a safetensors file; write "
               "records with a field an array: embedding, label, image, path, and others by their "
               "names.",
    .usage = "[OPTION]... [FIELD=]FILE[:ARRAY]...",
    .example = "npy-read features.npz | imprint -o photos.model\n"
               "npy-read embedding=x_test.npy label=y_test.npy > test.records",
    .options = options};

/* An array on its way to a field. */
typedef struct {
    char name[64];
    npy_array *array;
    void *raw, *made; /* a batch's rows as they lie in the file, and as the field has them */
    size_t text_width;
} column;

typedef struct {
    column *columns;
    size_t count, rows, batch_rows;
    npy_array *names;  /* an archive's array `classes` */
    class_list stated; /* the names in a safetensors file's metadata */
    stream_header header;
    int32_t *labels; /* of all rows */
    stream_writer *writer;
} job;

/* ---- which array is which field ---- */

typedef struct {
    const char *field, *names; /* of arrays, each between blanks */
} synonyms;
static const synonyms known[] = {
    {"embedding", " embedding embeddings emb features feature feats x X data "},
    {"label", " label labels target targets y Y "},
    {"image", " image images picture pictures "},
    {"path", " path paths file files filename filenames "},
    {"classes", " classes class_names target_names names "},
};

/* By an array's name in an archive; NULL where that says nothing: numpy's own arr_0, arr_1. */
static const char *field_by_name(const char *name)
{
    char word[80];
    snprintf(word, sizeof word, " %.70s ", name);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strstr(known[i].names, word))
            return known[i].field;
    return strncmp(name, "arr_", 4) == 0 ? NULL : name;
}

/* Whole numbers one below the other, as scikit-learn has labels at times. */
static bool is_one_wide(const npy_head *h)
{
    return h->rank == 2 && h->shape[1] == 1 && !h->is_text && type_is_integer(h->type);
}

/* By what an array holds. */
static const char *field_by_shape(const npy_head *h)
{
    if (h->rank == 1 || is_one_wide(h))
        return h->is_text || type_is_integer(h->type) ? "label" : NULL;
    if (h->rank >= 3 && !h->is_text && h->type == TYPE_U8)
        return "image";
    return h->rank == 2 && !h->is_text ? "embedding" : NULL;
}

static int column_add(job *j, const char *field, npy_array *array, error *e)
{
    if (strlen(field) >= sizeof j->columns->name)
        return error_set(e, "%s: a field's name has at most %zu bytes", npy_name(array),
                         sizeof j->columns->name - 1);
    for (size_t i = 0; i < j->count; i++)
        if (strcmp(j->columns[i].name, field) == 0)
            return error_set(e, "%s and %s would both be the field %s; say which by FIELD=FILE",
                             npy_name(j->columns[i].array), npy_name(array), field);
    column *more = realloc(j->columns, (j->count + 1) * sizeof *more);
    if (!more)
        return error_set(e, "out of memory");
    j->columns = more;
    more[j->count] = (column){.array = array};
    strcpy(more[j->count++].name, field);
    return 0;
}

/* Takes the array over. field NULL: by its name, or by what it holds. */
static int array_add(job *j, const char *field, const char *path, const char *member, error *e)
{
    npy_array *array;
    if (npy_open(path, member, &array, e) < 0)
        return -1;
    if (!field && member)
        field = field_by_name(member);
    if (!field)
        field = field_by_shape(npy_head_of(array));
    int status = 0;
    if (!field)
        status = error_set(e,
                           "%s: neither labels nor embeddings nor pictures; say what it is by "
                           "FIELD=FILE",
                           npy_name(array));
    else if (strcmp(field, "classes") == 0 && !j->names)
        j->names = array;
    else
        status = column_add(j, field, array, e);
    if (status < 0)
        npy_close(array);
    return status;
}

static int archive_add(job *j, const char *path, char *const *members, size_t count, error *e)
{
    for (size_t i = 0; i < count; i++)
        if (array_add(j, NULL, path, members[i], e) < 0)
            return -1;
    return 0;
}

/* Names of the classes, if the file has some and none came before. */
static int stated_names(job *j, const char *path, error *e)
{
    safetensors *s;
    if (j->stated.count > 0 || !safetensors_is(path))
        return 0;
    if (safetensors_open(path, &s, e) < 0)
        return -1;
    int status = safetensors_classes(s, &j->stated, e);
    safetensors_close(s);
    return status < 0 ? error_prefix(e, "%s", path) : 0;
}

/* [FIELD=]FILE[:ARRAY] */
static int operand_add(job *j, char *word, error *e)
{
    char *equals = strchr(word, '='), *slash = strchr(word, '/'), *path = word, **members;
    const char *field = NULL;
    if (equals && equals > word && (!slash || slash > equals)) {
        *equals = '\0';
        field = word;
        path = equals + 1;
    }
    size_t count;
    char *colon = strrchr(path, ':');
    if (colon && colon[1]) {
        *colon = '\0';
        if (npz_names(path, &members, &count, e) < 0)
            return -1;
        free(members);
        if (count > 0)
            return stated_names(j, path, e) < 0 ? -1 : array_add(j, field, path, colon + 1, e);
        *colon = ':';
    }
    if (npz_names(path, &members, &count, e) < 0)
        return -1;
    int status = !members     ? array_add(j, field, path, NULL, e)
                 : !field     ? archive_add(j, path, members, count, e)
                 : count == 1 ? array_add(j, field, path, members[0], e)
                              : error_set(e, "%s has %zu arrays; say which by %s=%s:ARRAY", path,
                                          count, field, path);
    free(members);
    return status < 0 ? -1 : stated_names(j, path, e);
}

static int rows_check(job *j, error *e)
{
    if (j->count == 0)
        return error_set(e, "no arrays but the classes' names");
    j->rows = npy_head_of(j->columns[0].array)->shape[0];
    for (size_t i = 1; i < j->count; i++) {
        size_t rows = npy_head_of(j->columns[i].array)->shape[0];
        if (rows != j->rows)
            return error_set(e, "%s has %zu rows, %s has %zu; they do not belong together",
                             npy_name(j->columns[0].array), j->rows, npy_name(j->columns[i].array),
                             rows);
    }
    return 0;
}

/* ---- texts ---- */

static size_t utf8_put(uint32_t code, char *to)
{
    if (code < 0x80)
        return (void)(to[0] = (char)code), 1;
    size_t more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    for (size_t i = more; i > 0; i--, code >>= 6)
        to[i] = (char)(0x80 | (code & 0x3F));
    to[0] = (char)((0xFF00u >> (more + 1) & 0xFF) | code);
    return more + 1;
}

/* An element of numpy's U or S, which zeros fill up, as UTF-8 into room for 4 bytes a unit and one
 * more. */
static int text_take(const column *c, const char *from, uint64_t row, char *to, error *e)
{
    const npy_head *h = npy_head_of(c->array);
    char *at = to;
    if (h->unit == 1) {
        memcpy(to, from, h->width);
        to[h->width] = '\0';
        at += strlen(to);
    }
    for (size_t i = 0; h->unit == 4 && i < h->width; i++) {
        uint32_t code;
        memcpy(&code, from + 4 * i, sizeof code);
        if (code == 0)
            break;
        at += code < 0x110000 ? utf8_put(code, at) : (size_t)(*at = (char)0xFF, 1);
    }
    *at = '\0';
    if (utf8_right(to, (size_t)(at - to)) < (size_t)(at - to))
        return error_set(e, "%s: row %llu " UTF8_CURE, npy_name(c->array), (unsigned long long)row);
    return 0;
}

static size_t text_room(const npy_head *h)
{
    return (h->unit == 4 ? 4 * h->width : h->width) + 1;
}

/* ---- labels and classes ---- */

static column *column_find(job *j, const char *name)
{
    for (size_t i = 0; i < j->count; i++)
        if (strcmp(j->columns[i].name, name) == 0)
            return &j->columns[i];
    return NULL;
}

/* All texts of an array of one dimension, each handed on with its row. */
typedef int (*text_function)(job *j, uint64_t row, const char *text, error *e);
static int texts_read(job *j, const column *c, text_function take, error *e)
{
    const npy_head *h = npy_head_of(c->array);
    if (!h->is_text || h->rank != 1)
        return error_set(e, "%s: names are texts in one dimension", npy_name(c->array));
    char *raw = malloc(npy_row_bytes(c->array)), *text = malloc(text_room(h));
    int status = raw && text ? 0 : error_set(e, "out of memory");
    for (size_t row = 0; status == 0 && row < h->shape[0]; row++) {
        status = npy_read(c->array, 1, raw, e);
        if (status == 0)
            status = text_take(c, raw, row, text, e);
        if (status == 0)
            status = take(j, row, text, e);
    }
    free(raw);
    free(text);
    return status < 0 ? -1 : npy_finish(c->array, e);
}

static int class_add(job *j, uint64_t row, const char *text, error *e)
{
    (void)row;
    if (class_name_check(text, e) < 0)
        return -1;
    return class_list_add(&j->header.classes, text) < 0
               ? error_set(e, "the class %s twice, or too many classes", text)
               : 0;
}

/* Whether names are given, and labels bring up none of their own. */
static bool has_names(const job *j)
{
    return names_path || j->names || j->stated.count > 0;
}

static int label_by_text(job *j, uint64_t row, const char *text, error *e)
{
    int found = class_list_find(&j->header.classes, text);
    if (found < 0 && !has_names(j)) {
        if (class_add(j, row, text, e) < 0)
            return error_prefix(e, "row %llu", (unsigned long long)row);
        found = (int)j->header.classes.count - 1;
    }
    if (found < 0)
        return error_set(e, "row %llu: the label %.80s is none of the %zu classes",
                         (unsigned long long)row, text, j->header.classes.count);
    j->labels[row] = found;
    return 0;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Classes that labels brought up stand in the order of their names, wherever they came first. */
static int classes_sort(job *j, error *e)
{
    class_list *old = &j->header.classes, sorted = {0};
    char **names = malloc(old->count * sizeof *names);
    int32_t *places = malloc(old->count * sizeof *places);
    int status = names && places ? 0 : error_set(e, "out of memory");
    if (status == 0) {
        memcpy(names, old->names, old->count * sizeof *names);
        qsort(names, old->count, sizeof *names, compare_names);
    }
    for (size_t i = 0; status == 0 && i < old->count; i++)
        if (class_list_add(&sorted, names[i]) < 0)
            status = error_set(e, "out of memory");
    for (size_t i = 0; status == 0 && i < old->count; i++)
        places[i] = class_list_find(&sorted, old->names[i]);
    for (size_t i = 0; status == 0 && i < j->rows; i++)
        j->labels[i] = places[j->labels[i]];
    free(names);
    free(places);
    class_list_free(status == 0 ? old : &sorted);
    if (status == 0)
        *old = sorted;
    return status;
}

/* Whole numbers; without names they name their classes themselves. */
static int labels_by_number(job *j, const column *c, error *e)
{
    const npy_head *h = npy_head_of(c->array);
    char word[24];
    int64_t most = -1;
    tensor t = {h->type, 1, {j->rows}, malloc(j->rows * npy_row_bytes(c->array))};
    int status = t.data ? npy_read(c->array, j->rows, t.data, e) : error_set(e, "out of memory");
    bool named = has_names(j);
    int64_t count = named ? (int64_t)j->header.classes.count : STREAM_CLASSES_MAX;
    for (size_t i = 0; status == 0 && i < j->rows; i++) {
        int64_t label = tensor_integer(&t, i);
        most = label > most ? label : most;
        if (label < 0 || label >= count)
            status = error_set(e, "%s: row %zu: label %lld is none of %lld classes",
                               npy_name(c->array), i, (long long)label, (long long)count);
        j->labels[i] = (int32_t)label;
    }
    free(t.data);
    for (int64_t i = 0; status == 0 && !named && i <= most; i++) {
        snprintf(word, sizeof word, "%lld", (long long)i);
        if (class_list_add(&j->header.classes, word) < 0)
            status = error_set(e, "out of memory");
    }
    return status < 0 ? -1 : npy_finish(c->array, e);
}

static int find_names(job *j, error *e)
{
    if (names_path)
        return class_names_load(names_path, &j->header.classes, e) < 0
                   ? error_prefix(e, "%s", names_path)
                   : 0;
    if (j->names)
        return texts_read(j, &(column){.array = j->names}, class_add, e);
    for (size_t i = 0; i < j->stated.count; i++)
        if (class_list_add(&j->header.classes, j->stated.names[i]) < 0)
            return error_set(e, "out of memory");
    return 0;
}

static int find_labels(job *j, error *e)
{
    const column *c = column_find(j, "label");
    if (find_names(j, e) < 0)
        return -1;
    if (!c)
        return 0;
    const npy_head *h = npy_head_of(c->array);
    if ((h->rank != 1 && !is_one_wide(h)) || (!h->is_text && !type_is_integer(h->type)))
        return error_set(e, "%s: labels are whole numbers or texts, one a row", npy_name(c->array));
    j->labels = malloc(j->rows * sizeof *j->labels);
    if (!j->labels)
        return error_set(e, "out of memory for %zu labels", j->rows);
    if (!h->is_text)
        return labels_by_number(j, c, e);
    if (texts_read(j, c, label_by_text, e) < 0)
        return -1;
    return has_names(j) ? 0 : classes_sort(j, e);
}

/* ---- fields ---- */

static bool is_label(const column *c)
{
    return strcmp(c->name, "label") == 0;
}

/* What a column's rows become; the memory for a batch of them. */
static int column_ready(job *j, column *c, error *e)
{
    const npy_head *h = npy_head_of(c->array);
    bool embeds = strcmp(c->name, "embedding") == 0;
    size_t size = npy_row_bytes(c->array), made = 0;
    if (embeds && (h->is_text || h->rank != 2))
        return error_set(e, "%s: an embedding is numbers, rows x dimension", npy_name(c->array));
    if (strcmp(c->name, "image") == 0 &&
        (h->is_text || h->type != TYPE_U8 || (h->rank != 3 && h->rank != 4)))
        return error_set(e, "%s: pictures are uint8, rows x height x width (x channels)",
                         npy_name(c->array));
    if (strcmp(c->name, "path") == 0 && !h->is_text)
        return error_set(e, "%s: paths are texts", npy_name(c->array));
    if (h->is_text && h->rank != 1)
        return error_set(e, "%s: texts stand one a row", npy_name(c->array));
    if (h->is_text)
        made = c->text_width = text_width(text_room(h) - 1);
    else if (embeds)
        made = h->shape[1] * sizeof(float);
    c->raw = malloc(j->batch_rows * size);
    c->made = made ? calloc(j->batch_rows, made) : NULL;
    return c->raw && (c->made || !made) ? 0
                                        : error_set(e, "out of memory for %zu rows", j->batch_rows);
}

static int reserve(job *j, error *e)
{
    size_t bytes = 0;
    for (size_t i = 0; i < j->count; i++)
        bytes += npy_row_bytes(j->columns[i].array);
    j->batch_rows = bytes < BATCH_BYTES ? BATCH_BYTES / bytes : 1;
    j->batch_rows = j->batch_rows < j->rows ? j->batch_rows : j->rows;
    for (size_t i = 0; i < j->count; i++)
        if (!is_label(&j->columns[i]) && column_ready(j, &j->columns[i], e) < 0)
            return -1;
    return 0;
}

/* A batch's rows of one field. */
static int column_read(column *c, size_t rows, uint64_t first, tensor *out, error *e)
{
    const npy_head *h = npy_head_of(c->array);
    if (npy_read(c->array, rows, c->raw, e) < 0)
        return -1;
    if (h->is_text) {
        size_t size = npy_row_bytes(c->array);
        memset(c->made, 0, rows * c->text_width);
        *out = (tensor){TYPE_TEXT, 2, {rows, c->text_width}, c->made};
        for (size_t i = 0; i < rows; i++)
            if (text_take(c, (char *)c->raw + i * size, first + i,
                          (char *)c->made + i * c->text_width, e) < 0)
                return -1;
        return 0;
    }
    *out = (tensor){.type = h->type, .rank = h->rank, .data = c->raw};
    memcpy(out->shape, h->shape, sizeof out->shape);
    out->shape[0] = rows;
    if (strcmp(c->name, "embedding") == 0) {
        for (size_t i = 0; i < rows * h->shape[1]; i++)
            ((float *)c->made)[i] = (float)tensor_number(out, i);
        out->type = TYPE_F32;
        out->data = c->made;
    }
    if (strcmp(c->name, "image") == 0 && h->rank == 3)
        out->shape[out->rank++] = 1;
    return 0;
}

static int convert_rows(job *j, size_t rows, uint64_t first, error *e)
{
    batch b = {0};
    for (size_t i = 0; i < j->count; i++) {
        column *c = &j->columns[i];
        tensor t = {TYPE_I32, 1, {rows}, j->labels + (is_label(c) ? first : 0)};
        if ((!is_label(c) && column_read(c, rows, first, &t, e) < 0) ||
            batch_put(&b, c->name, t, e) < 0)
            return -1;
    }
    return stream_write(j->writer, &b, e);
}

static int convert(job *j, tool_operands files, output *out, error *e)
{
    for (size_t i = 0; i < files.count; i++)
        if (operand_add(j, files.names[i], e) < 0)
            return -1;
    if (rows_check(j, e) < 0 || find_labels(j, e) < 0 || reserve(j, e) < 0 ||
        stream_create(out, &j->writer, e) < 0 || stream_write_header(j->writer, &j->header, e) < 0)
        return -1;
    progress p;
    progress_begin(&p, "rows", j->rows);
    for (size_t row = 0; row < j->rows; row += j->batch_rows) {
        size_t rows = j->rows - row < j->batch_rows ? j->rows - row : j->batch_rows;
        if (convert_rows(j, rows, row, e) < 0)
            return -1;
        progress_update(&p, row + rows, NULL);
    }
    for (size_t i = 0; i < j->count; i++)
        if (!is_label(&j->columns[i]) && npy_finish(j->columns[i].array, e) < 0)
            return -1;
    if (stream_write_end(j->writer, e) < 0)
        return -1;
    progress_end(&p);
    return 0;
}

static void job_free(job *j)
{
    for (size_t i = 0; i < j->count; i++) {
        npy_close(j->columns[i].array);
        free(j->columns[i].raw);
        free(j->columns[i].made);
    }
    free(j->columns);
    npy_close(j->names);
    free(j->labels);
    class_list_free(&j->stated);
    stream_header_free(&j->header);
    stream_writer_free(j->writer);
}

int main(int argc, char **argv)
{
    tool_operands files = tool_begin(&about, argc, argv);
    error e;
    job j = {0};
    if (files.count == 0)
        tool_usage("name the arrays' files");
    output *out = tool_output("records");
    int status = convert(&j, files, out, &e);
    job_free(&j);
    return tool_end(out, status, &e);
}
