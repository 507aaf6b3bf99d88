/* threshold.h: from which score on a row is taken as one of the model's classes.
 *
 * made/known-scores in the model: the best scores, ascending, of the episodes' rows, each scored
 * without itself, as the classifier would give them. */
#ifndef SRC_IMPRINTING_THRESHOLD_H
#define SRC_IMPRINTING_THRESHOLD_H

#include "classifier.h"
#include "episodes.h"

/* The score that the share `rate` (0 to 1) of known rows stay under with their best score: a
 * quantile of made/known-scores or in a model without them of the rows that it keeps, every class
 * weighing the same. New rows of imprinted classes score a little lower than these, which their
 * weights were made from. Fails for a model that keeps none, or one row of each class. */
int threshold_of_rate(classifier *c, const model *m, double rate, double *threshold, error *e);

/* scores [rows][classes], to be multiplied by `factor`; `centred`: less each row's mean over
 * classes first. Nothing is put where no row could be left out. */
int known_scores_put(model *m, const episodes *set, const float *scores, double factor,
                     bool centred, error *e);

#endif
