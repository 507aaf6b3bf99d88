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
 * temperature; with base classes the best harmonic mean of base and novel accuracy (calibration.h),
 * at its best bias. Where no class has two rows, nothing can be left out, and the balanced kind
 * serves with the usual lambda. */
#ifndef SRC_IMPRINTING_RIDGE_H
#define SRC_IMPRINTING_RIDGE_H

#include "../../common/model/settings.h"
#include "../../kernels/algebra.h"
#include "episodes.h"

/* Found by examples/low-shot's `make embeddings SETS=...` on the first draws of its sets. What it
 * gave (results/embeddings.md), all imprinted: within 0.01 of the best of eight other methods in 51
 * of 59 columns, at most 0.028 below the best at any. */
#define RIDGE_USUAL 0.01

/* Makes ridge/weight and head/bias of every class from the model's sums, both less the classes'
 * mean. how->lambda, in units of the matrix's mean eigenvalue; 0 chooses. how->calibrate gives the
 * novel classes the bias that serves best. The scores are then scaled to fit the set's rows as
 * log-probabilities. *out says what came of it; without base classes novel is the accuracy of rows
 * left out, -1 for none. Fails where a class has no rows, or the matrix is singular even so. */
int ridge_make(algebra *a, model *m, const fit_settings *how, const episodes *set, fit_report *out,
               error *e);

#endif
