/* blas.cc: stands in for cuBLAS, cuBLASLt and cuSOLVER: plain loops, column-major as theirs. */
#include "cublasLt.h"
#include "cusolverDn.h"
#include "emulate.h"
#include "queue.h"

#include <cmath>
#include <vector>

using emulated::misuse;
using emulated::need_device;

struct cublasContext {
    cudaStream_t stream;
    void *workspace;
    size_t workspace_bytes;
};
struct cublasLtContext {
    int unused;
};
struct cusolverDnContext {
    cudaStream_t stream;
};

const char *cublasGetStatusString(cublasStatus_t status)
{
    return status == CUBLAS_STATUS_NOT_SUPPORTED ? "not supported" : "invalid value";
}

EMULATED_OBJECT(cublasStatus_t, cublasCreate, cublasDestroy, cublasHandle_t, cublasContext)

cublasStatus_t cublasSetStream(cublasHandle_t handle, cudaStream_t stream)
{
    handle->stream = stream;
    handle->workspace = nullptr; /* as the library says: its own again */
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetWorkspace(cublasHandle_t handle, void *workspace, size_t bytes)
{
    need_device(workspace, bytes, "cuBLAS: workspace");
    handle->workspace = workspace;
    handle->workspace_bytes = bytes;
    return CUBLAS_STATUS_SUCCESS;
}

/* Embeddings are fp32 in every precision. */
cublasStatus_t cublasSetMathMode(cublasHandle_t, cublasMath_t mode)
{
    if (mode != CUBLAS_DEFAULT_MATH && mode != CUBLAS_PEDANTIC_MATH)
        misuse("embeddings in less than fp32");
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetAtomicsMode(cublasHandle_t, cublasAtomicsMode_t)
{
    return CUBLAS_STATUS_SUCCESS;
}

/* ---- products ---------------------------------------------------------------------------------------- */

/* One column-major matrix, as `op` has it. */
template <class X> struct matrix {
    X *at;
    int leading;
    cublasOperation_t op;
    X &operator()(int row, int column) const
    {
        size_t l = (size_t)leading;
        return op == CUBLAS_OP_N ? at[(size_t)column * l + (size_t)row] : at[(size_t)row * l + (size_t)column];
    }
};

template <class X>
static void need_matrix(const X *at, int rows, int columns, int leading, const char *what)
{
    if (leading < rows || rows < 1 || columns < 1)
        misuse("%s: %d rows %d apart", what, rows, leading);
    need_device(at, ((size_t)leading * (size_t)(columns - 1) + (size_t)rows) * sizeof *at, what);
}

/* c = alpha op(a) op(b) + beta c; where beta is zero, c is not read. */
template <class X>
static void product(matrix<const X> a, matrix<const X> b, matrix<X> c, int m, int n, int k, X alpha, X beta)
{
    for (int j = 0; j < n; j++) {
        for (int i = 0; i < m; i++) {
            double sum = 0;
            for (int l = 0; l < k; l++)
                sum += (double)a(i, l) * (double)b(l, j);
            X before = beta != 0 ? beta * c(i, j) : 0;
            c(i, j) = (X)((double)alpha * sum + (double)before);
        }
    }
}

template <class X>
static cublasStatus_t gemm(cublasHandle_t handle, cublasOperation_t ta, cublasOperation_t tb, int m,
                           int n, int k, const X *alpha, const X *a, int lda, const X *b, int ldb,
                           const X *beta, X *c, int ldc)
{
    bool na = ta == CUBLAS_OP_N, nb = tb == CUBLAS_OP_N;
    need_matrix(a, na ? m : k, na ? k : m, lda, "gemm: a");
    need_matrix(b, nb ? k : n, nb ? n : k, ldb, "gemm: b");
    need_matrix(c, m, n, ldc, "gemm: c");
    X one = *alpha, zero = *beta;
    emulated::enqueue(handle->stream, [=] {
        product<X>({a, lda, ta}, {b, ldb, tb}, {c, ldc, CUBLAS_OP_N}, m, n, k, one, zero);
    });
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSgemm(cublasHandle_t handle, cublasOperation_t ta, cublasOperation_t tb, int m,
                           int n, int k, const float *alpha, const float *a, int lda, const float *b,
                           int ldb, const float *beta, float *c, int ldc)
{
    return gemm(handle, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

cublasStatus_t cublasDgemm(cublasHandle_t handle, cublasOperation_t ta, cublasOperation_t tb, int m,
                           int n, int k, const double *alpha, const double *a, int lda,
                           const double *b, int ldb, const double *beta, double *c, int ldc)
{
    return gemm(handle, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

/* Elements of a matrix of either type. */
static float number(const void *at, cudaDataType_t type, size_t place)
{
    return type == CUDA_R_32F ? ((const float *)at)[place]
                              : __bfloat162float(((const __nv_bfloat16 *)at)[place]);
}
static void number_put(void *at, cudaDataType_t type, size_t place, float x)
{
    if (type == CUDA_R_32F)
        ((float *)at)[place] = x;
    else
        ((__nv_bfloat16 *)at)[place] = __float2bfloat16(x);
}

/* A batch of column-major matrices of either type, `stride` elements apart. */
struct stack {
    const void *at;
    cudaDataType_t type;
    int leading;
    long long stride;
    bool transposed;
    size_t place(int of, int row, int column) const
    {
        size_t i = (size_t)(transposed ? column : row), j = (size_t)(transposed ? row : column);
        return (size_t)of * (size_t)stride + j * (size_t)leading + i;
    }
};

static void need_stack(const stack &s, int rows, int columns, int count, const char *what)
{
    int high = s.transposed ? columns : rows;
    if (s.leading < high || s.stride < 0 || high < 1)
        misuse("%s: %d rows %d apart", what, high, s.leading);
    need_device(s.at, (s.place(count - 1, rows - 1, columns - 1) + 1) * (s.type == CUDA_R_32F ? 4 : 2), what);
}

/* The workspace is the caller's: the library's own would be shared by what runs at once. */
cublasStatus_t cublasGemmStridedBatchedEx(
    cublasHandle_t handle, cublasOperation_t ta, cublasOperation_t tb, int m, int n, int k, const void *alpha,
    const void *a, cudaDataType_t a_type, int lda, long long a_stride, const void *b, cudaDataType_t b_type, int ldb,
    long long b_stride, const void *beta, void *c, cudaDataType_t c_type, int ldc, long long c_stride, int count,
    cublasComputeType_t, cublasGemmAlgo_t)
{
    stack x = {a, a_type, lda, a_stride, ta == CUBLAS_OP_T}, y = {b, b_type, ldb, b_stride, tb == CUBLAS_OP_T};
    stack z = {c, c_type, ldc, c_stride, false};
    if (*(const float *)alpha != 1 || *(const float *)beta != 0 || a_type != b_type ||
        (a_type == CUDA_R_32F && c_type != CUDA_R_32F))
        return CUBLAS_STATUS_NOT_SUPPORTED; /* here */
    if (!handle->workspace)
        misuse("products of layers in cuBLAS's own workspace");
    need_device(handle->workspace, handle->workspace_bytes, "products: workspace");
    need_stack(x, m, k, count, "products: a");
    need_stack(y, k, n, count, "products: b");
    need_stack(z, m, n, count, "products: c");
    emulated::enqueue(handle->stream, [=] {
        for (int of = 0; of < count; of++)
            for (int j = 0; j < n; j++)
                for (int i = 0; i < m; i++) {
                    double sum = 0;
                    for (int l = 0; l < k; l++)
                        sum += (double)number(a, a_type, x.place(of, i, l)) *
                               (double)number(b, b_type, y.place(of, l, j));
                    number_put(c, c_type, z.place(of, i, j), (float)sum);
                }
    });
    return CUBLAS_STATUS_SUCCESS;
}

/* Only the half that is asked for is written. */
cublasStatus_t cublasDsyrk(cublasHandle_t handle, cublasFillMode_t fill, cublasOperation_t ta, int n,
                           int k, const double *alpha, const double *a, int lda, const double *beta,
                           double *c, int ldc)
{
    bool na = ta == CUBLAS_OP_N;
    need_matrix(a, na ? n : k, na ? k : n, lda, "syrk: a");
    need_matrix(c, n, n, ldc, "syrk: c");
    double one = *alpha, zero = *beta;
    emulated::enqueue(handle->stream, [=] {
        matrix<const double> x = {a, lda, ta};
        matrix<double> sums = {c, ldc, CUBLAS_OP_N};
        for (int j = 0; j < n; j++) {
            for (int i = 0; i < n; i++) {
                if (fill == CUBLAS_FILL_MODE_UPPER ? i > j : i < j)
                    continue;
                double sum = 0;
                for (int l = 0; l < k; l++)
                    sum += x(i, l) * x(j, l);
                sums(i, j) = one * sum + (zero != 0 ? zero * sums(i, j) : 0);
            }
        }
    });
    return CUBLAS_STATUS_SUCCESS;
}

/* X op(A) = alpha B with A upper: from the first column if op(A) is upper too, else from the last. */
static void solve_right(matrix<const double> a, matrix<double> b, int m, int n, double alpha)
{
    bool upper = a.op == CUBLAS_OP_N;
    for (int step = 0; step < n; step++) {
        int j = upper ? step : n - 1 - step;
        for (int i = 0; i < m; i++) {
            double sum = alpha * b(i, j);
            for (int l = upper ? 0 : j + 1; l < (upper ? j : n); l++)
                sum -= b(i, l) * a(l, j);
            b(i, j) = sum / a(j, j);
        }
    }
}

cublasStatus_t cublasDtrsm(cublasHandle_t handle, cublasSideMode_t side, cublasFillMode_t fill,
                           cublasOperation_t ta, cublasDiagType_t diagonal, int m, int n,
                           const double *alpha, const double *a, int lda, double *b, int ldb)
{
    if (side != CUBLAS_SIDE_RIGHT || fill != CUBLAS_FILL_MODE_UPPER || diagonal != CUBLAS_DIAG_NON_UNIT)
        return CUBLAS_STATUS_NOT_SUPPORTED; /* here */
    need_matrix(a, n, n, lda, "trsm: a");
    need_matrix(b, m, n, ldb, "trsm: b");
    double one = *alpha;
    emulated::enqueue(handle->stream, [=] {
        solve_right({a, lda, ta}, {b, ldb, CUBLAS_OP_N}, m, n, one);
    });
    return CUBLAS_STATUS_SUCCESS;
}

/* ---- cuBLASLt ---------------------------------------------------------------------------------------- */

struct cublasLtMatmulDesc {
    cublasOperation_t ta, tb;
    cublasLtEpilogue_t epilogue;
    const void *bias;
};
struct cublasLtMatrixLayout {
    cudaDataType_t type;
    size_t rows, columns, leading;
};
struct cublasLtMatmulPreference {
    uint64_t workspace;
};

enum { WORKSPACE_WANTED = 4096, FUSED_LEAST = 16 };

EMULATED_OBJECT(cublasStatus_t, cublasLtCreate, cublasLtDestroy, cublasLtHandle_t, cublasLtContext)

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *description, cublasComputeType_t,
                                        cudaDataType_t)
{
    *description = new cublasLtMatmulDesc{CUBLAS_OP_N, CUBLAS_OP_N, CUBLASLT_EPILOGUE_DEFAULT, nullptr};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t description)
{
    delete description;
    return CUBLAS_STATUS_SUCCESS;
}

template <class X> static cublasStatus_t attribute_set(X *to, const void *value, size_t size)
{
    if (size != sizeof *to)
        return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(to, value, size);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t description,
                                              cublasLtMatmulDescAttributes_t attribute,
                                              const void *value, size_t size)
{
    switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
        return attribute_set(&description->ta, value, size);
    case CUBLASLT_MATMUL_DESC_TRANSB:
        return attribute_set(&description->tb, value, size);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
        return attribute_set(&description->epilogue, value, size);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
        return attribute_set(&description->bias, value, size);
    }
    return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *layout, cudaDataType_t type,
                                          uint64_t rows, uint64_t columns, int64_t leading)
{
    if (leading < (int64_t)rows)
        return CUBLAS_STATUS_INVALID_VALUE;
    *layout = new cublasLtMatrixLayout{type, rows, columns, (size_t)leading};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout)
{
    delete layout;
    return CUBLAS_STATUS_SUCCESS;
}

EMULATED_OBJECT(cublasStatus_t, cublasLtMatmulPreferenceCreate, cublasLtMatmulPreferenceDestroy,
                cublasLtMatmulPreference_t, cublasLtMatmulPreference)

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t,
                                                    const void *value, size_t size)
{
    return attribute_set(&preference->workspace, value, size);
}

/* m, n and k of the product, or misuse. */
static void sizes_of(const cublasLtMatmulDesc *d, const cublasLtMatrixLayout *a,
                     const cublasLtMatrixLayout *b, const cublasLtMatrixLayout *c, int size[3])
{
    bool na = d->ta == CUBLAS_OP_N, nb = d->tb == CUBLAS_OP_N;
    size_t m = na ? a->rows : a->columns, k = na ? a->columns : a->rows;
    size_t n = nb ? b->columns : b->rows, kb = nb ? b->rows : b->columns;
    if (k != kb || c->rows != m || c->columns != n || a->type != b->type)
        misuse("a product of %zux%zu and %zux%zu into %zux%zu", m, k, kb, n, c->rows, c->columns);
    size[0] = (int)m;
    size[1] = (int)n;
    size[2] = (int)k;
}

/* It "has" no bias for few columns, so that both ways are run. */
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t description,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int wanted,
                                              cublasLtMatmulHeuristicResult_t *results, int *count)
{
    int size[3];
    sizes_of(description, a, b, c, size);
    *count = 0;
    if (wanted < 1 || d->type != c->type || preference->workspace < WORKSPACE_WANTED)
        return CUBLAS_STATUS_INVALID_VALUE;
    if (description->epilogue != CUBLASLT_EPILOGUE_DEFAULT && size[0] < FUSED_LEAST)
        return CUBLAS_STATUS_NOT_SUPPORTED;
    results[0] = {};
    results[0].workspaceSize = WORKSPACE_WANTED;
    *count = 1;
    return CUBLAS_STATUS_SUCCESS;
}

/* A matrix of either type, in float. */
static std::vector<float> widened(const void *at, const cublasLtMatrixLayout &l)
{
    std::vector<float> all(l.leading * l.columns);
    for (size_t j = 0; j < l.columns; j++)
        for (size_t i = 0; i < l.rows; i++)
            all[j * l.leading + i] = number(at, l.type, j * l.leading + i);
    return all;
}

/* GELU as the library has it. */
static float gelu(float x)
{
    return 0.5f * x * (1 + std::tanh(0.79788456f * (x + 0.044715f * x * x * x)));
}

static void matmul_run(const cublasLtMatmulDesc &d, float beta, const void *a, cublasLtMatrixLayout al, const void *b,
                       cublasLtMatrixLayout bl, void *c, cublasLtMatrixLayout cl, const int size[3])
{
    std::vector<float> wide_a = widened(a, al), wide_b = widened(b, bl), out(cl.leading * cl.columns);
    product<float>({wide_a.data(), (int)al.leading, d.ta}, {wide_b.data(), (int)bl.leading, d.tb},
                   {out.data(), (int)cl.leading, CUBLAS_OP_N}, size[0], size[1], size[2], 1, 0);
    for (size_t j = 0; j < cl.columns; j++) {
        for (size_t i = 0; i < cl.rows; i++) {
            size_t at = j * cl.leading + i;
            float x = out[at] + (beta != 0 ? beta * number(c, cl.type, at) : 0);
            if (d.epilogue != CUBLASLT_EPILOGUE_DEFAULT)
                x += number(d.bias, cl.type, i);
            if (d.epilogue == CUBLASLT_EPILOGUE_RELU_BIAS && !(x > 0))
                x = 0;
            if (d.epilogue == CUBLASLT_EPILOGUE_GELU_BIAS)
                x = gelu(x);
            number_put(c, cl.type, at, x);
        }
    }
}

static void need_layout(const void *at, const cublasLtMatrixLayout *l, const char *what)
{
    need_device(at, (l->leading * (l->columns - 1) + l->rows) * (l->type == CUDA_R_32F ? 4 : 2), what);
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t description, const void *alpha,
                              const void *a, cublasLtMatrixLayout_t a_layout, const void *b,
                              cublasLtMatrixLayout_t b_layout, const void *beta, const void *c,
                              cublasLtMatrixLayout_t, void *d, cublasLtMatrixLayout_t d_layout,
                              const cublasLtMatmulAlgo_t *, void *workspace, size_t workspace_bytes,
                              cudaStream_t stream)
{
    int size[3];
    sizes_of(description, a_layout, b_layout, d_layout, size);
    float added = *(const float *)beta;
    if (*(const float *)alpha != 1 || c != d)
        return CUBLAS_STATUS_NOT_SUPPORTED; /* here */
    need_layout(a, a_layout, "product: a");
    need_layout(b, b_layout, "product: b");
    need_layout(d, d_layout, "product: out");
    need_device(workspace, workspace_bytes, "product: workspace");
    if (description->epilogue != CUBLASLT_EPILOGUE_DEFAULT)
        need_device(description->bias, d_layout->rows * (d_layout->type == CUDA_R_32F ? 4 : 2),
                    "product: bias");
    cublasLtMatmulDesc of = *description;
    cublasLtMatrixLayout al = *a_layout, bl = *b_layout, dl = *d_layout;
    int m = size[0], n = size[1], k = size[2];
    emulated::enqueue(stream, [=] {
        const int sizes[] = {m, n, k};
        matmul_run(of, added, a, al, b, bl, d, dl, sizes);
    });
    return CUBLAS_STATUS_SUCCESS;
}

/* ---- cuSOLVER ---------------------------------------------------------------------------------------- */

enum { SOLVER_ROOM = 64 };

EMULATED_OBJECT(cusolverStatus_t, cusolverDnCreate, cusolverDnDestroy, cusolverDnHandle_t, cusolverDnContext)

cusolverStatus_t cusolverDnSetStream(cusolverDnHandle_t handle, cudaStream_t stream)
{
    handle->stream = stream;
    return CUSOLVER_STATUS_SUCCESS;
}

cusolverStatus_t cusolverDnDpotrf_bufferSize(cusolverDnHandle_t, cublasFillMode_t, int, double *, int,
                                             int *size)
{
    *size = SOLVER_ROOM;
    return CUSOLVER_STATUS_SUCCESS;
}

/* A = U^T U in the upper half; the other one is neither read nor written. */
static int cholesky(matrix<double> a, int n)
{
    for (int j = 0; j < n; j++) {
        for (int i = 0; i <= j; i++) {
            double sum = a(i, j);
            for (int l = 0; l < i; l++)
                sum -= a(l, i) * a(l, j);
            if (i < j)
                a(i, j) = sum / a(i, i);
            else if (sum > 0)
                a(j, j) = std::sqrt(sum);
            else
                return j + 1;
        }
    }
    return 0;
}

cusolverStatus_t cusolverDnDpotrf(cusolverDnHandle_t handle, cublasFillMode_t fill, int n, double *a,
                                  int lda, double *work, int size, int *info)
{
    if (fill != CUBLAS_FILL_MODE_UPPER || size < SOLVER_ROOM)
        return CUSOLVER_STATUS_INVALID_VALUE;
    need_matrix(a, n, n, lda, "potrf: a");
    need_device(work, (size_t)size * sizeof *work, "potrf: work");
    need_device(info, sizeof *info, "potrf: info");
    emulated::enqueue(handle->stream, [=] { *info = cholesky({a, lda, CUBLAS_OP_N}, n); });
    return CUSOLVER_STATUS_SUCCESS;
}

cusolverStatus_t cusolverDnDsyevd_bufferSize(cusolverDnHandle_t, cusolverEigMode_t, cublasFillMode_t, int,
                                             const double *, int, const double *, int *size)
{
    *size = SOLVER_ROOM;
    return CUSOLVER_STATUS_SUCCESS;
}

/* One rotation of Jacobi's method, which makes a(p, q) zero; v gathers the rotations. */
static void rotate(matrix<double> a, matrix<double> v, int n, int p, int q)
{
    double theta = (a(q, q) - a(p, p)) / (2 * a(p, q));
    double t = (theta < 0 ? -1 : 1) / (std::fabs(theta) + std::sqrt(theta * theta + 1));
    double c = 1 / std::sqrt(t * t + 1), s = t * c;
    for (int k = 0; k < n; k++) {
        double x = a(k, p), y = a(k, q);
        a(k, p) = c * x - s * y;
        a(k, q) = s * x + c * y;
    }
    for (int k = 0; k < n; k++) {
        double x = a(p, k), y = a(q, k), vx = v(k, p), vy = v(k, q);
        a(p, k) = c * x - s * y;
        a(q, k) = s * x + c * y;
        v(k, p) = c * vx - s * vy;
        v(k, q) = s * vx + c * vy;
    }
}

/* Values ascending; vectors as columns in the place of a. */
static void eigenvectors(matrix<double> a, int n, double *values)
{
    size_t count = (size_t)n * (size_t)n;
    std::vector<double> whole(count), vectors(count);
    matrix<double> w = {whole.data(), n, CUBLAS_OP_N}, v = {vectors.data(), n, CUBLAS_OP_N};
    for (int j = 0; j < n; j++)
        for (int i = 0; i < n; i++) {
            w(i, j) = i <= j ? a(i, j) : a(j, i);
            v(i, j) = i == j;
        }
    for (int sweep = 0; sweep < 30; sweep++)
        for (int p = 0; p < n; p++)
            for (int q = p + 1; q < n; q++)
                if (std::fabs(w(p, q)) > 1e-300)
                    rotate(w, v, n, p, q);
    std::vector<int> order((size_t)n);
    for (int i = 0; i < n; i++) { /* sorted as they come */
        int at = i;
        for (; at > 0 && w(order[(size_t)at - 1], order[(size_t)at - 1]) > w(i, i); at--)
            order[(size_t)at] = order[(size_t)at - 1];
        order[(size_t)at] = i;
    }
    for (int j = 0; j < n; j++) {
        values[j] = w(order[(size_t)j], order[(size_t)j]);
        for (int i = 0; i < n; i++)
            a(i, j) = v(i, order[(size_t)j]);
    }
}

cusolverStatus_t cusolverDnDsyevd(cusolverDnHandle_t handle, cusolverEigMode_t mode,
                                  cublasFillMode_t fill, int n, double *a, int lda, double *values,
                                  double *work, int size, int *info)
{
    if (mode != CUSOLVER_EIG_MODE_VECTOR || fill != CUBLAS_FILL_MODE_UPPER || size < SOLVER_ROOM)
        return CUSOLVER_STATUS_INVALID_VALUE;
    need_matrix(a, n, n, lda, "syevd: a");
    need_device(values, (size_t)n * sizeof *values, "syevd: values");
    need_device(work, (size_t)size * sizeof *work, "syevd: work");
    need_device(info, sizeof *info, "syevd: info");
    emulated::enqueue(handle->stream, [=] {
        eigenvectors({a, lda, CUBLAS_OP_N}, n, values);
        *info = 0;
    });
    return CUSOLVER_STATUS_SUCCESS;
}
