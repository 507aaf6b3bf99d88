/* tensor-info: what a stream or a model holds; see tensor-info(1). */
#include "../common/base/text.h"
#include "../common/base/tool.h"
#include "../common/model/sums.h"
#include "training/checkpoint.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool all;

static const tool_option options[] = {
    {"all", NULL, 0, "list a model's layers, tensors and notes, and all its classes",
     OPTION_TO(all)},
    {0}};

static const tool_description about = {
    .name = "tensor-info",
    .summary = "Tell in a few lines what streams and models hold: fields with their types and "
               "shapes, classes with their rows; a model's head, size and classes.",
    .usage = "[OPTION]... [FILE]...",
    .example = "cifar-read test_batch.bin | tensor-info",
    .options = options};

/* A line of output; what steers a terminal in names and texts of files is spelt out. */
__attribute__((format(printf, 3, 4))) static int line(output *out, error *e, const char *format,
                                                      ...)
{
    char *text, *shown = NULL;
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    size_t room = length < 0 ? 0 : 4 * (size_t)length + 1; /* a byte is four at most: \x1b */
    if (room == 0 || !(shown = malloc(room)))
        error_set(e, "out of memory");
    int status = shown ? output_printf(out, e, "%s\n", text_visible(text, shown, room)) : -1;
    if (length >= 0)
        free(text);
    free(shown);
    return status;
}

/* ---- what a stream holds ---- */

enum { SHAPES_MAX = 64 };

typedef struct {
    field shapes[SHAPES_MAX]; /* each field in each type and row shape; rows added up; no data */
    size_t shape_count, hidden;
    uint64_t batches, *rows_of_class, labels, no_class;
    size_t classes;
} summary;

static void add_field(summary *s, const field *f)
{
    for (size_t i = 0; i < s->shape_count; i++) {
        if (field_alike(&s->shapes[i], f)) {
            s->shapes[i].value.shape[0] += f->value.shape[0];
            return;
        }
    }
    if (s->shape_count < SHAPES_MAX)
        s->shapes[s->shape_count++] = *f;
    else
        s->hidden++;
}

static int make_classes(summary *s, size_t count, error *e)
{
    if (count <= s->classes)
        return 0;
    uint64_t *grown = realloc(s->rows_of_class, count * sizeof *grown);
    if (!grown)
        return error_set(e, "out of memory for %zu classes", count);
    memset(grown + s->classes, 0, (count - s->classes) * sizeof *grown);
    s->rows_of_class = grown;
    s->classes = count;
    return 0;
}

/* Labels that are no class are counted, not refused: to find them is what one looks for here. */
static void add_labels(summary *s, batch *b)
{
    tensor *label = batch_find(b, "label");
    if (!label || label->rank != 1 || !type_is_integer(label->type))
        return;
    for (size_t i = 0; i < b->rows; i++) {
        int64_t value = tensor_integer(label, i);
        s->labels++;
        if (value >= 0 && (uint64_t)value < s->classes)
            s->rows_of_class[value]++;
        else
            s->no_class++;
    }
}

static int read_summary(stream_reader *r, summary *s, error *e)
{
    progress p;
    batch *b;
    int status;
    progress_begin(&p, "rows", 0);
    while ((status = stream_read(r, &b, e)) > 0) {
        if (make_classes(s, stream_classes(r)->count, e) < 0)
            return -1;
        s->batches++;
        for (size_t i = 0; i < b->field_count; i++)
            add_field(s, &b->fields[i]);
        add_labels(s, b);
        progress_update(&p, stream_rows(r), NULL);
    }
    if (status == 0)
        progress_end(&p);
    return status == 0 ? make_classes(s, stream_classes(r)->count, e) : -1;
}

static int print_tensor(output *out, int width, const char *name, const tensor *t, error *e)
{
    char shape[256];
    return line(out, e, "  %-*s  %s", width, name, tensor_describe(t, shape, sizeof shape));
}

static int print_fields(output *out, const summary *s, error *e)
{
    int width = 0;
    for (size_t i = 0; i < s->shape_count; i++)
        if ((int)strlen(s->shapes[i].name) > width)
            width = (int)strlen(s->shapes[i].name);
    for (size_t i = 0; i < s->shape_count; i++)
        if (print_tensor(out, width, s->shapes[i].name, &s->shapes[i].value, e) < 0)
            return -1;
    return s->hidden ? line(out, e, "  and %zu batches of other shapes", s->hidden) : 0;
}

/* A wrong one would have ended the reading. */
static int print_checksum(output *out, const stream_reader *r, error *e)
{
    size_t checked = stream_checked(r), streams = stream_count(r);
    return checked == 0 ? line(out, e, "checksum: none")
           : checked == streams
               ? line(out, e, "checksum: right")
               : line(out, e, "checksum: right in %zu of %zu streams", checked, streams);
}

static int print_classes(output *out, const stream_reader *r, const summary *s, error *e)
{
    const class_list *classes = stream_classes(r);
    int status = line(out, e, "classes: %zu", classes->count);
    for (size_t i = 0; i < classes->count && status >= 0; i++)
        status = s->labels ? line(out, e, "  %3zu  %-20s %8llu rows", i, classes->names[i],
                                  (unsigned long long)s->rows_of_class[i])
                           : line(out, e, "  %3zu  %s", i, classes->names[i]);
    if (status >= 0 && s->no_class)
        status =
            line(out, e, "  labels that are no class: %llu rows", (unsigned long long)s->no_class);
    return status;
}

static int describe_stream(stream_reader *r, output *out, error *e)
{
    summary s = {0};
    int status = read_summary(r, &s, e);
    if (status == 0)
        status = line(out, e, "%s: a stream, %llu rows in %llu %s", stream_name(r),
                      (unsigned long long)stream_rows(r), (unsigned long long)s.batches,
                      s.batches == 1 ? "batch" : "batches");
    if (status == 0 && (status = line(out, e, "fields: %zu", s.shape_count)) == 0 &&
        (status = print_fields(out, &s, e)) == 0 && (status = print_checksum(out, r, e)) == 0)
        status = print_classes(out, r, &s, e);
    free(s.rows_of_class);
    return status;
}

/* ---- what a model holds ---- */

/* The number of floats in the parameters that a layer has. */
static size_t layer_parameters(const network *n, const layer *l)
{
    const size_t indices[] = {l->weight, l->offset, l->mean, l->variance};
    size_t count = 0;
    for (size_t i = 0; i < sizeof indices / sizeof *indices; i++)
        if (indices[i] != SIZE_MAX)
            count += n->parameters[indices[i]].count;
    return count;
}

/* Multiplications, each with an addition, of one picture. */
static double layer_work(const layer *l)
{
    double out = (double)extent_size(l->out);
    switch (l->kind) {
    case LAYER_CONV:
        return out * (double)(l->kernel_height * l->kernel_width) *
               (double)(l->in.channels / l->groups);
    case LAYER_DENSE:
        return out * (double)extent_size(l->in);
    case LAYER_ATTENTION: /* queries by keys, and their weights by values */
        return 2 * out * (double)(l->in.height * l->in.width);
    default:
        return 0;
    }
}

static int print_layers(output *out, const network *n, error *e)
{
    const char *word = n->text;
    if (!*n->text)
        return line(out, e, "layers: none; it classifies embeddings made elsewhere");
    int status =
        line(out, e, "input: %zu x %zu x %zu", n->input.height, n->input.width, n->input.channels);
    double work = 0;
    for (size_t i = 0; i < n->layer_count; i++)
        work += layer_work(&n->layers[i]);
    if (status >= 0)
        status = line(out, e, "layers: %zu, %.0f %smultiply-adds a picture", n->layer_count,
                      work < 1e7 ? work : work / 1e6, work < 1e7 ? "" : "million ");
    for (size_t i = 0; i < n->layer_count && all && status >= 0; i++) {
        const layer *l = &n->layers[i];
        size_t length = strcspn(word, " ");
        char shape[64];
        snprintf(shape, sizeof shape, "%zu x %zu x %zu", l->out.height, l->out.width,
                 l->out.channels);
        status = line(out, e, "  %3zu  %-20.*s %-14s %10zu parameters %12.0f multiply-adds", i,
                      (int)length, word, shape, layer_parameters(n, l), layer_work(l));
        word += length + (word[length] == ' ');
    }
    return status;
}

enum { CLASSES_SHOWN = 12 }; /* with all else no more than a screen's 24 lines */

static int print_kinds(output *out, const model *m, error *e)
{
    const class_sums imprint = sums_of(m, SUMS_IMPRINT);
    size_t classes = m->classes.count, shown = all || classes <= CLASSES_SHOWN ? classes : 10;
    int status = line(out, e, "classes: %zu", classes);
    for (size_t i = 0; i < shown && status >= 0; i++) {
        char rows[64] = "";
        if (sums_count(&imprint, i) > 0)
            snprintf(rows, sizeof rows, ", imprinted from %.0f rows", sums_count(&imprint, i));
        status = line(out, e, "  %3zu  %-20s %s%s", i, m->classes.names[i],
                      class_kind_name(m->kinds[i]), rows);
    }
    return shown < classes && status >= 0 ? line(out, e, "  and %zu more", classes - shown)
                                          : status;
}

static int print_tensors(output *out, const model *m, error *e)
{
    int width = 0;
    double bytes = 0;
    for (size_t i = 0; i < m->tensor_count; i++) {
        bytes += (double)tensor_bytes(&m->tensors[i].value);
        if ((int)strlen(m->tensors[i].name) > width)
            width = (int)strlen(m->tensors[i].name);
    }
    int status = line(out, e, "tensors: %zu, %.1f MB", m->tensor_count, bytes / 1e6);
    for (size_t i = 0; i < m->tensor_count && all && status >= 0; i++)
        status = print_tensor(out, width, m->tensors[i].name, &m->tensors[i].value, e);
    return status;
}

static int print_notes(output *out, const model *m, error *e)
{
    int status = line(out, e, "notes: %zu%s", m->note_count,
                      all ? "" : "; --all lists layers, tensors and notes");
    for (size_t i = 0; i < m->note_count && all && status >= 0; i++) {
        const model_note *n = &m->notes[i];
        status = n->is_number ? line(out, e, "  %s %.9g", n->key, n->number)
                              : line(out, e, "  %s %s", n->key, n->text);
    }
    return status;
}

static int print_model(output *out, const stream_reader *r, const model *m, error *e)
{
    const network *n = &m->net;
    int epoch = checkpoint_epoch(m);
    if (line(out, e, "%s: a model, version %u", stream_name(r), m->version) < 0 ||
        (epoch >= 0 && line(out, e, "checkpoint: of training, after epoch %d", epoch) < 0) ||
        line(out, e, "head: %s, dimension %zu, imprinted by norm %s", head_name(n->head),
             n->dimension, norm_name(m->norm)) < 0 ||
        line(out, e, "parameters: %zu", n->total) < 0 || print_layers(out, n, e) < 0 ||
        print_kinds(out, m, e) < 0 || print_tensors(out, m, e) < 0 || print_notes(out, m, e) < 0)
        return -1;
    return print_checksum(out, r, e);
}

static int describe_model(stream_reader *r, output *out, error *e)
{
    model m;
    if (model_read(r, &m, e) < 0)
        return -1;
    int status = print_model(out, r, &m, e);
    model_free(&m);
    return status;
}

/* ---- files ---- */

static int describe(char *path, output *out, error *e)
{
    stream_reader *r;
    const stream_header *h;
    size_t bytes;
    if (stream_open(&path, 1, &r, e) < 0)
        return -1;
    int status = stream_header_first(r, &h, e);
    if (status == 0)
        status = stream_header_get_encoded(h, "model", &bytes) ? describe_model(r, out, e)
                                                               : describe_stream(r, out, e);
    stream_close(r);
    return status;
}

static int describe_all(tool_operands files, output *out, error *e)
{
    static char *standard[] = {"-"};
    if (files.count == 0)
        files = (tool_operands){standard, 1};
    for (size_t i = 0; i < files.count; i++)
        if ((i > 0 && output_printf(out, e, "\n") < 0) || describe(files.names[i], out, e) < 0)
            return -1;
    return 0;
}

int main(int argc, char **argv)
{
    tool_operands files = tool_begin(&about, argc, argv);
    error e;
    output *out = tool_output(NULL);
    int status = describe_all(files, out, &e);
    return tool_end(out, status, &e);
}
