/* ridge_problem.h: what ridge solves, and how well a solution scores rows that it was made without.
 *
 * From sums over features x (projection.h): class means mu_c, their mean m, M_c = mu_c - m; the
 * covariance within classes W, of all rows; and between them B, of the means, every class once. A
 * solution is (A + lambda I)^-1 M_c for every class:
 *
 *   RIDGE_BALANCED      A = W + B, score w_c . (x - m): ridge regression on indicators with every
 * class as heavy (Hastie, Tibshirani, Friedman: The Elements of Statistical Learning, 4.2)
 *   RIDGE_DISCRIMINANT  A = W, score w_c . (x - m) - M_c . w_c / 2: the discriminant of equal
 * priors (Fisher; the same book, 4.3)
 *
 * The first needs no rows beside the means, and serves from one row a class on. The second leaves
 * directions alone in which classes differ.
 *
 * Leaving a row out of its class's mean, of W and of B changes A by a matrix of rank two or three
 * in the span of the row and its class's mean, so that by Woodbury's formula its scores follow from
 * inner products with the solution (Hager: Updating the inverse of a matrix, SIAM Review, 1989).
 * What the smaller mean alone takes from its own scores is given back: they are those by a mean of
 * as many rows as the class has, on average. At two shots lambda came out too large without that
 * (0.047 of accuracy on 62 glyphs), and expected accuracies 0.1 too low
 * (examples/low-shot/results). */
#ifndef SRC_IMPRINTING_RIDGE_PROBLEM_H
#define SRC_IMPRINTING_RIDGE_PROBLEM_H

#include "../../common/base/memory.h"
#include "../../common/model/sums.h"
#include "../../kernels/algebra.h"

typedef enum { RIDGE_BALANCED, RIDGE_DISCRIMINANT } ridge_kind;
const char *ridge_kind_name(ridge_kind kind); /* "balanced", "discriminant" */

/* Class sums of features, counts and the Gram matrix of all rows. */
typedef struct {
    size_t classes, width;
    double *count, *sum, *gram; /* [classes], [classes][width], [width][width] */
    memory held;
} ridge_sums;

/* Both groups of the model's sums together. Fails for a class without rows. */
int ridge_sums_of_model(const model *m, ridge_sums *out, error *e);
/* Of rows [rows][width] of those classes. */
int ridge_sums_of_rows(algebra *a, const float *x, const int32_t *labels, size_t rows,
                       size_t classes, size_t width, ridge_sums *out, error *e);

/* Rows that solutions are judged by: features [rows][width], and classes. Rows from first_exact on
 * are among the sums', and are scored without themselves, but for those that are alone in their
 * class. */
typedef struct {
    size_t rows, first_exact;
    const float *x;
    const size_t *class_of;
} ridge_rows;

/* Everything that does not depend on lambda. */
typedef struct {
    algebra *a;
    size_t classes, width;
    double all_rows;               /* in all sums */
    double *count, *mean, *centre; /* [classes], [classes][width] less the centre, [width] */
    double *matrix[2];             /* of each kind, [width][width], its lower half */
    double trace[2];               /* its trace */
    ridge_rows judged;
    size_t owners;                  /* classes that own judged rows, */
    size_t *owner, *class_of_owner; /* [classes] their places, SIZE_MAX for none; [owners] */
    float *left;                    /* [owners + rows][width], less the centre */
    memory held;
} ridge_problem;

/* Takes the sums over (empty afterwards), whether it succeeds or not; class_of is borrowed. */
int ridge_problem_new(algebra *a, ridge_sums *sums, const ridge_rows *judged, ridge_problem *out,
                      error *e);

/* One kind's solution for one lambda, a share of the matrix's trace. */
typedef struct {
    const ridge_problem *p;
    ridge_kind kind;
    double lambda;
    float *weight;  /* [classes][width] */
    double *length; /* [classes]: M . w */
    double *square; /* [rows]: x . (A + lambda I)^-1 x of rows that are left out */
    float *product; /* [owners + rows][classes]: left . weight */
    float *scores;  /* [rows][classes] */
    memory held;
} ridge_solution;

/* Fails where the matrix is singular even so. */
int ridge_solve(const ridge_problem *p, ridge_kind kind, double lambda, ridge_solution *out,
                error *e);

#endif
