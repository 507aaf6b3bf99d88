#include "known_scores.h"

#include <stdlib.h>
#include <string.h>

static int compare_numbers(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

int known_put(model *m, const rehearsal *r, const float *scores, double scale, bool centred,
              error *e)
{
    tensor *t;
    size_t count = 0, classes = r->classes;
    float *best = malloc((r->rows + 1) * sizeof *best);
    if (!best)
        return error_set(e, "out of memory");
    for (size_t i = 0; i < r->rows; i++) {
        const float *row = scores + i * classes;
        double sum = 0, most = row[0];
        if (!rehearsal_leaves_out(r, i))
            continue;
        for (size_t c = 0; c < classes; c++) {
            sum += row[c];
            most = row[c] > most ? row[c] : most;
        }
        best[count++] = (float)(scale * (most - (centred ? sum / (double)classes : 0)));
    }
    int status = 0;
    if (count > 0) {
        qsort(best, count, sizeof *best, compare_numbers);
        status = model_put(m, "made/known-scores", TYPE_F32, 1, &count, &t, e);
        if (status == 0)
            memcpy(t->data, best, count * sizeof *best);
    }
    free(best);
    return status;
}
