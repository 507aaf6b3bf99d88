/* auroc.h: how well a score tells two kinds of rows apart, exactly.
 *
 * The area under the receiver operating characteristic is the chance that a known row's score is
 * above an unknown row's, ties counting half (Mann and Whitney, 1947). Every score is kept, 4 bytes
 * a row and for a moment as much again to sort them: whole numbers are counted, so that no two
 * scores are too near to each other. Above AUROC_ROWS_MAX rows there is none. */
#ifndef SRC_SCORING_AUROC_H
#define SRC_SCORING_AUROC_H

#include "../../common/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AUROC_ROWS_MAX ((size_t)1 << 28) /* 1 GiB of scores */

typedef struct auroc auroc;

int auroc_new(size_t rows_max, auroc **out, error *e);
void auroc_free(auroc *a);

/* One row's score. Of more rows than rows_max nothing is kept any more. */
int auroc_add(auroc *a, bool known, float score, error *e);
bool auroc_overflowed(const auroc *a);

/* From 0 to 1; NaN where either kind has no row, or too many came. */
double auroc_value(auroc *a);

#endif
