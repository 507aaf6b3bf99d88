/* tokens.cu: what adds to places, and what moves places and channels about: copies. */
#include "device.cuh"

template <class T, int V>
__global__ static void tokens_apply(size_t rows, size_t own, size_t came, const float *weight,
                                    const T *in, T *out)
{
    size_t packs = (own + came) / V, p = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (p >= rows * packs)
        return;
    size_t row = p / packs, at = p % packs * V;
    pack<T, V> x;
    if (at >= own)
        x = load<T, V>(in + row * came + at - own);
    for (int i = 0; at < own && i < V; i++)
        x.v[i] = from_float<T>(weight[at + (size_t)i]);
    store(out + p * V, x);
}

template <class T, int V>
__global__ static void position_apply(size_t rows, size_t size, const float *weight, const T *in,
                                      T *out)
{
    size_t packs = size / V, p = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (p >= rows * packs)
        return;
    pack<T, V> x = load<T, V>(in + p * V);
    for (int i = 0; i < V; i++)
        x.v[i] = from_float<T>(to_float(x.v[i]) + weight[p % packs * V + (size_t)i]);
    store(out + p * V, x);
}

/* One thread a column, or a vector of them. */
template <class T, int V>
__global__ static void row_sums(size_t rows, size_t stride, size_t count, const T *d, float *out)
{
    size_t at = ((size_t)blockIdx.x * blockDim.x + threadIdx.x) * V;
    if (at >= count)
        return;
    float sums[V] = {};
    for (size_t r = 0; r < rows; r++) {
        pack<T, V> x = load<T, V>(d + r * stride + at);
        for (int i = 0; i < V; i++)
            sums[i] += to_float(x.v[i]);
    }
    for (int i = 0; i < V; i++)
        out[at + (size_t)i] = sums[i];
}

/* A vector moves whole: for shuffle it is one element. */
template <class T, int V> __global__ static void select_apply(select_task t, const T *in, T *out)
{
    size_t in_size = t.in_places * t.in_channels, size = t.out_places * t.out_channels;
    size_t p = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (p >= t.rows * (size / V))
        return;
    size_t row = p / (size / V), i = p % (size / V) * V;
    size_t from = element_source(t.kind, t.in_channels, t.out_channels, t.first, i);
    store(out + p * V, load<T, V>(in + row * in_size + from));
}

template <class T, int V>
__global__ static void select_back_apply(select_task t, const T *d_out, T *d_in)
{
    size_t in_size = t.in_places * t.in_channels, size = t.out_places * t.out_channels;
    size_t p = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (p >= t.rows * (in_size / V))
        return;
    size_t row = p / (in_size / V), i = p % (in_size / V) * V;
    size_t to = element_target_of(t.kind, t.in_channels, t.out_places, t.out_channels, t.first, i);
    pack<T, V> x;
    for (int k = 0; k < V; k++)
        x.v[k] = from_float<T>(0);
    if (to != SIZE_MAX)
        x = load<T, V>(d_out + row * size + to);
    store(d_in + p * V, x);
}

/* What a vector's elements must divide, so that it lies whole on either side. */
static inline size_t select_width(const select_task *t)
{
    if (t->kind == LAYER_SHUFFLE)
        return 1;
    size_t first = t->kind == LAYER_CHANNELS ? t->first : 0;
    return t->in_channels | t->out_channels | first;
}

extern "C" int kernel_tokens(element type, size_t rows, size_t own, size_t came,
                             const float *weight, const void *in, void *out, kernel_stream stream)
{
    return dispatch(type, own | came, [&](auto as) {
        typedef typename decltype(as)::type T;
        constexpr int V = decltype(as)::width;
        auto kernel = tokens_apply<T, V>;
        return LAUNCH(kernel, blocks_for(rows * ((own + came) / V), THREADS), THREADS, stream, rows,
                      own, came, weight, (const T *)in, (T *)out);
    });
}
extern "C" int kernel_position(element type, size_t rows, size_t size, const float *weight,
                               const void *in, void *out, kernel_stream stream)
{
    return dispatch(type, size, [&](auto as) {
        typedef typename decltype(as)::type T;
        constexpr int V = decltype(as)::width;
        auto kernel = position_apply<T, V>;
        return LAUNCH(kernel, blocks_for(rows * (size / V), THREADS), THREADS, stream, rows, size,
                      weight, (const T *)in, (T *)out);
    });
}
extern "C" int kernel_row_sums(element type, size_t rows, size_t stride, size_t count,
                               const void *d, float *sums, kernel_stream stream)
{
    return dispatch(type, stride | count, [&](auto as) {
        typedef typename decltype(as)::type T;
        constexpr int V = decltype(as)::width;
        auto kernel = row_sums<T, V>;
        return LAUNCH(kernel, blocks_for(count / V, THREADS), THREADS, stream, rows, stride, count,
                      (const T *)d, sums);
    });
}
extern "C" int kernel_select(element type, const select_task *t, const void *in, void *out,
                             kernel_stream stream)
{
    return dispatch(type, select_width(t), [&](auto as) {
        typedef typename decltype(as)::type T;
        constexpr int V = decltype(as)::width;
        auto kernel = select_apply<T, V>;
        return LAUNCH(kernel, blocks_for(t->rows * (t->out_places * t->out_channels / V), THREADS),
                      THREADS, stream, *t, (const T *)in, (T *)out);
    });
}
extern "C" int kernel_select_backward(element type, const select_task *t, const void *d_out,
                                      void *d_in, kernel_stream stream)
{
    return dispatch(type, select_width(t), [&](auto as) {
        typedef typename decltype(as)::type T;
        constexpr int V = decltype(as)::width;
        auto kernel = select_back_apply<T, V>;
        return LAUNCH(kernel, blocks_for(t->rows * (t->in_places * t->in_channels / V), THREADS),
                      THREADS, stream, *t, (const T *)d_out, (T *)d_in);
    });
}
