#include "training_model.h"

#include "../../common/base/memory.h"
#include "../../common/model/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX ((size_t)1 << 20)

/* Blanks out comments. */
static void strip_comments(char *text)
{
    for (char *at = strchr(text, '#'); at; at = strchr(at, '#'))
        memset(at, ' ', strcspn(at, "\n"));
}

static int read_text(const char *path, char **text, error *e)
{
    FILE *file = fopen(path, "r");
    if (!file)
        return error_system(e, "%s", path);
    char *read = malloc(TEXT_MAX + 1);
    size_t bytes = read ? fread(read, 1, TEXT_MAX + 1, file) : 0;
    int status = 0;
    if (!read)
        status = error_set(e, "out of memory for %s", path);
    else if (ferror(file))
        status = error_system(e, "%s", path);
    else if (bytes > TEXT_MAX || memchr(read, '\0', bytes))
        status = error_set(e, "%s: not the text of a network", path);
    fclose(file);
    if (status < 0) {
        free(read);
        return -1;
    }
    read[bytes] = '\0';
    strip_comments(read);
    *text = read;
    return 0;
}

int training_network(const char *name, char **text, error *e)
{
    if (name[0] == '@')
        return read_text(name + 1, text, e);
    const char *known = network_builtin(name);
    if (!known)
        return error_set(
            e,
            "no built-in network '%s'; take keras-cnn, resnet9 or @FILE with a text of "
            "your own",
            name);
    *text = strdup(known);
    return *text ? 0 : error_set(e, "out of memory");
}

/* Fresh parameters for all of m's network; the caller frees them. */
static float *fresh_parameters(const model *m, uint64_t seed, error *e)
{
    float *fresh = memory_aligned(m->net.total * sizeof *fresh);
    if (fresh)
        network_initialise(&m->net, seed, fresh);
    else
        error_set(e, "out of memory for %zu parameters; use a smaller network", m->net.total);
    return fresh;
}

static void set_scale(const model *m, float *parameters, double scale)
{
    if (scale > 0 && m->net.head_scale != SIZE_MAX)
        parameters[m->net.parameters[m->net.head_scale].start] = (float)scale;
}

int training_model_new(const char *text, extent input, head_kind head, double scale,
                       const class_list *classes, uint64_t seed, model *m, error *e)
{
    if (model_new(text, input, 0, head, classes, CLASS_BASE, m, e) < 0)
        return -1;
    float *fresh = fresh_parameters(m, seed, e);
    if (!fresh) {
        model_free(m);
        return -1;
    }
    set_scale(m, fresh, scale);
    model_unpack(m, fresh);
    free(fresh);
    return 0;
}

static int check_input(const model *m, extent input, error *e)
{
    extent own = m->net.input;
    if (m->net.layer_count == 0)
        return error_set(
            e, "the model has no network to train, only a head for embeddings made elsewhere");
    if (own.height != input.height || own.width != input.width || own.channels != input.channels)
        return error_set(
            e, "the model takes pictures of %zu x %zu x %zu, these are of %zu x %zu x %zu",
            own.height, own.width, own.channels, input.height, input.width, input.channels);
    return 0;
}

/* Classes from `first` on take their head's weights from a fresh network of that seed. */
static int set_fresh_weights(model *m, size_t first, double scale, uint64_t seed, error *e)
{
    float *fresh = fresh_parameters(m, seed, e);
    float *own = memory_aligned(m->net.total * sizeof *own);
    if (!fresh || !own) {
        free(fresh);
        free(own);
        return error_set(e, "out of memory for %zu parameters", m->net.total);
    }
    const parameter *weight = &m->net.parameters[m->net.head_weight];
    size_t skip = weight->start + first * m->net.dimension;
    model_pack(m, own);
    memcpy(own + skip, fresh + skip, (m->classes.count - first) * m->net.dimension * sizeof *own);
    set_scale(m, own, scale);
    model_unpack(m, own);
    free(fresh);
    free(own);
    return 0;
}

int training_model_extend(model *m, extent input, double scale, const class_list *classes,
                          uint64_t seed, error *e)
{
    if (check_input(m, input, e) < 0)
        return -1;
    size_t had = m->classes.count;
    if (model_add_classes(m, classes, NULL, NULL, e) < 0)
        return -1;
    return set_fresh_weights(m, had, scale, seed, e);
}

static bool is_parameter(const network *net, const char *name)
{
    for (size_t i = 0; i < net->parameter_count; i++)
        if (strcmp(net->parameters[i].name, name) == 0)
            return true;
    return false;
}

/* Whether a note says how classes are fitted. */
static bool is_setting(const char *key)
{
    for (model_key known = 0; known < KEY_TRAINING; known++)
        if (strcmp(model_keys[known].key, key) == 0)
            return true;
    return false;
}

void training_model_finish(model *m, bool frozen)
{
    for (size_t i = m->tensor_count; i-- > 0;) {
        const char *name = m->tensors[i].name;
        if (!is_parameter(&m->net, name) && !(frozen && part_form_named(name)->group != SUMS_NONE))
            model_drop(m, name);
    }
    fit_report_drop(m);
    for (size_t i = m->note_count; !frozen && i-- > 0;)
        if (is_setting(m->notes[i].key))
            model_note_drop(m, m->notes[i].key);
}
