/* dense.c: out[r][o] = bias[o] + sum over k of in[r][k] * weight[o][k]. */
#include "reference.h"

#include <string.h>

void reference_dense_forward(const layer *l, size_t rows, const float *weight, const float *bias,
                             const double *in, double *out)
{
    size_t size = extent_size(l->in), outputs = l->out.channels;
    for (size_t r = 0; r < rows; r++) {
        const double *x = in + r * size;
        for (size_t o = 0; o < outputs; o++) {
            const float *w = weight + o * size;
            double sum = bias ? bias[o] : 0.0;
#pragma omp simd reduction(+ : sum)
            for (size_t k = 0; k < size; k++)
                sum += x[k] * (double)w[k];
            out[r * outputs + o] = sum;
        }
    }
}

/* d_weight[o][k] += d_out[r][o] in[r][k];  d_in[r][k] = sum over o of d_out[r][o] weight[o][k]. */
void reference_dense_backward(const layer *l, size_t rows, const float *weight, const double *in,
                              const double *d_out, double *d_weight, double *d_bias, double *d_in)
{
    size_t size = extent_size(l->in), outputs = l->out.channels;
    if (d_in)
        memset(d_in, 0, rows * size * sizeof *d_in);
    for (size_t r = 0; r < rows; r++) {
        for (size_t o = 0; o < outputs; o++) {
            double d = d_out[r * outputs + o];
            if (d_bias)
                d_bias[o] += d;
            for (size_t k = 0; k < size; k++)
                d_weight[o * size + k] += d * in[r * size + k];
            for (size_t k = 0; d_in && k < size; k++)
                d_in[r * size + k] += d * (double)weight[o * size + k];
        }
    }
}
