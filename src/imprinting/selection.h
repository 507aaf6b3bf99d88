/* selection.h: which kind of ridge, and which lambda, serves new classes best beside base classes.
 *
 * Each episode is solved whole: a solution is made from the base rows that the model keeps, of base
 * classes from two rows of three, of the episode's partners from as many rows as real novel classes
 * have, and judged on the others. Nothing of the partners' other rows is in it, unlike in the
 * model's own sums. Solutions are over the embeddings alone, without random features; lambda, as a
 * share of the trace, carries over. */
#ifndef SRC_IMPRINTING_SELECTION_H
#define SRC_IMPRINTING_SELECTION_H

#include "calibration.h"
#include "episodes.h"
#include "ridge_problem.h"

typedef struct {
    ridge_kind kind;
    double lambda;    /* times the shots, as RIDGE_USUAL */
    calibration rows; /* the episodes' rows; the caller frees it */
} selection;

/* Without episodes the first kind that would be tried, with the usual lambda. */
int selection_make(algebra *a, const episodes *set, selection *out, error *e);

#endif
