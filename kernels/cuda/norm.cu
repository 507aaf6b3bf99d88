/* norm.cu: batch normalisation over groups of rows; the formulas are in
 * kernels/reference/norm.c.
 *
 * Forward is two launches: sums of x - k and (x - k)^2, k being the group's first element of the
 * channel (so that nothing cancels), finished by the last block in double; then z gamma + beta.
 * Backward is two alike: sums of d and d z; then the derivative. */
#include "device.cuh"

/* The rows of a matrix [rows * places][channels] that are one group's. */
struct group_rows {
    size_t first, count;
};
__device__ static inline group_rows group_find(const norm_task &t, size_t group)
{
    size_t first = group * t.each, count = t.rows - first < t.each ? t.rows - first : t.each;
    return group_rows{first * t.places, count * t.places};
}

/* blockIdx: x chunk, y columns, z group. partials [group][chunk][2][channels]. */
template <int V>
__device__ static inline void pair_store(const norm_task &t, const column_tile<V> &tile,
                                         const float *first, const float *second)
{
    float *out = t.partials + (blockIdx.z * gridDim.x + blockIdx.x) * 2 * t.channels;
    tile_sum(tile, first, out);
    tile_sum(tile, second, out + t.channels);
}

/* What the last block does for each column: moments of all groups, and the running ones. */
template <class T>
__device__ static void moments_finish(const norm_task &t, const T *in, unsigned chunks)
{
    unsigned lanes = t.channels < THREADS ? (unsigned)t.channels : THREADS;
    for (size_t base = 0; base < t.channels; base += lanes) {
        size_t c = base + threadIdx.x % lanes;
        bool mine = threadIdx.x < lanes && c < t.channels;
        double means = 0, variances = 0;
        for (size_t g = 0; g < t.groups; g++) {
            const float *partials = t.partials + g * chunks * 2 * t.channels;
            double s = chunk_sum<double>(partials, chunks, 2 * t.channels, c, t.channels, lanes);
            double q = chunk_sum<double>(partials + t.channels, chunks, 2 * t.channels, c,
                                         t.channels, lanes);
            if (!mine)
                continue;
            group_rows rows = group_find(t, g);
            double n = (double)rows.count, d = s / n;
            double mean = (double)to_float(in[rows.first * t.channels + c]) + d;
            double variance = q / n - d * d;
            variance = variance > 0 ? variance : 0;
            t.moments[g * 2 * t.channels + c] = (float)mean;
            t.moments[(g * 2 + 1) * t.channels + c] = (float)(1 / sqrt(variance + NORM_EPSILON));
            means += mean / (double)t.groups;
            variances += variance * (n > 1 ? n / (n - 1) : 1) / (double)t.groups;
        }
        if (mine && t.running_mean) {
            t.running_mean[c] =
                (float)(NORM_MOMENTUM * (double)t.running_mean[c] + (1 - NORM_MOMENTUM) * means);
            t.running_variance[c] = (float)(NORM_MOMENTUM * (double)t.running_variance[c] +
                                            (1 - NORM_MOMENTUM) * variances);
        }
    }
}

template <class T, int V> __global__ static void moments_sum(norm_task t, const T *in)
{
    column_tile<V> tile(t.channels);
    group_rows rows = group_find(t, blockIdx.z);
    float sums[V] = {}, squares[V] = {};
    pack<T, V> origin = {};
    if (tile.active)
        origin = load<T, V>(in + rows.first * t.channels + tile.column);
    for (size_t r = (size_t)blockIdx.x * (size_t)tile.rows + (size_t)tile.row;
         tile.active && r < rows.count; r += (size_t)gridDim.x * (size_t)tile.rows) {
        pack<T, V> x = load<T, V>(in + (rows.first + r) * t.channels + tile.column);
        for (int i = 0; i < V; i++) {
            float d = to_float(x.v[i]) - to_float(origin.v[i]);
            sums[i] += d;
            squares[i] += d * d;
        }
    }
    pair_store(t, tile, sums, squares);
    if (block_is_last(t.arrivals, gridDim.x * gridDim.y * gridDim.z))
        moments_finish(t, in, gridDim.x);
}

/* Which group a row of the matrix is in. */
__device__ static inline size_t group_of(const norm_task &t, size_t matrix_row)
{
    return matrix_row / t.places / t.each;
}

template <class T, int V> __global__ static void norm_apply(norm_task t, const T *in, T *out)
{
    size_t packs = t.channels / V, p = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (p >= t.rows * t.places * packs)
        return;
    size_t c = p % packs * V, g = group_of(t, p / packs);
    const float *mean = t.moments + g * 2 * t.channels, *inverse = mean + t.channels;
    pack<T, V> x = load<T, V>(in + p * V);
    for (int i = 0; i < V; i++) {
        size_t k = c + (size_t)i;
        float y = t.gamma[k] * ((to_float(x.v[i]) - mean[k]) * inverse[k]) + t.beta[k];
        x.v[i] = from_float<T>(t.relu && !(y > 0) ? 0 : y);
    }
    store(out + p * V, x);
}

template <class T, int V>
__global__ static void norm_infer(norm_task t, const float *mean, const float *variance,
                                  const T *in, T *out)
{
    size_t packs = t.channels / V, p = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (p >= t.rows * t.places * packs)
        return;
    size_t c = p % packs * V;
    pack<T, V> x = load<T, V>(in + p * V);
    for (int i = 0; i < V; i++) {
        size_t k = c + (size_t)i;
        float inverse = 1.0f / sqrtf(variance[k] + (float)NORM_EPSILON);
        float y = t.gamma[k] * ((to_float(x.v[i]) - mean[k]) * inverse) + t.beta[k];
        x.v[i] = from_float<T>(t.relu && !(y > 0) ? 0 : y);
    }
    store(out + p * V, x);
}

/* d_out where the output is alive, and z. */
template <class T, int V>
__device__ static inline void norm_pair(const norm_task &t, size_t g, size_t at, size_t c,
                                        const T *in, const T *y, const T *d_out, float *d, float *z)
{
    const float *mean = t.moments + g * 2 * t.channels, *inverse = mean + t.channels;
    pack<T, V> x = load<T, V>(in + at), out = {}, gradient = load<T, V>(d_out + at);
    if (t.relu)
        out = load<T, V>(y + at);
    for (int i = 0; i < V; i++) {
        size_t k = c + (size_t)i;
        d[i] = t.relu && !(to_float(out.v[i]) > 0) ? 0 : to_float(gradient.v[i]) * t.scale;
        z[i] = (to_float(x.v[i]) - mean[k]) * inverse[k];
    }
}

__device__ static void gradients_finish(const norm_task &t, unsigned chunks, float *d_gamma,
                                        float *d_beta)
{
    unsigned lanes = t.channels < THREADS ? (unsigned)t.channels : THREADS;
    float *sums = t.moments + t.groups * 2 * t.channels;
    for (size_t base = 0; base < t.channels; base += lanes) {
        size_t c = base + threadIdx.x % lanes;
        bool mine = threadIdx.x < lanes && c < t.channels;
        double beta = 0, gamma = 0;
        for (size_t g = 0; g < t.groups; g++) {
            const float *partials = t.partials + g * chunks * 2 * t.channels;
            double d = chunk_sum<double>(partials, chunks, 2 * t.channels, c, t.channels, lanes);
            double dz = chunk_sum<double>(partials + t.channels, chunks, 2 * t.channels, c,
                                          t.channels, lanes);
            if (!mine)
                continue;
            sums[g * 2 * t.channels + c] = (float)d;
            sums[(g * 2 + 1) * t.channels + c] = (float)dz;
            beta += d;
            gamma += dz;
        }
        if (mine) {
            d_beta[c] = (float)beta;
            d_gamma[c] = (float)gamma;
        }
    }
}

template <class T, int V>
__global__ static void gradients_sum(norm_task t, const T *in, const T *y, const T *d_out,
                                     float *d_gamma, float *d_beta)
{
    column_tile<V> tile(t.channels);
    group_rows rows = group_find(t, blockIdx.z);
    float sums[V] = {}, products[V] = {};
    for (size_t r = (size_t)blockIdx.x * (size_t)tile.rows + (size_t)tile.row;
         tile.active && r < rows.count; r += (size_t)gridDim.x * (size_t)tile.rows) {
        float d[V], z[V];
        norm_pair<T, V>(t, blockIdx.z, (rows.first + r) * t.channels + tile.column, tile.column, in,
                        y, d_out, d, z);
        for (int i = 0; i < V; i++) {
            sums[i] += d[i];
            products[i] += d[i] * z[i];
        }
    }
    pair_store(t, tile, sums, products);
    if (block_is_last(t.arrivals, gridDim.x * gridDim.y * gridDim.z))
        gradients_finish(t, gridDim.x, d_gamma, d_beta);
}

template <class T, int V>
__global__ static void norm_backward(norm_task t, const T *in, const T *y, const T *d_out, T *d_in)
{
    size_t packs = t.channels / V, p = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (p >= t.rows * t.places * packs)
        return;
    size_t c = p % packs * V, g = group_of(t, p / packs);
    const float *inverse = t.moments + (g * 2 + 1) * t.channels;
    const float *sums = t.moments + (t.groups + g) * 2 * t.channels;
    float d[V], z[V], n = (float)group_find(t, g).count;
    norm_pair<T, V>(t, g, p * V, c, in, y, d_out, d, z);
    pack<T, V> out;
    for (int i = 0; i < V; i++) {
        size_t k = c + (size_t)i;
        out.v[i] = from_float<T>(element_norm_backward(t.gamma[k], inverse[k], d[i], z[i], sums[k],
                                                       sums[t.channels + k], n));
    }
    store(d_in + p * V, out);
}

/* The grid of the sums: as many blocks a group as norm_chunks leaves room for. */
static inline dim3 sums_grid(const norm_task *t, int v)
{
    size_t each = t->each < t->rows ? t->each : t->rows;
    return dim3(tile_chunks(each * t->places, t->channels, v, norm_chunks(t->groups)),
                tile_groups(t->channels, v), (unsigned)t->groups);
}

extern "C" int kernel_norm_train(element type, const norm_task *t, const void *in, void *out,
                                 kernel_stream stream)
{
    return dispatch(type, t->channels, [&](auto as) {
        typedef typename decltype(as)::type T;
        constexpr int V = decltype(as)::width;
        auto sum = moments_sum<T, V>;
        auto apply = norm_apply<T, V>;
        int status = LAUNCH(sum, sums_grid(t, V), THREADS, stream, *t, (const T *)in);
        if (status)
            return status;
        return LAUNCH(apply, blocks_for(t->rows * t->places * (t->channels / V), THREADS), THREADS,
                      stream, *t, (const T *)in, (T *)out);
    });
}
extern "C" int kernel_norm_infer(element type, const norm_task *t, const float *mean,
                                 const float *variance, const void *in, void *out,
                                 kernel_stream stream)
{
    return dispatch(type, t->channels, [&](auto as) {
        typedef typename decltype(as)::type T;
        constexpr int V = decltype(as)::width;
        auto kernel = norm_infer<T, V>;
        return LAUNCH(kernel, blocks_for(t->rows * t->places * (t->channels / V), THREADS), THREADS,
                      stream, *t, mean, variance, (const T *)in, (T *)out);
    });
}
extern "C" int kernel_norm_backward(element type, const norm_task *t, const void *in, const void *y,
                                    const void *d_out, float *d_gamma, float *d_beta, void *d_in,
                                    kernel_stream stream)
{
    return dispatch(type, t->channels, [&](auto as) {
        typedef typename decltype(as)::type T;
        constexpr int V = decltype(as)::width;
        auto sum = gradients_sum<T, V>;
        auto apply = norm_backward<T, V>;
        int status = LAUNCH(sum, sums_grid(t, V), THREADS, stream, *t, (const T *)in, (const T *)y,
                            (const T *)d_out, d_gamma, d_beta);
        if (status || !d_in)
            return status;
        return LAUNCH(apply, blocks_for(t->rows * t->places * (t->channels / V), THREADS), THREADS,
                      stream, *t, (const T *)in, (const T *)y, (const T *)d_out, (T *)d_in);
    });
}
