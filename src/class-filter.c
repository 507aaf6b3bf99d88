/* class-filter: the rows of some classes; see class-filter(1). */
#include "../common/base/tool.h"
#include "../common/stream/relay.h"
#include "../common/stream/reservoir.h"

#include <stdlib.h>
#include <string.h>

static const char *keep_words, *drop_words;
static uint64_t per_class, seed; /* per_class 0: all */
static bool have_seed;

static const tool_option options[] = {
    {"keep", "LIST", 0, "keep the rows of these classes", OPTION_TO(keep_words)},
    {"drop", "LIST", 0, "keep the rows of all other classes", OPTION_TO(drop_words)},
    {"per-class", "N", 0, "keep at most N rows of each class, the first ones", OPTION_TO(per_class),
     1, UINT32_MAX},
    {"seed", "N", 0, "with --per-class, keep rows at random, the same for the same seed",
     OPTION_TO(seed), 0, UINT64_MAX, &have_seed},
    {0}};

static const tool_description about = {
    .name = "class-filter",
    .summary = "Read records; write the rows of the classes chosen. The classes keep their "
               "numbers. LIST has names and numbers, as in ship,8,0-7.",
    .usage = "--keep LIST | --drop LIST [OPTION]... [FILE]...",
    .example = "cifar-read data_batch_*.bin |\n"
               "      class-filter --keep ship --per-class 5 > five.records",
    .options = options};

typedef struct {
    stream_reader *reader;
    stream_writer *writer;
    sample *sample; /* with --seed only */
    relay relay;
    size_t classes; /* how many the next two have */
    bool *chosen;
    uint64_t *counts; /* rows of each class that were chosen */
    bool *keep;       /* one a row of the batch */
    size_t keep_room;
} job;

static void check_options(void)
{
    if (keep_words ? drop_words != NULL : !drop_words && !per_class)
        tool_usage(
            "give one of --keep LIST and --drop LIST, or --per-class N alone for all classes");
    if (have_seed && !per_class)
        tool_usage("--seed needs --per-class N");
}

/* Makes the choice anew, over a class list that has grown. */
static int choose_classes(job *j, const class_list *list, error *e)
{
    bool *chosen = realloc(j->chosen, (list->count + 1) * sizeof *chosen);
    if (chosen)
        j->chosen = chosen;
    uint64_t *counts = realloc(j->counts, (list->count + 1) * sizeof *counts);
    if (counts)
        j->counts = counts;
    if (!chosen || !counts)
        return error_set(e, "out of memory for %zu classes", list->count);
    memset(counts + j->classes, 0, (list->count - j->classes) * sizeof *counts);
    j->classes = list->count;
    for (size_t i = 0; i < list->count; i++)
        chosen[i] = true;
    if (!keep_words && !drop_words)
        return 0;
    if (class_list_choose(list, keep_words ? keep_words : drop_words, chosen, e) < 0)
        return error_prefix(e, "%s", keep_words ? "--keep" : "--drop");
    for (size_t i = 0; drop_words && i < list->count; i++)
        chosen[i] = !chosen[i];
    return 0;
}

/* Where a stream of the input begins, the choice is made among the classes of all so far; a
 * sample's header is written when all are known. */
static int follow(job *j, error *e)
{
    int begun = relay_follow(&j->relay, j->reader, j->sample ? NULL : j->writer, e);
    return begun > 0 ? choose_classes(j, stream_classes(j->reader), e) : begun;
}

static int begin(job *j, error *e)
{
    if (have_seed && sample_new(per_class, seed, &j->sample, e) < 0)
        return -1;
    return follow(j, e);
}

static int filter_batch(job *j, batch *b, error *e)
{
    int32_t *labels;
    if (follow(j, e) < 0)
        return -1;
    if (batch_labels(b, stream_classes(j->reader), &labels, e) < 0)
        return error_prefix(e, "%s", stream_name(j->reader));
    if (b->rows > j->keep_room) {
        free(j->keep);
        j->keep = malloc(b->rows * sizeof *j->keep);
        j->keep_room = j->keep ? b->rows : 0;
        if (!j->keep)
            return error_set(e, "out of memory for %zu rows", b->rows);
    }
    for (size_t i = 0; i < b->rows; i++) {
        uint64_t *count = &j->counts[labels[i]];
        j->keep[i] = j->chosen[labels[i]] && (j->sample || !per_class || *count < per_class);
        *count += j->keep[i];
    }
    if (j->sample)
        return sample_offer(j->sample, b, labels, j->keep, e);
    batch_keep(b, j->keep);
    return stream_write(j->writer, b, e);
}

static int finish(job *j, error *e)
{
    if (j->sample && (stream_write_header(j->writer, &j->relay.header, e) < 0 ||
                      sample_write(j->sample, j->writer, e) < 0))
        return -1;
    return stream_write_end(j->writer, e);
}

/* What the user may not have meant. */
static void say_shortages(const job *j)
{
    for (size_t i = 0; i < j->classes; i++) {
        /* A class that was named but is not there; with --drop, one that need not have been dropped
         * goes unsaid: nobody misses its rows. */
        if (!j->chosen[i] || (!per_class && drop_words))
            continue;
        const char *name = j->relay.header.classes.names[i];
        if (j->counts[i] == 0)
            tool_say("note: no row of class '%s' came", name);
        else if (j->counts[i] < per_class)
            tool_say("note: only %llu rows of class '%s' came where %llu are wanted",
                     (unsigned long long)j->counts[i], name, (unsigned long long)per_class);
    }
}

static int filter(job *j, tool_operands files, output *out, error *e)
{
    progress p;
    batch *b;
    if (stream_open(files.names, files.count, &j->reader, e) < 0 ||
        stream_create(out, &j->writer, e) < 0)
        return -1;
    int status = begin(j, e);
    progress_begin(&p, "rows", 0);
    while (status == 0 && (status = stream_read(j->reader, &b, e)) > 0) {
        progress_update(&p, stream_rows(j->reader), NULL);
        status = filter_batch(j, b, e);
    }
    if (status == 0)
        status = finish(j, e);
    if (status == 0) {
        progress_end(&p);
        say_shortages(j);
    }
    return status;
}

static void job_free(job *j)
{
    stream_close(j->reader);
    stream_writer_free(j->writer);
    relay_free(&j->relay);
    sample_free(j->sample);
    free(j->chosen);
    free(j->counts);
    free(j->keep);
}

int main(int argc, char **argv)
{
    tool_operands files = tool_begin(&about, argc, argv);
    check_options();
    error e;
    job j = {0};
    output *out = tool_output("a stream of records");
    int status = filter(&j, files, out, &e);
    job_free(&j);
    return tool_end(out, status, &e);
}
