/* linear.c: Cholesky and Jacobi; Golub, Van Loan: "Matrix computations", 4th ed., 4.2 and 8.5. */
#include "reference.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* matrix = L L^T, L in its lower half. */
static int cholesky(double *a, size_t n, error *e)
{
    for (size_t j = 0; j < n; j++) {
        for (size_t i = j; i < n; i++) {
            double sum = a[i * n + j];
            for (size_t k = 0; k < j; k++)
                sum -= a[i * n + k] * a[j * n + k];
            if (i > j)
                a[i * n + j] = sum / a[j * n + j];
            else if (sum > 0)
                a[j * n + j] = sqrt(sum);
            else
                return error_set(e, "the matrix is not positive definite; take a larger ridge");
        }
    }
    return 0;
}

static int reference_solve(algebra *a, double *matrix, size_t n, double ridge, double *right,
                           size_t columns, error *e)
{
    (void)a;
    for (size_t i = 0; i < n; i++)
        matrix[i * n + i] += ridge;
    if (cholesky(matrix, n, e) < 0)
        return -1;
    for (size_t c = 0; c < columns; c++) {
        double *x = right + c;           /* x[i * columns] */
        for (size_t i = 0; i < n; i++) { /* L y = right */
            for (size_t k = 0; k < i; k++)
                x[i * columns] -= matrix[i * n + k] * x[k * columns];
            x[i * columns] /= matrix[i * n + i];
        }
        for (size_t i = n; i-- > 0;) { /* L^T x = y */
            for (size_t k = i + 1; k < n; k++)
                x[i * columns] -= matrix[k * n + i] * x[k * columns];
            x[i * columns] /= matrix[i * n + i];
        }
    }
    return 0;
}

/* Turns rows p and q (and columns, if `columns`) of a so that the angle has cosine c and sine s. */
static void rotate_rows(double *a, size_t n, size_t p, size_t q, double c, double s)
{
    for (size_t k = 0; k < n; k++) {
        double x = a[p * n + k], y = a[q * n + k];
        a[p * n + k] = c * x - s * y;
        a[q * n + k] = s * x + c * y;
    }
}

static void rotate_columns(double *a, size_t n, size_t p, size_t q, double c, double s)
{
    for (size_t k = 0; k < n; k++) {
        double x = a[k * n + p], y = a[k * n + q];
        a[k * n + p] = c * x - s * y;
        a[k * n + q] = s * x + c * y;
    }
}

/* Makes a[p][q] zero; the rows of `vectors` become eigenvectors. */
static void jacobi_rotate(double *a, double *vectors, size_t n, size_t p, size_t q)
{
    if (a[p * n + q] == 0)
        return;
    double tau = (a[q * n + q] - a[p * n + p]) / (2 * a[p * n + q]);
    double t = (tau >= 0 ? 1 : -1) / (fabs(tau) + sqrt(1 + tau * tau));
    double c = 1 / sqrt(1 + t * t), s = t * c;
    rotate_rows(a, n, p, q, c, s);
    rotate_columns(a, n, p, q, c, s);
    rotate_rows(vectors, n, p, q, c, s);
}

static double off_diagonal(const double *a, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            sum += i == j ? 0 : a[i * n + j] * a[i * n + j];
    return sqrt(sum);
}

static double frobenius(const double *a, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n * n; i++)
        sum += a[i] * a[i];
    return sqrt(sum);
}

/* Rows of `vectors` into `matrix` in ascending order of the values on the diagonal of `a`. */
static void sort_pairs(const double *a, const double *vectors, size_t n, double *matrix,
                       double *values)
{
    for (size_t i = 0; i < n; i++) {
        size_t place = 0;
        for (size_t j = 0; j < n; j++)
            place += a[j * n + j] < a[i * n + i] || (a[j * n + j] == a[i * n + i] && j < i);
        values[place] = a[i * n + i];
        memcpy(matrix + place * n, vectors + i * n, n * sizeof *matrix);
    }
}

static int reference_eigen(algebra *a, double *matrix, size_t n, double *values, error *e)
{
    (void)a;
    double *m = malloc(n * n * sizeof *m), *vectors = calloc(n * n, sizeof *vectors);
    int status = -1;
    if (m && vectors) {
        for (size_t i = 0; i < n; i++)
            vectors[i * n + i] = 1;
        for (size_t i = 0; i < n; i++) /* only the lower half need be right */
            for (size_t j = 0; j < n; j++)
                m[i * n + j] = i >= j ? matrix[i * n + j] : matrix[j * n + i];
        double enough = 1e-14 * frobenius(m, n);
        for (int sweep = 0; sweep < 50 && off_diagonal(m, n) > enough; sweep++)
            for (size_t p = 0; p + 1 < n; p++)
                for (size_t q = p + 1; q < n; q++)
                    jacobi_rotate(m, vectors, n, p, q);
        sort_pairs(m, vectors, n, matrix, values);
        status = 0;
    } else {
        error_set(e, "reference: out of memory for a matrix of %zu x %zu", n, n);
    }
    free(vectors);
    free(m);
    return status;
}

void reference_linear(algebra *a)
{
    a->solve = reference_solve;
    a->eigen = reference_eigen;
}
