/* head.cu: logits, softmax cross-entropy, and the gradients by embedding, scale and weights; the
 * formulas are in kernels/reference/head.c.
 *
 * One block a row does everything that concerns that row alone, in one launch:
 *
 *   f' = f / |f|, cos_c = (w_c / |w_c|) . f', z_c = s cos_c        (softmax head: z_c = w_c . f)
 *   p = softmax(z), loss = -sum t log p, g_c = (p_c - t_c) / rows
 *   d_c = s g_c / |w_c|,   turn = sum g_c cos_c  (also the row's part of d loss / d s)
 *   d_f = (sum d_c w_c - s turn f') / |f|
 *
 * and head_weight then, one block a class and 128 dimensions:
 *
 *   d_w_c = sum over rows of d_c f' - (w_c / |w_c|) sum over rows of d_c cos_c */
#include "device.cuh"

#define HEAD_THREADS 256
#define WEIGHT_THREADS 128
#define ROW_LOADS 8 /* pairs of loads that a lane has under way together */

/* 1 / |f|, or 1 in the softmax head, for all threads. */
template <class T> __device__ static float row_inverse(const head_task &t, const T *f)
{
    if (!t.scale)
        return 1;
    float square = 0;
    for (size_t k = threadIdx.x; k < t.dimension; k += blockDim.x) {
        float x = to_float(f[k]);
        square += x * x;
    }
    return element_inverse_norm(block_sum(square));
}

/* One warp a class: the cosine into cosines, 1 / |w| into d_logits for now. */
template <class T>
__device__ static void row_cosines(const head_task &t, const T *f, float inverse_f)
{
    size_t lane = threadIdx.x % WARP, row = blockIdx.x;
    for (size_t c = threadIdx.x / WARP; c < t.classes; c += HEAD_THREADS / WARP) {
        const float *w = t.weight + c * t.dimension;
        float dot = 0, square = 0;
        for (size_t k = lane; k < t.dimension; k += ROW_LOADS * WARP) {
            float x[ROW_LOADS], y[ROW_LOADS];
#pragma unroll
            for (int i = 0; i < ROW_LOADS; i++) {
                size_t at = k + (size_t)(i * WARP);
                x[i] = at < t.dimension ? w[at] : 0;
                y[i] = at < t.dimension ? to_float(f[at]) : 0;
            }
#pragma unroll
            for (int i = 0; i < ROW_LOADS; i++) {
                dot += x[i] * y[i];
                square += x[i] * x[i];
            }
        }
        dot = warp_sum(dot);
        square = warp_sum(square);
        if (lane == 0) {
            float inverse_w = t.scale ? element_inverse_norm(square) : 1;
            t.cosines[row * t.classes + c] = dot * inverse_w * inverse_f;
            t.d_logits[row * t.classes + c] = inverse_w;
        }
    }
}

/* Loss and hit of the row, and g: d_logits become s g / |w|; returns turn (0 in the softmax
 * head). */
__device__ static float row_loss(const head_task &t, float scale)
{
    size_t row = blockIdx.x, at = row * t.classes;
    uint32_t label = (uint32_t)t.labels[row], best = 0xFFFFFFFFu;
    float largest = -INFINITY, classes = (float)t.classes;
    for (uint32_t c = threadIdx.x; c < t.classes; c += HEAD_THREADS) {
        float z = scale * t.cosines[at + c];
        if (element_before(z, c, largest, best)) {
            largest = z;
            best = c;
        }
    }
    block_best(largest, best);
    float exps = 0, sum = 0;
    for (uint32_t c = threadIdx.x; c < t.classes; c += HEAD_THREADS) {
        float z = scale * t.cosines[at + c] - largest;
        exps += expf(z);
        sum += z;
    }
    exps = block_sum(exps);
    sum = block_sum(sum);
    float turn = 0, z_label = scale * t.cosines[at + label] - largest;
    for (uint32_t c = threadIdx.x; c < t.classes; c += HEAD_THREADS) {
        float p = expf(scale * t.cosines[at + c] - largest) / exps;
        float g = (p - element_target(c == label, t.smoothing, classes)) / (float)t.rows;
        t.d_logits[at + c] *= scale * g;
        turn += g * t.cosines[at + c];
    }
    turn = t.scale ? block_sum(turn) : 0;
    if (threadIdx.x == 0) {
        float *sums = t.row_sums + row * 4;
        sums[0] = element_loss(exps, z_label, sum, t.smoothing, classes);
        sums[1] = best == label;
        sums[2] = turn;
    }
    return turn;
}

/* By the last block: what all rows come to. */
__device__ static void rows_finish(const head_task &t)
{
    double loss = 0, hits = 0, turn = 0;
    for (size_t r = threadIdx.x; r < t.rows; r += HEAD_THREADS) {
        loss += (double)__ldcg(t.row_sums + r * 4);
        hits += (double)__ldcg(t.row_sums + r * 4 + 1);
        turn += (double)__ldcg(t.row_sums + r * 4 + 2);
    }
    loss = block_sum(loss);
    hits = block_sum(hits);
    turn = block_sum(turn);
    if (threadIdx.x != 0)
        return;
    t.state->loss += loss;
    t.state->hits += (uint64_t)(hits + 0.5);
    t.state->rows += t.rows;
    if (t.advances)
        t.state->first += t.rows;
    if (t.d_scale)
        *t.d_scale = (float)turn;
}

template <class T> __global__ static void head(head_task t)
{
    size_t row = blockIdx.x;
    const T *f = (const T *)t.embedding + row * t.dimension;
    float scale = t.scale ? *t.scale : 1;
    float inverse = row_inverse(t, f);
    if (threadIdx.x == 0)
        t.inverse_norms[row] = inverse;
    row_cosines(t, f, inverse);
    __syncthreads();
    float turn = row_loss(t, scale);
    __syncthreads();
    if (t.d_embedding) {
        T *d = (T *)t.d_embedding + row * t.dimension;
        const float *d_logits = t.d_logits + row * t.classes;
        for (size_t k = threadIdx.x; k < t.dimension; k += HEAD_THREADS) {
            float sum = 0;
            for (size_t c = 0; c < t.classes; c++)
                sum += d_logits[c] * t.weight[c * t.dimension + k];
            d[k] = from_float<T>((sum - scale * turn * to_float(f[k]) * inverse) * inverse);
        }
    }
    if (block_is_last(t.arrivals, gridDim.x))
        rows_finish(t);
}

template <class T> __global__ static void head_weight(head_task t)
{
    size_t c = blockIdx.x, k = (size_t)blockIdx.y * WEIGHT_THREADS + threadIdx.x;
    const float *w = t.weight + c * t.dimension;
    float square = 0, turn = 0;
    if (t.scale) {
        for (size_t i = threadIdx.x; i < t.dimension; i += WEIGHT_THREADS)
            square += w[i] * w[i];
        for (size_t r = threadIdx.x; r < t.rows; r += WEIGHT_THREADS)
            turn += t.d_logits[r * t.classes + c] * t.cosines[r * t.classes + c];
        square = block_sum(square);
        turn = block_sum(turn);
    }
    if (k >= t.dimension)
        return;
    const T *f = (const T *)t.embedding + k;
    float sum = 0;
#pragma unroll 16
    for (size_t r = 0; r < t.rows; r++)
        sum += t.d_logits[r * t.classes + c] * (to_float(f[r * t.dimension]) * t.inverse_norms[r]);
    t.d_weight[c * t.dimension + k] =
        sum - (t.scale ? turn * w[k] * element_inverse_norm(square) : 0);
}

extern "C" int kernel_head(element type, const head_task *t, kernel_stream stream)
{
    auto kernel = type == ELEMENT_F32 ? head<float> : head<bfloat16>;
    return LAUNCH(kernel, (unsigned)t->rows, HEAD_THREADS, stream, *t);
}

extern "C" int kernel_head_weight(element type, const head_task *t, kernel_stream stream)
{
    auto kernel = type == ELEMENT_F32 ? head_weight<float> : head_weight<bfloat16>;
    dim3 grid((unsigned)t->classes, blocks_for(t->dimension, WEIGHT_THREADS));
    return LAUNCH(kernel, grid, WEIGHT_THREADS, stream, *t);
}
