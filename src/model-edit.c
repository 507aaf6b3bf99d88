/* model-edit: a model with classes dropped or renamed. */
#include "../common/base/tool.h"
#include "../common/model/model.h"
#include "imprinting/fit.h"

#include <stdlib.h>
#include <string.h>

static const tool_description about = {
    .name = "model-edit",
    .summary = "Read a model; write it with classes dropped or renamed.",
    .usage = "[OPTION]... [MODEL]",
    .options =
        "      --drop LIST       leave these classes out: names, numbers, ranges (ship,8,0-7)\n"
        "      --rename OLD=NEW  give a class, by name or number, another name\n",
    .example = "model-edit --drop ship --rename automobile=car nine.model -o eight.model",
};

enum { OPTION_DROP = TOOL_OWN, OPTION_RENAME };

static const struct option long_options[] = {TOOL_OPTIONS,
                                             {"drop", required_argument, NULL, OPTION_DROP},
                                             {"rename", required_argument, NULL, OPTION_RENAME},
                                             {0}};

/* The changes asked for, done in the order in which they were given. */
typedef struct {
    int letter;
    const char *words;
} edit;

/* ---- dropping ---- */

static int drop_classes(model *m, const char *words, error *e)
{
    bool *chosen = calloc(m->classes.count, sizeof *chosen);
    if (!chosen)
        return error_set(e, "out of memory for %zu classes", m->classes.count);
    int status = class_list_choose(&m->classes, words, chosen, e);
    for (size_t c = m->classes.count; c-- > 0 && status >= 0;)
        if (chosen[c])
            status = weights_remove_class(m, c, e);
    free(chosen);
    return status < 0 ? error_prefix(e, "--drop %s", words) : 0;
}

/* ---- renaming ---- */

/* The one class that a word names or numbers; -1 if it is none or several. */
static int one_class(const class_list *classes, const char *word)
{
    int named = class_list_find(classes, word);
    if (named >= 0)
        return named;
    error ignored;
    bool *chosen = calloc(classes->count, sizeof *chosen);
    int found = -1;
    if (chosen && class_list_choose(classes, word, chosen, &ignored) >= 0)
        for (size_t c = 0; c < classes->count; c++)
            if (chosen[c])
                found = found == -1 ? (int)c : -2;
    free(chosen);
    return found < 0 ? -1 : found;
}

/* Names may hold "=" themselves: the first one before which a class stands divides. */
static int rename_class(model *m, const char *words, error *e)
{
    char *old = strdup(words);
    if (!old)
        return error_set(e, "out of memory");
    int found = -1;
    const char *name = NULL;
    for (size_t i = 0; old[i] && found < 0; i++) {
        if (words[i] != '=')
            continue;
        old[i] = '\0';
        found = one_class(&m->classes, old);
        name = words + i + 1;
        old[i] = '=';
    }
    free(old);
    if (found < 0)
        return error_set(e, "--rename %s: the model has no such class; tensor-info lists them",
                         words);
    if (model_rename_class(m, (size_t)found, name, e) < 0)
        return error_prefix(e, "--rename %s", words);
    return 0;
}

/* ---- the tool ---- */

static int run(const char *path, const edit *edits, size_t count, const tool_options *o, error *e)
{
    model m;
    output *out;
    if (output_open(o->output, true, &out, e) < 0)
        return -1;
    if (model_load(path, &m, e) < 0) {
        output_abandon(out);
        return -1;
    }
    int status = 0;
    for (size_t i = 0; i < count && status == 0; i++)
        status = edits[i].letter == OPTION_DROP ? drop_classes(&m, edits[i].words, e)
                                                : rename_class(&m, edits[i].words, e);
    if (status == 0)
        status = model_save(&m, out, e);
    model_free(&m);
    if (status == 0)
        return output_commit(out, e);
    output_abandon(out);
    return -1;
}

int main(int argc, char **argv)
{
    tool_begin(&about);
    tool_options o = {0};
    error e = {0};
    edit *edits = calloc((size_t)argc, sizeof *edits);
    size_t count = 0;
    for (int c; (c = getopt_long(argc, argv, TOOL_SHORT, long_options, NULL)) != -1;) {
        if (tool_option(c, &o))
            continue;
        if (c == OPTION_RENAME && !strchr(optarg, '='))
            tool_usage("--rename takes OLD=NEW, not '%s'", optarg);
        if (edits)
            edits[count++] = (edit){c, optarg};
    }
    if (!edits || count == 0)
        tool_usage("nothing to do: give --drop or --rename");
    if (argc - optind > 1)
        tool_usage("one model at a time; model-merge joins several");
    if (run(optind < argc ? argv[optind] : "-", edits, count, &o, &e) < 0)
        tool_fail(&e);
    free(edits);
    return TOOL_OK;
}
