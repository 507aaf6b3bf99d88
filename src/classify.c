/* classify: embeddings to predictions and scores. */
#include "../common/base/json.h"
#include "../common/base/text.h"
#include "../common/base/tool.h"
#include "../common/model/settings.h"
#include "../common/model/sums.h"
#include "../common/stream/model_facts.h"
#include "../common/stream/write.h"
#include "../kernels/backend.h"
#include "device.h"
#include "imprinting/classifier.h"
#include "imprinting/exemplars.h"
#include "imprinting/threshold.h"
#include "scoring/probability.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_AT_ONCE 4096 /* scores are made for so many rows at a time: memory stays constant */

enum { FORMAT_RECORDS, FORMAT_TSV, FORMAT_JSONL };

static const char *model_path;
static size_t top_count = 1;
static int format;
static bool keep_embedding;
static const char *field_words;
static bool unknown, unknown_rate; /* `threshold` is a score, or a rate to take it from */
static double threshold;

static void set_unknown(const char *word)
{
    unknown_rate = strncmp(word, "auto:", 5) == 0;
    threshold = unknown_rate ? tool_number("--unknown auto:RATE", word + 5, 0, 1)
                             : tool_number("--unknown", word, -1e30, 1e30);
}

static const tool_option options[] = {
    {"model", "MODEL", 'm', "the model", OPTION_TO(model_path)},
    {"top", "K", 'k', "best classes of each row to write (default 1)", OPTION_TO(top_count), 1,
     STREAM_CLASSES_MAX},
    {"format", "records|tsv|jsonl", 'f', "what to write (default records)", OPTION_WORD_TO(format)},
    {"unknown", "T|auto:RATE", 0,
     "the best score under which a row is unknown (prediction -1); auto:RATE takes the score that "
     "RATE of known rows stay under",
     OPTION_CALLS(set_unknown), .given = &unknown},
    {"fields", "LIST", 0, "fields of the input that tsv and jsonl have too, as in path,view",
     OPTION_TO(field_words)},
    {"keep-embedding", NULL, 0, "keep the embeddings of records", OPTION_TO(keep_embedding)},
    {0}};

static const tool_description about = {
    .name = "classify",
    .summary = "Read embeddings; write predictions and scores by a model's classes.",
    .usage = "--model MODEL [OPTION]... [FILE]...",
    .example = "embed --model nine.model test.records | classify --model nine.model | score",
    .options = options,
    .shared = device_options};

/* What the loop needs from one batch to the next. */
typedef struct {
    stream_reader *in;
    output *out;
    stream_writer *writer; /* records only */
    stream_header header;  /* as it came */
    model m;
    embedding_device device;
    classifier *scorer;
    class_list classes;  /* of the output: the model's, then the input's others */
    size_t classes_read; /* of the input's, how many `place` covers */
    char rejected[64];   /* the prediction of a rejected row, in TSV */
    int32_t *place;      /* input class -> output class */
    uint64_t row, zeros;
    float *score, *top_score; /* [ROWS_AT_ONCE][classes], [ROWS_AT_ONCE][top] */
    uint32_t *top;
    int32_t *prediction, *label;
} work;

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

/* What a rejected row is called in TSV: a word that is none of the model's classes. */
static void choose_word(work *w)
{
    strcpy(w->rejected, "unknown");
    while (class_list_find(&w->m.classes, w->rejected) >= 0 &&
           strlen(w->rejected) + 3 < sizeof w->rejected) {
        char inner[sizeof w->rejected];
        strcpy(inner, w->rejected);
        snprintf(w->rejected, sizeof w->rejected, "(%.*s)", (int)sizeof inner - 3, inner);
    }
    if (unknown && format == FORMAT_TSV && *w->rejected == '(')
        tool_say("rejected rows are called %s: unknown is a class of the model", w->rejected);
}

static model_facts facts_of(const model *m)
{
    model_facts f = MODEL_FACTS_NONE;
    const char *training = model_get_text(m, model_keys[KEY_TRAINING].key);
    const char *seed = training ? strstr(training, " seed=") : NULL;
    const char *balance = fit_settings_of(m).balance;
    snprintf(f.method, sizeof f.method, "%s", method_name(fit_report_of(m).method));
    f.seed = seed ? strtod(seed + strlen(" seed="), NULL) : -1;
    f.classes = (double)m->classes.count;
    f.base_classes = 0;
    for (size_t c = 0; c < m->classes.count; c++)
        f.base_classes += m->kinds[c] == CLASS_BASE;
    sums_shots(m, &f.shots, &f.shots_most);
    if (*f.method && f.base_classes > 0 && f.base_classes < f.classes)
        snprintf(f.balance, sizeof f.balance, "%s", balance ? balance : "harmonic");
    return f;
}

static void begin(work *w)
{
    error e = {0};
    const stream_header *header;
    /* A threshold may have to be found from the sums. */
    if (model_load_until(model_path, unknown_rate ? MODEL_SUMS : MODEL_SCORES, &w->m, &e) < 0 ||
        stream_header_first(w->in, &header, &e) < 0)
        tool_fail(&e);
    w->device = embedding_device_open();
    if (w->m.classes.count == 0) {
        error_set(&e, "%s has no classes; imprint some first", model_path);
        tool_fail(&e);
    }
    if (classifier_check_origin(header, &w->m, &e) < 0)
        tool_fail_at(stream_name(w->in), &e);
    if (classifier_new(w->device.algebra, &w->m, &w->scorer, &e) < 0)
        tool_fail(&e);
    if (unknown_rate) {
        if (threshold_of_rate(w->scorer, &w->m, threshold, &threshold, &e) < 0)
            tool_fail_at(model_path, &e);
        tool_say("unknown: rows of a best score under %.6g", threshold);
    }
    size_t classes = w->m.classes.count;
    if (top_count > classes)
        tool_usage("--top %zu, but the model has %zu classes", top_count, classes);
    if (class_list_copy(&w->classes, &w->m.classes) < 0 ||
        stream_header_copy(&w->header, header) < 0)
        out_of_memory();
    model_facts facts = facts_of(&w->m);
    if (kinds_write(&w->header, w->m.kinds, w->m.classes.count) < 0 ||
        model_facts_write(&w->header, &facts) < 0)
        out_of_memory();
    w->score = malloc(ROWS_AT_ONCE * classes * sizeof *w->score);
    w->top_score = malloc(ROWS_AT_ONCE * top_count * sizeof *w->top_score);
    w->top = malloc(ROWS_AT_ONCE * top_count * sizeof *w->top);
    w->prediction = malloc(ROWS_AT_ONCE * sizeof *w->prediction);
    w->label = malloc(ROWS_AT_ONCE * sizeof *w->label);
    if (!w->score || !w->top_score || !w->top || !w->prediction || !w->label)
        out_of_memory();
    if (format == FORMAT_RECORDS && stream_create(w->out, &w->writer, &e) < 0)
        tool_fail(&e);
    choose_word(w);
    follow_classes(w);
}

static tensor make_tensor(tensor_type type, size_t rows, size_t columns, void *data)
{
    return (tensor){.type = type, .rank = columns ? 2 : 1, .shape = {rows, columns}, .data = data};
}

static void write_records(work *w, batch *part)
{
    error e = {0};
    size_t rows = part->rows;
    if (batch_put(part, "prediction", make_tensor(TYPE_I32, rows, 0, w->prediction), &e) < 0 ||
        batch_put(part, "score", make_tensor(TYPE_F32, rows, w->m.classes.count, w->score), &e) < 0)
        tool_fail(&e);
    if (top_count > 1 &&
        (batch_put(part, "top", make_tensor(TYPE_U32, rows, top_count, w->top), &e) < 0 ||
         batch_put(part, "top-score", make_tensor(TYPE_F32, rows, top_count, w->top_score), &e) <
             0))
        tool_fail(&e);
    if (!keep_embedding)
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

static bool is_unknown(float best_score)
{
    return unknown && (double)best_score < threshold;
}

/* A text quoted in JSON; in TSV as it is to be seen. */
static void print_text(work *w, const char *text)
{
    size_t room = 6 * strlen(text) + 1;
    char *shown = format == FORMAT_JSONL ? json_quote(text) : malloc(room);
    if (!shown)
        out_of_memory();
    print(w, format == FORMAT_JSONL ? shown : text_visible(text, shown, room));
    free(shown);
}

/* A number of any type, as short as it can be read back. */
static void print_number(work *w, const tensor *t, size_t r)
{
    char text[32];
    if (t->type == TYPE_F32 || t->type == TYPE_F64)
        json_number(t->type == TYPE_F32 ? (double)((const float *)t->data)[r]
                                        : ((const double *)t->data)[r],
                    text);
    else
        snprintf(text, sizeof text, "%" PRId64, tensor_integer(t, r));
    print(w, text);
}

/* Calls `take` with each word of --fields. */
static void each_field(work *w, const batch *part, size_t r,
                       void (*take)(work *, const batch *, size_t, const char *))
{
    char *copy = strdup(field_words ? field_words : ""), *rest = copy;
    if (!copy)
        out_of_memory();
    for (char *word; (word = strsep(&rest, ",")) && *word;)
        take(w, part, r, word);
    free(copy);
}

static void print_field(work *w, const batch *part, size_t r, const char *name)
{
    error e = {0};
    const tensor *t = batch_find((batch *)part, name);
    bool is_text = t && t->type == TYPE_TEXT;
    bool is_number = t && t->rank == 1 &&
                     (type_is_integer(t->type) || t->type == TYPE_F32 || t->type == TYPE_F64);
    if (!is_text && !is_number) {
        error_set(&e, "--fields: the records have no field '%s' of one text or number a row", name);
        tool_fail(&e);
    }
    if (format == FORMAT_JSONL) {
        print(w, ",");
        print_text(w, name);
        print(w, ":");
    } else {
        print(w, "\t");
    }
    if (is_text)
        print_text(w, (const char *)t->data + r * t->shape[1]);
    else
        print_number(w, t, r);
}

static void print_field_name(work *w, const batch *part, size_t r, const char *name)
{
    (void)part, (void)r;
    print(w, "\t");
    print_text(w, name);
}

static void print_row(work *w, const batch *part, size_t r, const int32_t *label)
{
    error e = {0};
    bool json = format == FORMAT_JSONL;
    size_t classes = w->m.classes.count;
    const uint32_t *top = w->top + r * top_count;
    const float *score = w->top_score + r * top_count, *scores = w->score + r * classes;
    if (output_printf(w->out, &e, json ? "{\"row\":%" PRIu64 ",\"label\":" : "%" PRIu64 "\t",
                      w->row + r) < 0)
        tool_fail(&e);
    if (label)
        print_text(w, w->classes.names[label[r]]);
    else if (json)
        print(w, "null");
    if (json) {
        print(w, ",\"prediction\":");
        if (is_unknown(score[0]))
            print(w, "null");
        else
            print_text(w, w->classes.names[top[0]]);
        print(w, ",\"top\":[");
    }
    for (size_t k = 0; k < top_count; k++) {
        print(w, json ? (k ? ",{\"class\":" : "{\"class\":") : "\t");
        if (!json && k == 0 && is_unknown(score[0]))
            print(w, w->rejected);
        else
            print_text(w, w->classes.names[top[k]]);
        if (output_printf(w->out, &e,
                          json ? ",\"score\":%.6g,\"probability\":%.6g}" : "\t%.6g\t%.6g", score[k],
                          score_probability(scores, classes, score[0], score[k])) < 0)
            tool_fail(&e);
    }
    print(w, json ? "]" : "");
    each_field(w, part, r, print_field);
    print(w, json ? "}\n" : "\n");
}

static void print_heading(work *w)
{
    error e = {0};
    print(w, "row\tlabel");
    for (size_t k = 1; k <= top_count; k++) {
        char number[24] = "";
        if (k > 1)
            snprintf(number, sizeof number, "%zu", k);
        if (output_printf(w->out, &e, "\tprediction%s\tscore%s\tprobability%s", number, number,
                          number) < 0)
            tool_fail(&e);
    }
    each_field(w, NULL, 0, print_field_name);
    print(w, "\n");
}

static void classify_part(work *w, batch *part, bool labelled)
{
    error e = {0};
    algebra *a = w->device.algebra;
    const float *embedding = batch_find(part, "embedding")->data;
    const int32_t *label = labelled ? batch_find(part, "label")->data : NULL;
    size_t classes = w->m.classes.count;
    if (classifier_scores(w->scorer, embedding, part->rows, w->score, &e) < 0 ||
        a->top_k(a, w->score, part->rows, classes, top_count, w->top, w->top_score, &e) < 0)
        tool_fail(&e);
    for (size_t r = 0; r < part->rows; r++)
        w->zeros += row_is_zero(embedding + r * w->m.net.dimension, w->m.net.dimension);
    for (size_t r = 0; r < part->rows; r++)
        w->prediction[r] =
            is_unknown(w->top_score[r * top_count]) ? -1 : (int32_t)w->top[r * top_count];
    if (format == FORMAT_RECORDS)
        write_records(w, part);
    for (size_t r = 0; format != FORMAT_RECORDS && r < part->rows; r++)
        print_row(w, part, r, label);
    w->row += part->rows;
}

static void classify_batch(work *w, batch *b)
{
    error e = {0};
    tensor *embedding;
    int32_t *labels;
    follow_classes(w);
    bool labelled = batch_find(b, "label") != NULL;
    int status = batch_require(b, "embedding", TYPE_F32, 2, &embedding, &e);
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
            batch_part(b, first, b->rows - first < ROWS_AT_ONCE ? b->rows - first : ROWS_AT_ONCE);
        classify_part(w, &part, labelled);
    }
}

static void end(work *w)
{
    stream_writer_free(w->writer);
    stream_close(w->in);
    classifier_free(w->scorer);
    embedding_device_close(w->device);
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

static void classify_stream(work *w)
{
    error e = {0};
    batch *b;
    progress shown;
    int more;
    if (format == FORMAT_TSV)
        print_heading(w);
    progress_begin(&shown, "rows", 0);
    while ((more = stream_read(w->in, &b, &e)) > 0) {
        classify_batch(w, b);
        progress_update(&shown, stream_rows(w->in), NULL);
    }
    if (more < 0)
        tool_fail(&e);
    progress_end(&shown);
    if (w->zeros > 0)
        tool_say("%" PRIu64
                 " %s zeros, which have no direction: what is said of them means nothing",
                 w->zeros, w->zeros == 1 ? "embedding is" : "embeddings are");
}

int main(int argc, char **argv)
{
    tool_operands files = tool_begin(&about, argc, argv);
    if (!model_path)
        tool_usage("which model? give --model MODEL");
    if (field_words && format == FORMAT_RECORDS)
        tool_usage("--fields needs --format tsv or jsonl; records keep all fields");
    error e = {0};
    work w = {.out = tool_output(format == FORMAT_RECORDS ? "a stream of predictions" : NULL)};
    if (stream_open(files.names, files.count, &w.in, &e) < 0)
        tool_fail(&e);
    begin(&w);
    classify_stream(&w);
    int status = w.writer ? stream_write_end(w.writer, &e) : 0;
    end(&w);
    return tool_end(w.out, status, &e);
}
