#include "base_statistics.h"

#include "exemplars.h"
#include "projection.h"

#include <stdlib.h>
#include <string.h>

#define SAMPLE_ROWS 4096 /* kept of all classes together, about */

struct statistics {
    algebra *a;
    model *m;
    statistics_options options;
    projection features;
    moments *running; /* with sums */
    class_sample sample;
    float *counted;  /* scratch: rows that count, */
    float *made;     /* their features, */
    int32_t *labels; /* and classes */
    size_t room;
    uint64_t rows;
};

size_t statistics_sample_room(size_t classes)
{
    size_t room = SAMPLE_ROWS / (classes ? classes : 1);
    return room > 100 ? 100 : room < 4 ? 4 : room;
}

int statistics_choose(const model *m, size_t features, uint64_t seed, statistics_options *out,
                      error *e)
{
    double count, own_seed, plain = 0;
    size_t usual = projection_default(m->net.dimension, m->classes.count);
    *out = (statistics_options){
        .sums = true, .plain = true, .features = features ? features : usual, .seed = seed};
    if (!model_find(m, "imprint/feature-sum") || !model_get_number(m, "ridge/features", &count) ||
        !model_get_number(m, "ridge/seed", &own_seed))
        return 0;
    if (features && (double)features != count)
        return error_set(e, "--features %zu: the sums of the model's imprinted classes are of %.0f",
                         features, count);
    model_get_number(m, "ridge/plain", &plain);
    out->features = (size_t)count;
    out->plain = plain != 0;
    out->seed = (uint64_t)own_seed;
    return 0;
}

void statistics_free(statistics *s)
{
    if (!s)
        return;
    if (s->running)
        s->a->moments_free(s->a, s->running);
    projection_free(&s->features);
    class_sample_free(&s->sample);
    free(s->counted);
    free(s->made);
    free(s->labels);
    free(s);
}

int statistics_new(algebra *a, model *m, const statistics_options *o, statistics **out, error *e)
{
    statistics *s = calloc(1, sizeof *s);
    if (!s)
        return error_set(e, "out of memory");
    s->a = a;
    s->m = m;
    s->options = *o;
    size_t classes = m->classes.count, dimension = m->net.dimension;
    int status =
        class_sample_new(classes, statistics_sample_room(classes), dimension, &s->sample, e);
    if (status == 0 && o->sums)
        status = projection_new(o->seed, o->features, dimension, o->plain, &s->features, e);
    if (status == 0 && o->sums)
        status = a->moments_new(a, s->features.width, NULL, 0, classes, true, &s->running, e);
    if (status < 0) {
        statistics_free(s);
        return -1;
    }
    *out = s;
    return 0;
}

static int make_room(statistics *s, size_t rows, error *e)
{
    if (rows <= s->room)
        return 0;
    free(s->counted);
    free(s->made);
    free(s->labels);
    s->room = 0;
    s->counted = malloc(rows * s->m->net.dimension * sizeof *s->counted);
    s->made = malloc((rows * s->features.width + 1) * sizeof *s->made);
    s->labels = malloc(rows * sizeof *s->labels);
    if (!s->counted || !s->made || !s->labels)
        return error_set(e, "out of memory for a batch of %zu rows", rows);
    s->room = rows;
    return 0;
}

int statistics_add(statistics *s, const float *embeddings, const int32_t *labels, size_t rows,
                   error *e)
{
    size_t dimension = s->m->net.dimension, kept = 0;
    if (make_room(s, rows, e) < 0)
        return -1;
    for (size_t r = 0; r < rows; r++) {
        if (labels[r] < 0 || s->m->kinds[labels[r]] != CLASS_BASE)
            continue;
        const float *row = embeddings + r * dimension;
        class_sample_offer(&s->sample, (size_t)labels[r], row);
        memcpy(s->counted + kept * dimension, row, dimension * sizeof *row);
        s->labels[kept++] = labels[r];
    }
    s->rows += kept;
    if (kept == 0 || !s->running)
        return 0;
    if (projection_features(&s->features, s->a, s->counted, kept, s->made, e) < 0)
        return -1;
    return s->a->moments_add(s->a, s->running, s->made, s->labels, kept, e);
}

static int put_sample(statistics *s, error *e)
{
    tensor *t;
    size_t shape[3] = {s->sample.classes, s->sample.room, s->sample.dimension};
    if (model_put(s->m, "statistics/sample", TYPE_F32, 3, shape, &t, e) < 0)
        return -1;
    for (size_t c = 0; c < s->sample.classes; c++)
        class_sample_store(&s->sample, c, t, c);
    return 0;
}

static int put_sums(statistics *s, error *e)
{
    tensor *sum, *count, *gram;
    model *m = s->m;
    size_t features = s->features.width, shape[2] = {m->classes.count, features};
    if (model_put(m, "statistics/sum", TYPE_F64, 2, shape, &sum, e) < 0 ||
        model_put(m, "statistics/count", TYPE_F64, 1, shape, &count, e) < 0 ||
        model_put(m, "statistics/gram", TYPE_F64, 2, (size_t[]){features, features}, &gram, e) < 0)
        return -1;
    /* The array of tensors may have moved. */
    sum = model_find(m, "statistics/sum");
    count = model_find(m, "statistics/count");
    if (projection_note(m, &s->features, s->options.seed, e) < 0)
        return -1;
    return s->a->moments_get(s->a, s->running, sum->data, count->data, gram->data, e);
}

int statistics_finish(statistics *s, error *e)
{
    if (s->rows == 0)
        return error_set(
            e, "no rows of the model's base classes came, so there is nothing to keep of them");
    if (put_sample(s, e) < 0)
        return -1;
    return s->running ? put_sums(s, e) : 0;
}
