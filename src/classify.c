/* classify: embeddings to predictions and scores. */
#include "../common/base/json.h"
#include "../common/base/tool.h"
#include "../common/model/model.h"
#include "../common/stream/write.h"
#include "../kernels/backend.h"
#include "device.h"
#include "imprinting/classifier.h"
#include "imprinting/exemplars.h"
#include "imprinting/threshold.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_AT_ONCE 4096 /* scores are made for so many rows at a time: memory stays constant */

typedef enum { FORMAT_RECORDS, FORMAT_TSV, FORMAT_JSONL } format_kind;

static const tool_description about = {
    .name = "classify",
    .summary = "embeddings in, predictions and scores by a model's classes out",
    .usage = "--model MODEL [OPTION]... [FILE]...",
    .options =
        "  -m, --model FILE   the model\n"
        "  -k, --top K        the K best classes of each row (default 1)\n"
        "  -f, --format NAME  records (default), tsv or jsonl\n"
        "  --unknown T        rows whose best score is under T are unknown (prediction -1);\n"
        "                     auto:RATE takes the score that RATE of known rows stay under\n"
        "  --keep-embedding   records keep their embeddings\n" DEVICE_HELP,
    .example = "embed --model nine.model test.records | classify --model nine.model | score",
};

static struct {
    tool_options tool;
    const char *model;
    size_t top;
    format_kind format;
    bool keep_embedding;
    bool unknown, unknown_rate; /* `threshold` is a score, or a rate to take it from */
    double threshold;
    backend_options backend;
} options = {.top = 1, .backend = DEVICE_DEFAULTS};

enum { KEEP_EMBEDDING = TOOL_OWN, UNKNOWN };

static const struct option long_options[] = {
    TOOL_OPTIONS,
    {"model", required_argument, NULL, 'm'},
    {"top", required_argument, NULL, 'k'},
    {"format", required_argument, NULL, 'f'},
    {"unknown", required_argument, NULL, UNKNOWN},
    {"keep-embedding", no_argument, NULL, KEEP_EMBEDDING},
    DEVICE_OPTIONS,
    {NULL, 0, NULL, 0},
};

/* What the loop needs from one batch to the next. */
typedef struct {
    stream_reader *in;
    output *out;
    stream_writer *writer; /* records only */
    stream_header header;  /* as it came */
    model m;
    backend *device;
    classifier *scorer;
    class_list classes;   /* of the output: the model's, then the input's others */
    size_t classes_read;  /* of the input's, how many `place` covers */
    uint64_t fingerprint; /* of the model */
    int32_t *place;       /* input class -> output class */
    uint64_t row, zeros;
    float *score, *top_score; /* [ROWS_AT_ONCE][classes], [ROWS_AT_ONCE][top] */
    uint32_t *top;
    int32_t *prediction, *label;
} work;

static void set_unknown(const char *word)
{
    options.unknown = true;
    options.unknown_rate = strncmp(word, "auto:", 5) == 0;
    options.threshold = options.unknown_rate ? tool_number("--unknown auto:RATE", word + 5, 0, 1)
                                             : tool_number("--unknown", word, -1e30, 1e30);
}

static void set_option(int letter)
{
    static const char *formats[] = {"records", "tsv", "jsonl"};
    switch (letter) {
    case 'm':
        options.model = optarg;
        break;
    case 'k':
        options.top = tool_integer("--top", optarg, 1, STREAM_CLASSES_MAX);
        break;
    case 'f':
        for (int f = 0; f < 3; f++)
            if (strcmp(optarg, formats[f]) == 0) {
                options.format = (format_kind)f;
                return;
            }
        tool_usage("--format is records, tsv or jsonl, not %s", optarg);
    case UNKNOWN:
        set_unknown(optarg);
        break;
    case KEEP_EMBEDDING:
        options.keep_embedding = true;
        break;
    }
}

static void out_of_memory(void)
{
    error e = {0};
    error_set(&e, "out of memory");
    tool_fail(&e);
}

/* Takes in classes of the input that are new, and writes the header that they make. */
static void follow_classes(work *w)
{
    error e = {0};
    const class_list *in = stream_classes(w->in);
    bool first = w->place == NULL;
    size_t before = w->classes.count;
    if (!first && in->count == w->classes_read)
        return;
    int32_t *place = realloc(w->place, (in->count + 1) * sizeof *place);
    if (!place)
        out_of_memory();
    w->place = place;
    for (; w->classes_read < in->count; w->classes_read++) {
        int at = class_list_find(&w->classes, in->names[w->classes_read]);
        if (at < 0)
            at = class_list_add(&w->classes, in->names[w->classes_read]);
        if (at < 0)
            out_of_memory();
        place[w->classes_read] = at;
    }
    if (!w->writer || (!first && w->classes.count == before))
        return;
    class_list_free(&w->header.classes);
    if (class_list_copy(&w->header.classes, &w->classes) < 0)
        out_of_memory();
    if (stream_write_header(w->writer, &w->header, &e) < 0)
        tool_fail(&e);
}

static void begin(work *w)
{
    error e = {0};
    const stream_header *header;
    if (model_load(options.model, &w->m, &e) < 0 || stream_header_first(w->in, &header, &e) < 0)
        tool_fail(&e);
    w->device = device_open_by_size(&options.backend, &options.tool);
    if (classifier_new(w->device, &w->m, &w->scorer, &e) < 0)
        tool_fail(&e);
    if (options.unknown_rate) {
        if (threshold_of_rate(w->scorer, &w->m, options.threshold, &options.threshold, &e) < 0)
            tool_fail_at(options.model, &e);
        tool_say(&options.tool, "unknown: rows of a best score under %.6g", options.threshold);
    }
    w->fingerprint = model_fingerprint(&w->m);
    size_t classes = w->m.classes.count;
    if (options.top > classes)
        tool_usage("--top %zu, but the model has %zu classes", options.top, classes);
    if (class_list_copy(&w->classes, &w->m.classes) < 0 ||
        stream_header_copy(&w->header, header) < 0)
        out_of_memory();
    if (kinds_write(&w->header, w->m.kinds, w->m.classes.count) < 0)
        out_of_memory();
    w->score = malloc(ROWS_AT_ONCE * classes * sizeof *w->score);
    w->top_score = malloc(ROWS_AT_ONCE * options.top * sizeof *w->top_score);
    w->top = malloc(ROWS_AT_ONCE * options.top * sizeof *w->top);
    w->prediction = malloc(ROWS_AT_ONCE * sizeof *w->prediction);
    w->label = malloc(ROWS_AT_ONCE * sizeof *w->label);
    if (!w->score || !w->top_score || !w->top || !w->prediction || !w->label)
        out_of_memory();
    if (options.format == FORMAT_RECORDS && stream_create(w->out, &w->writer, &e) < 0)
        tool_fail(&e);
    follow_classes(w);
}

static tensor make_tensor(tensor_type type, size_t rows, size_t columns, void *data)
{
    return (tensor){.type = type, .rank = columns ? 2 : 1, .shape = {rows, columns}, .data = data};
}

/* Rows first .. first + rows of a batch, without copying. */
static batch slice(const batch *b, size_t first, size_t rows)
{
    batch part = *b;
    part.rows = rows;
    for (size_t f = 0; f < b->field_count; f++) {
        tensor *t = &part.fields[f].value;
        t->data = (char *)t->data + first * tensor_row_size(t) * type_size(t->type);
        t->shape[0] = rows;
    }
    return part;
}

static void write_records(work *w, batch *part)
{
    error e = {0};
    size_t rows = part->rows;
    if (batch_put(part, "prediction", make_tensor(TYPE_I32, rows, 0, w->prediction), &e) < 0 ||
        batch_put(part, "score", make_tensor(TYPE_F32, rows, w->m.classes.count, w->score), &e) < 0)
        tool_fail(&e);
    if (options.top > 1 &&
        (batch_put(part, "top", make_tensor(TYPE_U32, rows, options.top, w->top), &e) < 0 ||
         batch_put(part, "top-score", make_tensor(TYPE_F32, rows, options.top, w->top_score), &e) <
             0))
        tool_fail(&e);
    if (!options.keep_embedding)
        batch_drop(part, "embedding");
    if (stream_write(w->writer, part, &e) < 0)
        tool_fail(&e);
}

static void print(work *w, const char *text)
{
    error e = {0};
    if (output_write(w->out, text, strlen(text), &e) < 0)
        tool_fail(&e);
}

/* A class's name: quoted in JSON; in TSV with blanks for tabs and newlines. */
static void print_name(work *w, const char *name)
{
    char *text = options.format == FORMAT_JSONL ? json_quote(name) : strdup(name);
    if (!text)
        out_of_memory();
    for (char *p = text; options.format == FORMAT_TSV && *p; p++)
        if ((unsigned char)*p < 0x20)
            *p = ' ';
    print(w, text);
    free(text);
}

/* The probability of a score among those of its row. */
static double probability(const float *scores, size_t classes, float best, float score)
{
    double sum = 0;
    for (size_t c = 0; c < classes; c++)
        sum += exp((double)scores[c] - best);
    return exp((double)score - best) / sum;
}

static bool is_unknown(float best_score)
{
    return options.unknown && (double)best_score < options.threshold;
}

static void print_row(work *w, size_t r, const int32_t *label)
{
    error e = {0};
    bool json = options.format == FORMAT_JSONL;
    size_t classes = w->m.classes.count;
    const uint32_t *top = w->top + r * options.top;
    const float *score = w->top_score + r * options.top, *scores = w->score + r * classes;
    if (output_printf(w->out, &e, json ? "{\"row\":%" PRIu64 ",\"label\":" : "%" PRIu64 "\t",
                      w->row + r) < 0)
        tool_fail(&e);
    if (label)
        print_name(w, w->classes.names[label[r]]);
    else if (json)
        print(w, "null");
    if (json) {
        print(w, ",\"prediction\":");
        if (is_unknown(score[0]))
            print(w, "null");
        else
            print_name(w, w->classes.names[top[0]]);
        print(w, ",\"top\":[");
    }
    for (size_t k = 0; k < options.top; k++) {
        print(w, json ? (k ? ",{\"class\":" : "{\"class\":") : "\t");
        if (!json && k == 0 && is_unknown(score[0]))
            print(w, "unknown");
        else
            print_name(w, w->classes.names[top[k]]);
        if (output_printf(w->out, &e,
                          json ? ",\"score\":%.6g,\"probability\":%.6g}" : "\t%.6g\t%.6g", score[k],
                          probability(scores, classes, score[0], score[k])) < 0)
            tool_fail(&e);
    }
    print(w, json ? "]}\n" : "\n");
}

static void print_heading(work *w)
{
    print(w, "row\tlabel");
    for (size_t k = 1; k <= options.top; k++) {
        char text[96], number[24] = "";
        if (k > 1)
            snprintf(number, sizeof number, "%zu", k);
        snprintf(text, sizeof text, "\tprediction%s\tscore%s\tprobability%s", number, number,
                 number);
        print(w, text);
    }
    print(w, "\n");
}

static void classify_part(work *w, batch *part, bool labelled)
{
    error e = {0};
    const float *embedding = batch_find(part, "embedding")->data;
    const int32_t *label = labelled ? batch_find(part, "label")->data : NULL;
    size_t classes = w->m.classes.count;
    if (classifier_scores(w->scorer, embedding, part->rows, w->score, &e) < 0 ||
        w->device->top_k(w->device, w->score, part->rows, classes, options.top, w->top,
                         w->top_score, &e) < 0)
        tool_fail(&e);
    for (size_t r = 0; r < part->rows; r++)
        w->zeros += row_is_zero(embedding + r * w->m.net.dimension, w->m.net.dimension);
    for (size_t r = 0; r < part->rows; r++)
        w->prediction[r] =
            is_unknown(w->top_score[r * options.top]) ? -1 : (int32_t)w->top[r * options.top];
    if (options.format == FORMAT_RECORDS)
        write_records(w, part);
    for (size_t r = 0; options.format != FORMAT_RECORDS && r < part->rows; r++)
        print_row(w, r, label);
    w->row += part->rows;
}

static void classify_batch(work *w, batch *b)
{
    error e = {0};
    tensor *embedding;
    int32_t *labels;
    follow_classes(w);
    bool labelled = batch_find(b, "label") != NULL;
    int status = classifier_check_origin(stream_header_latest(w->in), w->fingerprint, &e);
    if (status == 0)
        status = batch_require(b, "embedding", TYPE_F32, 2, &embedding, &e);
    if (status == 0 && labelled)
        status = batch_labels(b, stream_classes(w->in), &labels, &e);
    if (status == 0 && embedding->shape[1] != w->m.net.dimension)
        status = error_set(
            &e,
            "the embeddings have %zu numbers, the model's have %zu; embed the pictures with "
            "the same model",
            embedding->shape[1], w->m.net.dimension);
    if (status < 0)
        tool_fail_at(stream_name(w->in), &e);
    for (size_t r = 0; labelled && r < b->rows; r++)
        labels[r] = w->place[labels[r]];
    for (size_t first = 0; first < b->rows; first += ROWS_AT_ONCE) {
        batch part =
            slice(b, first, b->rows - first < ROWS_AT_ONCE ? b->rows - first : ROWS_AT_ONCE);
        classify_part(w, &part, labelled);
    }
}

static void end(work *w)
{
    error e = {0};
    if (w->writer && stream_write_end(w->writer, &e) < 0)
        tool_fail(&e);
    stream_writer_free(w->writer);
    classifier_free(w->scorer);
    w->device->close(w->device);
    model_free(&w->m);
    stream_header_free(&w->header);
    class_list_free(&w->classes);
    free(w->place);
    free(w->score);
    free(w->top_score);
    free(w->top);
    free(w->prediction);
    free(w->label);
}

int main(int argc, char **argv)
{
    error e = {0};
    work w = {0};
    batch *b;
    progress shown;
    tool_begin(&about);
    for (int c; (c = getopt_long(argc, argv, TOOL_SHORT "m:k:f:", long_options, NULL)) != -1;)
        if (!tool_option(c, &options.tool) && !device_option(c, &options.backend))
            set_option(c);
    if (!options.model)
        tool_usage("which model? give --model FILE");
    if (output_open(options.tool.output, options.format == FORMAT_RECORDS, &w.out, &e) < 0 ||
        stream_open(argv + optind, (size_t)(argc - optind), &w.in, &e) < 0)
        tool_fail(&e);
    begin(&w);
    if (options.format == FORMAT_TSV)
        print_heading(&w);
    progress_begin(&shown, &options.tool, "rows", 0);
    int got;
    while ((got = stream_read(w.in, &b, &e)) > 0) {
        classify_batch(&w, b);
        progress_update(&shown, stream_rows(w.in), NULL);
    }
    if (got < 0)
        tool_fail(&e);
    progress_end(&shown);
    if (w.zeros > 0)
        tool_say(&options.tool,
                 "%" PRIu64
                 " %s zeros, which have no direction: what is said of them means nothing",
                 w.zeros, w.zeros == 1 ? "embedding is" : "embeddings are");
    end(&w);
    stream_close(w.in);
    if (output_commit(w.out, &e) < 0)
        tool_fail(&e);
    return TOOL_OK;
}
