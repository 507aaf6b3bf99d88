/* conv.cu: convolution for shapes that the library has no algorithm for (odd channels in bfloat16,
 * say): direct sums, right for every shape and slow. The formula is in kernels/reference/conv.c. */
#include "device.cuh"

__device__ static inline size_t place_of(int row, int height, int y, int width, int x, int channels)
{
    return (((size_t)row * (size_t)height + (size_t)y) * (size_t)width + (size_t)x) *
           (size_t)channels;
}
__device__ static inline size_t in_place(const conv_shape &s, int row, int y, int x)
{
    return place_of(row, s.in_height, y, s.in_width, x, s.in_channels);
}
__device__ static inline size_t out_place(const conv_shape &s, int row, int y, int x)
{
    return place_of(row, s.out_height, y, s.out_width, x, s.out_channels);
}
__device__ static inline size_t weight_place(const conv_shape &s, int o, int i, int j)
{
    return place_of(o, s.kernel_height, i, s.kernel_width, j, s.in_channels);
}

/* One thread an output. */
template <class T>
__global__ static void conv_forward(conv_shape s, const T *in, const T *weight, T *out)
{
    size_t p = (size_t)blockIdx.x * blockDim.x + threadIdx.x, rest = p;
    int o = (int)(rest % (size_t)s.out_channels);
    rest /= (size_t)s.out_channels;
    int x = (int)(rest % (size_t)s.out_width);
    rest /= (size_t)s.out_width;
    int y = (int)(rest % (size_t)s.out_height), row = (int)(rest / (size_t)s.out_height);
    if (row >= s.rows)
        return;
    float sum = 0;
    for (int i = 0; i < s.kernel_height; i++) {
        for (int j = 0; j < s.kernel_width; j++) {
            int yy = y + i - s.pad_height, xx = x + j - s.pad_width;
            if (yy < 0 || yy >= s.in_height || xx < 0 || xx >= s.in_width)
                continue;
            const T *a = in + in_place(s, row, yy, xx), *w = weight + weight_place(s, o, i, j);
            for (int c = 0; c < s.in_channels; c++)
                sum += to_float(a[c]) * to_float(w[c]);
        }
    }
    out[p] = from_float<T>(sum);
}

/* One thread an input. */
template <class T>
__global__ static void conv_backward_data(conv_shape s, const T *d_out, const T *weight, T *d_in)
{
    size_t p = (size_t)blockIdx.x * blockDim.x + threadIdx.x, rest = p;
    int c = (int)(rest % (size_t)s.in_channels);
    rest /= (size_t)s.in_channels;
    int x = (int)(rest % (size_t)s.in_width);
    rest /= (size_t)s.in_width;
    int y = (int)(rest % (size_t)s.in_height), row = (int)(rest / (size_t)s.in_height);
    if (row >= s.rows)
        return;
    float sum = 0;
    for (int i = 0; i < s.kernel_height; i++) {
        for (int j = 0; j < s.kernel_width; j++) {
            int yy = y - i + s.pad_height, xx = x - j + s.pad_width;
            if (yy < 0 || yy >= s.out_height || xx < 0 || xx >= s.out_width)
                continue;
            const T *d = d_out + out_place(s, row, yy, xx);
            for (int o = 0; o < s.out_channels; o++)
                sum += to_float(d[o]) * to_float(weight[weight_place(s, o, i, j) + (size_t)c]);
        }
    }
    d_in[p] = from_float<T>(sum);
}

/* One block a weight. */
template <class T>
__global__ static void conv_backward_weight(conv_shape s, const T *in, const T *d_out, T *d_weight)
{
    size_t rest = blockIdx.x;
    int c = (int)(rest % (size_t)s.in_channels);
    rest /= (size_t)s.in_channels;
    int j = (int)(rest % (size_t)s.kernel_width);
    rest /= (size_t)s.kernel_width;
    int i = (int)(rest % (size_t)s.kernel_height), o = (int)(rest / (size_t)s.kernel_height);
    size_t places = (size_t)s.out_height * (size_t)s.out_width, all = (size_t)s.rows * places;
    float sum = 0;
    for (size_t p = threadIdx.x; p < all; p += blockDim.x) {
        int row = (int)(p / places), y = (int)(p % places) / s.out_width;
        int x = (int)(p % places) % s.out_width;
        int yy = y + i - s.pad_height, xx = x + j - s.pad_width;
        if (yy < 0 || yy >= s.in_height || xx < 0 || xx >= s.in_width)
            continue;
        sum += to_float(d_out[out_place(s, row, y, x) + (size_t)o]) *
               to_float(in[in_place(s, row, yy, xx) + (size_t)c]);
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0)
        d_weight[blockIdx.x] = from_float<T>(sum);
}

static inline size_t product_of(int a, int b, int c, int d)
{
    return (size_t)a * (size_t)b * (size_t)c * (size_t)d;
}

extern "C" int kernel_conv_forward(element type, const conv_shape *s, const void *in,
                                   const void *weight, void *out, kernel_stream stream)
{
    size_t count = product_of(s->rows, s->out_height, s->out_width, s->out_channels);
    return dispatch(type, 1, [&](auto as) {
        typedef typename decltype(as)::type T;
        auto kernel = conv_forward<T>;
        return LAUNCH(kernel, blocks_for(count, THREADS), THREADS, stream, *s, (const T *)in,
                      (const T *)weight, (T *)out);
    });
}
extern "C" int kernel_conv_backward_data(element type, const conv_shape *s, const void *d_out,
                                         const void *weight, void *d_in, kernel_stream stream)
{
    size_t count = product_of(s->rows, s->in_height, s->in_width, s->in_channels);
    return dispatch(type, 1, [&](auto as) {
        typedef typename decltype(as)::type T;
        auto kernel = conv_backward_data<T>;
        return LAUNCH(kernel, blocks_for(count, THREADS), THREADS, stream, *s, (const T *)d_out,
                      (const T *)weight, (T *)d_in);
    });
}
extern "C" int kernel_conv_backward_weight(element type, const conv_shape *s, const void *in,
                                           const void *d_out, void *d_weight, kernel_stream stream)
{
    size_t count = product_of(s->out_channels, s->kernel_height, s->kernel_width, s->in_channels);
    return dispatch(type, 1, [&](auto as) {
        typedef typename decltype(as)::type T;
        auto kernel = conv_backward_weight<T>;
        return LAUNCH(kernel, (unsigned)count, THREADS, stream, *s, (const T *)in, (const T *)d_out,
                      (T *)d_weight);
    });
}
