#include "linear.h"

#include "check.h"
#include "memory.h"

static int take(void **out, size_t bytes, error *e)
{
    return device_take(bytes, "a matrix to solve", "use --device cpu, or fewer --features", out, e);
}

static int check_solver(cusolverStatus_t status, const char *what, error *e)
{
    if (status == CUSOLVER_STATUS_SUCCESS)
        return 0;
    return error_set(e, "cuda: cuSOLVER: %s: status %d", what, (int)status);
}

/* matrix = U^T U (column-major). */
static int factor(struct cuda *g, double *matrix, size_t n, int *info, error *e)
{
    int room = 0, failed = 0;
    void *work;
    if (check_solver(cusolverDnDpotrf_bufferSize(g->solver, CUBLAS_FILL_MODE_UPPER, (int)n, matrix,
                                                 (int)n, &room),
                     "Cholesky", e) < 0 ||
        take(&work, (size_t)room * sizeof(double), e) < 0)
        return -1;
    int status = check_solver(cusolverDnDpotrf(g->solver, CUBLAS_FILL_MODE_UPPER, (int)n, matrix,
                                               (int)n, work, room, info),
                              "Cholesky", e);
    if (status == 0 && (copy_out(g, &failed, info, sizeof failed, e) < 0 || device_wait(g, e) < 0))
        status = -1;
    cudaFree(work);
    if (status == 0 && failed != 0)
        return error_set(e, "the matrix is not positive definite; take a larger ridge");
    return status;
}

/* X' [columns x n] of X' U^T U = right': two triangles, from the right. */
static int triangles(struct cuda *g, const double *matrix, size_t n, double *right, size_t columns,
                     error *e)
{
    static const double one = 1;
    if (check_blas(cublasDtrsm(g->blas, CUBLAS_SIDE_RIGHT, CUBLAS_FILL_MODE_UPPER, CUBLAS_OP_N,
                               CUBLAS_DIAG_NON_UNIT, (int)columns, (int)n, &one, matrix, (int)n,
                               right, (int)columns),
                   "solving", e) < 0)
        return -1;
    return check_blas(cublasDtrsm(g->blas, CUBLAS_SIDE_RIGHT, CUBLAS_FILL_MODE_UPPER, CUBLAS_OP_T,
                                  CUBLAS_DIAG_NON_UNIT, (int)columns, (int)n, &one, matrix, (int)n,
                                  right, (int)columns),
                      "solving", e);
}

static int cuda_solve(algebra *a, double *matrix, size_t n, double ridge, double *right,
                      size_t columns, error *e)
{
    struct cuda *g = a->own;
    size_t matrix_bytes = n * n * sizeof *matrix, right_bytes = n * columns * sizeof *right;
    void *memory = NULL;
    for (size_t i = 0; i < n; i++)
        matrix[i * n + i] += ridge;
    if (blas_wake(g, e) < 0 || solver_wake(g, e) < 0 ||
        take(&memory, matrix_bytes + right_bytes + sizeof(double), e) < 0)
        return -1;
    double *at = memory, *x = at + n * n;
    int *info = (int *)(x + n * columns);
    int status = 0;
    if (copy_in(g, at, matrix, matrix_bytes, e) < 0 || copy_in(g, x, right, right_bytes, e) < 0 ||
        factor(g, at, n, info, e) < 0 || triangles(g, at, n, x, columns, e) < 0 ||
        copy_out(g, right, x, right_bytes, e) < 0 || device_wait(g, e) < 0)
        status = -1;
    cudaFree(memory);
    return status;
}

/* values and vectors (as columns, which row-major sees as rows) replace what is on the device. */
static int eigen_run(struct cuda *g, double *a, size_t n, double *values, int *info, error *e)
{
    int room = 0, failed = 0;
    void *work;
    if (check_solver(cusolverDnDsyevd_bufferSize(g->solver, CUSOLVER_EIG_MODE_VECTOR,
                                                 CUBLAS_FILL_MODE_UPPER, (int)n, a, (int)n, values,
                                                 &room),
                     "eigenvalues", e) < 0 ||
        take(&work, (size_t)room * sizeof(double), e) < 0)
        return -1;
    int status =
        check_solver(cusolverDnDsyevd(g->solver, CUSOLVER_EIG_MODE_VECTOR, CUBLAS_FILL_MODE_UPPER,
                                      (int)n, a, (int)n, values, work, room, info),
                     "eigenvalues", e);
    if (status == 0 && (copy_out(g, &failed, info, sizeof failed, e) < 0 || device_wait(g, e) < 0))
        status = -1;
    cudaFree(work);
    if (status == 0 && failed != 0)
        return error_set(e, "cuda: the eigenvalues do not converge");
    return status;
}

static int cuda_eigen(algebra *a, double *matrix, size_t n, double *values, error *e)
{
    struct cuda *g = a->own;
    void *memory = NULL;
    if (solver_wake(g, e) < 0 || take(&memory, (n * n + n + 1) * sizeof(double), e) < 0)
        return -1;
    double *at = memory, *w = at + n * n;
    int status = 0;
    if (copy_in(g, at, matrix, n * n * sizeof *at, e) < 0 ||
        eigen_run(g, at, n, w, (int *)(w + n), e) < 0 ||
        copy_out(g, matrix, at, n * n * sizeof *at, e) < 0 ||
        copy_out(g, values, w, n * sizeof *values, e) < 0 || device_wait(g, e) < 0)
        status = -1;
    cudaFree(memory);
    return status;
}

void cuda_linear(algebra *a)
{
    a->solve = cuda_solve;
    a->eigen = cuda_eigen;
}
