#include "views.h"

#include <stdlib.h>
#include <string.h>

void views_free(views *v)
{
    free(v->mean);
    free(v->plain);
    free(v->labels);
    *v = (views){0};
}

static int make_room(views *v, size_t pictures, error *e)
{
    if (pictures <= v->room)
        return 0;
    float *mean = realloc(v->mean, pictures * v->dimension * sizeof *mean);
    v->mean = mean ? mean : v->mean;
    float *plain = realloc(v->plain, pictures * v->dimension * sizeof *plain);
    v->plain = plain ? plain : v->plain;
    int32_t *labels = realloc(v->labels, pictures * sizeof *labels);
    v->labels = labels ? labels : v->labels;
    if (!mean || !plain || !labels)
        return error_set(e, "out of memory for %zu pictures", pictures);
    v->room = pictures;
    return 0;
}

/* The open picture comes first. */
static void forget(views *v)
{
    size_t row = v->dimension * sizeof *v->mean;
    if (v->open > 0 && v->count > 0) {
        memcpy(v->mean, v->mean + v->count * v->dimension, row);
        memcpy(v->plain, v->plain + v->count * v->dimension, row);
        v->labels[0] = v->labels[v->count];
    }
    v->count = 0;
}

static void close_picture(views *v)
{
    v->count += v->open > 0;
    v->open = 0;
}

static void take(views *v, const float *row, int32_t label)
{
    float *mean = v->mean + v->count * v->dimension;
    if (v->open == 0) {
        memcpy(mean, row, v->dimension * sizeof *row);
        memcpy(v->plain + v->count * v->dimension, row, v->dimension * sizeof *row);
        v->labels[v->count] = label;
    }
    v->open++;
    for (size_t d = 0; v->open > 1 && d < v->dimension; d++)
        mean[d] += (row[d] - mean[d]) / (float)v->open;
}

int views_add(views *v, const float *embeddings, const uint16_t *number, const int32_t *labels,
              size_t rows, error *e)
{
    forget(v);
    if (make_room(v, rows + 1, e) < 0)
        return -1;
    for (size_t i = 0; i < rows; i++) {
        if (number[i] == 0)
            close_picture(v);
        if (number[i] != v->open || (v->open > 0 && labels[i] != v->labels[v->count]))
            return error_set(e,
                             "view %u comes after %zu views of a picture: the views of each must "
                             "stand together; filter pictures before embed --views, or take "
                             "--average",
                             number[i], v->open);
        take(v, embeddings + i * v->dimension, labels[i]);
    }
    return 0;
}

void views_end(views *v)
{
    forget(v);
    close_picture(v);
}
