/* selection.h: which kind of ridge, and which lambda, serves new classes best beside base classes.
 *
 * Each episode of a rehearsal is played whole: a solution is made from base rows of the model's
 * samples, of the base classes from two rows of three, of the classes that are novel in it from as
 * many rows as real novel classes have, and judged on the others. Nothing of the novel classes'
 * other rows is in it, unlike in the model's own sums. Since every episode is solved anew, that is
 * done over the embeddings alone, without random features; lambda, as a share of the trace, carries
 * over. */
#ifndef SRC_IMPRINTING_SELECTION_H
#define SRC_IMPRINTING_SELECTION_H

#include "calibration.h"
#include "episodes.h"
#include "ridge_problem.h"

typedef struct {
    ridge_kind kind;
    double lambda; /* times the shots, as RIDGE_USUAL */
    contest rows;  /* the episodes' results, as plays of a contest; the caller frees it */
} episodes_choice;

/* Without episodes the first kind that would be tried, with the usual lambda. */
int episodes_choose(algebra *a, const rehearsal *r, episodes_choice *out, error *e);

#endif
