/* algebra.h: arithmetic on embeddings, from scores to eigenvectors.
 *
 * An algebra is one struct of functions, none of which may be left out. Every backend has one
 * (backend.h), and offload.h makes one of two. It computes in fp32 at least, whatever the precision
 * of the backend's networks. Arrays are in host memory, dense and row-major. Functions return 0, or
 * -1 with *e filled. */
#ifndef KERNELS_ALGEBRA_H
#define KERNELS_ALGEBRA_H

#include "../common/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct moments moments; /* an algebra's own */

typedef struct algebra algebra;
struct algebra {
    /* scores[row][class] = sum over d of embeddings[row][d] * weights[class][d]. */
    int (*scores)(algebra *a, const float *embeddings, size_t rows, size_t dimension,
                  const float *weights, size_t classes, float *scores, error *e);

    /* Each row's k largest scores, largest first, the lower index first among equals; k <= classes.
     * */
    int (*top_k)(algebra *a, const float *scores, size_t rows, size_t classes, size_t k,
                 uint32_t *index, float *value, error *e);

    /* Divides each row by its L2 norm, in place, whatever its length; a row of zeros stays. */
    int (*normalise)(algebra *a, float *embeddings, size_t rows, size_t dimension, error *e);

    /* features[row][m] = max(0, sum over d of embeddings[row][d] * projection[m][d]). */
    int (*features)(algebra *a, const float *embeddings, size_t rows, size_t dimension,
                    const float *projection, size_t count, float *features, error *e);

    /* For each row the centre of largest inner product (the first of equals) and that product. */
    int (*assign)(algebra *a, const float *embeddings, size_t rows, size_t dimension,
                  const float *centres, size_t count, uint32_t *nearest, float *similarity,
                  error *e);

    /* Sums that grow on the device: per class the rows' sum and count, and, if `gram`, the matrix
     * sum over rows of x x^T. Sums are kept in double, so that they add up across machines; rows of
     * label < 0 go into the Gram matrix only. */
    int (*moments_new)(algebra *a, size_t dimension, size_t classes, bool gram, moments **out,
                       error *e);
    int (*moments_add)(algebra *a, moments *m, const float *embeddings, const int32_t *labels,
                       size_t rows, error *e);
    /* sums [classes][dimension], counts [classes], gram [dimension][dimension] (both halves; NULL
     * to leave it). */
    int (*moments_get)(algebra *a, moments *m, double *sums, double *counts, double *gram,
                       error *e);
    void (*moments_free)(algebra *a, moments *m);

    /* Solves (matrix + ridge I) X = right by Cholesky; matrix n x n symmetric (the lower half is
     * read; destroyed), right n x columns, overwritten by X. Fails if the sum is not positive
     * definite. */
    int (*solve)(algebra *a, double *matrix, size_t n, double ridge, double *right, size_t columns,
                 error *e);

    /* Eigenvalues, ascending, and eigenvectors of a symmetric n x n matrix: on return row i of
     * `matrix` is the unit eigenvector of values[i]. */
    int (*eigen)(algebra *a, double *matrix, size_t n, double *values, error *e);

    void *own; /* the algebra's */
};

#endif
