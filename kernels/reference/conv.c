/* conv.c: convolution (cross-correlation, as every neural network library has it).
 *
 *   out[r][y][x][o] = bias[o] + sum over i, j, c of
 *                     in[r][y + i - pad_height][x + j - pad_width][c] * weight[o][i][j][c]
 *
 * where `in` is zero outside. For one i the terms of all j and c lie side by side both in `in` and
 * in `weight`: a run. The three functions walk over the same runs. */
#include "reference.h"

#include <string.h>

/* Where the filter's row i lies on the picture, for the output at (y, x). */
typedef struct {
    size_t in, weight; /* offsets into one picture and into one filter */
    size_t length;     /* 0 if the row lies outside */
} run;

static run run_find(const layer *l, size_t i, size_t y, size_t x)
{
    long row = (long)(y + i) - (long)l->pad_height;
    long column = (long)x - (long)l->pad_width;
    if (row < 0 || row >= (long)l->in.height)
        return (run){0, 0, 0};
    long first = column < 0 ? -column : 0; /* the first and last j that lie on the picture */
    long last = (long)l->kernel_width - 1;
    if (column + last >= (long)l->in.width)
        last = (long)l->in.width - 1 - column;
    size_t channels = l->in.channels;
    return (run){.in = ((size_t)row * l->in.width + (size_t)(column + first)) * channels,
                 .weight = (i * l->kernel_width + (size_t)first) * channels,
                 .length = (size_t)(last - first + 1) * channels};
}

static size_t filter_size(const layer *l)
{
    return l->kernel_height * l->kernel_width * l->in.channels;
}

/* One output position: out[o] for all o. */
static void position_forward(const layer *l, const float *weight, const float *bias,
                             const double *in, size_t y, size_t x, double *out)
{
    for (size_t o = 0; o < l->out.channels; o++)
        out[o] = bias ? bias[o] : 0.0;
    for (size_t i = 0; i < l->kernel_height; i++) {
        run r = run_find(l, i, y, x);
        for (size_t o = 0; o < l->out.channels; o++) {
            const float *w = weight + o * filter_size(l) + r.weight;
            double sum = 0;
#pragma omp simd reduction(+ : sum)
            for (size_t k = 0; k < r.length; k++)
                sum += in[r.in + k] * (double)w[k];
            out[o] += sum;
        }
    }
}

void reference_conv_forward(const layer *l, size_t rows, const float *weight, const float *bias,
                            const double *in, double *out)
{
    for (size_t r = 0; r < rows; r++) {
        const double *picture = in + r * extent_size(l->in);
        for (size_t y = 0; y < l->out.height; y++)
            for (size_t x = 0; x < l->out.width; x++, out += l->out.channels)
                position_forward(l, weight, bias, picture, y, x, out);
    }
}

/* d_weight[o][i][j][c] += d_out[y][x][o] * in[...][c], d_in[...][c] += d_out[y][x][o] * weight. */
static void position_backward(const layer *l, const float *weight, const double *in,
                              const double *d_out, size_t y, size_t x, double *d_weight,
                              double *d_in)
{
    for (size_t i = 0; i < l->kernel_height; i++) {
        run r = run_find(l, i, y, x);
        for (size_t o = 0; o < l->out.channels; o++) {
            const float *w = weight + o * filter_size(l) + r.weight;
            double *d_w = d_weight + o * filter_size(l) + r.weight;
            double d = d_out[o];
            if (d == 0)
                continue;
#pragma omp simd
            for (size_t k = 0; k < r.length; k++)
                d_w[k] += d * in[r.in + k];
            if (!d_in)
                continue;
#pragma omp simd
            for (size_t k = 0; k < r.length; k++)
                d_in[r.in + k] += d * (double)w[k];
        }
    }
}

void reference_conv_backward(const layer *l, size_t rows, const float *weight, const double *in,
                             const double *d_out, double *d_weight, double *d_bias, double *d_in)
{
    size_t size = extent_size(l->in);
    if (d_in)
        memset(d_in, 0, rows * size * sizeof *d_in);
    for (size_t r = 0; r < rows; r++) {
        for (size_t y = 0; y < l->out.height; y++) {
            for (size_t x = 0; x < l->out.width; x++, d_out += l->out.channels) {
                position_backward(l, weight, in + r * size, d_out, y, x, d_weight,
                                  d_in ? d_in + r * size : NULL);
                for (size_t o = 0; d_bias && o < l->out.channels; o++)
                    d_bias[o] += d_out[o];
            }
        }
    }
}
