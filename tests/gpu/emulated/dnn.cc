/* dnn.cc: stands in for cuDNN's convolutions: plain sums over NHWC.
 *
 * It names five algorithms: one that it cannot do, one that it promises and cannot do either, one that cannot be
 * captured, one that is thought quickest but errs a little differently each time, and one that is reproducible. Some
 * odd shapes it does not know at all, and it joins bias and ReLU to the convolution only where there is a ReLU or that
 * is algorithm 1, as cuDNN does: so every way through kernels/cuda/conv.c is run. */
#include "cudnn.h"
#include "emulate.h"
#include "queue.h"

#include <vector>

using emulated::misuse;
using emulated::need_device;

struct cudnnContext {
    cudaStream_t stream;
};
struct cudnnTensorStruct {
    cudnnDataType_t type;
    int n, c, h, w;
};
struct cudnnFilterStruct {
    cudnnDataType_t type;
    int k, c, h, w;
};
struct cudnnConvolutionStruct {
    int pad_h, pad_w, stride_h, stride_w, dilation_h, dilation_w, groups;
    cudnnMathType_t math;
};
struct cudnnActivationStruct {
    cudnnActivationMode_t mode;
};

const char *cudnnGetErrorString(cudnnStatus_t status)
{
    return status == CUDNN_STATUS_NOT_SUPPORTED ? "not supported" : "bad parameter";
}

EMULATED_OBJECT(cudnnStatus_t, cudnnCreate, cudnnDestroy, cudnnHandle_t, cudnnContext)
EMULATED_OBJECT(cudnnStatus_t, cudnnCreateTensorDescriptor, cudnnDestroyTensorDescriptor,
                cudnnTensorDescriptor_t, cudnnTensorStruct)
EMULATED_OBJECT(cudnnStatus_t, cudnnCreateFilterDescriptor, cudnnDestroyFilterDescriptor,
                cudnnFilterDescriptor_t, cudnnFilterStruct)
EMULATED_OBJECT(cudnnStatus_t, cudnnCreateConvolutionDescriptor, cudnnDestroyConvolutionDescriptor,
                cudnnConvolutionDescriptor_t, cudnnConvolutionStruct)
EMULATED_OBJECT(cudnnStatus_t, cudnnCreateActivationDescriptor, cudnnDestroyActivationDescriptor,
                cudnnActivationDescriptor_t, cudnnActivationStruct)

cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream)
{
    handle->stream = stream;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetTensor4dDescriptor(cudnnTensorDescriptor_t tensor, cudnnTensorFormat_t format,
                                         cudnnDataType_t type, int n, int c, int h, int w)
{
    if (format != CUDNN_TENSOR_NHWC || n < 1 || c < 1 || h < 1 || w < 1)
        return CUDNN_STATUS_BAD_PARAM;
    *tensor = {type, n, c, h, w};
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetFilter4dDescriptor(cudnnFilterDescriptor_t filter, cudnnDataType_t type,
                                         cudnnTensorFormat_t format, int k, int c, int h, int w)
{
    if (format != CUDNN_TENSOR_NHWC || k < 1 || c < 1 || h < 1 || w < 1)
        return CUDNN_STATUS_BAD_PARAM;
    *filter = {type, k, c, h, w};
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetConvolution2dDescriptor(cudnnConvolutionDescriptor_t conv, int pad_h, int pad_w,
                                              int stride_h, int stride_w, int dilation_h,
                                              int dilation_w, cudnnConvolutionMode_t mode,
                                              cudnnDataType_t compute)
{
    if (pad_h < 0 || pad_w < 0 || stride_h < 1 || stride_w < 1 || dilation_h < 1 || dilation_w < 1 ||
        mode != CUDNN_CROSS_CORRELATION || compute != CUDNN_DATA_FLOAT)
        return CUDNN_STATUS_BAD_PARAM;
    *conv = {pad_h, pad_w, stride_h, stride_w, dilation_h, dilation_w, 1, CUDNN_DEFAULT_MATH};
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetConvolutionGroupCount(cudnnConvolutionDescriptor_t conv, int groups)
{
    if (groups < 1)
        return CUDNN_STATUS_BAD_PARAM;
    conv->groups = groups;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetConvolutionMathType(cudnnConvolutionDescriptor_t conv, cudnnMathType_t math)
{
    conv->math = math;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetActivationDescriptor(cudnnActivationDescriptor_t activation,
                                           cudnnActivationMode_t mode, cudnnNanPropagation_t, double)
{
    activation->mode = mode;
    return CUDNN_STATUS_SUCCESS;
}

/* ---- shapes ------------------------------------------------------------------------------------------ */

enum { TOO_MUCH, FALSE_PROMISE, NOT_CAPTURED, QUICKEST, REPRODUCIBLE }; /* the order in which they are named, */
static const int numbers[] = {0, 2, 3, 0, 1};                           /* and the numbers that they have */
enum { WORKSPACE_WANTED = 1 << 16 };

/* Whatever the direction: x the pictures, w the weights, y the sums; copied, since work is done late. */
struct shape {
    cudnnTensorStruct x, y;
    cudnnFilterStruct w;
    cudnnConvolutionStruct conv;
};

static size_t bytes_of(cudnnDataType_t type, size_t count)
{
    return count * (type == CUDNN_DATA_FLOAT ? 4 : 2);
}
static size_t count_of(const cudnnTensorStruct &t)
{
    return (size_t)t.n * (size_t)t.c * (size_t)t.h * (size_t)t.w;
}
static size_t count_of(const cudnnFilterStruct &f)
{
    return (size_t)f.k * (size_t)f.c * (size_t)f.h * (size_t)f.w;
}

/* How many places a kernel has along one side. */
static int steps(int size, int pad, int kernel, int dilation, int stride)
{
    return (size + 2 * pad - dilation * (kernel - 1) - 1) / stride + 1;
}

static bool fits(const shape &s)
{
    const cudnnConvolutionStruct &v = s.conv;
    return s.x.type == s.y.type && s.x.type == s.w.type && s.x.n == s.y.n && s.x.c == s.w.c * v.groups &&
           s.y.c == s.w.k && s.y.c % v.groups == 0 &&
           s.y.h == steps(s.x.h, v.pad_h, s.w.h, v.dilation_h, v.stride_h) &&
           s.y.w == steps(s.x.w, v.pad_w, s.w.w, v.dilation_w, v.stride_w);
}

/* In bfloat16 it wants channels in eights; in float it does not know five or seven of them. */
static bool knows(const shape &s)
{
    if (s.x.type == CUDNN_DATA_BFLOAT16)
        return s.x.c % 8 == 0 && s.y.c % 8 == 0;
    return s.y.c != 5 && s.y.c != 7;
}

static shape shape_make(cudnnTensorDescriptor_t x, cudnnFilterDescriptor_t w,
                        cudnnConvolutionDescriptor_t conv, cudnnTensorDescriptor_t y)
{
    shape s = {*x, *y, *w, *conv};
    if (!fits(s))
        misuse("a convolution of %dx%dx%d by %dx%dx%dx%d into %dx%dx%d", s.x.h, s.x.w, s.x.c, s.w.k, s.w.h,
               s.w.w, s.w.c, s.y.h, s.y.w, s.y.c);
    if (s.x.type == CUDNN_DATA_FLOAT && conv->math == CUDNN_DEFAULT_MATH)
        misuse("a convolution in fp32 that may use TF32");
    return s;
}

static void need_arrays(const shape &s, const void *x, const void *w, const void *y)
{
    need_device(x, bytes_of(s.x.type, count_of(s.x)), "convolution: pictures");
    need_device(w, bytes_of(s.w.type, count_of(s.w)), "convolution: weights");
    need_device(y, bytes_of(s.y.type, count_of(s.y)), "convolution: sums");
}

/* ---- algorithms -------------------------------------------------------------------------------------- */

template <class P> static cudnnStatus_t algorithms(const shape &s, int wanted, int *count, P *results)
{
    static const cudnnDeterminism_t kinds[] = {CUDNN_DETERMINISTIC, CUDNN_DETERMINISTIC, CUDNN_NON_DETERMINISTIC,
                                               CUDNN_NON_DETERMINISTIC, CUDNN_DETERMINISTIC};
    *count = 0;
    if (!knows(s))
        return CUDNN_STATUS_NOT_SUPPORTED;
    for (int i = TOO_MUCH; i <= REPRODUCIBLE && i < wanted; i++) {
        results[i] = {};
        results[i].algo = (decltype(results[i].algo))numbers[i];
        results[i].status = i == TOO_MUCH ? CUDNN_STATUS_NOT_SUPPORTED : CUDNN_STATUS_SUCCESS;
        results[i].memory = i == TOO_MUCH ? 0 : WORKSPACE_WANTED;
        results[i].determinism = kinds[i];
        results[i].mathType = s.conv.math;
        ++*count;
    }
    return CUDNN_STATUS_SUCCESS;
}

/* ---- sums -------------------------------------------------------------------------------------------- */

static std::vector<float> widened(const void *from, cudnnDataType_t type, size_t count)
{
    std::vector<float> all(count);
    for (size_t i = 0; i < count; i++)
        all[i] = type == CUDNN_DATA_FLOAT ? ((const float *)from)[i]
                                          : __bfloat162float(((const __nv_bfloat16 *)from)[i]);
    return all;
}

static void rounded(const std::vector<float> &all, cudnnDataType_t type, void *to)
{
    for (size_t i = 0; i < all.size(); i++) {
        if (type == CUDNN_DATA_FLOAT)
            ((float *)to)[i] = all[i];
        else
            ((__nv_bfloat16 *)to)[i] = __float2bfloat16(all[i]);
    }
}

/* What lies there is added. */
static void add_up(std::vector<float> &all, const void *from, cudnnDataType_t type)
{
    if (!from)
        return;
    std::vector<float> there = widened(from, type, all.size());
    for (size_t i = 0; i < all.size(); i++)
        all[i] += there[i];
}

/* Calls f(x's place, w's place, y's place) for each product of single pixels; channels are f's. */
template <class F> static void each_pixel(const shape &s, F f)
{
    for (int n = 0; n < s.y.n; n++)
        for (int y = 0; y < s.y.h; y++)
            for (int x = 0; x < s.y.w; x++)
                for (int i = 0; i < s.w.h; i++)
                    for (int j = 0; j < s.w.w; j++) {
                        int yy = y * s.conv.stride_h + i * s.conv.dilation_h - s.conv.pad_h;
                        int xx = x * s.conv.stride_w + j * s.conv.dilation_w - s.conv.pad_w;
                        if (yy < 0 || yy >= s.x.h || xx < 0 || xx >= s.x.w)
                            continue;
                        f(((size_t)(n * s.x.h + yy) * (size_t)s.x.w + (size_t)xx) * (size_t)s.x.c,
                          (size_t)(i * s.w.w + j) * (size_t)s.w.c,
                          ((size_t)(n * s.y.h + y) * (size_t)s.y.w + (size_t)x) * (size_t)s.y.c);
                    }
}

/* The quickest algorithm's small errors. */
static void disturb(std::vector<float> &all, int algorithm)
{
    if (algorithm == 0)
        for (float &x : all)
            x *= 1 + 1e-7f * (float)emulated::random_below(3);
}

static std::vector<float> sums_forward(const shape &s, const void *x, const void *w, int algorithm)
{
    std::vector<float> a = widened(x, s.x.type, count_of(s.x)), b = widened(w, s.w.type, count_of(s.w));
    std::vector<float> out(count_of(s.y)), transposed(b.size());
    size_t inputs = (size_t)s.w.c, outputs = (size_t)s.y.c, each = inputs * (size_t)(s.w.h * s.w.w);
    size_t groups = (size_t)s.conv.groups, part = outputs / groups;
    for (size_t i = 0; i < b.size(); i++) /* outputs last, for the inner loop's sake */
        transposed[i % each * outputs + i / each] = b[i];
    each_pixel(s, [&](size_t at, size_t weight, size_t to) {
        for (size_t g = 0; g < groups; g++)
            for (size_t c = 0; c < inputs; c++)
                for (size_t o = g * part; o < (g + 1) * part; o++)
                    out[to + o] += a[at + g * inputs + c] * transposed[(weight + c) * outputs + o];
    });
    disturb(out, algorithm);
    return out;
}

static std::vector<float> sums_data(const shape &s, const void *w, const void *dy, int algorithm)
{
    std::vector<float> b = widened(w, s.w.type, count_of(s.w)), d = widened(dy, s.y.type, count_of(s.y));
    std::vector<float> out(count_of(s.x));
    size_t inputs = (size_t)s.w.c, each = inputs * (size_t)(s.w.h * s.w.w);
    size_t part = (size_t)(s.y.c / s.conv.groups);
    each_pixel(s, [&](size_t at, size_t weight, size_t from) {
        for (size_t o = 0; o < (size_t)s.y.c; o++)
            for (size_t c = 0; c < inputs; c++)
                out[at + o / part * inputs + c] += d[from + o] * b[o * each + weight + c];
    });
    disturb(out, algorithm);
    return out;
}

static std::vector<float> sums_weight(const shape &s, const void *x, const void *dy, int algorithm)
{
    std::vector<float> a = widened(x, s.x.type, count_of(s.x)), d = widened(dy, s.y.type, count_of(s.y));
    std::vector<double> sums(count_of(s.w));
    size_t inputs = (size_t)s.w.c, each = inputs * (size_t)(s.w.h * s.w.w);
    size_t part = (size_t)(s.y.c / s.conv.groups);
    each_pixel(s, [&](size_t at, size_t weight, size_t from) {
        for (size_t o = 0; o < (size_t)s.y.c; o++)
            for (size_t c = 0; c < inputs; c++)
                sums[o * each + weight + c] += (double)(d[from + o] * a[at + o / part * inputs + c]);
    });
    std::vector<float> out(sums.begin(), sums.end());
    disturb(out, algorithm);
    return out;
}

static bool can_run(const shape &s, int algorithm, const void *alpha, const void *beta, void *workspace, size_t bytes)
{
    if (algorithm == numbers[FALSE_PROMISE] || (algorithm == numbers[NOT_CAPTURED] && emulated::capturing()))
        return false;
    float added = *(const float *)beta;
    if (*(const float *)alpha != 1 || (added != 0 && added != 1) || !knows(s) || bytes < WORKSPACE_WANTED)
        return false;
    need_device(workspace, bytes, "convolution: workspace");
    return true;
}

/* ---- forward ----------------------------------------------------------------------------------------- */

cudnnStatus_t cudnnGetConvolutionForwardAlgorithm_v7(cudnnHandle_t, cudnnTensorDescriptor_t x,
                                                     cudnnFilterDescriptor_t w,
                                                     cudnnConvolutionDescriptor_t conv,
                                                     cudnnTensorDescriptor_t y, int wanted, int *count,
                                                     cudnnConvolutionFwdAlgoPerf_t *results)
{
    return algorithms(shape_make(x, w, conv, y), wanted, count, results);
}

cudnnStatus_t cudnnConvolutionForward(cudnnHandle_t handle, const void *alpha, cudnnTensorDescriptor_t x_is,
                                      const void *x, cudnnFilterDescriptor_t w_is, const void *w,
                                      cudnnConvolutionDescriptor_t conv,
                                      cudnnConvolutionFwdAlgo_t algorithm, void *workspace,
                                      size_t workspace_bytes, const void *beta,
                                      cudnnTensorDescriptor_t y_is, void *y)
{
    shape s = shape_make(x_is, w_is, conv, y_is);
    need_arrays(s, x, w, y);
    if (!can_run(s, algorithm, alpha, beta, workspace, workspace_bytes))
        return CUDNN_STATUS_BAD_PARAM;
    bool adds = *(const float *)beta != 0;
    emulated::enqueue(handle->stream, [=] {
        std::vector<float> out = sums_forward(s, x, w, algorithm);
        add_up(out, adds ? y : nullptr, s.y.type);
        rounded(out, s.y.type, y);
    });
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnConvolutionBiasActivationForward(
    cudnnHandle_t handle, const void *alpha, cudnnTensorDescriptor_t x_is, const void *x,
    cudnnFilterDescriptor_t w_is, const void *w, cudnnConvolutionDescriptor_t conv,
    cudnnConvolutionFwdAlgo_t algorithm, void *workspace, size_t workspace_bytes, const void *alpha_z,
    cudnnTensorDescriptor_t z_is, const void *z, cudnnTensorDescriptor_t bias_is, const void *bias,
    cudnnActivationDescriptor_t activation, cudnnTensorDescriptor_t y_is, void *y)
{
    shape s = shape_make(x_is, w_is, conv, y_is);
    bool relu = activation->mode == CUDNN_ACTIVATION_RELU;
    if (!relu && algorithm != CUDNN_CONVOLUTION_FWD_ALGO_1)
        return CUDNN_STATUS_NOT_SUPPORTED;
    if (bias_is->c != s.y.c || bias_is->type != s.y.type ||
        !can_run(s, algorithm, alpha, alpha_z, workspace, workspace_bytes))
        return CUDNN_STATUS_BAD_PARAM;
    need_arrays(s, x, w, y);
    need_device(bias, bytes_of(s.y.type, (size_t)s.y.c), "convolution: bias");
    bool adds = *(const float *)alpha_z != 0;
    if (adds && count_of(*z_is) != count_of(s.y))
        return CUDNN_STATUS_BAD_PARAM;
    emulated::enqueue(handle->stream, [=] {
        std::vector<float> out = sums_forward(s, x, w, algorithm);
        add_up(out, adds ? z : nullptr, s.y.type);
        std::vector<float> b = widened(bias, s.y.type, (size_t)s.y.c);
        for (size_t i = 0; i < out.size(); i++) {
            out[i] += b[i % b.size()];
            out[i] = relu && !(out[i] > 0) ? 0 : out[i];
        }
        rounded(out, s.y.type, y);
    });
    return CUDNN_STATUS_SUCCESS;
}

/* ---- backward ---------------------------------------------------------------------------------------- */

cudnnStatus_t cudnnGetConvolutionBackwardDataAlgorithm_v7(
    cudnnHandle_t, cudnnFilterDescriptor_t w, cudnnTensorDescriptor_t dy,
    cudnnConvolutionDescriptor_t conv, cudnnTensorDescriptor_t dx, int wanted, int *count,
    cudnnConvolutionBwdDataAlgoPerf_t *results)
{
    return algorithms(shape_make(dx, w, conv, dy), wanted, count, results);
}

cudnnStatus_t cudnnConvolutionBackwardData(cudnnHandle_t handle, const void *alpha,
                                           cudnnFilterDescriptor_t w_is, const void *w,
                                           cudnnTensorDescriptor_t dy_is, const void *dy,
                                           cudnnConvolutionDescriptor_t conv,
                                           cudnnConvolutionBwdDataAlgo_t algorithm, void *workspace,
                                           size_t workspace_bytes, const void *beta,
                                           cudnnTensorDescriptor_t dx_is, void *dx)
{
    shape s = shape_make(dx_is, w_is, conv, dy_is);
    need_arrays(s, dx, w, dy);
    if (*(const float *)beta != 0 || !can_run(s, algorithm, alpha, beta, workspace, workspace_bytes))
        return CUDNN_STATUS_BAD_PARAM;
    emulated::enqueue(handle->stream, [=] { rounded(sums_data(s, w, dy, algorithm), s.x.type, dx); });
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnGetConvolutionBackwardFilterAlgorithm_v7(
    cudnnHandle_t, cudnnTensorDescriptor_t x, cudnnTensorDescriptor_t dy,
    cudnnConvolutionDescriptor_t conv, cudnnFilterDescriptor_t dw, int wanted, int *count,
    cudnnConvolutionBwdFilterAlgoPerf_t *results)
{
    return algorithms(shape_make(x, dw, conv, dy), wanted, count, results);
}

cudnnStatus_t cudnnConvolutionBackwardFilter(cudnnHandle_t handle, const void *alpha,
                                             cudnnTensorDescriptor_t x_is, const void *x,
                                             cudnnTensorDescriptor_t dy_is, const void *dy,
                                             cudnnConvolutionDescriptor_t conv,
                                             cudnnConvolutionBwdFilterAlgo_t algorithm, void *workspace,
                                             size_t workspace_bytes, const void *beta,
                                             cudnnFilterDescriptor_t dw_is, void *dw)
{
    shape s = shape_make(x_is, dw_is, conv, dy_is);
    need_arrays(s, x, dw, dy);
    if (*(const float *)beta != 0 || !can_run(s, algorithm, alpha, beta, workspace, workspace_bytes))
        return CUDNN_STATUS_BAD_PARAM;
    emulated::enqueue(handle->stream, [=] { rounded(sums_weight(s, x, dy, algorithm), s.w.type, dw); });
    return CUDNN_STATUS_SUCCESS;
}
