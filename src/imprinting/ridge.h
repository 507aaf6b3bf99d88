/* ridge.h: a classifier in closed form from sums over features (projection.h).
 *
 * Of the kinds of ridge_problem.h, and of lambda, those are taken that do best on rows which the
 * solution was made without. lambda is RIDGE_USUAL / n times the trace of the kind's matrix, n the
 * shots (the harmonic mean of the novel classes', or of all where none is novel): the mean of n
 * rows is off by W / n, which lambda has to outweigh, and the trace, unlike the mean eigenvalue,
 * does not depend on how many directions are empty. Steps around that are tried as far as they
 * help.
 *
 * What is best: without base classes the least cross-entropy of rows left out, at its best
 * temperature; with base classes the best harmonic mean of base and novel accuracy (contest.h), at
 * its best bias. Where no class has two rows, nothing can be left out, and the balanced kind serves
 * with the usual lambda. */
#ifndef SRC_IMPRINTING_RIDGE_H
#define SRC_IMPRINTING_RIDGE_H

#include "../../common/base/error.h"
#include "../../common/model/model.h"
#include "../../kernels/algebra.h"
#include "episodes.h"

#define RIDGE_USUAL 0.01

/* Makes ridge/weight and head/bias of every class from the model's sums, both less the classes'
 * mean. lambda, in units of the matrix's mean eigenvalue; 0 chooses. `calibrate` gives the novel
 * classes the bias that serves best. The scores are then scaled to fit the rehearsal's rows as
 * log-probabilities. Notes made/kind, made/lambda, made/bias, made/scale. *found: what is expected;
 * without base classes novel is the accuracy of rows left out, -1 for none. Fails for a class
 * without rows, and where the matrix is singular even so. */
int ridge_make(algebra *a, model *m, double lambda, bool calibrate, const rehearsal *r,
               outcome *found, error *e);

/* Whether the model holds what ridge_make needs. */
bool ridge_possible(const model *m);

#endif
