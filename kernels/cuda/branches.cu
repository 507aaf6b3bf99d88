/* branches.cu: what closes a block of branches, but for sums. */
#include "device.cuh"

/* An operand of one place has stride 0 from place to place. */
template <class T, int V>
__global__ static void multiply_apply(size_t rows, size_t places, size_t channels, const T *a,
                                      size_t a_places, const T *b, size_t b_places, T *out)
{
    size_t packs = channels / V, p = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (p >= rows * places * packs)
        return;
    size_t c = p % packs * V, place = p / packs, row = place / places;
    size_t a_at = a_places == places ? place : row, b_at = b_places == places ? place : row;
    pack<T, V> x = load<T, V>(a + a_at * channels + c), y = load<T, V>(b + b_at * channels + c);
    for (int i = 0; i < V; i++)
        x.v[i] = from_float<T>(to_float(x.v[i]) * to_float(y.v[i]));
    store(out + p * V, x);
}

/* One thread a channel of a picture, or a vector of them. */
template <class T, int V>
__global__ static void place_dot(size_t rows, size_t places, size_t channels, const T *a,
                                 const T *b, T *out)
{
    size_t packs = channels / V, p = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (p >= rows * packs)
        return;
    size_t first = p / packs * places * channels + p % packs * V;
    float sums[V] = {};
    for (size_t i = 0; i < places; i++) {
        pack<T, V> x = load<T, V>(a + first + i * channels);
        pack<T, V> y = load<T, V>(b + first + i * channels);
        for (int k = 0; k < V; k++)
            sums[k] += to_float(x.v[k]) * to_float(y.v[k]);
    }
    pack<T, V> sum;
    for (int k = 0; k < V; k++)
        sum.v[k] = from_float<T>(sums[k]);
    store(out + p * V, sum);
}

template <class T, int V>
__global__ static void concat_apply(size_t places, T *x, size_t channels, T *y, size_t first,
                                    size_t out_channels, int back)
{
    size_t packs = channels / V, p = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (p >= places * packs)
        return;
    T *at = y + p / packs * out_channels + first + p % packs * V;
    if (back)
        store(x + p * V, load<T, V>(at));
    else
        store(at, load<T, V>(x + p * V));
}

extern "C" int kernel_multiply(element type, size_t rows, size_t places, size_t channels,
                               const void *a, size_t a_places, const void *b, size_t b_places,
                               void *out, kernel_stream stream)
{
    return dispatch(type, channels, [&](auto as) {
        typedef typename decltype(as)::type T;
        constexpr int V = decltype(as)::width;
        auto kernel = multiply_apply<T, V>;
        return LAUNCH(kernel, blocks_for(rows * places * (channels / V), THREADS), THREADS, stream,
                      rows, places, channels, (const T *)a, a_places, (const T *)b, b_places,
                      (T *)out);
    });
}
extern "C" int kernel_place_dot(element type, size_t rows, size_t places, size_t channels,
                                const void *a, const void *b, void *sums, kernel_stream stream)
{
    return dispatch(type, channels, [&](auto as) {
        typedef typename decltype(as)::type T;
        constexpr int V = decltype(as)::width;
        auto kernel = place_dot<T, V>;
        return LAUNCH(kernel, blocks_for(rows * (channels / V), THREADS), THREADS, stream, rows,
                      places, channels, (const T *)a, (const T *)b, (T *)sums);
    });
}
extern "C" int kernel_concat(element type, size_t places, void *x, size_t channels, void *y,
                             size_t first, size_t out_channels, int back, kernel_stream stream)
{
    return dispatch(type, channels | first | out_channels, [&](auto as) {
        typedef typename decltype(as)::type T;
        constexpr int V = decltype(as)::width;
        auto kernel = concat_apply<T, V>;
        return LAUNCH(kernel, blocks_for(places * (channels / V), THREADS), THREADS, stream, places,
                      (T *)x, channels, (T *)y, first, out_channels, back);
    });
}
