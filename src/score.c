/* score: predictions with labels to accuracies, loss, the confusion matrix and open-set figures. */
#include "../common/base/tool.h"
#include "../common/model/model.h"
#include "scoring/auroc.h"
#include "scoring/report.h"
#include "scoring/tally.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A table of more classes than this shows its confusion matrix only if asked. */
#define CONFUSION_SHOWN 20

static const tool_description about = {
    .name = "score",
    .summary = "Read predictions with labels; print accuracies, loss and the confusion matrix.",
    .usage = "[OPTION]... [FILE]...\n       score --runs [OPTION]... JSON...",
    .options =
        "      --format FORMAT   table (default), or json: one object\n"
        "      --by FIGURES      only these, tab separated under their names: rows,unknown_rows,\n"
        "                        base,novel,all,harmonic_mean,loss,auroc,rejected_known,\n"
        "                        rejected_unknown\n"
        "      --confusion       the confusion matrix also for more than 20 classes\n"
        "      --runs            the files are what `score --format json` wrote in several runs:\n"
        "                        each figure's mean and 95 % confidence interval\n",
    .example = "classify --model nine.model test.embeddings | score --format json | jq .all",
};

enum { OPTION_FORMAT = TOOL_OWN, OPTION_BY, OPTION_CONFUSION, OPTION_RUNS };

static const struct option long_options[] = {TOOL_OPTIONS,
                                             {"format", required_argument, NULL, OPTION_FORMAT},
                                             {"by", required_argument, NULL, OPTION_BY},
                                             {"confusion", no_argument, NULL, OPTION_CONFUSION},
                                             {"runs", no_argument, NULL, OPTION_RUNS},
                                             {0}};

typedef struct {
    tool_options common;
    bool json, by, confusion, runs;
    figure_choice choice;
} score_options;

static score_options read_options(int argc, char **argv)
{
    score_options o = {0};
    error e = {0};
    int letter;
    while ((letter = getopt_long(argc, argv, TOOL_SHORT, long_options, NULL)) != -1) {
        if (tool_option(letter, &o.common))
            continue;
        if (letter == OPTION_FORMAT && strcmp(optarg, "json") == 0)
            o.json = true;
        else if (letter == OPTION_FORMAT && strcmp(optarg, "table") == 0)
            o.json = false;
        else if (letter == OPTION_FORMAT)
            tool_usage("--format is table or json, not '%s'", optarg);
        else if (letter == OPTION_BY && figure_choice_parse(optarg, &o.choice, &e) < 0)
            tool_usage("--by: %s", e.text);
        o.by = o.by || letter == OPTION_BY;
        o.confusion = o.confusion || letter == OPTION_CONFUSION;
        o.runs = o.runs || letter == OPTION_RUNS;
    }
    if (o.json && o.by)
        tool_usage("--by and --format json exclude each other; jq picks figures from the json");
    if (o.runs && optind == argc)
        tool_usage("--runs needs the files that `score --format json` wrote");
    return o;
}

/* What the predictions are of: the model's classes, the first `count` of the stream's. */
typedef struct {
    class_kind *kinds;
    size_t count, streams;
    tally *counts;
    int32_t *predictions; /* the batch's, whatever integers they came as */
    size_t room;
} scoring;

/* Streams may be joined only if one model made them: the columns of `score` are its classes. */
static int check_same_model(const scoring *s, stream_reader *r, error *e)
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

static int score_batch(scoring *s, stream_reader *r, batch *b, error *e)
{
    int32_t *labels;
    tensor *scores = NULL;
    if (batch_labels(b, stream_classes(r), &labels, e) < 0 || take_predictions(s, b, e) < 0)
        return error_prefix(e, "%s", stream_name(r));
    if (batch_find(b, "score") && batch_require(b, "score", TYPE_F32, 2, &scores, e) < 0)
        return error_prefix(e, "%s", stream_name(r));
    if (scores && scores->shape[1] != s->count)
        return error_set(
            e, "%s: field 'score' has %zu columns, but the model that made it %zu classes",
            stream_name(r), scores->shape[1], s->count);
    if (tally_add(s->counts, labels, s->predictions, scores ? scores->data : NULL, b->rows, e) < 0)
        return error_prefix(e, "%s", stream_name(r));
    return 0;
}

static int score_rows(scoring *s, stream_reader *r, const tool_options *options, error *e)
{
    const stream_header *first;
    if (stream_header_first(r, &first, e) < 0)
        return -1;
    if (kinds_read(first, &s->kinds, &s->count, e) < 0)
        return error_prefix(e, "%s", stream_name(r));
    if (s->count == 0)
        return error_set(e, "%s: the header names no classes", stream_name(r));
    if (tally_new(s->count, s->kinds, &s->counts, e) < 0)
        return -1;
    progress shown;
    progress_begin(&shown, options, "rows", 0);
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
static void say_unknown(const scoring *s, stream_reader *r, const tool_options *options)
{
    tally_figures f = tally_get(s->counts);
    const class_list *classes = stream_classes(r);
    char names[400] = "";
    for (size_t c = s->count; c < classes->count && strlen(names) < 300; c++) {
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "", classes->names[c]);
    }
    if (f.unknown_rows > 0)
        tool_say(options,
                 "%llu rows of classes the model does not know, left out of accuracy and loss: %s",
                 (unsigned long long)f.unknown_rows, names);
    if (f.too_many_scores)
        tool_say(options, "no auroc: it keeps the scores of %zu rows at most; score fewer at once",
                 AUROC_ROWS_MAX);
}

static int print(const scoring *s, stream_reader *r, const score_options *o, error *e)
{
    output *out;
    char *const *names = stream_classes(r)->names;
    if (output_open(o->common.output, false, &out, e) < 0)
        return -1;
    bool confusion = o->confusion || s->count <= CONFUSION_SHOWN;
    int status = o->json ? report_json(out, s->counts, s->kinds, names, e)
                 : o->by ? report_values(out, s->counts, &o->choice, e)
                         : report_table(out, s->counts, s->kinds, names, confusion, e);
    if (status < 0) {
        output_abandon(out);
        return -1;
    }
    return output_commit(out, e);
}

static int score_files(const score_options *o, char *const *paths, size_t count, error *e)
{
    stream_reader *r;
    if (stream_open(paths, count, &r, e) < 0)
        return -1;
    scoring s = {.streams = 1};
    int status = score_rows(&s, r, &o->common, e);
    if (status == 0) {
        say_unknown(&s, r, &o->common);
        status = print(&s, r, o, e);
    }
    tally_free(s.counts);
    free(s.predictions);
    free(s.kinds);
    stream_close(r);
    return status;
}

static int summarise_runs(const score_options *o, char *const *paths, size_t count, error *e)
{
    output *out;
    if (output_open(o->common.output, false, &out, e) < 0)
        return -1;
    runs_format format = o->json ? RUNS_JSON : o->by ? RUNS_VALUES : RUNS_TABLE;
    if (report_runs(out, paths, count, format, o->by ? &o->choice : NULL, e) < 0) {
        output_abandon(out);
        return -1;
    }
    return output_commit(out, e);
}

int main(int argc, char **argv)
{
    tool_begin(&about);
    score_options o = read_options(argc, argv);
    error e = {0};
    char *const *paths = argv + optind;
    size_t count = (size_t)(argc - optind);
    int status = o.runs ? summarise_runs(&o, paths, count, &e) : score_files(&o, paths, count, &e);
    if (status < 0)
        tool_fail(&e);
    return TOOL_OK;
}
