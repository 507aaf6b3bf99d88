#include "imprinting.h"
#include "weights.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct imprinting {
    backend *b;
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
    float *unit; /* scratch: the rows that count, normalised if the norm is l2 */
    int32_t *labels;
    size_t room;
};

int imprinting_new(backend *b, model *m, const imprinting_options *o, imprinting **out, error *e)
{
    imprinting *i = calloc(1, sizeof *i);
    if (!i)
        return error_set(e, "out of memory");
    i->b = b;
    i->m = m;
    i->options = *o;
    i->dimension = m->net.dimension;
    *out = i;
    return 0;
}

void imprinting_free(imprinting *i)
{
    if (!i)
        return;
    if (i->running)
        i->b->moments_free(i->b, i->running);
    class_list_free(&i->classes);
    free(i->sums);
    free(i->counts);
    free(i->rows_used);
    free(i->left_out);
    free(i->unit);
    free(i->labels);
    free(i);
}

/* Ends the moments on the device and adds them to the host's sums. */
static int collect(imprinting *i, error *e)
{
    if (!i->running)
        return 0;
    size_t classes = i->running_classes, n = classes * i->dimension;
    double *sums = malloc((n + 1) * sizeof *sums), *counts = malloc((classes + 1) * sizeof *counts);
    int status = -1;
    if (!sums || !counts)
        error_set(e, "out of memory for the sums of %zu classes", classes);
    else
        status = i->b->moments_get(i->b, i->running, sums, counts, NULL, e);
    for (size_t k = 0; status == 0 && k < n; k++)
        i->sums[k] += sums[k];
    for (size_t k = 0; status == 0 && k < classes; k++)
        i->counts[k] += counts[k];
    free(sums);
    free(counts);
    i->b->moments_free(i->b, i->running);
    i->running = NULL;
    return status;
}

static void *grow(void *memory, size_t from, size_t to, size_t item)
{
    char *grown = realloc(memory, to * item + 1);
    if (grown)
        memset(grown + from * item, 0, (to - from) * item);
    return grown;
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
    if (!sums || !counts || !used || !left_out)
        return error_set(e, "out of memory for the sums of %zu classes", to);
    for (size_t k = from; k < to; k++) {
        int at = class_list_find(&i->m->classes, classes->names[k]);
        left_out[k] = at >= 0 && i->m->kinds[at] == CLASS_BASE && !i->options.update_base;
        if (class_list_add(&i->classes, classes->names[k]) < 0)
            return error_set(e, "out of memory");
    }
    i->running_classes = to;
    return i->b->moments_new(i->b, i->dimension, NULL, 0, to, false, &i->running, e);
}

static bool is_zero(const float *row, size_t n)
{
    for (size_t d = 0; d < n; d++)
        if (row[d] != 0)
            return false;
    return true;
}

/* Copies the rows that count to the scratch and returns their number. */
static size_t choose_rows(imprinting *i, const float *embeddings, const int32_t *labels, size_t rows)
{
    size_t kept = 0;
    for (size_t r = 0; r < rows; r++) {
        const float *row = embeddings + r * i->dimension;
        if (i->left_out[labels[r]]) {
            i->rows.base++;
        } else if (i->m->norm == NORM_L2 && is_zero(row, i->dimension)) {
            i->rows.zeros++;
        } else {
            memcpy(i->unit + kept * i->dimension, row, i->dimension * sizeof *row);
            i->labels[kept++] = labels[r];
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
    free(i->labels);
    i->room = 0;
    i->unit = malloc(rows * i->dimension * sizeof *i->unit);
    i->labels = malloc(rows * sizeof *i->labels);
    if (!i->unit || !i->labels)
        return error_set(e, "out of memory for a batch of %zu rows", rows);
    i->room = rows;
    return 0;
}

int imprinting_add(imprinting *i, const class_list *classes, const float *embeddings,
                   const int32_t *labels, size_t rows, error *e)
{
    if (follow_classes(i, classes, e) < 0 || make_room(i, rows, e) < 0)
        return -1;
    size_t kept = choose_rows(i, embeddings, labels, rows);
    if (kept == 0)
        return 0;
    if (i->m->norm == NORM_L2 && i->b->normalise(i->b, i->unit, kept, i->dimension, e) < 0)
        return -1;
    return i->b->moments_add(i->b, i->running, i->unit, i->labels, kept, e);
}

imprinting_rows imprinting_counted(const imprinting *i)
{
    return i->rows;
}

double imprinting_class_rows(const imprinting *i, size_t class_index)
{
    return class_index < i->classes.count ? (double)i->rows_used[class_index] : 0;
}

static int put_sums(model *m, error *e)
{
    size_t shape[2] = {m->classes.count, m->net.dimension};
    tensor *t;
    if (model_find(m, "imprint/sum"))
        return 0;
    if (model_put(m, "imprint/sum", TYPE_F64, 2, shape, &t, e) < 0)
        return -1;
    return model_put(m, "imprint/count", TYPE_F64, 1, shape, &t, e);
}

/* The places in the model of the stream's classes that had rows; new ones are added. */
static int place_classes(imprinting *i, int *places, error *e)
{
    for (size_t k = 0; k < i->classes.count; k++) {
        places[k] = i->rows_used[k] ? class_list_find(&i->m->classes, i->classes.names[k]) : -1;
        if (i->rows_used[k] && places[k] < 0)
            places[k] = model_add_class(i->m, i->classes.names[k], CLASS_NOVEL, e);
        if (i->rows_used[k] && places[k] < 0)
            return -1;
    }
    return 0;
}

static void add_sums(imprinting *i, size_t from, size_t to)
{
    double *sum = (double *)model_find(i->m, "imprint/sum")->data + to * i->dimension;
    for (size_t d = 0; d < i->dimension; d++)
        sum[d] += i->sums[from * i->dimension + d];
    ((double *)model_find(i->m, "imprint/count")->data)[to] += i->counts[from];
}

int imprinting_finish(imprinting *i, error *e)
{
    int *places = malloc((i->classes.count + 1) * sizeof *places);
    bool *changed = NULL;
    int status = places ? 0 : error_set(e, "out of memory");
    if (status == 0 && (collect(i, e) < 0 || place_classes(i, places, e) < 0 || put_sums(i->m, e) < 0))
        status = -1;
    if (status == 0 && !(changed = calloc(i->m->classes.count + 1, sizeof *changed)))
        status = error_set(e, "out of memory");
    for (size_t k = 0; status == 0 && k < i->classes.count; k++) {
        if (places[k] < 0)
            continue;
        add_sums(i, k, (size_t)places[k]);
        changed[places[k]] = true;
    }
    if (status == 0)
        status = weights_make(i->b, i->m, changed, e);
    free(changed);
    free(places);
    return status;
}
