#include "linear.h"

#include <cblas.h>
#include <stdlib.h>
#include <string.h>

/* LAPACK, by its Fortran names: OpenBLAS carries it, but not always a C header for it. */
void dpotrf_(const char *triangle, const int *n, double *a, const int *stride, int *info);
void dsyevr_(const char *job, const char *range, const char *triangle, const int *n, double *a,
             const int *stride, const double *low, const double *high, const int *first,
             const int *last, const double *tolerance, int *found, double *values, double *vectors,
             const int *vector_stride, int *support, double *work, const int *work_size, int *iwork,
             const int *iwork_size, int *info);

static int matrix_order(size_t n, int *out, error *e)
{
    if (n > 46340) /* n * n within LAPACK's integers */
        return error_set(e, "a matrix of %zu x %zu is too large; take fewer features", n, n);
    *out = (int)n;
    return 0;
}

/* LAPACK's columns are our rows: what it calls the upper half is our lower one. */
static int cpu_solve(algebra *a, double *matrix, size_t n, double ridge, double *right,
                     size_t columns, error *e)
{
    int order = 0, info = 0;
    cpu_begin(a->own);
    if (matrix_order(n, &order, e) < 0)
        return -1;
    for (size_t i = 0; i < n; i++)
        matrix[i * n + i] += ridge;
    dpotrf_("U", &order, matrix, &order, &info);
    if (info != 0)
        return error_set(e, "the matrix is not positive definite (row %d); take a larger ridge",
                         info);
    int width = (int)columns;
    cblas_dtrsm(CblasRowMajor, CblasLeft, CblasLower, CblasNoTrans, CblasNonUnit, order, width, 1,
                matrix, order, right, width);
    cblas_dtrsm(CblasRowMajor, CblasLeft, CblasLower, CblasTrans, CblasNonUnit, order, width, 1,
                matrix, order, right, width);
    return 0;
}

/* dsyevr: as quick as the other drivers with half the memory of the divide-and-conquer one. */
static int eigen_run(double *matrix, int n, double *values, double *vectors, int *support,
                     double *work, int work_size, int *iwork, int iwork_size, int *info)
{
    double none = 0;
    int zero = 0, found = 0;
    dsyevr_("V", "A", "U", &n, matrix, &n, &none, &none, &zero, &zero, &none, &found, values,
            vectors, &n, support, work, &work_size, iwork, &iwork_size, info);
    return *info == 0 && (work_size < 0 || found == n) ? 0 : -1;
}

static int cpu_eigen(algebra *a, double *matrix, size_t n, double *values, error *e)
{
    int order = 0, info = 0, wanted_integers = 0;
    double wanted = 0;
    cpu_begin(a->own);
    if (n == 0)
        return 0;
    if (matrix_order(n, &order, e) < 0)
        return -1;
    int *support = malloc(2 * n * sizeof *support);
    double *vectors = malloc(n * n * sizeof *vectors);
    eigen_run(matrix, order, values, vectors, support, &wanted, -1, &wanted_integers, -1, &info);
    double *work = malloc((size_t)wanted * sizeof *work);
    int *iwork = malloc((size_t)wanted_integers * sizeof *iwork);
    int status = -1;
    if (!support || !vectors || !work || !iwork)
        error_set(e, "out of memory for a matrix of %zu x %zu", n, n);
    else if (eigen_run(matrix, order, values, vectors, support, work, (int)wanted, iwork,
                       wanted_integers, &info) < 0)
        error_set(e, "LAPACK: the eigenvalues of a matrix of %zu x %zu were not found (%d)", n, n,
                  info);
    else {
        memcpy(matrix, vectors, n * n * sizeof *matrix);
        status = 0;
    }
    free(support);
    free(vectors);
    free(work);
    free(iwork);
    return status;
}

void cpu_linear(algebra *a)
{
    a->solve = cpu_solve;
    a->eigen = cpu_eigen;
}
