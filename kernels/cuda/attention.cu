/* attention.cu: softmax of attention's products; the formulas are in kernels/reference/attention.c.
 * One warp a line. */
#include "device.cuh"

#define LINES (THREADS / WARP) /* that a block does at once */

__device__ static inline float warp_most(float x)
{
    for (int d = WARP / 2; d > 0; d /= 2)
        x = fmaxf(x, __shfl_xor_sync(0xFFFFFFFFu, x, d));
    return x;
}

template <class T>
__global__ static void softmax_apply(const float *scores, T *weights, size_t lines, size_t count,
                                     size_t stride, float scale)
{
    size_t line = (size_t)blockIdx.x * LINES + threadIdx.x / WARP, lane = threadIdx.x % WARP;
    const float *s = scores + (line < lines ? line : 0) * stride;
    float most = -INFINITY, sum = 0;
    for (size_t i = lane; i < count; i += WARP)
        most = fmaxf(most, s[i]);
    most = warp_most(most);
    for (size_t i = lane; i < count; i += WARP)
        sum += expf((s[i] - most) * scale);
    sum = warp_sum(sum);
    for (size_t i = lane; line < lines && i < count; i += WARP)
        weights[line * stride + i] = from_float<T>(expf((s[i] - most) * scale) / sum);
}

template <class T>
__global__ static void softmax_back_apply(const T *weights, const float *d_weights, T *d_scores,
                                          size_t lines, size_t count, size_t stride, float scale)
{
    size_t line = (size_t)blockIdx.x * LINES + threadIdx.x / WARP, lane = threadIdx.x % WARP;
    size_t at = (line < lines ? line : 0) * stride;
    float mean = 0;
    for (size_t i = lane; i < count; i += WARP)
        mean += to_float(weights[at + i]) * d_weights[at + i];
    mean = warp_sum(mean);
    for (size_t i = lane; line < lines && i < count; i += WARP)
        d_scores[at + i] =
            from_float<T>(to_float(weights[at + i]) * (d_weights[at + i] - mean) * scale);
}

extern "C" int kernel_softmax(element type, const float *scores, void *weights, size_t lines,
                              size_t count, size_t stride, float scale, kernel_stream stream)
{
    return dispatch(type, 1, [&](auto as) {
        typedef typename decltype(as)::type T;
        auto kernel = softmax_apply<T>;
        return LAUNCH(kernel, blocks_for(lines, LINES), THREADS, stream, scores, (T *)weights,
                      lines, count, stride, scale);
    });
}
extern "C" int kernel_softmax_backward(element type, const void *weights, const float *d_weights,
                                       void *d_scores, size_t lines, size_t count, size_t stride,
                                       float scale, kernel_stream stream)
{
    return dispatch(type, 1, [&](auto as) {
        typedef typename decltype(as)::type T;
        auto kernel = softmax_back_apply<T>;
        return LAUNCH(kernel, blocks_for(lines, LINES), THREADS, stream, (const T *)weights,
                      d_weights, (T *)d_scores, lines, count, stride, scale);
    });
}
