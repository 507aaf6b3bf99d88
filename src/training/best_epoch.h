/* best_epoch.h: the epoch after which the validation rows did best.
 *
 * That is the one of the highest accuracy; of equal ones that of the lowest loss, and of equal
 * ones the first. */
#ifndef SRC_TRAINING_BEST_EPOCH_H
#define SRC_TRAINING_BEST_EPOCH_H

#include "../../common/base/error.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct {
    size_t epoch;          /* counted from 1; 0: none yet */
    double accuracy, loss; /* of the validation rows after it */
    float *parameters;     /* after it, where they are kept; else NULL */
} best_epoch;

/* Whether an epoch is better than the best so far. A loss that is no number is worse than any. */
bool best_epoch_beaten(const best_epoch *best, double accuracy, double loss);

/* Copies `total` parameters into it, into memory that it allocates when there is none. */
int best_epoch_keep(best_epoch *best, const float *parameters, size_t total, error *e);

#endif
