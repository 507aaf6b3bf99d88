/* score: predictions with labels to accuracies, loss, the confusion matrix and open-set figures. */
#include "../common/base/tool.h"
#include "../common/model/model.h"
#include "../common/stream/model_facts.h"
#include "scoring/auroc.h"
#include "scoring/html_report.h"
#include "scoring/plot.h"
#include "scoring/report.h"
#include "scoring/tally.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A table of more classes than this shows its confusion matrix only if asked. */
#define CONFUSION_SHOWN 20

static int format; /* 0 for a table, 1 for JSON */
static bool by, confusion, runs;
static figure_choice choice;
static const char *html, *plot;

static void set_by(const char *words)
{
    error e;
    if (figure_choice_parse(words, &choice, &e) < 0)
        tool_usage("--by: %s", e.text);
}

static const tool_option options[] = {
    {"format", "table|json", 0, "what to print (default table); json is one object",
     OPTION_WORD_TO(format)},
    {"by", "FIGURES", 0,
     "these figures alone, tab separated under their names: rows, unknown_rows, base, novel, "
     "all, all_rows, harmonic_mean, loss, top5, calibration_error, macro_precision, macro_recall, "
     "macro_f1, auroc, rejected_known, rejected_unknown (with commas)",
     OPTION_CALLS(set_by), .given = &by},
    {"confusion", NULL, 0, "print the confusion matrix of more than 20 classes too",
     OPTION_TO(confusion)},
    {"html", "FILE", 0,
     "also write a page for a browser: figures, classes, the confusion matrix, the calibration "
     "curve and the surest mistakes, with their pictures where the records have them",
     OPTION_TO(html)},
    {"plot", "FILE", 0,
     "also draw a PNG by gnuplot: the confusion matrix, accuracies and the calibration curve",
     OPTION_TO(plot)},
    {"runs", NULL, 0,
     "take the files for what `score --format json` wrote in several runs; print each figure's "
     "mean and 95 % confidence interval",
     OPTION_TO(runs)},
    {0}};

static const tool_description about = {
    .name = "score",
    .summary = "Read predictions with labels; print accuracies, loss and the confusion matrix.",
    .usage = "[OPTION]... [FILE]...\n       score --runs [OPTION]... JSON...",
    .example = "classify --model nine.model test.embeddings | score --format json | jq .all",
    .options = options};

static void check_options(tool_operands files)
{
    if (format && by)
        tool_usage("--by and --format json exclude each other; jq picks figures from the json");
    if (runs && (html || plot))
        tool_usage("%s is of one run's predictions, not of --runs", html ? "--html" : "--plot");
    if (runs && files.count == 0)
        tool_usage("--runs needs the files that `score --format json` wrote");
}

/* What the predictions are of: the model's classes, the first `count` of the stream's. */
typedef struct {
    class_kind *kinds;
    size_t count, streams;
    bool *came; /* for each class of the stream, whether rows came of it */
    size_t classes;
    model_facts facts; /* of the model that made them, where one did */
    tally *counts;
    html_report *page;    /* with --html */
    int32_t *predictions; /* the batch's, whatever integers they came as */
    size_t room;
} scoring;

/* Streams may be joined only if one model made them: the columns of `score` are its classes. */
static int check_same_model(scoring *s, stream_reader *r, error *e)
{
    class_kind *kinds;
    size_t count;
    const stream_header *h = stream_header_latest(r);
    if (kinds_read(h, &kinds, &count, e) < 0)
        return error_prefix(e, "%s", stream_name(r));
    bool same = count == s->count;
    for (size_t c = 0; same && c < count; c++)
        same = kinds[c] == s->kinds[c] &&
               strcmp(h->classes.names[c], stream_classes(r)->names[c]) == 0;
    free(kinds);
    if (!same)
        return error_set(e,
                         "%s: predictions of a model with other classes than the first's follow; "
                         "score them by themselves",
                         stream_name(r));
    model_facts facts;
    model_facts_read(h, &facts);
    if (!model_facts_equal(&facts, &s->facts))
        s->facts = MODEL_FACTS_NONE;
    return 0;
}

/* What int32 cannot hold becomes what no model predicts. */
static int take_predictions(scoring *s, batch *b, error *e)
{
    char is[160];
    tensor *t = batch_find(b, "prediction");
    if (!t)
        return error_set(e, "the records have no field 'prediction'; classify makes it");
    if (t->rank != 1 || !type_is_integer(t->type))
        return error_set(e, "field 'prediction' is %s; whole numbers, one a row, are needed",
                         tensor_describe(t, is, sizeof is));
    if (s->room < b->rows) {
        free(s->predictions);
        s->predictions = malloc(b->rows * sizeof *s->predictions);
        s->room = s->predictions ? b->rows : 0;
    }
    if (!s->predictions)
        return error_set(e, "out of memory for %zu predictions", b->rows);
    for (size_t i = 0; i < b->rows; i++) {
        int64_t value = tensor_integer(t, i);
        s->predictions[i] = value >= -1 && value <= INT32_MAX ? (int32_t)value : INT32_MAX;
    }
    return 0;
}

/* Notes which classes rows came of. */
static int note_classes(scoring *s, const int32_t *labels, size_t rows, size_t classes, error *e)
{
    if (classes > s->classes) {
        bool *grown = realloc(s->came, classes);
        if (!grown)
            return error_set(e, "out of memory for %zu classes", classes);
        memset(grown + s->classes, false, classes - s->classes);
        s->came = grown;
        s->classes = classes;
    }
    for (size_t i = 0; i < rows; i++)
        s->came[labels[i]] = true;
    return 0;
}

static int score_batch(scoring *s, stream_reader *r, batch *b, error *e)
{
    int32_t *labels;
    tensor *scores = NULL;
    if (batch_labels(b, stream_classes(r), &labels, e) < 0 || take_predictions(s, b, e) < 0 ||
        note_classes(s, labels, b->rows, stream_classes(r)->count, e) < 0)
        return error_prefix(e, "%s", stream_name(r));
    if (batch_find(b, "score") && batch_require(b, "score", TYPE_F32, 2, &scores, e) < 0)
        return error_prefix(e, "%s", stream_name(r));
    if (scores && scores->shape[1] != s->count)
        return error_set(
            e, "%s: field 'score' has %zu columns, but the model that made it %zu classes",
            stream_name(r), scores->shape[1], s->count);
    if (tally_add(s->counts, labels, s->predictions, scores ? scores->data : NULL, b->rows, e) < 0)
        return error_prefix(e, "%s", stream_name(r));
    return s->page ? html_report_add(s->page, b, labels, s->predictions,
                                     scores ? scores->data : NULL, e)
                   : 0;
}

static int score_rows(scoring *s, stream_reader *r, error *e)
{
    const stream_header *first;
    if (stream_header_first(r, &first, e) < 0)
        return -1;
    if (kinds_read(first, &s->kinds, &s->count, e) < 0)
        return error_prefix(e, "%s", stream_name(r));
    if (s->count == 0)
        return error_set(e, "%s: the header names no classes", stream_name(r));
    model_facts_read(first, &s->facts);
    if (tally_new(s->count, s->kinds, &s->counts, e) < 0)
        return -1;
    if (html && html_report_new(s->count, &s->page, e) < 0)
        return -1;
    progress shown;
    progress_begin(&shown, "rows", 0);
    batch *b;
    int more;
    while ((more = stream_read(r, &b, e)) == 1) {
        if (stream_count(r) != s->streams && check_same_model(s, r, e) < 0)
            return -1;
        s->streams = stream_count(r);
        if (score_batch(s, r, b, e) < 0)
            return -1;
        progress_update(&shown, stream_rows(r), NULL);
    }
    progress_end(&shown);
    if (more == 0 && stream_rows(r) == 0)
        return error_set(e, "%s: no rows came; there is nothing to score", stream_name(r));
    return more;
}

/* Names the classes whose rows could not be scored: rows that vanish silently mislead. */
static void say_unknown(const scoring *s, stream_reader *r)
{
    tally_figures f = tally_get(s->counts);
    const class_list *classes = stream_classes(r);
    char names[400] = "";
    for (size_t c = s->count; c < s->classes && strlen(names) < 300; c++) {
        size_t used = strlen(names);
        if (s->came[c])
            snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "",
                     classes->names[c]);
    }
    if (f.unknown_rows > 0)
        tool_say("%llu rows of classes the model does not know, left out of accuracy and loss: %s",
                 (unsigned long long)f.unknown_rows, names);
    if (f.too_many_scores)
        tool_say("no auroc: it keeps the scores of %zu rows at most; score fewer at once",
                 AUROC_ROWS_MAX);
}

static int print(const scoring *s, stream_reader *r, output *out, error *e)
{
    char *const *names = stream_classes(r)->names;
    if (format)
        return report_json(out, s->counts, s->kinds, names, &s->facts, e);
    if (by)
        return report_values(out, s->counts, &choice, e);
    return report_table(out, s->counts, s->kinds, names, confusion || s->count <= CONFUSION_SHOWN,
                        e);
}

static int write_page(const scoring *s, char *const *names, output *out, error *e)
{
    return html_report_write(s->page, s->counts, s->kinds, names, out, e);
}

static int write_plot(const scoring *s, char *const *names, output *out, error *e)
{
    return plot_write(out, s->counts, s->kinds, names, e);
}

/* To a file beside standard output; whole or not at all. */
static int write_beside(const char *path, const scoring *s, stream_reader *r,
                        int write(const scoring *, char *const *, output *, error *), error *e)
{
    output *out;
    if (!path)
        return 0;
    if (output_open(path, false, &out, e) < 0)
        return -1;
    if (write(s, stream_classes(r)->names, out, e) < 0) {
        output_abandon(out);
        return -1;
    }
    return output_commit(out, e);
}

static int score_files(tool_operands files, output *out, error *e)
{
    stream_reader *r;
    if ((html && output_check(html, e) < 0) ||
        (plot && (output_check(plot, e) < 0 || plot_check(e) < 0)))
        return -1;
    if (stream_open(files.names, files.count, &r, e) < 0)
        return -1;
    scoring s = {.streams = 1};
    int status = score_rows(&s, r, e);
    if (status == 0) {
        say_unknown(&s, r);
        status = print(&s, r, out, e);
    }
    if (status == 0)
        status = write_beside(html, &s, r, write_page, e);
    if (status == 0)
        status = write_beside(plot, &s, r, write_plot, e);
    html_report_free(s.page);
    tally_free(s.counts);
    free(s.predictions);
    free(s.came);
    free(s.kinds);
    stream_close(r);
    return status;
}

static int score_runs(tool_operands files, output *out, error *e)
{
    runs_format wanted = format ? RUNS_JSON : by ? RUNS_VALUES : RUNS_TABLE;
    return report_runs(out, files.names, files.count, wanted, by ? &choice : NULL, e);
}

int main(int argc, char **argv)
{
    tool_operands files = tool_begin(&about, argc, argv);
    check_options(files);
    error e;
    output *out = tool_output(NULL);
    int status = (runs ? score_runs : score_files)(files, out, &e);
    return tool_end(out, status, &e);
}
