#include "threshold.h"

#include "rehearsal.h"

#include <stdlib.h>

typedef struct {
    double score, weight;
} known_row;

static int compare_rows(const void *a, const void *b)
{
    double x = ((const known_row *)a)->score, y = ((const known_row *)b)->score;
    return (x > y) - (x < y);
}

static void weigh(const rehearsal *r, const float *scores, known_row *rows)
{
    for (size_t i = 0; i < r->rows; i++) {
        const float *row = scores + i * r->classes;
        double of_class = 0;
        rows[i].score = row[0];
        for (size_t c = 1; c < r->classes; c++)
            rows[i].score = row[c] > rows[i].score ? row[c] : rows[i].score;
        for (size_t k = 0; k < r->rows; k++)
            of_class += r->class_of[k] == r->class_of[i];
        rows[i].weight = 1 / of_class;
    }
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

int threshold_of_rate(classifier *c, const model *m, double rate, double *threshold, error *e)
{
    rehearsal r;
    if (rehearsal_new(m, &r, e) < 0)
        return -1;
    float *scores = malloc((r.rows * r.classes + 1) * sizeof *scores);
    known_row *rows = malloc((r.rows + 1) * sizeof *rows);
    int status = -1;
    if (r.rows == 0)
        error_set(e, "the model keeps no rows to take a threshold from; give a score in place of auto, or train "
                     "it anew");
    else if (!scores || !rows)
        error_set(e, "out of memory for a threshold over %zu rows", r.rows);
    else
        status = classifier_scores(c, r.embeddings, r.rows, scores, e);
    if (status == 0) {
        weigh(&r, scores, rows);
        qsort(rows, r.rows, sizeof *rows, compare_rows);
        *threshold = quantile(rows, r.rows, rate);
    }
    free(scores);
    free(rows);
    rehearsal_free(&r);
    return status;
}
