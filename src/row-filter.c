/* row-filter: rows by what is known of them; see row-filter(1). */
#include "../common/base/tool.h"
#include "../common/stream/relay.h"
#include "../common/stream/reservoir.h"
#include "scoring/probability.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { CONDITIONS_MAX = 64 };

/* ---- options ---- */

typedef enum {
    IS_WRONG,
    IS_RIGHT,
    IS_UNKNOWN,
    IS_KNOWN,
    IS_UNSURE,
    IS_SURE,
    IS_CLASS,
    IS_PREDICTION,
    IS_TEXT
} test;

typedef struct {
    test test;
    bool negated; /* != */
    double bound; /* of a probability */
    char name[64];
    const char *words; /* behind the = */
    bool *chosen;      /* of the classes, by class or prediction */
} condition;

typedef struct {
    uint64_t first, last;
} row_range;

static condition conditions[CONDITIONS_MAX];
static size_t condition_count, range_count;
static row_range *ranges;
static uint64_t random_rows, seed; /* random_rows 0: all */
static bool rest, have_seed;

static void add_condition(const char *word);
static void add_rows(const char *word);

static const tool_option options[] = {
    {"where", "CONDITION", 0,
     "keep the rows of which it is true; of several, all: wrong, right, unknown, known, unsure<P, "
     "sure>P (the prediction's probability), class=LIST, prediction=LIST, FIELD=PATTERN of a text "
     "(path); != for the others",
     OPTION_CALLS(add_condition)},
    {"rows", "LIST", 0, "keep the rows of these numbers, as in 0-9,50,100-",
     OPTION_CALLS(add_rows)},
    {"random", "N", 0, "of these keep N at random, the same for the same seed",
     OPTION_TO(random_rows), 1, UINT32_MAX},
    {"seed", "N", 0, "what --random draws by (default 0)", OPTION_TO(seed), 0, UINT64_MAX,
     &have_seed},
    {"rest", NULL, 0, "write all other rows instead", OPTION_TO(rest)},
    {0}};

static const tool_description about = {
    .name = "row-filter",
    .summary = "Read records; write the rows chosen by what is known of them: label, prediction, "
               "probability, path, number, or chance.",
    .usage = "[OPTION]... [FILE]...",
    .example = "classify --model m test.embeddings | row-filter --where wrong |\n"
               "      classify --model m --format tsv\n"
               "row-filter --random 100 --seed 1 all.records > some.records\n"
               "row-filter --random 100 --seed 1 --rest all.records > others.records",
    .options = options};

static double bound_of(const char *word, const char *number)
{
    char *end;
    double bound = strtod(number, &end);
    if (end == number || *end || !(bound >= 0 && bound <= 1))
        tool_usage("--where %s: a probability from 0 to 1 stands there", word);
    return bound;
}

/* NAME=WORDS or NAME!=WORDS. */
static void choose_by_words(condition *c, const char *word)
{
    const char *equals = strchr(word, '=');
    size_t length = equals ? (size_t)(equals - word) : 0;
    c->negated = length > 0 && word[length - 1] == '!';
    length -= c->negated;
    if (length == 0 || length >= sizeof c->name || !equals[1])
        tool_usage("--where %s: not a condition; --help lists them", word);
    memcpy(c->name, word, length);
    c->words = equals + 1;
    c->test = strcmp(c->name, "class") == 0        ? IS_CLASS
              : strcmp(c->name, "prediction") == 0 ? IS_PREDICTION
                                                   : IS_TEXT;
}

static void add_condition(const char *word)
{
    static const char *const simple[] = {"wrong", "right", "unknown", "known"};
    if (condition_count == CONDITIONS_MAX)
        tool_usage("--where: more than %d conditions", CONDITIONS_MAX);
    condition *c = &conditions[condition_count++];
    for (size_t i = 0; i < sizeof simple / sizeof *simple; i++)
        if (strcmp(word, simple[i]) == 0) {
            c->test = (test)i;
            return;
        }
    bool unsure = strncmp(word, "unsure<", 7) == 0;
    if (unsure || strncmp(word, "sure>", 5) == 0) {
        c->test = unsure ? IS_UNSURE : IS_SURE;
        c->bound = bound_of(word, word + (unsure ? 7 : 5));
        return;
    }
    choose_by_words(c, word);
}

static void add_range(const char *list, const char **at)
{
    char *end;
    row_range r = {0, UINT64_MAX};
    if (**at < '0' || **at > '9')
        tool_usage("--rows %s: row numbers and ranges stand there, as in 0-9,50,100-", list);
    r.first = r.last = strtoull(*at, &end, 10);
    if (*end == '-') {
        char *last = end + 1;
        r.last = *last >= '0' && *last <= '9' ? strtoull(last, &end, 10) : UINT64_MAX;
        end = r.last == UINT64_MAX ? last : end;
    }
    if ((*end && *end != ',') || r.last < r.first)
        tool_usage("--rows %s: row numbers and ranges stand there, as in 0-9,50,100-", list);
    row_range *more = realloc(ranges, (range_count + 1) * sizeof *more);
    if (!more)
        tool_fail(&(error){"out of memory"});
    ranges = more;
    ranges[range_count++] = r;
    *at = *end ? end + 1 : end;
}

static void add_rows(const char *word)
{
    const char *at = word;
    do
        add_range(word, &at);
    while (*at);
}

/* ---- rows ---- */

typedef struct {
    stream_reader *reader;
    stream_writer *writer;
    relay relay;
    sample *sample;  /* with --random, while rows are drawn */
    uint64_t *drawn; /* with --rest: the numbers of those that were, */
    size_t drawn_count, passed;
    bool *keep; /* one a row of the batch */
    int32_t *zeros;
    size_t room;
    uint64_t read, written;
} job;

static int choose_classes(const class_list *list, error *e)
{
    for (size_t i = 0; i < condition_count; i++) {
        condition *c = &conditions[i];
        if (c->test != IS_CLASS && c->test != IS_PREDICTION)
            continue;
        bool *chosen = realloc(c->chosen, (list->count + 1) * sizeof *chosen);
        if (!chosen)
            return error_set(e, "out of memory for %zu classes", list->count);
        c->chosen = chosen;
        if (class_list_choose(list, c->words, chosen, e) < 0)
            return error_prefix(e, "--where %s", c->name);
    }
    return 0;
}

static int follow(job *j, error *e)
{
    int begun = relay_follow(&j->relay, j->reader, j->sample ? NULL : j->writer, e);
    return begun > 0 ? choose_classes(stream_classes(j->reader), e) : begun;
}

static bool in_ranges(uint64_t row)
{
    for (size_t i = 0; i < range_count; i++)
        if (row >= ranges[i].first && row <= ranges[i].last)
            return true;
    return range_count == 0;
}

/* What conditions look at, NULL where none does. */
typedef struct {
    const int32_t *labels;
    const tensor *predictions, *scores;
} view;

/* The fields that conditions need, or an error that says what makes them. */
static int view_open(batch *b, const class_list *classes, view *v, error *e)
{
    tensor *t;
    int32_t *labels;
    *v = (view){0};
    for (size_t i = 0; i < condition_count; i++) {
        test is = conditions[i].test;
        if ((is == IS_WRONG || is == IS_RIGHT || is == IS_CLASS) && !v->labels) {
            if (batch_labels(b, classes, &labels, e) < 0)
                return -1;
            v->labels = labels;
        }
        if ((is <= IS_KNOWN || is == IS_PREDICTION) && !v->predictions) {
            if (batch_require(b, "prediction", TYPE_I32, 1, &t, e) < 0)
                return -1;
            v->predictions = t;
        }
        if ((is == IS_UNSURE || is == IS_SURE) && !v->scores) {
            if (batch_require(b, "score", TYPE_F32, 2, &t, e) < 0)
                return -1;
            v->scores = t;
        }
    }
    return 0;
}

/* The text of a row, or an error. */
static const char *text_of(batch *b, const char *name, size_t row, error *e)
{
    const tensor *t = batch_find(b, name);
    if (!t || t->type != TYPE_TEXT) {
        error_set(e, "the records have no field '%s' of texts", name);
        return NULL;
    }
    return (const char *)t->data + row * t->shape[1];
}

/* 1 where the condition is true of the row, 0, or -1. */
static int holds(const condition *c, batch *b, const view *v, size_t row, size_t classes, error *e)
{
    int64_t predicted = 0;
    const char *text;
    if (v->predictions && prediction_at(v->predictions, row, classes, &predicted, e) < 0)
        return -1;
    switch (c->test) {
    case IS_WRONG:
    case IS_RIGHT:
        return (predicted == v->labels[row]) == (c->test == IS_RIGHT);
    case IS_UNKNOWN:
    case IS_KNOWN:
        return (predicted < 0) == (c->test == IS_UNKNOWN);
    case IS_UNSURE:
        return best_probability(v->scores, row) < c->bound;
    case IS_SURE:
        return best_probability(v->scores, row) > c->bound;
    case IS_CLASS:
        return c->chosen[v->labels[row]] != c->negated;
    case IS_PREDICTION:
        return (predicted >= 0 && c->chosen[predicted]) != c->negated;
    default:
        text = text_of(b, c->name, row, e);
        return text ? (fnmatch(c->words, text, 0) == 0) != c->negated : -1;
    }
}

static int room_make(job *j, size_t rows, error *e)
{
    if (rows <= j->room)
        return 0;
    free(j->keep);
    free(j->zeros);
    j->keep = malloc(rows * sizeof *j->keep);
    j->zeros = calloc(rows, sizeof *j->zeros);
    j->room = j->keep && j->zeros ? rows : 0;
    return j->room ? 0 : error_set(e, "out of memory for %zu rows", rows);
}

/* Sets keep of the batch's rows. */
static int rows_choose(job *j, batch *b, error *e)
{
    const class_list *classes = stream_classes(j->reader);
    view v;
    if (follow(j, e) < 0 || room_make(j, b->rows, e) < 0 || view_open(b, classes, &v, e) < 0)
        return -1;
    for (size_t row = 0; row < b->rows; row++) {
        int keeps = in_ranges(b->first_row + row);
        for (size_t i = 0; keeps > 0 && i < condition_count; i++)
            keeps = holds(&conditions[i], b, &v, row, classes->count, e);
        if (keeps < 0)
            return -1;
        j->keep[row] = keeps;
    }
    return 0;
}

/* Of what was drawn, as the numbers come by. */
static bool was_drawn(job *j, uint64_t row)
{
    while (j->passed < j->drawn_count && j->drawn[j->passed] < row)
        j->passed++;
    return j->passed < j->drawn_count && j->drawn[j->passed] == row;
}

static int filter_batch(job *j, batch *b, error *e)
{
    if (rows_choose(j, b, e) < 0)
        return error_prefix(e, "%s", stream_name(j->reader));
    j->read += b->rows;
    if (j->sample)
        return sample_offer(j->sample, b, j->zeros, j->keep, e);
    for (size_t row = 0; row < b->rows; row++) {
        if (j->drawn)
            j->keep[row] = was_drawn(j, b->first_row + row);
        j->keep[row] = j->keep[row] != rest;
        j->written += j->keep[row];
    }
    batch_keep(b, j->keep);
    return stream_write(j->writer, b, e);
}

/* Reads all of the input; `what` is done with each batch. */
static int read_all(job *j, tool_operands files, int (*what)(job *, batch *, error *), error *e)
{
    batch *b;
    progress p;
    stream_close(j->reader);
    relay_free(&j->relay);
    j->relay = (relay){0};
    j->reader = NULL;
    j->read = 0;
    if (stream_open(files.names, files.count, &j->reader, e) < 0)
        return -1;
    int status = follow(j, e) < 0 ? -1 : 0;
    progress_begin(&p, "rows", 0);
    while (status == 0 && (status = stream_read(j->reader, &b, e)) > 0) {
        progress_update(&p, stream_rows(j->reader), NULL);
        status = what(j, b, e);
    }
    if (status == 0)
        progress_end(&p);
    return status;
}

/* ---- drawing all but some: the input is read twice ---- */

static void check_files(tool_operands files)
{
    struct stat s;
    for (size_t i = 0; i < files.count; i++)
        if (strcmp(files.names[i], "-") == 0 ||
            (stat(files.names[i], &s) == 0 && !S_ISREG(s.st_mode)))
            files.count = 0;
    if (files.count == 0)
        tool_usage("--random with --rest reads its input twice: name files, no pipe");
}

static int number_batch(job *j, batch *b, error *e)
{
    batch none = {.rows = b->rows, .first_row = b->first_row};
    if (rows_choose(j, b, e) < 0)
        return error_prefix(e, "%s", stream_name(j->reader));
    return sample_offer(j->sample, &none, j->zeros, j->keep, e);
}

static int draw_first(job *j, tool_operands files, error *e)
{
    int status = sample_new(random_rows, seed, &j->sample, e);
    if (status == 0)
        status = read_all(j, files, number_batch, e);
    if (status == 0)
        status = sample_numbers(j->sample, &j->drawn, &j->drawn_count, e);
    sample_free(j->sample);
    j->sample = NULL;
    return status;
}

static int filter(job *j, tool_operands files, output *out, error *e)
{
    if (random_rows && rest) {
        check_files(files);
        if (draw_first(j, files, e) < 0)
            return -1;
    } else if (random_rows && sample_new(random_rows, seed, &j->sample, e) < 0) {
        return -1;
    }
    if (stream_create(out, &j->writer, e) < 0 || read_all(j, files, filter_batch, e) < 0)
        return -1;
    if (j->sample) {
        uint64_t *numbers;
        size_t count;
        if (sample_numbers(j->sample, &numbers, &count, e) < 0)
            return -1;
        free(numbers);
        j->written = count;
        if (stream_write_header(j->writer, &j->relay.header, e) < 0 ||
            sample_write(j->sample, j->writer, e) < 0)
            return -1;
    }
    if (stream_write_end(j->writer, e) < 0)
        return -1;
    if (j->written == 0)
        tool_say("note: none of %llu rows", (unsigned long long)j->read);
    else if (j->sample && j->written < random_rows)
        tool_say("note: only %llu rows came where %llu are wanted", (unsigned long long)j->written,
                 (unsigned long long)random_rows);
    return 0;
}

static void job_free(job *j)
{
    stream_close(j->reader);
    stream_writer_free(j->writer);
    relay_free(&j->relay);
    sample_free(j->sample);
    free(j->drawn);
    free(j->keep);
    free(j->zeros);
    for (size_t i = 0; i < condition_count; i++)
        free(conditions[i].chosen);
    free(ranges);
}

int main(int argc, char **argv)
{
    tool_operands files = tool_begin(&about, argc, argv);
    if (condition_count == 0 && range_count == 0 && !random_rows)
        tool_usage("say which rows: --where, --rows or --random");
    if (have_seed && !random_rows)
        tool_usage("--seed needs --random N");
    error e;
    job j = {0};
    output *out = tool_output("a stream of records");
    int status = filter(&j, files, out, &e);
    job_free(&j);
    return tool_end(out, status, &e);
}
