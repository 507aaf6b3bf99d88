/* layernorm.cu: layer normalisation and affine; the formulas are in kernels/reference/norm.c.
 *
 * Forward one warp does a place. Backward is two launches: the parameters' gradients, as sums over
 * places; then, in place if need be, a warp a place again. */
#include "device.cuh"

#define PLACES (THREADS / WARP) /* that a block does at once */

/* The warp's place, its lane's first channel, and whether there is such a place. */
template <int V> struct warp_place {
    size_t place, first;
    bool active;

    __device__ warp_place(const place_norm_task &t)
    {
        place = (size_t)blockIdx.x * PLACES + threadIdx.x / WARP;
        first = threadIdx.x % WARP * V;
        active = place < t.places;
    }
};

/* Mean and 1 / deviation of a place, for all lanes of its warp. */
template <class T, int V>
__device__ static inline void place_measure(const place_norm_task &t, const T *x, size_t first,
                                            float *mean, float *inverse)
{
    float sum = 0, squares = 0, n = (float)t.channels;
    for (size_t c = first; c < t.channels; c += WARP * V) {
        pack<T, V> v = load<T, V>(x + c);
        for (int i = 0; i < V; i++)
            sum += to_float(v.v[i]);
    }
    *mean = warp_sum(sum) / n;
    for (size_t c = first; c < t.channels; c += WARP * V) {
        pack<T, V> v = load<T, V>(x + c);
        for (int i = 0; i < V; i++) {
            float off = to_float(v.v[i]) - *mean;
            squares += off * off;
        }
    }
    *inverse = 1.0f / sqrtf(warp_sum(squares) / n + t.epsilon);
}

/* What is written for channels c and on, of which x are the numbers. */
template <class T, int V>
__device__ static inline pack<T, V> normed(const place_norm_task &t, size_t c, pack<T, V> x,
                                           float mean, float inverse)
{
    float gamma[V], beta[V];
    floats_load<V>(t.gamma + c, gamma);
    floats_load<V>(t.beta + c, beta);
    for (int i = 0; i < V; i++)
        x.v[i] = from_float<T>(gamma[i] * ((to_float(x.v[i]) - mean) * inverse) + beta[i]);
    return x;
}

__device__ static inline void moments_keep(const place_norm_task &t, size_t place, float mean,
                                           float inverse)
{
    if (!t.moments || threadIdx.x % WARP != 0)
        return;
    t.moments[2 * place] = mean;
    t.moments[2 * place + 1] = inverse;
}

/* Layernorm of so few channels that the warp holds them, HELD vectors a lane: memory is read
 * once. */
#define HELD 4
template <class T, int V>
__global__ static void place_norm_held(place_norm_task t, const T *in, T *out)
{
    warp_place<V> w(t);
    size_t at = (w.active ? w.place : 0) * t.channels; /* all lanes go the same way */
    pack<T, V> x[HELD];
    float sum = 0, squares = 0, n = (float)t.channels;
#pragma unroll
    for (int h = 0; h < HELD; h++)
        if (w.first + (size_t)(h * WARP * V) < t.channels)
            x[h] = load<T, V>(in + at + w.first + (size_t)(h * WARP * V));
#pragma unroll
    for (int h = 0; h < HELD; h++)
        for (int i = 0; i < V; i++)
            sum += w.first + (size_t)(h * WARP * V) < t.channels ? to_float(x[h].v[i]) : 0;
    float mean = warp_sum(sum) / n;
#pragma unroll
    for (int h = 0; h < HELD; h++)
        for (int i = 0; i < V; i++) {
            float off = to_float(x[h].v[i]) - mean;
            squares += w.first + (size_t)(h * WARP * V) < t.channels ? off * off : 0;
        }
    float inverse = 1.0f / sqrtf(warp_sum(squares) / n + t.epsilon);
    if (!w.active)
        return;
    moments_keep(t, w.place, mean, inverse);
#pragma unroll
    for (int h = 0; h < HELD; h++) {
        size_t c = w.first + (size_t)(h * WARP * V);
        if (c < t.channels)
            store(out + at + c, normed<T, V>(t, c, x[h], mean, inverse));
    }
}

template <class T, int V> __global__ static void place_norm(place_norm_task t, const T *in, T *out)
{
    warp_place<V> w(t);
    size_t at = (w.active ? w.place : 0) * t.channels; /* all lanes go the same way */
    float mean = 0, inverse = 1;
    if (t.normalises)
        place_measure<T, V>(t, in + at, w.first, &mean, &inverse);
    if (!w.active)
        return;
    moments_keep(t, w.place, mean, inverse);
    for (size_t c = w.first; c < t.channels; c += WARP * V)
        store(out + at + c, normed<T, V>(t, c, load<T, V>(in + at + c), mean, inverse));
}

/* d and z of a vector of channels at a place. */
template <class T, int V>
__device__ static inline void place_pair(const place_norm_task &t, size_t place, size_t c,
                                         const T *in, const T *d_out, float *d, float *z)
{
    float mean = t.normalises ? t.moments[2 * place] : 0;
    float inverse = t.normalises ? t.moments[2 * place + 1] : 1;
    pack<T, V> x = load<T, V>(in + place * t.channels + c);
    pack<T, V> gradient = load<T, V>(d_out + place * t.channels + c);
    for (int i = 0; i < V; i++) {
        d[i] = to_float(gradient.v[i]);
        z[i] = (to_float(x.v[i]) - mean) * inverse;
    }
}

/* partials: [chunk][channels] of d, then as many of d z, by chunks of all blocks along x. */
template <class T, int V>
__global__ static void place_sums(place_norm_task t, const T *in, const T *d_out, float *d_gamma,
                                  float *d_beta)
{
    column_tile<V> tile(t.channels);
    float sums[V] = {}, products[V] = {};
    for (size_t r = (size_t)blockIdx.x * (size_t)tile.rows + (size_t)tile.row;
         tile.active && r < t.places; r += (size_t)gridDim.x * (size_t)tile.rows) {
        float d[V], z[V];
        place_pair<T, V>(t, r, tile.column, in, d_out, d, z);
        for (int i = 0; i < V; i++) {
            sums[i] += d[i];
            products[i] += d[i] * z[i];
        }
    }
    float *second = t.partials + gridDim.x * t.channels;
    tile_sum(tile, sums, t.partials + blockIdx.x * t.channels);
    tile_sum(tile, products, second + blockIdx.x * t.channels);
    if (!block_is_last(t.arrivals, gridDim.x * gridDim.y))
        return;
    columns_finish(t.partials, gridDim.x, t.channels, d_beta);
    columns_finish(second, gridDim.x, t.channels, d_gamma);
}

template <class T, int V>
__global__ static void place_norm_backward(place_norm_task t, const T *in, const T *d_out, T *d_in)
{
    warp_place<V> w(t);
    size_t place = w.active ? w.place : 0;
    float sum = 0, along = 0, d[V], z[V], n = (float)t.channels;
    for (size_t c = w.first; t.normalises && c < t.channels; c += WARP * V) {
        place_pair<T, V>(t, place, c, in, d_out, d, z);
        for (int i = 0; i < V; i++) {
            sum += d[i] * t.gamma[c + (size_t)i];
            along += d[i] * t.gamma[c + (size_t)i] * z[i];
        }
    }
    sum = warp_sum(sum) / n;
    along = warp_sum(along) / n;
    float inverse = t.normalises ? t.moments[2 * place + 1] : 1;
    for (size_t c = w.first; w.active && c < t.channels; c += WARP * V) {
        pack<T, V> out;
        place_pair<T, V>(t, place, c, in, d_out, d, z);
        for (int i = 0; i < V; i++)
            out.v[i] =
                from_float<T>(inverse * (d[i] * t.gamma[c + (size_t)i] - sum - z[i] * along));
        store(d_in + place * t.channels + c, out);
    }
}

extern "C" int kernel_place_norm(element type, const place_norm_task *t, const void *in, void *out,
                                 kernel_stream stream)
{
    return dispatch(type, t->channels, [&](auto as) {
        typedef typename decltype(as)::type T;
        constexpr int V = decltype(as)::width;
        bool held = t->normalises && t->channels <= (size_t)(HELD * WARP * V);
        auto kernel = held ? place_norm_held<T, V> : place_norm<T, V>;
        return LAUNCH(kernel, blocks_for(t->places, PLACES), THREADS, stream, *t, (const T *)in,
                      (T *)out);
    });
}
extern "C" int kernel_place_norm_backward(element type, const place_norm_task *t, const void *in,
                                          const void *d_out, float *d_gamma, float *d_beta,
                                          void *d_in, kernel_stream stream)
{
    return dispatch(type, t->channels, [&](auto as) {
        typedef typename decltype(as)::type T;
        constexpr int V = decltype(as)::width;
        auto sum = place_sums<T, V>;
        auto apply = place_norm_backward<T, V>;
        dim3 grid(tile_chunks(t->places, t->channels, V, COLUMN_CHUNKS),
                  tile_groups(t->channels, V));
        int status = LAUNCH(sum, grid, THREADS, stream, *t, (const T *)in, (const T *)d_out,
                            d_gamma, d_beta);
        if (status || !d_in)
            return status;
        return LAUNCH(apply, blocks_for(t->places, PLACES), THREADS, stream, *t, (const T *)in,
                      (const T *)d_out, (T *)d_in);
    });
}
