/* backward.cu: d_masked = d_out [y > 0] scale, and its sums over rows, which are a bias' gradient:
 * one pass instead of two. The blocks' sums are added up by the last block, in a fixed order. */
#include "device.cuh"

template <class T, int V>
__global__ static void mask_apply(const T *y, const T *d_out, T *d_masked, float scale, size_t rows,
                                  size_t channels, float *column_sums, float *partials,
                                  unsigned *ticket)
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
            bool lives = !y || widen(alive.v[i]) > 0;
            float x = lives ? widen(d.v[i]) * scale : 0;
            d.v[i] = narrow<T>(x);
            sums[i] += x;
        }
        if (d_masked)
            store(d_masked + at, d);
    }
    if (!column_sums)
        return;
    tile_sum(t, sums, partials + blockIdx.x * channels);
    if (block_is_last(ticket, gridDim.x * gridDim.y))
        columns_finish(partials, gridDim.x, channels, column_sums);
}

template <class T, int V> struct run_mask {
    static int run(const void *y, const void *d_out, void *d_masked, float scale, size_t rows,
                   size_t channels, float *column_sums, float *partials, unsigned *ticket,
                   kernel_stream stream)
    {
        auto kernel = mask_apply<T, V>;
        dim3 grid(tile_chunks(rows, channels, V, COLUMN_CHUNKS), tile_groups(channels, V));
        return LAUNCH(kernel, grid, THREADS, stream, (const T *)y, (const T *)d_out, (T *)d_masked,
                      scale, rows, channels, column_sums, partials, ticket);
    }
};

extern "C" int kernel_mask(kernel_type type, const void *y, const void *d_out, void *d_masked,
                           float scale, size_t rows, size_t channels, float *column_sums,
                           float *partials, unsigned *ticket, kernel_stream stream)
{
    return dispatch<run_mask>(type, channels, y, d_out, d_masked, scale, rows, channels,
                              column_sums, partials, ticket, stream);
}
