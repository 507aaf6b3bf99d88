#include "imprinting.h"

#include "base_statistics.h"
#include "exemplars.h"
#include "fit.h"
#include "projection.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct imprinting {
    algebra *a;
    model *m;
    imprinting_options options;
    size_t dimension;
    class_list classes; /* the stream's, as far as seen */
    moments *running;   /* on the device, for `classes` as they were when it began */
    size_t running_classes;
    double *sums, *counts; /* [classes][dimension], [classes]: what earlier moments came to */
    uint64_t *rows_used;   /* [classes] */
    bool *left_out;        /* [classes]: base classes that are not to change */
    imprinting_rows rows;
    projection projected;     /* with features: what their sums are of, */
    moments *feature_moments; /* on the device, as `running`, */
    double *feature_sums;     /* [classes][features], */
    double *gram;             /* [features][features] */
    class_sample sample;
    float *unit;     /* scratch: the rows that count, normalised if the norm is l2, */
    float *plain;    /* and the plain pictures', where they are others, */
    float *features; /* [room][features]: of either */
    int32_t *labels;
    size_t room;
};

int imprinting_new(algebra *a, model *m, const imprinting_options *o, imprinting **out, error *e)
{
    imprinting *i = calloc(1, sizeof *i);
    if (!i)
        return error_set(e, "out of memory");
    i->a = a;
    i->m = m;
    i->options = *o;
    i->dimension = m->net.dimension;
    size_t n = 0;
    int status = o->features ? projection_of_model(m, &i->projected, e) : 0;
    n = i->projected.width;
    if (status == 0 && o->features && !(i->gram = calloc(n, n * sizeof *i->gram)))
        status = error_set(e, "out of memory for sums over %zu features; take fewer", n);
    if (status < 0) {
        imprinting_free(i);
        return -1;
    }
    *out = i;
    return 0;
}

void imprinting_free(imprinting *i)
{
    if (!i)
        return;
    if (i->running)
        i->a->moments_free(i->a, i->running);
    if (i->feature_moments)
        i->a->moments_free(i->a, i->feature_moments);
    projection_free(&i->projected);
    class_sample_free(&i->sample);
    free(i->feature_sums);
    free(i->gram);
    class_list_free(&i->classes);
    free(i->sums);
    free(i->counts);
    free(i->rows_used);
    free(i->left_out);
    free(i->unit);
    free(i->plain);
    free(i->features);
    free(i->labels);
    free(i);
}

/* Ends moments on the device and adds them to sums on the host: of `classes` classes, `size`
 * numbers each, and the Gram matrix if there is one. */
static int end_moments(imprinting *i, moments **running, size_t size, double *sums, double *counts,
                       double *gram, error *e)
{
    size_t classes = i->running_classes, n = classes * size;
    double *more = malloc((n + 1) * sizeof *more), *rows = malloc((classes + 1) * sizeof *rows);
    double *more_gram = gram ? malloc(size * size * sizeof *more_gram) : NULL;
    int status = -1;
    if (!more || !rows || (gram && !more_gram))
        error_set(e, "out of memory for the sums of %zu classes", classes);
    else
        status = i->a->moments_get(i->a, *running, more, rows, more_gram, e);
    for (size_t k = 0; status == 0 && k < n; k++)
        sums[k] += more[k];
    for (size_t k = 0; status == 0 && counts && k < classes; k++)
        counts[k] += rows[k];
    for (size_t k = 0; status == 0 && gram && k < size * size; k++)
        gram[k] += more_gram[k];
    free(more);
    free(rows);
    free(more_gram);
    i->a->moments_free(i->a, *running);
    *running = NULL;
    return status;
}

static int collect(imprinting *i, error *e)
{
    if (i->running && end_moments(i, &i->running, i->dimension, i->sums, i->counts, NULL, e) < 0)
        return -1;
    return i->feature_moments ? end_moments(i, &i->feature_moments, i->projected.width,
                                            i->feature_sums, NULL, i->gram, e)
                              : 0;
}

static void *grow(void *memory, size_t from, size_t to, size_t item)
{
    char *grown = realloc(memory, to * item + 1);
    if (grown)
        memset(grown + from * item, 0, (to - from) * item);
    return grown;
}

/* Rows of each class to keep: what the model has room for already, or was asked for; else the usual
 * few, which are the fewer the more classes there are. */
static size_t sample_room(const imprinting *i, size_t classes)
{
    const tensor *sample = model_find(i->m, "imprint/sample");
    size_t known = i->m->classes.count;
    if (sample)
        return sample->shape[1];
    classes = classes > known ? classes : known;
    if (i->options.reservoir)
        return i->options.reservoir;
    size_t few = statistics_sample_room(classes);
    if (!i->options.many)
        return few;
    size_t most = IMPRINTING_SAMPLE_BYTES / (classes * i->dimension * sizeof(float) + 1);
    return most > IMPRINTING_RESERVOIR ? IMPRINTING_RESERVOIR : most > few ? most : few;
}

/* Makes the sums as long as the class list. */
static int follow_classes(imprinting *i, const class_list *classes, error *e)
{
    size_t from = i->classes.count, to = classes->count;
    if (i->running && from == to)
        return 0;
    if (collect(i, e) < 0)
        return -1;
    double *sums = grow(i->sums, from * i->dimension, to * i->dimension, sizeof *sums);
    i->sums = sums ? sums : i->sums;
    double *counts = grow(i->counts, from, to, sizeof *counts);
    i->counts = counts ? counts : i->counts;
    uint64_t *used = grow(i->rows_used, from, to, sizeof *used);
    i->rows_used = used ? used : i->rows_used;
    bool *left_out = grow(i->left_out, from, to, sizeof *left_out);
    i->left_out = left_out ? left_out : i->left_out;
    size_t n = i->projected.width;
    double *feature_sums = grow(i->feature_sums, from * n, to * n, sizeof *feature_sums);
    i->feature_sums = feature_sums ? feature_sums : i->feature_sums;
    if (!sums || !counts || !used || !left_out || !feature_sums)
        return error_set(e, "out of memory for the sums of %zu classes", to);
    for (size_t k = from; k < to; k++) {
        int at = class_list_find(&i->m->classes, classes->names[k]);
        left_out[k] = at >= 0 && i->m->kinds[at] == CLASS_BASE && !i->options.update_base &&
                      !i->options.as_base;
        if (class_list_add(&i->classes, classes->names[k]) < 0)
            return error_set(e, "out of memory");
    }
    i->running_classes = to;
    if ((i->sample.room == 0 &&
         class_sample_new(0, sample_room(i, to), i->dimension, &i->sample, e) < 0) ||
        class_sample_grow(&i->sample, to, e) < 0 ||
        i->a->moments_new(i->a, i->dimension, NULL, 0, to, false, &i->running, e) < 0)
        return -1;
    return n == 0 ? 0 : i->a->moments_new(i->a, n, NULL, 0, to, true, &i->feature_moments, e);
}

/* Copies the rows that count to the scratch and returns their number. */
static size_t choose_rows(imprinting *i, const float *embeddings, const float *plain,
                          const int32_t *labels, size_t rows)
{
    size_t kept = 0;
    for (size_t r = 0; r < rows; r++) {
        const float *row = embeddings + r * i->dimension;
        if (i->left_out[labels[r]]) {
            i->rows.base++;
        } else if (i->m->norm == NORM_L2 && row_is_zero(row, i->dimension)) {
            i->rows.zeros++;
        } else {
            const float *shown = plain ? plain + r * i->dimension : row;
            memcpy(i->unit + kept * i->dimension, row, i->dimension * sizeof *row);
            if (plain && i->projected.width)
                memcpy(i->plain + kept * i->dimension, shown, i->dimension * sizeof *row);
            i->labels[kept++] = labels[r];
            class_sample_offer(&i->sample, (size_t)labels[r], shown);
            i->rows_used[labels[r]]++;
        }
    }
    i->rows.used += kept;
    return kept;
}

static int make_room(imprinting *i, size_t rows, error *e)
{
    if (rows <= i->room)
        return 0;
    free(i->unit);
    free(i->plain);
    free(i->features);
    free(i->labels);
    i->room = 0;
    i->unit = malloc(rows * i->dimension * sizeof *i->unit);
    i->plain = malloc(rows * i->dimension * sizeof *i->plain);
    i->features = malloc((rows * i->projected.width + 1) * sizeof *i->features);
    i->labels = malloc(rows * sizeof *i->labels);
    if (!i->unit || !i->plain || !i->features || !i->labels)
        return error_set(e, "out of memory for a batch of %zu rows", rows);
    i->room = rows;
    return 0;
}

/* Of `unit`, or of `plain` where pictures have others. */
static int add_features(imprinting *i, bool plain, size_t rows, error *e)
{
    if (projection_features(&i->projected, i->a, plain ? i->plain : i->unit, rows, i->features, e) <
        0)
        return -1;
    return i->a->moments_add(i->a, i->feature_moments, i->features, i->labels, rows, e);
}

int imprinting_add(imprinting *i, const class_list *classes, const float *embeddings,
                   const float *plain, const int32_t *labels, size_t rows, error *e)
{
    if (follow_classes(i, classes, e) < 0 || make_room(i, rows, e) < 0)
        return -1;
    size_t kept = choose_rows(i, embeddings, plain, labels, rows);
    if (kept == 0)
        return 0;
    if (i->m->norm == NORM_L2 && i->a->normalise(i->a, i->unit, kept, i->dimension, e) < 0)
        return -1;
    if (i->a->moments_add(i->a, i->running, i->unit, i->labels, kept, e) < 0)
        return -1;
    return i->projected.width ? add_features(i, plain != NULL, kept, e) : 0;
}

imprinting_rows imprinting_counted(const imprinting *i)
{
    return i->rows;
}

double imprinting_class_rows(const imprinting *i, size_t class_index)
{
    return class_index < i->classes.count ? (double)i->rows_used[class_index] : 0;
}

/* A tensor of zeros, if the model has none of that name yet. */
static int put_once(model *m, const char *name, tensor_type type, size_t rank, size_t second,
                    size_t third, error *e)
{
    tensor *t;
    size_t shape[3] = {m->classes.count, second, third};
    return model_find(m, name) ? 0 : model_put(m, name, type, rank, shape, &t, e);
}

static int put_sums(const imprinting *i, error *e)
{
    model *m = i->m;
    tensor *t;
    size_t n = i->projected.width;
    if (put_once(m, "imprint/sum", TYPE_F64, 2, i->dimension, 0, e) < 0 ||
        put_once(m, "imprint/count", TYPE_F64, 1, 0, 0, e) < 0 ||
        put_once(m, "imprint/sample", TYPE_F32, 3, i->sample.room, i->dimension, e) < 0)
        return -1;
    if (n == 0)
        return 0;
    if (!model_find(m, "imprint/feature-gram") &&
        model_put(m, "imprint/feature-gram", TYPE_F64, 2, (size_t[]){n, n}, &t, e) < 0)
        return -1;
    return put_once(m, "imprint/feature-sum", TYPE_F64, 2, n, 0, e);
}

/* The places in the model of the stream's classes that had rows, -1 of the others; new ones are
 * added. */
static int place_classes(imprinting *i, int *places, error *e)
{
    size_t count = i->classes.count;
    bool *wanted = malloc((count + 1) * sizeof *wanted);
    class_kind *kinds = malloc((count + 1) * sizeof *kinds);
    int status = wanted && kinds ? 0 : error_set(e, "out of memory for %zu classes", count);
    for (size_t k = 0; status == 0 && k < count; k++) {
        wanted[k] = i->rows_used[k] > 0;
        kinds[k] = i->options.as_base ? CLASS_BASE : CLASS_NOVEL;
    }
    if (status == 0)
        status = model_add_classes(i->m, &i->classes, wanted, kinds, e);
    for (size_t k = 0; status == 0 && k < count; k++)
        places[k] = wanted[k] ? class_list_find(&i->m->classes, i->classes.names[k]) : -1;
    free(wanted);
    free(kinds);
    return status;
}

static void add_row(const model *m, const char *name, size_t row, const double *more, size_t size)
{
    double *sum = (double *)model_find(m, name)->data + row * size;
    for (size_t d = 0; d < size; d++)
        sum[d] += more[d];
}

static void add_sums(imprinting *i, size_t from, size_t to)
{
    size_t n = i->projected.width;
    tensor *sample = model_find(i->m, "imprint/sample");
    add_row(i->m, "imprint/sum", to, i->sums + from * i->dimension, i->dimension);
    add_row(i->m, "imprint/count", to, i->counts + from, 1);
    if (n > 0)
        add_row(i->m, "imprint/feature-sum", to, i->feature_sums + from * n, n);
    class_sample_offer_tensor(&i->sample, from, sample, to);
    class_sample_store(&i->sample, from, sample, to);
}

int imprinting_finish(imprinting *i, error *e)
{
    int *places = malloc((i->classes.count + 1) * sizeof *places);
    bool *changed = NULL;
    int status = places ? 0 : error_set(e, "out of memory");
    if (status == 0 && (collect(i, e) < 0 || place_classes(i, places, e) < 0 || put_sums(i, e) < 0))
        status = -1;
    if (status == 0 && !(changed = calloc(i->m->classes.count + 1, sizeof *changed)))
        status = error_set(e, "out of memory");
    for (size_t k = 0; status == 0 && k < i->classes.count; k++) {
        if (places[k] < 0)
            continue;
        add_sums(i, k, (size_t)places[k]);
        changed[places[k]] = true;
    }
    size_t n = i->projected.width;
    if (status == 0 && n > 0)
        add_row(i->m, "imprint/feature-gram", 0, i->gram, n * n);
    if (status == 0)
        status = weights_make(i->a, i->m, changed, e);
    free(changed);
    free(places);
    return status;
}
