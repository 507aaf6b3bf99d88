/* optimizer.cu: one launch updates all parameters, writes the copies that the layers read, and
 * makes the state the next step's. Each block has a piece of one parameter. */
#include "device.cuh"

struct piece_at {
    optimizer_part part;
    uint32_t first, end;
};
__device__ static inline piece_at piece_find(const optimizer_task &t)
{
    optimizer_piece piece = t.pieces[blockIdx.x];
    piece_at at = {t.parts[piece.part], piece.first, piece.first + OPTIMIZER_PIECE};
    if (at.end > at.part.count)
        at.end = at.part.count;
    return at;
}

template <class T>
__device__ static inline float gradient_at(const optimizer_part &p, uint32_t stored)
{
    return p.bf16 ? to_float(((const T *)p.gradient)[stored]) : ((const float *)p.gradient)[stored];
}

/* By the last block: all others have read the state. */
__device__ static inline void state_advance(const optimizer_task &t)
{
    if (threadIdx.x != 0)
        return;
    t.state->step++;
    t.state->rate++;
    t.state->first += t.rows;
}

template <class T, int KIND> __global__ static void optimizer_step(optimizer_task t)
{
    const step_rate now = t.rates[t.state->rate];
    piece_at at = piece_find(t);
    const optimizer_part &p = at.part;
    float decay = p.decays ? t.decay : 0;
    for (uint32_t i = at.first + threadIdx.x; p.learns && i < at.end; i += blockDim.x) {
        uint32_t stored = element_padded(i, p.inner, p.padded);
        uint64_t flat = p.start + i;
        float g = gradient_at<T>(p, stored), w = t.master[flat], m = t.first[flat];
        if (KIND == 2) {
            element_sgd(&w, &m, g, now.rate, t.momentum, decay);
        } else {
            float v = t.second[flat];
            if (KIND == 1)
                w *= 1 - now.rate * decay;
            element_adam(&w, &m, &v, g, now.corrected, t.beta1, t.beta2, t.epsilon);
            t.second[flat] = v;
        }
        t.master[flat] = w;
        t.first[flat] = m;
        if (p.copy)
            ((T *)p.copy)[stored] = from_float<T>(w);
    }
    if (block_is_last(t.arrivals, gridDim.x))
        state_advance(t);
}

template <class T> __global__ static void copies(optimizer_task t)
{
    piece_at at = piece_find(t);
    for (uint32_t i = at.first + threadIdx.x; at.part.copy && i < at.end; i += blockDim.x)
        ((T *)at.part.copy)[element_padded(i, at.part.inner, at.part.padded)] =
            from_float<T>(t.master[at.part.start + i]);
}

template <class T> __global__ static void gradients(optimizer_task t, float *flat)
{
    piece_at at = piece_find(t);
    for (uint32_t i = at.first + threadIdx.x; at.part.learns && i < at.end; i += blockDim.x)
        flat[at.part.start + i] =
            gradient_at<T>(at.part, element_padded(i, at.part.inner, at.part.padded));
}

template <class T> static int optimizer_run(const optimizer_task *t, kernel_stream stream)
{
    auto kernel = t->kind == 0   ? optimizer_step<T, 0>
                  : t->kind == 1 ? optimizer_step<T, 1>
                                 : optimizer_step<T, 2>;
    return LAUNCH(kernel, (unsigned)t->piece_count, THREADS, stream, *t);
}

extern "C" int kernel_optimizer(element type, const optimizer_task *t, kernel_stream stream)
{
    return type == ELEMENT_F32 ? optimizer_run<float>(t, stream)
                               : optimizer_run<bfloat16>(t, stream);
}
extern "C" int kernel_copies(element type, const optimizer_task *t, kernel_stream stream)
{
    auto kernel = type == ELEMENT_F32 ? copies<float> : copies<bfloat16>;
    return LAUNCH(kernel, (unsigned)t->piece_count, THREADS, stream, *t);
}
extern "C" int kernel_gradients(element type, const optimizer_task *t, float *flat,
                                kernel_stream stream)
{
    auto kernel = type == ELEMENT_F32 ? gradients<float> : gradients<bfloat16>;
    return LAUNCH(kernel, (unsigned)t->piece_count, THREADS, stream, *t, flat);
}

extern "C" int kernel_optimizer_load(element type)
{
    return dispatch(type, 1, [&](auto as) {
        typedef typename decltype(as)::type T;
        cudaFuncAttributes unused;
        auto adam = optimizer_step<T, 0>, adamw = optimizer_step<T, 1>, sgd = optimizer_step<T, 2>;
        int status = (int)cudaFuncGetAttributes(&unused, adam);
        if (!status)
            status = (int)cudaFuncGetAttributes(&unused, adamw);
        return status ? status : (int)cudaFuncGetAttributes(&unused, sgd);
    });
}
