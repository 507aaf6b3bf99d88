/* elementwise.cu: what each element undergoes alone. Memory-bound: 16 bytes a thread and access. */
#include "device.cuh"

/* in, bias and out may be the same or overlap by whole vectors only: no restrict. */
template <class T, int V>
__global__ static void bias_apply(const T *in, const T *bias, T *out, size_t packs, size_t channels,
                                  kernel_activation f, kernel_drop drop)
{
    size_t p = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (p >= packs)
        return;
    size_t first = p * V;
    pack<T, V> x = load<T, V>(in + first), b = {};
    if (bias)
        b = load<T, V>(bias + first % channels);
    random_block block = {};
    if (drop.active)
        block = element_drop_block(drop.seed, drop.layer, drop.state->step, first / 8);
    for (int i = 0; i < V; i++) {
        float y = to_float(x.v[i]);
        if (bias)
            y += to_float(b.v[i]);
        if (f.kind >= 0)
            y = element_activate((activation_kind)f.kind, f.rate, f.high, y);
        if (drop.active)
            y = element_keeps(block, (int)((first + (size_t)i) % 8), drop.threshold)
                    ? y * drop.scale
                    : 0;
        x.v[i] = from_float<T>(y);
    }
    store(out + first, x);
}

template <class T, int V>
__global__ static void slope_apply(kernel_activation f, const T *in, const T *d_out, T *d_in,
                                   size_t packs)
{
    size_t p = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (p >= packs)
        return;
    pack<T, V> x = load<T, V>(in + p * V), d = load<T, V>(d_out + p * V);
    for (int i = 0; i < V; i++)
        d.v[i] =
            from_float<T>(element_slope((activation_kind)f.kind, f.rate, f.high, to_float(x.v[i])) *
                          to_float(d.v[i]));
    store(d_in + p * V, d);
}

template <class T, int V>
__global__ static void scale_apply(const T *in, T *out, size_t packs, float factor)
{
    size_t p = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (p >= packs)
        return;
    pack<T, V> x = load<T, V>(in + p * V);
    for (int i = 0; i < V; i++)
        x.v[i] = from_float<T>(factor * to_float(x.v[i]));
    store(out + p * V, x);
}

template <class T, int V>
__global__ static void add_apply(const T *a, const T *b, T *out, size_t packs)
{
    size_t p = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (p >= packs)
        return;
    pack<T, V> x = load<T, V>(a + p * V), y = load<T, V>(b + p * V);
    for (int i = 0; i < V; i++)
        x.v[i] = from_float<T>(to_float(x.v[i]) + to_float(y.v[i]));
    store(out + p * V, x);
}

template <class T, int V>
__global__ static void to_float_apply(const T *in, float *out, size_t packs)
{
    size_t p = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (p >= packs)
        return;
    pack<T, V> x = load<T, V>(in + p * V);
    pack<float, V> y;
    for (int i = 0; i < V; i++)
        y.v[i] = to_float(x.v[i]);
    store(out + p * V, y);
}

/* d_masked = d_out [y > 0] scale, and its sums over rows, which are a bias' gradient: one pass
 * instead of two. The blocks' sums are added up by the last block, in a fixed order. */
template <class T, int V>
__global__ static void mask_apply(const T *y, const T *d_out, T *d_masked, float scale, size_t rows,
                                  size_t channels, float *column_sums, float *partials,
                                  unsigned *arrivals)
{
    column_tile<V> t(channels);
    float sums[V] = {};
    for (size_t r = (size_t)blockIdx.x * (size_t)t.rows + (size_t)t.row; t.active && r < rows;
         r += (size_t)gridDim.x * (size_t)t.rows) {
        size_t at = r * channels + t.column;
        pack<T, V> d = load<T, V>(d_out + at), alive;
        if (y)
            alive = load<T, V>(y + at);
        for (int i = 0; i < V; i++) {
            bool lives = !y || to_float(alive.v[i]) > 0;
            float x = lives ? to_float(d.v[i]) * scale : 0;
            d.v[i] = from_float<T>(x);
            sums[i] += x;
        }
        if (d_masked)
            store(d_masked + at, d);
    }
    if (!column_sums)
        return;
    tile_sum(t, sums, partials + blockIdx.x * channels);
    if (block_is_last(arrivals, gridDim.x * gridDim.y))
        columns_finish(partials, gridDim.x, channels, column_sums);
}

extern "C" int kernel_bias(element type, const void *in, const void *bias, void *out, size_t count,
                           size_t channels, const kernel_activation *activation,
                           const kernel_drop *drop, kernel_stream stream)
{
    kernel_activation f = activation ? *activation : kernel_activation{-1, 0, 0};
    /* A vector must not run over the end of a row of channels, where there is a bias. */
    size_t width = bias ? channels : count;
    return dispatch(type, width, [&](auto as) {
        typedef typename decltype(as)::type T;
        constexpr int V = decltype(as)::width;
        auto kernel = bias_apply<T, V>;
        return LAUNCH(kernel, blocks_for(count / V, THREADS), THREADS, stream, (const T *)in,
                      (const T *)bias, (T *)out, count / V, channels, f, *drop);
    });
}
extern "C" int kernel_slope(element type, const kernel_activation *activation, const void *in,
                            const void *d_out, void *d_in, size_t count, kernel_stream stream)
{
    return dispatch(type, count, [&](auto as) {
        typedef typename decltype(as)::type T;
        constexpr int V = decltype(as)::width;
        auto kernel = slope_apply<T, V>;
        return LAUNCH(kernel, blocks_for(count / V, THREADS), THREADS, stream, *activation,
                      (const T *)in, (const T *)d_out, (T *)d_in, count / V);
    });
}
extern "C" int kernel_scale(element type, const void *in, void *out, size_t count, float factor,
                            kernel_stream stream)
{
    return dispatch(type, count, [&](auto as) {
        typedef typename decltype(as)::type T;
        constexpr int V = decltype(as)::width;
        auto kernel = scale_apply<T, V>;
        return LAUNCH(kernel, blocks_for(count / V, THREADS), THREADS, stream, (const T *)in,
                      (T *)out, count / V, factor);
    });
}
extern "C" int kernel_add(element type, const void *a, const void *b, void *out, size_t count,
                          kernel_stream stream)
{
    return dispatch(type, count, [&](auto as) {
        typedef typename decltype(as)::type T;
        constexpr int V = decltype(as)::width;
        auto kernel = add_apply<T, V>;
        return LAUNCH(kernel, blocks_for(count / V, THREADS), THREADS, stream, (const T *)a,
                      (const T *)b, (T *)out, count / V);
    });
}
extern "C" int kernel_to_float(element type, const void *in, float *out, size_t count,
                               kernel_stream stream)
{
    return dispatch(type, count, [&](auto as) {
        typedef typename decltype(as)::type T;
        constexpr int V = decltype(as)::width;
        auto kernel = to_float_apply<T, V>;
        return LAUNCH(kernel, blocks_for(count / V, THREADS), THREADS, stream, (const T *)in, out,
                      count / V);
    });
}
extern "C" int kernel_mask(element type, const void *y, const void *d_out, void *d_masked,
                           float scale, size_t rows, size_t channels, float *column_sums,
                           float *partials, unsigned *arrivals, kernel_stream stream)
{
    return dispatch(type, channels, [&](auto as) {
        typedef typename decltype(as)::type T;
        constexpr int V = decltype(as)::width;
        auto kernel = mask_apply<T, V>;
        dim3 grid(tile_chunks(rows, channels, V, COLUMN_CHUNKS), tile_groups(channels, V));
        return LAUNCH(kernel, grid, THREADS, stream, (const T *)y, (const T *)d_out, (T *)d_masked,
                      scale, rows, channels, column_sums, partials, arrivals);
    });
}
