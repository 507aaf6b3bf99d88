/* pool.cu: pooling over windows that do not overlap, NHWC. Forward and dropout are one pass, and so
 * are, backward, dropout, ReLU, the window and the sums that are the bias' gradient of the layer
 * below. */
#include "device.cuh"

/* The place p, counted in windows of `lanes_wide` packs, as row, y, x of the pooled picture. */
struct window_at {
    int row, y, x;
};
__device__ static inline window_at window_find(size_t p, int height, int width)
{
    window_at w;
    w.x = (int)(p % (size_t)width);
    p /= (size_t)width;
    w.y = (int)(p % (size_t)height);
    w.row = (int)(p / (size_t)height);
    return w;
}

template <class T, int V>
__global__ static void maxpool(pool_shape s, const T *in, T *out, uint16_t *argmax,
                               kernel_drop drop)
{
    size_t packs = (size_t)s.channels / V;
    size_t p = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (p >= packs * (size_t)s.rows * (size_t)s.out_height * (size_t)s.out_width)
        return;
    window_at w = window_find(p / packs, s.out_height, s.out_width);
    size_t channel = p % packs * V;
    float best[V];
    pack<uint16_t, V> place;
    for (int i = 0; i < s.window_height; i++) {
        for (int j = 0; j < s.window_width; j++) {
            size_t y = (size_t)(w.y * s.window_height + i), x = (size_t)(w.x * s.window_width + j);
            size_t at = (((size_t)w.row * (size_t)s.in_height + y) * (size_t)s.in_width + x) *
                            (size_t)s.channels +
                        channel;
            pack<T, V> v = load<T, V>(in + at);
            for (int k = 0; k < V; k++) {
                float value = to_float(v.v[k]);
                if ((i == 0 && j == 0) || value > best[k]) {
                    best[k] = value;
                    place.v[k] = (uint16_t)(i * s.window_width + j);
                }
            }
        }
    }
    size_t first = p * V;
    random_block block = {};
    if (drop.active)
        block = element_drop_block(drop.seed, drop.layer, drop.state->step, first / 8);
    pack<T, V> y;
    for (int k = 0; k < V; k++) {
        float value = best[k];
        if (drop.active)
            value = element_keeps(block, (int)((first + (size_t)k) % 8), drop.threshold)
                        ? value * drop.scale
                        : 0;
        y.v[k] = from_float<T>(value);
    }
    store(out + first, y);
    if (argmax)
        store(argmax + first, place);
}

/* The gradient that comes to the window's largest. */
template <class T, int V>
__device__ static inline void unpool_gradient(const T *y, const T *d_out, size_t first,
                                              const kernel_drop &drop, float *d)
{
    pack<T, V> g = load<T, V>(d_out + first), alive;
    random_block block = {};
    if (y)
        alive = load<T, V>(y + first);
    else if (drop.active)
        block = element_drop_block(drop.seed, drop.layer, drop.state->step, first / 8);
    for (int k = 0; k < V; k++) {
        bool lives = true;
        if (y)
            lives = to_float(alive.v[k]) > 0;
        else if (drop.active)
            lives = element_keeps(block, (int)((first + (size_t)k) % 8), drop.threshold);
        d[k] = lives ? to_float(g.v[k]) * (drop.active ? drop.scale : 1) : 0;
    }
}

/* Windows are counted over the whole input: those that the pool left out get zeros. */
template <class T, int V>
__global__ static void unpool(pool_shape s, const T *y, const uint16_t *argmax, const T *d_out,
                              T *d_in, kernel_drop drop, float *column_sums, float *partials,
                              unsigned *arrivals)
{
    column_tile<V> t((size_t)s.channels);
    int high = (s.in_height + s.window_height - 1) / s.window_height;
    int wide = (s.in_width + s.window_width - 1) / s.window_width;
    size_t windows = (size_t)s.rows * (size_t)high * (size_t)wide;
    float sums[V] = {};
    for (size_t p = (size_t)blockIdx.x * (size_t)t.rows + (size_t)t.row; t.active && p < windows;
         p += (size_t)gridDim.x * (size_t)t.rows) {
        window_at w = window_find(p, high, wide);
        float d[V] = {};
        int place[V];
        for (int k = 0; k < V; k++)
            place[k] = -1;
        if (w.y < s.out_height && w.x < s.out_width) {
            size_t first =
                (((size_t)w.row * (size_t)s.out_height + (size_t)w.y) * (size_t)s.out_width +
                 (size_t)w.x) *
                    (size_t)s.channels +
                t.column;
            unpool_gradient<T, V>(y, d_out, first, drop, d);
            pack<uint16_t, V> largest = load<uint16_t, V>(argmax + first);
            for (int k = 0; k < V; k++) {
                place[k] = largest.v[k];
                sums[k] += d[k];
            }
        }
        for (int i = 0; i < s.window_height; i++) {
            for (int j = 0; j < s.window_width; j++) {
                int yy = w.y * s.window_height + i, xx = w.x * s.window_width + j;
                if (yy >= s.in_height || xx >= s.in_width)
                    continue;
                pack<T, V> v;
                for (int k = 0; k < V; k++)
                    v.v[k] = from_float<T>(place[k] == i * s.window_width + j ? d[k] : 0);
                store(d_in +
                          (((size_t)w.row * (size_t)s.in_height + (size_t)yy) * (size_t)s.in_width +
                           (size_t)xx) *
                              (size_t)s.channels +
                          t.column,
                      v);
            }
        }
    }
    if (!column_sums)
        return;
    tile_sum(t, sums, partials + (size_t)blockIdx.x * (size_t)s.channels);
    if (block_is_last(arrivals, gridDim.x * gridDim.y))
        columns_finish(partials, gridDim.x, (size_t)s.channels, column_sums);
}

/* One thread a channel (or a vector of them) of a picture. */
template <class T, int V>
__global__ static void avgpool(const T *in, T *out, size_t rows, size_t places, size_t channels)
{
    size_t packs = channels / V, p = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (p >= rows * packs)
        return;
    const T *picture = in + p / packs * places * channels + p % packs * V;
    float sums[V] = {};
    for (size_t i = 0; i < places; i++) {
        pack<T, V> x = load<T, V>(picture + i * channels);
        for (int k = 0; k < V; k++)
            sums[k] += to_float(x.v[k]);
    }
    pack<T, V> y;
    for (int k = 0; k < V; k++)
        y.v[k] = from_float<T>(sums[k] / (float)places);
    store(out + p * V, y);
}

template <class T, int V>
__global__ static void unavgpool(const T *d_out, T *d_in, size_t rows, size_t places,
                                 size_t channels)
{
    size_t packs = channels / V, p = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (p >= rows * places * packs)
        return;
    size_t row = p / packs / places;
    pack<T, V> d = load<T, V>(d_out + row * channels + p % packs * V);
    for (int k = 0; k < V; k++)
        d.v[k] = from_float<T>(to_float(d.v[k]) / (float)places);
    store(d_in + p * V, d);
}

extern "C" int kernel_maxpool(element type, const pool_shape *s, const void *in, void *out,
                              uint16_t *argmax, const kernel_drop *drop, kernel_stream stream)
{
    return dispatch(type, (size_t)s->channels, [&](auto as) {
        typedef typename decltype(as)::type T;
        constexpr int V = decltype(as)::width;
        auto kernel = maxpool<T, V>;
        size_t packs = (size_t)s->rows * (size_t)s->out_height * (size_t)s->out_width *
                       (size_t)(s->channels / V);
        return LAUNCH(kernel, blocks_for(packs, THREADS), THREADS, stream, *s, (const T *)in,
                      (T *)out, argmax, *drop);
    });
}
extern "C" int kernel_unpool(element type, const pool_shape *s, const void *y,
                             const uint16_t *argmax, const void *d_out, void *d_in,
                             const kernel_drop *drop, float *column_sums, float *partials,
                             unsigned *arrivals, kernel_stream stream)
{
    return dispatch(type, (size_t)s->channels, [&](auto as) {
        typedef typename decltype(as)::type T;
        constexpr int V = decltype(as)::width;
        auto kernel = unpool<T, V>;
        size_t high = (size_t)((s->in_height + s->window_height - 1) / s->window_height);
        size_t wide = (size_t)((s->in_width + s->window_width - 1) / s->window_width);
        size_t channels = (size_t)s->channels;
        dim3 grid(tile_chunks((size_t)s->rows * high * wide, channels, V, COLUMN_CHUNKS),
                  tile_groups(channels, V));
        return LAUNCH(kernel, grid, THREADS, stream, *s, (const T *)y, argmax, (const T *)d_out,
                      (T *)d_in, *drop, column_sums, partials, arrivals);
    });
}
extern "C" int kernel_avgpool(element type, const void *in, void *out, size_t rows, size_t places,
                              size_t channels, kernel_stream stream)
{
    return dispatch(type, channels, [&](auto as) {
        typedef typename decltype(as)::type T;
        constexpr int V = decltype(as)::width;
        auto kernel = avgpool<T, V>;
        return LAUNCH(kernel, blocks_for(rows * (channels / V), THREADS), THREADS, stream,
                      (const T *)in, (T *)out, rows, places, channels);
    });
}
extern "C" int kernel_unavgpool(element type, const void *d_out, void *d_in, size_t rows,
                                size_t places, size_t channels, kernel_stream stream)
{
    return dispatch(type, channels, [&](auto as) {
        typedef typename decltype(as)::type T;
        constexpr int V = decltype(as)::width;
        auto kernel = unavgpool<T, V>;
        return LAUNCH(kernel, blocks_for(rows * places * (channels / V), THREADS), THREADS, stream,
                      (const T *)d_out, (T *)d_in, rows, places, channels);
    });
}
