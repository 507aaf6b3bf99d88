/* image-sheet: pictures to a page of them with what is known of each, to look at. */
#include "../common/base/tool.h"
#include "../common/formats/page.h"
#include "../common/stream/pictures.h"
#include "../common/stream/read.h"
#include "scoring/probability.h"

#include <stdio.h>
#include <string.h>

enum { FIELDS_MAX = PAGE_LINES_MAX - 2 };

static picture_form form = {.layout = LAYOUT_UNSAID};
static size_t rows = 8, columns = 8, size = 128, field_count;
static const char *fields[FIELDS_MAX];
static bool plain;

static void add_field(const char *name)
{
    if (field_count == FIELDS_MAX)
        tool_usage("--caption: more than %d fields", FIELDS_MAX);
    fields[field_count++] = name;
}

static void set_range(const char *word)
{
    picture_form_range(&form, word);
}

static const tool_option options[] = {
    {"rows", "N", 0, "pictures down, at most (default 8)", OPTION_TO(rows), 1, 1000},
    {"columns", "N", 0, "pictures across, at most (default 8)", OPTION_TO(columns), 1, 1000},
    {"size", "N", 0, "pixels of a picture's longer side on the page (default 128)", OPTION_TO(size),
     16, 4096},
    {"caption", "FIELD", 0, "write this text or number of each row under its picture, too (path)",
     OPTION_CALLS(add_field)},
    {"plain", NULL, 0, "no class, prediction and frame", OPTION_TO(plain)},
    {"layout", LAYOUT_WORDS, 0, LAYOUT_HELP, OPTION_WORD_TO(form.layout)},
    {"range", RANGE_WORDS, 0, RANGE_HELP, OPTION_CALLS(set_range)},
    {0}};

static const tool_description about = {
    .name = "image-sheet",
    .summary = "Read records with pictures; write the first ones as one PNG page, under each its "
               "class, and what was predicted, with its probability: green where that is right, "
               "red where it is wrong.",
    .usage = "[OPTION]... [FILE]...",
    .example = "embed --model base.model --keep-image test.records |\n"
               "      classify --model nine.model | row-filter --where wrong |\n"
               "      image-sheet --caption path -o mistakes.png",
    .options = options};

/* ---- captions ---- */

/* Of which lines a caption consists, as the first batch has fields for them. */
static bool with_label, with_prediction;

/* What a batch's captions are made of; NULL where it lacks that. */
typedef struct {
    const class_list *classes;
    const int32_t *labels;
    const tensor *predictions, *scores, *fields[FIELDS_MAX];
} sources;

typedef struct {
    char text[PAGE_LINES_MAX][1200];
    page_line lines[PAGE_LINES_MAX];
    size_t count;
    page_ink frame;
} caption;

static int sources_open(batch *b, const class_list *classes, sources *s, error *e)
{
    tensor *t;
    int32_t *labels;
    *s = (sources){.classes = classes};
    if (!plain && batch_find(b, "label")) {
        if (batch_labels(b, classes, &labels, e) < 0)
            return -1;
        s->labels = labels;
    }
    if (!plain && batch_find(b, "prediction")) {
        if (batch_require(b, "prediction", TYPE_I32, 1, &t, e) < 0)
            return -1;
        s->predictions = t;
    }
    if (s->predictions && batch_find(b, "score")) {
        if (batch_require(b, "score", TYPE_F32, 2, &t, e) < 0)
            return -1;
        s->scores = t;
    }
    for (size_t i = 0; i < field_count; i++) {
        s->fields[i] = batch_find(b, fields[i]);
        if (!s->fields[i])
            return error_set(e, "the records have no field '%s' for --caption", fields[i]);
        if (s->fields[i]->type != TYPE_TEXT && tensor_row_size(s->fields[i]) != 1)
            return error_set(e,
                             "field '%s' has %zu numbers a row; --caption takes texts and "
                             "single numbers",
                             fields[i], tensor_row_size(s->fields[i]));
    }
    return 0;
}

/* An empty line where `text` is "". */
static void add_line(caption *c, page_ink ink, bool keep_end, const char *text)
{
    size_t i = c->count++;
    snprintf(c->text[i], sizeof c->text[i], "%s", text);
    c->lines[i] = (page_line){c->text[i], ink, keep_end};
}

/* "dog 0.87" after a mark, so that colour is not all that tells right from wrong. */
static int add_prediction(caption *c, const sources *s, size_t row, error *e)
{
    char text[sizeof c->text[0]] = "", chance[16] = "";
    int64_t predicted;
    if (prediction_at(s->predictions, row, s->classes->count, &predicted, e) < 0)
        return -1;
    if (s->scores)
        snprintf(chance, sizeof chance, " %.2f", best_probability(s->scores, row));
    bool right = s->labels && predicted == s->labels[row];
    const char *mark = !s->labels ? "\u2192" : right ? "\u2713" : "\u2717";
    const char *name = predicted < 0 ? "(unknown)" : s->classes->names[predicted];
    snprintf(text, sizeof text, "%s %.1023s%s", mark, name, chance);
    c->frame = !s->labels ? INK_BLACK : right ? INK_RIGHT : INK_WRONG;
    add_line(c, c->frame, false, text);
    return 0;
}

static int caption_make(caption *c, const sources *s, size_t row, error *e)
{
    char value[sizeof c->text[0]];
    c->count = 0;
    c->frame = INK_BLACK;
    if (with_label)
        add_line(c, INK_BLACK, false, s->labels ? s->classes->names[s->labels[row]] : "");
    if (with_prediction && !s->predictions)
        add_line(c, INK_BLACK, false, "");
    else if (with_prediction && add_prediction(c, s, row, e) < 0)
        return -1;
    for (size_t i = 0; i < field_count; i++)
        add_line(c, INK_GREY, true, tensor_row_text(s->fields[i], row, value, sizeof value));
    return 0;
}

/* ---- the page ---- */

/* 1, or 0 when the page is full. The first batch begins it. */
static int add_batch(page **page_of, batch *b, const class_list *classes, error *e)
{
    tensor *image;
    sources from;
    caption under;
    if (batch_pictures(b, &form, &image, e) < 0 || sources_open(b, classes, &from, e) < 0)
        return -1;
    if (!*page_of) {
        with_label = from.labels;
        with_prediction = from.predictions;
        size_t lines = (size_t)with_label + with_prediction + field_count;
        if (page_new(rows, columns, size, lines, page_of, e) < 0)
            return -1;
    }
    page *p = *page_of;
    extent picture = {image->shape[1], image->shape[2], image->shape[3]};
    const uint8_t *pixels = image->data;
    for (size_t row = 0; row < b->rows && !page_full(p); row++)
        if (caption_make(&under, &from, row, e) < 0 ||
            page_add(p, pixels + row * extent_size(picture), picture, under.lines, under.frame, e) <
                0)
            return -1;
    return !page_full(p);
}

static int fill_page(page **p, stream_reader *reader, error *e)
{
    batch *b;
    int more;
    while ((more = stream_read(reader, &b, e)) > 0) {
        int added = add_batch(p, b, stream_classes(reader), e);
        if (added < 0)
            return error_prefix(e, "%s", stream_name(reader));
        if (added == 0)
            return 0;
    }
    return more == 0 && !*p ? error_set(e, "no pictures came") : more;
}

int main(int argc, char **argv)
{
    tool_operands files = tool_begin(&about, argc, argv);
    error e;
    page *p = NULL;
    stream_reader *reader;
    output *out = tool_output("a page of pictures");
    int status = stream_open(files.names, files.count, &reader, &e);
    if (status == 0) {
        status = fill_page(&p, reader, &e) < 0 ? -1 : page_write(p, out, &e);
        stream_close(reader);
    }
    page_free(p);
    return tool_end(out, status, &e);
}
