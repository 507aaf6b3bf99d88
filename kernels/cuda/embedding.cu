/* embedding.cu: what is read off embeddings and scores: one block a row. */
#include "device.cuh"

#define ROW_THREADS 128

/* The k-th is the best of those that stand behind the one found before it. */
__global__ static void top_k(const float *scores, size_t classes, size_t k, uint32_t *index,
                             float *value, unsigned long long *bad)
{
    size_t row = blockIdx.x;
    const float *s = scores + row * classes;
    for (size_t c = threadIdx.x; c < classes; c += ROW_THREADS)
        if (s[c] != s[c])
            atomicMin(bad, (unsigned long long)row);
    float before = INFINITY;
    uint32_t before_at = 0;
    for (size_t found = 0; found < k; found++) {
        float best = -INFINITY;
        uint32_t at = 0xFFFFFFFFu;
        for (uint32_t c = threadIdx.x; c < classes; c += ROW_THREADS) {
            bool behind = found == 0 || element_before(before, before_at, s[c], c);
            if (behind && element_before(s[c], c, best, at)) {
                best = s[c];
                at = c;
            }
        }
        block_best(best, at);
        if (threadIdx.x == 0) {
            index[row * k + found] = at < classes ? at : 0; /* no number is before NaN */
            value[row * k + found] = best;
        }
        before = best;
        before_at = at;
    }
}

__global__ static void normalise(float *embeddings, size_t dimension)
{
    float *row = embeddings + (size_t)blockIdx.x * dimension;
    double square = 0; /* the squares of small or large numbers are no floats */
    for (size_t d = threadIdx.x; d < dimension; d += ROW_THREADS)
        square += (double)row[d] * (double)row[d];
    double norm = sqrt(block_sum(square));
    for (size_t d = threadIdx.x; d < dimension; d += ROW_THREADS)
        row[d] = norm == 0 ? 0 : (float)((double)row[d] / norm);
}

__global__ static void relu_float(float *values, size_t count)
{
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count)
        values[i] = values[i] > 0 ? values[i] : 0;
}

__global__ static void to_double(const float *in, double *out, size_t count)
{
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count)
        out[i] = (double)in[i];
}

__global__ static void one_hot(const int32_t *labels, size_t count, size_t classes, double *out)
{
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count)
        out[i] = labels[i / classes] == (int32_t)(i % classes) ? 1 : 0;
}

extern "C" int kernel_top_k(const float *scores, size_t rows, size_t classes, size_t k,
                            uint32_t *index, float *value, unsigned long long *bad,
                            kernel_stream stream)
{
    return LAUNCH(top_k, (unsigned)rows, ROW_THREADS, stream, scores, classes, k, index, value,
                  bad);
}
extern "C" int kernel_normalise(float *embeddings, size_t rows, size_t dimension,
                                kernel_stream stream)
{
    return LAUNCH(normalise, (unsigned)rows, ROW_THREADS, stream, embeddings, dimension);
}
extern "C" int kernel_relu_float(float *values, size_t count, kernel_stream stream)
{
    return LAUNCH(relu_float, blocks_for(count, THREADS), THREADS, stream, values, count);
}
extern "C" int kernel_to_double(const float *in, double *out, size_t count, kernel_stream stream)
{
    return LAUNCH(to_double, blocks_for(count, THREADS), THREADS, stream, in, out, count);
}
extern "C" int kernel_one_hot(const int32_t *labels, size_t rows, size_t classes, double *out,
                              kernel_stream stream)
{
    size_t count = rows * classes;
    return LAUNCH(one_hot, blocks_for(count, THREADS), THREADS, stream, labels, count, classes,
                  out);
}
