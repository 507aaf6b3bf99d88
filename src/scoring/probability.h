/* probability.h: what a row's scores say of a class, by their softmax. */
#ifndef SRC_SCORING_PROBABILITY_H
#define SRC_SCORING_PROBABILITY_H

#include "../../common/stream/tensor.h"

#include <math.h>
#include <stddef.h>

/* The probability of a score among those of its row, of which `best` is the largest. */
static inline double score_probability(const float *scores, size_t classes, float best, float score)
{
    double sum = 0;
    for (size_t c = 0; c < classes; c++)
        sum += exp((double)scores[c] - best);
    return exp((double)score - best) / sum;
}

/* That of a row's best score. */
static inline double row_probability(const float *scores, size_t classes)
{
    float best = scores[0];
    for (size_t c = 1; c < classes; c++)
        best = scores[c] > best ? scores[c] : best;
    return score_probability(scores, classes, best, best);
}

/* The same of a row of float32 scores [rows, classes]. */
static inline double best_probability(const tensor *scores, size_t row)
{
    size_t classes = scores->shape[1];
    return row_probability((const float *)scores->data + row * classes, classes);
}

#endif
