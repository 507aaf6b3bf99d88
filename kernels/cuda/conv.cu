/* conv.cu: convolution for shapes that the library has no algorithm for (odd channels in bfloat16,
 * say): direct sums, right for every shape and slow. Depthwise ones are ours at their best: each
 * channel alone is no product of matrices, and what counts is that memory is read whole vectors at
 * a time. The formula is in kernels/reference/conv.c. */
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
    return place_of(o, s.kernel_height, i, s.kernel_width, j, s.in_channels / s.groups);
}

/* The place of the input that kernel element (i, j) meets for the output at (y, x); false: in the
 * padding. */
__device__ static inline bool input_of(const conv_shape &s, int y, int x, int i, int j, int *yy,
                                       int *xx)
{
    *yy = y * s.stride_height + i * s.dilation_height - s.top;
    *xx = x * s.stride_width + j * s.dilation_width - s.left;
    return *yy >= 0 && *yy < s.in_height && *xx >= 0 && *xx < s.in_width;
}

/* The other way round: the output for which kernel element (i, j) meets the input at (y, x). */
__device__ static inline bool output_of(const conv_shape &s, int y, int x, int i, int j, int *yy,
                                        int *xx)
{
    int down = y - i * s.dilation_height + s.top, across = x - j * s.dilation_width + s.left;
    if (down < 0 || across < 0 || down % s.stride_height || across % s.stride_width)
        return false;
    *yy = down / s.stride_height;
    *xx = across / s.stride_width;
    return *yy < s.out_height && *xx < s.out_width;
}

/* Element p of [rows][height][width][channels], as its indices. */
struct element_at {
    int row, y, x, c;
};
__device__ static inline element_at element_find(size_t p, int height, int width, int channels)
{
    element_at e;
    e.c = (int)(p % (size_t)channels);
    p /= (size_t)channels;
    e.x = (int)(p % (size_t)width);
    p /= (size_t)width;
    e.y = (int)(p % (size_t)height);
    e.row = (int)(p / (size_t)height);
    return e;
}

/* ---- whatever the shape ---- */

/* One thread an output. */
template <class T>
__global__ static void conv_forward(conv_shape s, const T *in, const T *weight, T *out)
{
    size_t p = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    element_at e = element_find(p, s.out_height, s.out_width, s.out_channels);
    if (e.row >= s.rows)
        return;
    int each = s.in_channels / s.groups, first = e.c / (s.out_channels / s.groups) * each, yy, xx;
    float sum = s.adds ? to_float(out[p]) : 0;
    for (int i = 0; i < s.kernel_height; i++) {
        for (int j = 0; j < s.kernel_width; j++) {
            if (!input_of(s, e.y, e.x, i, j, &yy, &xx))
                continue;
            const T *a = in + in_place(s, e.row, yy, xx) + first;
            const T *w = weight + weight_place(s, e.c, i, j);
            for (int c = 0; c < each; c++)
                sum += to_float(a[c]) * to_float(w[c]);
        }
    }
    out[p] = from_float<T>(sum);
}

/* One thread an input. */
template <class T>
__global__ static void conv_backward_data(conv_shape s, const T *d_out, const T *weight, T *d_in)
{
    size_t p = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    element_at e = element_find(p, s.in_height, s.in_width, s.in_channels);
    if (e.row >= s.rows)
        return;
    int inputs = s.in_channels / s.groups, each = s.out_channels / s.groups, yy, xx;
    int first = e.c / inputs * each, c = e.c % inputs;
    float sum = 0;
    for (int i = 0; i < s.kernel_height; i++) {
        for (int j = 0; j < s.kernel_width; j++) {
            if (!output_of(s, e.y, e.x, i, j, &yy, &xx))
                continue;
            const T *d = d_out + out_place(s, e.row, yy, xx);
            for (int o = first; o < first + each; o++)
                sum += to_float(d[o]) * to_float(weight[weight_place(s, o, i, j) + (size_t)c]);
        }
    }
    d_in[p] = from_float<T>(sum);
}

/* One block a weight. */
template <class T>
__global__ static void conv_backward_weight(conv_shape s, const T *in, const T *d_out, T *d_weight)
{
    int inputs = s.in_channels / s.groups;
    element_at e = element_find(blockIdx.x, s.kernel_height, s.kernel_width, inputs);
    int o = e.row, c = o / (s.out_channels / s.groups) * inputs + e.c, yy, xx;
    size_t places = (size_t)s.out_height * (size_t)s.out_width, all = (size_t)s.rows * places;
    float sum = 0;
    for (size_t p = threadIdx.x; p < all; p += blockDim.x) {
        int row = (int)(p / places), y = (int)(p % places) / s.out_width;
        int x = (int)(p % places) % s.out_width;
        if (input_of(s, y, x, e.y, e.x, &yy, &xx))
            sum += to_float(d_out[out_place(s, row, y, x) + (size_t)o]) *
                   to_float(in[in_place(s, row, yy, xx) + (size_t)c]);
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0)
        d_weight[blockIdx.x] = from_float<T>(sum);
}

/* ---- depthwise: one thread a vector of channels of a place ---- */

template <class T, int V>
__device__ static inline void depthwise_add(const conv_shape &s, const T *from, const T *weight,
                                            int c, int i, int j, float *sums)
{
    pack<T, V> a = load<T, V>(from);
    for (int k = 0; k < V; k++)
        sums[k] += to_float(a.v[k]) * to_float(weight[weight_place(s, c + k, i, j)]);
}

template <class T, int V>
__global__ static void depthwise_forward(conv_shape s, const T *in, const T *weight, T *out)
{
    size_t p = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    element_at e = element_find(p * V, s.out_height, s.out_width, s.out_channels);
    if (e.row >= s.rows)
        return;
    float sums[V] = {};
    pack<T, V> y;
    if (s.adds)
        y = load<T, V>(out + p * V);
    for (int k = 0; s.adds && k < V; k++)
        sums[k] = to_float(y.v[k]);
    for (int i = 0, yy, xx; i < s.kernel_height; i++)
        for (int j = 0; j < s.kernel_width; j++)
            if (input_of(s, e.y, e.x, i, j, &yy, &xx))
                depthwise_add<T, V>(s, in + in_place(s, e.row, yy, xx) + e.c, weight, e.c, i, j,
                                    sums);
    for (int k = 0; k < V; k++)
        y.v[k] = from_float<T>(sums[k]);
    store(out + p * V, y);
}

template <class T, int V>
__global__ static void depthwise_backward_data(conv_shape s, const T *d_out, const T *weight,
                                               T *d_in)
{
    size_t p = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    element_at e = element_find(p * V, s.in_height, s.in_width, s.in_channels);
    if (e.row >= s.rows)
        return;
    float sums[V] = {};
    for (int i = 0, yy, xx; i < s.kernel_height; i++)
        for (int j = 0; j < s.kernel_width; j++)
            if (output_of(s, e.y, e.x, i, j, &yy, &xx))
                depthwise_add<T, V>(s, d_out + out_place(s, e.row, yy, xx) + e.c, weight, e.c, i, j,
                                    sums);
    pack<T, V> x;
    for (int k = 0; k < V; k++)
        x.v[k] = from_float<T>(sums[k]);
    store(d_in + p * V, x);
}

/* blockIdx: x chunk of the places, y channels, z kernel element. partials
 * [element][chunk][channels]. The last block adds the chunks up, in a fixed order. */
template <class T, int V>
__global__ static void depthwise_backward_weight(conv_shape s, const T *in, const T *d_out,
                                                 T *d_weight, float *partials, unsigned *arrivals)
{
    size_t channels = (size_t)s.out_channels, chunks = gridDim.x;
    column_tile<V> tile(channels);
    int i = (int)blockIdx.z / s.kernel_width, j = (int)blockIdx.z % s.kernel_width, yy, xx;
    size_t all = (size_t)s.rows * (size_t)s.out_height * (size_t)s.out_width;
    float sums[V] = {};
    for (size_t p = (size_t)blockIdx.x * (size_t)tile.rows + (size_t)tile.row;
         tile.active && p < all; p += chunks * (size_t)tile.rows) {
        element_at e = element_find(p, s.out_height, s.out_width, 1);
        if (!input_of(s, e.y, e.x, i, j, &yy, &xx))
            continue;
        pack<T, V> x = load<T, V>(in + in_place(s, e.row, yy, xx) + tile.column);
        pack<T, V> d = load<T, V>(d_out + p * channels + tile.column);
        for (int k = 0; k < V; k++)
            sums[k] += to_float(x.v[k]) * to_float(d.v[k]);
    }
    tile_sum(tile, sums, partials + (blockIdx.z * chunks + blockIdx.x) * channels);
    if (!block_is_last(arrivals, gridDim.x * gridDim.y * gridDim.z))
        return;
    size_t elements = gridDim.z;
    for (size_t w = threadIdx.x; w < channels * elements; w += blockDim.x) {
        size_t c = w % channels, of = w / channels;
        float sum = 0;
        for (size_t k = 0; k < chunks; k++)
            sum += __ldcg(partials + (of * chunks + k) * channels + c);
        d_weight[c * elements + of] = from_float<T>(sum);
    }
}

/* ---- zeros around pictures ---- */

template <class T, int V> __global__ static void border_add(border b, const T *inner, T *padded)
{
    size_t p = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    element_at e = element_find(p * V, b.padded_height, b.padded_width, b.channels);
    if (e.row >= b.rows)
        return;
    int y = e.y - b.top, x = e.x - b.left;
    pack<T, V> v;
    for (int k = 0; k < V; k++)
        v.v[k] = from_float<T>(0);
    if (y >= 0 && y < b.height && x >= 0 && x < b.width)
        v = load<T, V>(inner + place_of(e.row, b.height, y, b.width, x, b.channels) + e.c);
    store(padded + p * V, v);
}

template <class T, int V> __global__ static void border_cut(border b, const T *padded, T *inner)
{
    size_t p = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    element_at e = element_find(p * V, b.height, b.width, b.channels);
    if (e.row >= b.rows)
        return;
    size_t from =
        place_of(e.row, b.padded_height, e.y + b.top, b.padded_width, e.x + b.left, b.channels);
    store(inner + p * V, load<T, V>(padded + from + e.c));
}

/* ---- launches ---- */

static inline size_t product_of(int a, int b, int c, int d)
{
    return (size_t)a * (size_t)b * (size_t)c * (size_t)d;
}

extern "C" int kernel_conv_forward(element type, const conv_shape *s, const void *in,
                                   const void *weight, void *out, kernel_stream stream)
{
    size_t count = product_of(s->rows, s->out_height, s->out_width, s->out_channels);
    bool depthwise = s->depthwise;
    return dispatch(type, depthwise ? (size_t)s->out_channels : 1, [&](auto as) {
        typedef typename decltype(as)::type T;
        constexpr int V = decltype(as)::width;
        auto kernel = depthwise ? depthwise_forward<T, V> : conv_forward<T>;
        return LAUNCH(kernel, blocks_for(count / V, THREADS), THREADS, stream, *s, (const T *)in,
                      (const T *)weight, (T *)out);
    });
}
extern "C" int kernel_conv_backward_data(element type, const conv_shape *s, const void *d_out,
                                         const void *weight, void *d_in, kernel_stream stream)
{
    size_t count = product_of(s->rows, s->in_height, s->in_width, s->in_channels);
    bool depthwise = s->depthwise;
    return dispatch(type, depthwise ? (size_t)s->out_channels : 1, [&](auto as) {
        typedef typename decltype(as)::type T;
        constexpr int V = decltype(as)::width;
        auto kernel = depthwise ? depthwise_backward_data<T, V> : conv_backward_data<T>;
        return LAUNCH(kernel, blocks_for(count / V, THREADS), THREADS, stream, *s, (const T *)d_out,
                      (const T *)weight, (T *)d_in);
    });
}

static int depthwise_weight_launch(element type, const conv_shape *s, const void *in,
                                   const void *d_out, void *d_weight, float *partials,
                                   unsigned *arrivals, kernel_stream stream)
{
    size_t channels = (size_t)s->out_channels;
    size_t elements = (size_t)s->kernel_height * (size_t)s->kernel_width;
    return dispatch(type, channels, [&](auto as) {
        typedef typename decltype(as)::type T;
        constexpr int V = decltype(as)::width;
        auto kernel = depthwise_backward_weight<T, V>;
        dim3 grid(tile_chunks(product_of(s->rows, s->out_height, s->out_width, 1), channels, V,
                              depthwise_chunks(elements)),
                  tile_groups(channels, V), (unsigned)elements);
        return LAUNCH(kernel, grid, THREADS, stream, *s, (const T *)in, (const T *)d_out,
                      (T *)d_weight, partials, arrivals);
    });
}

extern "C" int kernel_conv_backward_weight(element type, const conv_shape *s, const void *in,
                                           const void *d_out, void *d_weight, float *partials,
                                           unsigned *arrivals, kernel_stream stream)
{
    if (s->depthwise)
        return depthwise_weight_launch(type, s, in, d_out, d_weight, partials, arrivals, stream);
    size_t count =
        product_of(s->out_channels, s->kernel_height, s->kernel_width, s->in_channels / s->groups);
    return dispatch(type, 1, [&](auto as) {
        typedef typename decltype(as)::type T;
        auto kernel = conv_backward_weight<T>;
        return LAUNCH(kernel, (unsigned)count, THREADS, stream, *s, (const T *)in, (const T *)d_out,
                      (T *)d_weight);
    });
}

extern "C" int kernel_border(element type, const border *b, void *inner, void *padded, int back,
                             kernel_stream stream)
{
    size_t count = back ? product_of(b->rows, b->height, b->width, b->channels)
                        : product_of(b->rows, b->padded_height, b->padded_width, b->channels);
    return dispatch(type, (size_t)b->channels, [&](auto as) {
        typedef typename decltype(as)::type T;
        constexpr int V = decltype(as)::width;
        auto kernel = back ? border_cut<T, V> : border_add<T, V>;
        return LAUNCH(kernel, blocks_for(count / V, THREADS), THREADS, stream, *b,
                      (const T *)(back ? padded : inner), (T *)(back ? inner : padded));
    });
}
