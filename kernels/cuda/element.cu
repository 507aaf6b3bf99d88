/* element.cu: what each element undergoes alone. Memory-bound: 16 bytes a thread and access. */
#include "device.cuh"

/* in, bias and out may be the same or overlap by whole vectors only: no restrict. */
template <class T, int V>
__global__ static void bias_apply(const T *in, const T *bias, T *out, size_t packs, size_t channels,
                                  int relu, kernel_drop drop)
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
        float y = widen(x.v[i]);
        if (bias)
            y += widen(b.v[i]);
        if (relu)
            y = y > 0 ? y : 0;
        if (drop.active)
            y = element_keeps(block, (int)((first + (size_t)i) % 8), drop.threshold)
                    ? y * drop.scale
                    : 0;
        x.v[i] = narrow<T>(y);
    }
    store(out + first, x);
}

template <class T, int V>
__global__ static void scale_apply(const T *in, T *out, size_t packs, float factor)
{
    size_t p = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (p >= packs)
        return;
    pack<T, V> x = load<T, V>(in + p * V);
    for (int i = 0; i < V; i++)
        x.v[i] = narrow<T>(factor * widen(x.v[i]));
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
        x.v[i] = narrow<T>(widen(x.v[i]) + widen(y.v[i]));
    store(out + p * V, x);
}

template <class T, int V> __global__ static void widen_apply(const T *in, float *out, size_t packs)
{
    size_t p = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (p >= packs)
        return;
    pack<T, V> x = load<T, V>(in + p * V);
    for (int i = 0; i < V; i++)
        out[p * V + (size_t)i] = widen(x.v[i]);
}

template <class T, int V> struct run_bias {
    static int run(const void *in, const void *bias, void *out, size_t count, size_t channels,
                   int relu, kernel_drop drop, kernel_stream stream)
    {
        auto kernel = bias_apply<T, V>;
        return LAUNCH(kernel, blocks_for(count / V, THREADS), THREADS, stream, (const T *)in,
                      (const T *)bias, (T *)out, count / V, channels, relu, drop);
    }
};
template <class T, int V> struct run_scale {
    static int run(const void *in, void *out, size_t count, float factor, kernel_stream stream)
    {
        auto kernel = scale_apply<T, V>;
        return LAUNCH(kernel, blocks_for(count / V, THREADS), THREADS, stream, (const T *)in,
                      (T *)out, count / V, factor);
    }
};
template <class T, int V> struct run_add {
    static int run(const void *a, const void *b, void *out, size_t count, kernel_stream stream)
    {
        auto kernel = add_apply<T, V>;
        return LAUNCH(kernel, blocks_for(count / V, THREADS), THREADS, stream, (const T *)a,
                      (const T *)b, (T *)out, count / V);
    }
};
template <class T, int V> struct run_widen {
    static int run(const void *in, float *out, size_t count, kernel_stream stream)
    {
        auto kernel = widen_apply<T, V>;
        return LAUNCH(kernel, blocks_for(count / V, THREADS), THREADS, stream, (const T *)in, out,
                      count / V);
    }
};

extern "C" int kernel_bias(kernel_type type, const void *in, const void *bias, void *out,
                           size_t count, size_t channels, int relu, const kernel_drop *drop,
                           kernel_stream stream)
{
    /* A vector must not run over the end of a row of channels, where there is a bias. */
    size_t width = bias ? channels : count;
    return dispatch<run_bias>(type, width, in, bias, out, count, channels, relu, *drop, stream);
}
extern "C" int kernel_scale(kernel_type type, const void *in, void *out, size_t count, float factor,
                            kernel_stream stream)
{
    return dispatch<run_scale>(type, count, in, out, count, factor, stream);
}
extern "C" int kernel_add(kernel_type type, const void *a, const void *b, void *out, size_t count,
                          kernel_stream stream)
{
    return dispatch<run_add>(type, count, a, b, out, count, stream);
}
extern "C" int kernel_widen(kernel_type type, const void *in, float *out, size_t count,
                            kernel_stream stream)
{
    return dispatch<run_widen>(type, count, in, out, count, stream);
}
