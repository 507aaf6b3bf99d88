#include "threshold.h"

#include <stdlib.h>
#include <string.h>

static double best_score(const float *row, size_t classes)
{
    float best = row[0];
    for (size_t c = 1; c < classes; c++)
        best = row[c] > best ? row[c] : best;
    return best;
}

/* ---- kept ---- */

static int compare_numbers(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

int known_scores_put(model *m, const episodes *set, const float *scores, double factor,
                     bool centred, error *e)
{
    size_t count = 0, classes = set->classes;
    float *best = malloc((set->rows + 1) * sizeof *best);
    if (!best)
        return error_set(e, "out of memory");
    for (size_t i = 0; i < set->rows; i++) {
        const float *row = scores + i * classes;
        double sum = 0;
        for (size_t c = 0; centred && c < classes; c++)
            sum += row[c];
        if (episodes_can_leave_out(set, i))
            best[count++] = (float)(factor * (best_score(row, classes) - sum / (double)classes));
    }
    int status = 0;
    if (count > 0) {
        qsort(best, count, sizeof *best, compare_numbers);
        float *kept = model_part_put(m, PART_KNOWN_SCORES, count, e);
        if (kept)
            memcpy(kept, best, count * sizeof *best);
        status = kept ? 0 : -1;
    }
    free(best);
    return status;
}

/* ---- taken ---- */

typedef struct {
    double score, weight;
} known_row;

/* Rows whose class is that one row say nothing of how high others score. Returns how many there are
 * beside. */
static size_t weigh(const episodes *set, const float *scores, size_t *of_class, known_row *rows)
{
    size_t count = 0;
    for (size_t i = 0; i < set->rows; i++)
        of_class[set->class_of[i]]++;
    for (size_t i = 0; i < set->rows; i++) {
        const float *row = scores + i * set->classes;
        if (episodes_can_leave_out(set, i))
            rows[count++] =
                (known_row){best_score(row, set->classes), 1 / (double)of_class[set->class_of[i]]};
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
static double known_quantile(const float *known, size_t count, double rate)
{
    size_t at = (size_t)(rate * (double)count);
    return known[at < count ? at : count - 1];
}

int threshold_of_rate(classifier *c, const model *m, double rate, double *threshold, error *e)
{
    episodes set;
    const float *known = model_part(m, PART_KNOWN_SCORES);
    if (known) {
        *threshold = known_quantile(known, model_part_size(m, PART_KNOWN_SCORES), rate);
        return 0;
    }
    if (episodes_new(m, &set, e) < 0)
        return -1;
    float *scores = memory_take(&set.held, set.rows * set.classes + 1, sizeof *scores);
    known_row *rows = memory_take(&set.held, set.rows + 1, sizeof *rows);
    size_t *of_class = memory_take(&set.held, set.classes, sizeof *of_class), count = 0;
    int status = -1;
    if (set.rows == 0)
        error_set(e, "the model keeps no rows to take a threshold from; give a score, not auto");
    else if (set.held.failed)
        error_set(e, "out of memory for a threshold over %zu rows", set.rows);
    else
        status = classifier_scores(c, set.embeddings, set.rows, scores, e);
    if (status == 0 && (count = weigh(&set, scores, of_class, rows)) == 0)
        status = error_set(e, "each class was imprinted from one row, which says nothing of how "
                              "high others of it score; give a score in place of auto");
    if (status == 0) {
        qsort(rows, count, sizeof *rows, compare_doubles);
        *threshold = quantile(rows, count, rate);
    }
    episodes_free(&set);
    return status;
}
