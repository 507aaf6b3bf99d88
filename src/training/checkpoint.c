#include "checkpoint.h"

#include "../../common/base/output.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

static const char progress_name[] = "checkpoint/progress", first_name[] = "checkpoint/first",
                  second_name[] = "checkpoint/second";

int training_state_new(size_t total, training_state *s, error *e)
{
    size_t count = total ? total : 1;
    *s = (training_state){.parameters = calloc(count, sizeof(float)),
                          .first = calloc(count, sizeof(float)),
                          .second = calloc(count, sizeof(float))};
    if (s->parameters && s->first && s->second)
        return 0;
    training_state_free(s);
    return error_set(e, "out of memory for %zu parameters; use a smaller network", total);
}

void training_state_free(training_state *s)
{
    free(s->parameters);
    free(s->first);
    free(s->second);
    *s = (training_state){0};
}

static void drop_tensors(model *m)
{
    model_drop(m, progress_name);
    model_drop(m, first_name);
    model_drop(m, second_name);
}

static int put_floats(model *m, const char *name, const float *values, error *e)
{
    tensor *t;
    if (model_put(m, name, TYPE_F32, 1, &m->net.total, &t, e) < 0)
        return -1;
    memcpy(t->data, values, tensor_bytes(t));
    return 0;
}

static int put_state(model *m, const training_state *s, error *e)
{
    tensor *t;
    size_t two = 2;
    if (model_put(m, progress_name, TYPE_F64, 1, &two, &t, e) < 0)
        return -1;
    ((double *)t->data)[0] = (double)s->epoch;
    ((double *)t->data)[1] = (double)s->step;
    return put_floats(m, first_name, s->first, e) < 0 ||
                   put_floats(m, second_name, s->second, e) < 0
               ? -1
               : 0;
}

static int write_model(const char *path, const model *m, error *e)
{
    output *out;
    if (output_open(path, true, &out, e) < 0)
        return -1;
    if (model_save(m, out, e) < 0) {
        output_abandon(out);
        return -1;
    }
    return output_commit(out, e);
}

int checkpoint_save(const char *path, model *m, const training_state *s, error *e)
{
    model_unpack(m, s->parameters);
    int status = put_state(m, s, e) < 0 || write_model(path, m, e) < 0 ? -1 : 0;
    drop_tensors(m);
    return status;
}

static int take_floats(const model *m, const char *name, float *values, error *e)
{
    const tensor *t = model_find(m, name);
    if (!t || t->type != TYPE_F32 || t->rank != 1 || t->shape[0] != m->net.total)
        return error_set(
            e, "not a checkpoint: no float32 %s [%zu]; it is what cnn-train --checkpoint writes",
            name, m->net.total);
    memcpy(values, t->data, tensor_bytes(t));
    return 0;
}

static bool is_count(double value)
{
    return value >= 0 && value <= 0x1p53 && value == (double)(uint64_t)value;
}

/* Epochs and steps done, or NULL. */
static const double *find_progress(const model *m)
{
    const tensor *t = model_find(m, progress_name);
    return t && t->type == TYPE_F64 && t->rank == 1 && t->shape[0] == 2 ? t->data : NULL;
}

int checkpoint_epoch(const model *m)
{
    const double *progress = find_progress(m);
    return progress && is_count(progress[0]) && progress[0] < INT_MAX ? (int)progress[0] : -1;
}

static int take_state(const model *m, training_state *s, error *e)
{
    const double *progress = find_progress(m);
    if (!progress)
        return error_set(e, "not a checkpoint but a finished model; to train that further: --init");
    if (!is_count(progress[0]) || !is_count(progress[1]))
        return error_set(e, "%s holds no counts; the checkpoint is damaged", progress_name);
    s->epoch = (size_t)progress[0];
    s->step = (uint64_t)progress[1];
    model_pack(m, s->parameters);
    return take_floats(m, first_name, s->first, e) < 0 ||
                   take_floats(m, second_name, s->second, e) < 0
               ? -1
               : 0;
}

int checkpoint_load(const char *path, model *m, training_state *s, error *e)
{
    if (model_load(path, m, e) < 0)
        return -1;
    if (training_state_new(m->net.total, s, e) < 0) {
        model_free(m);
        return -1;
    }
    if (take_state(m, s, e) < 0) {
        training_state_free(s);
        model_free(m);
        return error_prefix(e, "%s", path);
    }
    drop_tensors(m);
    return 0;
}

/* The word that begins with `name` (of `length`, its = included) in a text of settings, or NULL. */
static const char *find_setting(const char *text, const char *name, size_t length, size_t *word)
{
    for (const char *at = text; *at; at += *word + (at[*word] == ' ')) {
        *word = strcspn(at, " ");
        if (*word >= length && memcmp(at, name, length) == 0)
            return at;
    }
    return NULL;
}

int checkpoint_compare(const char *had, const char *have, error *e)
{
    if (strcmp(had, have) == 0)
        return 0;
    size_t word, old = 0;
    for (const char *at = have; *at; at += word + (at[word] == ' ')) {
        word = strcspn(at, " ");
        size_t name = strcspn(at, "=") + 1;
        const char *was = name <= word ? find_setting(had, at, name, &old) : NULL;
        if (!was || old != word || memcmp(was, at, word) != 0)
            return error_set(
                e,
                "the run so far had %.*s, this one has %.*s; resume with the same options "
                "and data",
                was ? (int)old : 4, was ? was : "none", (int)word, at);
    }
    return error_set(e,
                     "the run so far had settings that this one lacks (%s); resume with the same "
                     "options and data",
                     had);
}
