#include "checkpoint.h"

#include "../../common/base/output.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

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
    free(s->best.parameters);
    *s = (training_state){0};
}

static void drop_tensors(model *m)
{
    model_part_drop(m, PART_CHECKPOINT_PROGRESS);
    model_part_drop(m, PART_CHECKPOINT_FIRST);
    model_part_drop(m, PART_CHECKPOINT_SECOND);
    model_part_drop(m, PART_CHECKPOINT_BEST_EPOCH);
    model_part_drop(m, PART_CHECKPOINT_BEST);
}

static int put_floats(model *m, model_part_id part, const float *values, error *e)
{
    float *to = model_part_put(m, part, 0, e);
    if (to)
        memcpy(to, values, m->net.total * sizeof *to);
    return to ? 0 : -1;
}

static int put_best(model *m, const best_epoch *best, error *e)
{
    if (best->epoch == 0)
        return 0;
    double *which = model_part_put(m, PART_CHECKPOINT_BEST_EPOCH, 0, e);
    if (!which)
        return -1;
    which[0] = (double)best->epoch;
    which[1] = best->accuracy;
    which[2] = best->loss;
    return best->parameters ? put_floats(m, PART_CHECKPOINT_BEST, best->parameters, e) : 0;
}

static int put_state(model *m, const training_state *s, error *e)
{
    double *progress = model_part_put(m, PART_CHECKPOINT_PROGRESS, 0, e);
    if (!progress)
        return -1;
    progress[0] = (double)s->epoch;
    progress[1] = (double)s->step;
    return put_floats(m, PART_CHECKPOINT_FIRST, s->first, e) < 0 ||
                   put_floats(m, PART_CHECKPOINT_SECOND, s->second, e) < 0 ||
                   put_best(m, &s->best, e) < 0
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

static bool is_count(double value)
{
    return value >= 0 && value <= 0x1p53 && value == (double)(uint64_t)value;
}

int checkpoint_epoch(const model *m)
{
    const double *progress = model_part(m, PART_CHECKPOINT_PROGRESS);
    return progress && is_count(progress[0]) && progress[0] < INT_MAX ? (int)progress[0] : -1;
}

static int take_best(const model *m, size_t epochs, best_epoch *best, error *e)
{
    const double *which = model_part(m, PART_CHECKPOINT_BEST_EPOCH);
    const float *parameters = model_part(m, PART_CHECKPOINT_BEST);
    if (!which)
        return 0;
    if (!is_count(which[0]) || which[0] < 1 || which[0] > (double)epochs)
        return error_set(e, "%s holds no epoch of the %zu done; the checkpoint is damaged",
                         model_parts[PART_CHECKPOINT_BEST_EPOCH].name, epochs);
    *best = (best_epoch){(size_t)which[0], which[1], which[2], NULL};
    return parameters ? best_epoch_keep(best, parameters, m->net.total, e) : 0;
}

static int take_state(const model *m, training_state *s, error *e)
{
    const double *progress = model_part(m, PART_CHECKPOINT_PROGRESS);
    const float *first = model_part(m, PART_CHECKPOINT_FIRST),
                *second = model_part(m, PART_CHECKPOINT_SECOND);
    if (!progress)
        return error_set(e, "not a checkpoint but a finished model; to train that further: --init");
    if (!first || !second)
        return error_set(e,
                         "not a checkpoint: it lacks '%s'; it is what cnn-train --checkpoint "
                         "writes",
                         model_parts[first ? PART_CHECKPOINT_SECOND : PART_CHECKPOINT_FIRST].name);
    if (!is_count(progress[0]) || !is_count(progress[1]))
        return error_set(e, "%s holds no counts; the checkpoint is damaged",
                         model_parts[PART_CHECKPOINT_PROGRESS].name);
    s->epoch = (size_t)progress[0];
    s->step = (uint64_t)progress[1];
    model_pack(m, s->parameters);
    memcpy(s->first, first, m->net.total * sizeof *first);
    memcpy(s->second, second, m->net.total * sizeof *second);
    return take_best(m, s->epoch, &s->best, e);
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
