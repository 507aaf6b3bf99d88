#include "threshold.h"

#include "episodes.h"

#include <stdlib.h>

typedef struct {
    double score, weight;
} known_row;

static int compare_rows(const void *a, const void *b)
{
    double x = ((const known_row *)a)->score, y = ((const known_row *)b)->score;
    return (x > y) - (x < y);
}

/* Rows whose class is that one row say nothing of how high others score. Returns how many there are
 * beside. */
static size_t weigh(const rehearsal *r, const float *scores, size_t *of_class, known_row *rows)
{
    size_t count = 0;
    for (size_t i = 0; i < r->rows; i++)
        of_class[r->class_of[i]]++;
    for (size_t i = 0; i < r->rows; i++) {
        const float *row = scores + i * r->classes;
        if (!rehearsal_leaves_out(r, i))
            continue;
        rows[count] = (known_row){row[0], 1 / (double)of_class[r->class_of[i]]};
        for (size_t c = 1; c < r->classes; c++)
            rows[count].score = row[c] > rows[count].score ? row[c] : rows[count].score;
        count++;
    }
    return count;
}

/* The score that rows of the weight rate * total lie under. */
static double quantile(const known_row *rows, size_t count, double rate)
{
    double total = 0, under = 0;
    for (size_t i = 0; i < count; i++)
        total += rows[i].weight;
    for (size_t i = 0; i < count; i++) {
        under += rows[i].weight;
        if (under > rate * total * (1 + 1e-12))
            return rows[i].score;
    }
    return rows[count - 1].score;
}

/* From the scores that imprint kept. */
static double known_quantile(const tensor *known, double rate)
{
    size_t count = known->shape[0], at = (size_t)(rate * (double)count);
    return ((const float *)known->data)[at < count ? at : count - 1];
}

int threshold_of_rate(classifier *c, const model *m, double rate, double *threshold, error *e)
{
    rehearsal r;
    const tensor *known = model_find(m, "made/known-scores");
    if (known) {
        *threshold = known_quantile(known, rate);
        return 0;
    }
    if (rehearsal_new(m, &r, e) < 0)
        return -1;
    float *scores = malloc((r.rows * r.classes + 1) * sizeof *scores);
    known_row *rows = malloc((r.rows + 1) * sizeof *rows);
    size_t *of_class = calloc(r.classes + 1, sizeof *of_class), count = 0;
    int status = -1;
    if (r.rows == 0)
        error_set(
            e,
            "the model keeps no rows to take a threshold from; give a score in place of auto, or "
            "train "
            "it anew");
    else if (!scores || !rows || !of_class)
        error_set(e, "out of memory for a threshold over %zu rows", r.rows);
    else
        status = classifier_scores(c, r.embeddings, r.rows, scores, e);
    if (status == 0 && (count = weigh(&r, scores, of_class, rows)) == 0)
        status = error_set(
            e, "each class was imprinted from one row, which says nothing of how high others of it "
               "score; give a score in place of auto");
    if (status == 0) {
        qsort(rows, count, sizeof *rows, compare_rows);
        *threshold = quantile(rows, count, rate);
    }
    free(scores);
    free(rows);
    free(of_class);
    rehearsal_free(&r);
    return status;
}
