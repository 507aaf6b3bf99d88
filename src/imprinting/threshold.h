/* threshold.h: from which score on a row is taken as one of the model's classes. */
#ifndef SRC_IMPRINTING_THRESHOLD_H
#define SRC_IMPRINTING_THRESHOLD_H

#include "../../common/base/error.h"
#include "../../common/model/model.h"
#include "classifier.h"

/* The score that the share `rate` (0 to 1) of known rows stay under with their best score: a
 * quantile of made/known-scores (known.h), or in a model without them of the rows that it keeps
 * (statistics/sample, imprint/sample), every class weighing the same. New rows of imprinted classes
 * score a little lower than these, which their weights were made from. Fails for a model that keeps
 * none, or one row of each class. */
int threshold_of_rate(classifier *c, const model *m, double rate, double *threshold, error *e);

#endif
