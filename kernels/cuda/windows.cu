/* windows.cu: pooling over windows that overlap, are padded or incomplete; the formulas are in
 * kernels/reference/pool.c. One thread a channel of a place, or a vector of them; backward each
 * place of the input asks the windows that it lies in, so that nothing is added up by atomics. */
#include "device.cuh"

struct picture_at {
    size_t row, c;
    int y, x;
};

template <int V>
__device__ static inline picture_at picture_find(size_t p, int height, int width, int channels)
{
    picture_at at;
    size_t packs = (size_t)channels / V, place = p / packs;
    at.c = p % packs * V;
    at.x = (int)(place % (size_t)width);
    place /= (size_t)width;
    at.y = (int)(place % (size_t)height);
    at.row = place / (size_t)height;
    return at;
}

/* A window: the part of it that lies on the input, and what its sum is divided by. */
struct window_part {
    element_span y, x;
    float counted;
};

__device__ static inline window_part window_of(const window_shape &s, int y, int x)
{
    window_part w;
    w.y = element_window(y, s.stride_height, s.window_height, s.top, s.in_height, s.bottom);
    w.x = element_window(x, s.stride_width, s.window_width, s.left, s.in_width, s.right);
    w.counted = s.within ? (float)((w.y.last - w.y.first) * (w.x.last - w.x.first))
                         : (float)(w.y.padded * w.x.padded);
    return w;
}

__device__ static inline size_t input_place(const window_shape &s, const picture_at &at, int y,
                                            int x)
{
    return ((at.row * (size_t)s.in_height + (size_t)y) * (size_t)s.in_width + (size_t)x) *
               (size_t)s.channels +
           at.c;
}

/* The largest of a window and, for each channel, the place of the first such. */
template <class T, int V>
__device__ static inline void window_best(const window_shape &s, const window_part &w,
                                          const picture_at &at, const T *in, float *best,
                                          int *place)
{
    for (int k = 0; k < V; k++)
        place[k] = -1;
    for (int y = w.y.first; y < w.y.last; y++) {
        for (int x = w.x.first; x < w.x.last; x++) {
            pack<T, V> v = load<T, V>(in + input_place(s, at, y, x));
            for (int k = 0; k < V; k++) {
                float value = to_float(v.v[k]);
                if (place[k] < 0 || value > best[k]) {
                    best[k] = value;
                    place[k] = y * s.in_width + x;
                }
            }
        }
    }
}

template <class T, int V>
__device__ static inline void window_sum(const window_shape &s, const window_part &w,
                                         const picture_at &at, const T *in, float *sums)
{
    for (int k = 0; k < V; k++)
        sums[k] = 0;
    for (int y = w.y.first; y < w.y.last; y++) {
        for (int x = w.x.first; x < w.x.last; x++) {
            pack<T, V> v = load<T, V>(in + input_place(s, at, y, x));
            for (int k = 0; k < V; k++)
                sums[k] += to_float(v.v[k]);
        }
    }
    for (int k = 0; k < V; k++)
        sums[k] /= w.counted;
}

template <class T, int V> __global__ static void windows_pool(window_shape s, const T *in, T *out)
{
    size_t p = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    picture_at at = picture_find<V>(p, s.out_height, s.out_width, s.channels);
    if (at.row >= (size_t)s.rows)
        return;
    window_part w = window_of(s, at.y, at.x);
    float values[V] = {};
    int place[V];
    if (s.largest)
        window_best<T, V>(s, w, at, in, values, place);
    else
        window_sum<T, V>(s, w, at, in, values);
    pack<T, V> y;
    for (int k = 0; k < V; k++)
        y.v[k] = from_float<T>(values[k]);
    store(out + p * V, y);
}

template <class T, int V>
__global__ static void unwindows_pool(window_shape s, const T *in, const T *d_out, T *d_in)
{
    size_t p = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    picture_at at = picture_find<V>(p, s.in_height, s.in_width, s.channels);
    if (at.row >= (size_t)s.rows)
        return;
    element_span high =
        element_windows_of(at.y, s.stride_height, s.window_height, s.top, s.out_height);
    element_span wide =
        element_windows_of(at.x, s.stride_width, s.window_width, s.left, s.out_width);
    float sums[V] = {}, best[V] = {};
    int place[V];
    for (int y = high.first; y < high.last; y++) {
        for (int x = wide.first; x < wide.last; x++) {
            window_part w = window_of(s, y, x);
            size_t from =
                ((at.row * (size_t)s.out_height + (size_t)y) * (size_t)s.out_width + (size_t)x) *
                    (size_t)s.channels +
                at.c;
            pack<T, V> d = load<T, V>(d_out + from);
            if (s.largest)
                window_best<T, V>(s, w, at, in, best, place);
            for (int k = 0; k < V; k++) {
                float own = to_float(d.v[k]);
                if (s.largest)
                    sums[k] += place[k] == at.y * s.in_width + at.x ? own : 0;
                else
                    sums[k] += own / w.counted;
            }
        }
    }
    pack<T, V> sum;
    for (int k = 0; k < V; k++)
        sum.v[k] = from_float<T>(sums[k]);
    store(d_in + p * V, sum);
}

static inline size_t elements_of(int rows, int height, int width, int packs)
{
    return (size_t)rows * (size_t)height * (size_t)width * (size_t)packs;
}

extern "C" int kernel_windows(element type, const window_shape *s, const void *in, void *out,
                              kernel_stream stream)
{
    return dispatch(type, (size_t)s->channels, [&](auto as) {
        typedef typename decltype(as)::type T;
        constexpr int V = decltype(as)::width;
        auto kernel = windows_pool<T, V>;
        size_t count = elements_of(s->rows, s->out_height, s->out_width, s->channels / V);
        return LAUNCH(kernel, blocks_for(count, THREADS), THREADS, stream, *s, (const T *)in,
                      (T *)out);
    });
}
extern "C" int kernel_unwindows(element type, const window_shape *s, const void *in,
                                const void *d_out, void *d_in, kernel_stream stream)
{
    return dispatch(type, (size_t)s->channels, [&](auto as) {
        typedef typename decltype(as)::type T;
        constexpr int V = decltype(as)::width;
        auto kernel = unwindows_pool<T, V>;
        size_t count = elements_of(s->rows, s->in_height, s->in_width, s->channels / V);
        return LAUNCH(kernel, blocks_for(count, THREADS), THREADS, stream, *s, (const T *)in,
                      (const T *)d_out, (T *)d_in);
    });
}
