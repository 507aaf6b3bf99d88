/* model-edit: a model with classes dropped or renamed, or without what it was made from. */
#include "../common/base/tool.h"
#include "../common/model/packing.h"
#include "../common/model/sums.h"
#include "imprinting/fit.h"

#include <stdlib.h>
#include <string.h>

/* The changes asked for, done in the order in which they were given. */
static struct edit {
    bool drop; /* else rename */
    const char *words;
} * edits;
static size_t edit_count;
static bool slim;
static int precision = -1; /* fp32, bf16 */

static void add_edit(bool drop, const char *words)
{
    struct edit *grown = realloc(edits, (edit_count + 1) * sizeof *grown);
    if (!grown)
        tool_fail(&(error){"out of memory"});
    edits = grown;
    edits[edit_count++] = (struct edit){drop, words};
}

static void add_drop(const char *words)
{
    add_edit(true, words);
}

static void add_rename(const char *words)
{
    if (!strchr(words, '='))
        tool_usage("--rename takes OLD=NEW, not '%s'", words);
    add_edit(false, words);
}

static const tool_option options[] = {
    {"drop", "LIST", 0, "leave these classes out: names, numbers, ranges (ship,8,0-7)",
     OPTION_CALLS(add_drop)},
    {"rename", "OLD=NEW", 0, "give a class, by name or number, another name",
     OPTION_CALLS(add_rename)},
    {"slim", NULL, 0, "leave out the sums and rows that only further imprinting and merging need",
     OPTION_TO(slim)},
    {"precision", "fp32|bf16", 0, "write the network's weights as this (bf16: half the bytes)",
     OPTION_WORD_TO(precision)},
    {0}};

static const tool_description about = {
    .name = "model-edit",
    .summary = "Read a model; write it with classes dropped or renamed, or smaller.",
    .usage = "[OPTION]... [MODEL]",
    .example = "model-edit --drop ship --rename automobile=car nine.model -o eight.model",
    .options = options};

/* ---- dropping ---- */

static int drop_classes(model *m, const char *words, error *e)
{
    bool *chosen = calloc(m->classes.count + 1, sizeof *chosen);
    if (!chosen)
        return error_set(e, "out of memory for %zu classes", m->classes.count);
    int status = class_list_choose(&m->classes, words, chosen, e);
    for (size_t c = m->classes.count; c-- > 0 && status >= 0;)
        if (chosen[c])
            status = fit_remove_class(m, c, e);
    free(chosen);
    return status < 0 ? error_prefix(e, "--drop %s", words) : 0;
}

/* ---- renaming ---- */

/* The one class that a word names or numbers; *found is -1 if it is none or several. Fails without
 * memory. */
static int one_class(const class_list *classes, const char *word, int *found, error *e)
{
    *found = class_list_find(classes, word);
    if (*found >= 0)
        return 0;
    error ignored;
    bool *chosen = calloc(classes->count + 1, sizeof *chosen);
    if (!chosen)
        return error_set(e, "out of memory for %zu classes", classes->count);
    size_t count = 0;
    if (class_list_choose(classes, word, chosen, &ignored) >= 0)
        for (size_t c = 0; c < classes->count; c++)
            if (chosen[c] && count++ == 0)
                *found = (int)c;
    free(chosen);
    if (count != 1)
        *found = -1;
    return 0;
}

/* Names may hold "=" themselves: the first one before which a class stands divides. */
static int rename_class(model *m, const char *words, error *e)
{
    char *old = strdup(words);
    if (!old)
        return error_set(e, "out of memory");
    int found = -1, status = 0;
    const char *name = NULL;
    for (size_t i = 0; old[i] && found < 0 && status == 0; i++) {
        if (words[i] != '=')
            continue;
        old[i] = '\0';
        status = one_class(&m->classes, old, &found, e);
        name = words + i + 1;
        old[i] = '=';
    }
    free(old);
    if (status < 0)
        return -1;
    if (found < 0)
        return error_set(e, "--rename %s: the model has no such class; tensor-info lists them",
                         words);
    if (model_rename_class(m, (size_t)found, name, e) < 0)
        return error_prefix(e, "--rename %s", words);
    return 0;
}

/* ---- the tool ---- */

static int edit_model(const char *path, output *out, error *e)
{
    model m;
    if (model_load(path, &m, e) < 0)
        return -1;
    int status = 0;
    for (size_t i = 0; i < edit_count && status == 0; i++)
        status = (edits[i].drop ? drop_classes : rename_class)(&m, edits[i].words, e);
    if (status == 0 && slim)
        status = sums_slim(&m, e);
    if (status == 0 && precision >= 0)
        status = weights_precision(&m, precision == 1, e);
    if (status == 0)
        status = model_save(&m, out, e);
    model_free(&m);
    return status;
}

int main(int argc, char **argv)
{
    tool_operands models = tool_begin(&about, argc, argv);
    if (edit_count == 0 && !slim && precision < 0)
        tool_usage("nothing to do: give --drop, --rename, --slim or --precision");
    if (models.count > 1)
        tool_usage("one model at a time; model-merge joins several");
    error e;
    output *out = tool_output("a model");
    int status = edit_model(models.count ? models.names[0] : "-", out, &e);
    return tool_end(out, status, &e);
}
