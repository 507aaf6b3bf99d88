/* ridge.h: a classifier in closed form from sums over random features.
 *
 * With the features x of a row (projection.h), class means mu_c and the covariance S within classes, which
 * all share, the score of class c is
 *
 *     w_c . x - mu_c . w_c / 2,     w_c = (S + lambda I)^-1 mu_c
 *
 * the discriminant of equal priors (Fisher; Hastie, Tibshirani, Friedman: The Elements of Statistical
 * Learning, 4.3), which is what ridge regression on class-balanced indicators comes to (Hastie, Buja,
 * Tibshirani: Penalized discriminant analysis, Annals of Statistics 23, 1995) and so, but for the balance,
 * what RanPAC solves (McDonnell et al., NeurIPS 2023). S, mu and the counts are sums over rows: they
 * stream, add up, and do not depend on the order of classes.
 *
 * lambda is a multiple of S's mean eigenvalue. The mean of n rows is off by S / n, which lambda has to outweigh:
 * RIDGE_SHOTS / n serves from one shot to thousands (examples/low-shot), n the shots of the novel classes, their
 * harmonic mean. Of that and a few steps around it the one is taken that serves a rehearsal best (contest.h), with
 * leaving a row out in closed form: of n rows of mean mu, without x the mean is (n mu - x) / (n - 1), and its
 * weight (n w - u) / (n - 1) with u = (S + lambda I)^-1 x. */
#ifndef METHOD_RIDGE_H
#define METHOD_RIDGE_H

#include "../../common/error.h"
#include "../../common/model.h"
#include "../../kernels/backend.h"
#include "rehearsal.h"

#define RIDGE_SHOTS 50

/* Makes ridge/weight and head/bias of every class from the model's sums, both less the classes' mean. lambda 0
 * chooses; `calibrate` gives the novel classes the bias that serves best. The scores are then scaled to fit the
 * rehearsal's rows as log-probabilities. Notes made/lambda, made/bias. Returns 0; 1, with nothing made, where
 * its plays come to less than `least` (contest.h); or -1: for a class without rows, for no more rows than
 * classes, and where S is singular even so. */
int ridge_make(backend *b, model *m, double lambda, bool calibrate, double least, const rehearsal *r, error *e);

/* Whether the model holds what ridge_make needs. */
bool ridge_possible(const model *m);

#endif
