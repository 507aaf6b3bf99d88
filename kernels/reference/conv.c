/* conv.c: convolution (cross-correlation, as every neural network library has it).
 *
 *   out[r][y][x][o] = bias[o] + sum over i, j, c of weight[o][i][j][c] *
 *       in[r][y stride_height + i dilation_height - pad.top]
 *            [x stride_width + j dilation_width - pad.left][g C/G + c]
 *
 * where `in` is zero outside and g = floor(o G / out.channels) is the filter's group. Where nothing
 * lies between them, the terms of all j and c of one i lie side by side both in `in` and in
 * `weight`: a run; else those of one j do. The functions walk over the same runs. */
#include "reference.h"

#include <string.h>

/* Where a part of the filter lies on the picture, for the output at (y, x). */
typedef struct {
    size_t in, weight; /* offsets into one picture (of group 0) and into one filter */
    size_t length;     /* 0 if the part lies outside */
} run;

/* Channels that a filter reads. */
static size_t depth(const layer *l)
{
    return l->in.channels / l->groups;
}

/* How many columns of a filter make one run. */
static size_t run_span(const layer *l)
{
    return l->dilation_width == 1 && l->groups == 1 ? l->kernel_width : 1;
}

/* The run of the filter's row i from its column j on. */
static run run_find(const layer *l, size_t i, size_t j, size_t y, size_t x)
{
    long row = (long)(y * l->stride_height + i * l->dilation_height) - (long)l->pad.top;
    long column = (long)(x * l->stride_width + j * l->dilation_width) - (long)l->pad.left;
    if (row < 0 || row >= (long)l->in.height)
        return (run){0, 0, 0};
    long first = column < 0 ? -column : 0; /* the first and last of its columns on the picture */
    long last = (long)run_span(l) - 1;
    if (column + last >= (long)l->in.width)
        last = (long)l->in.width - 1 - column;
    if (last < first)
        return (run){0, 0, 0};
    return (run){.in = ((size_t)row * l->in.width + (size_t)(column + first)) * l->in.channels,
                 .weight = (i * l->kernel_width + j + (size_t)first) * depth(l),
                 .length = (size_t)(last - first + 1) * depth(l)};
}

static size_t filter_size(const layer *l)
{
    return l->kernel_height * l->kernel_width * depth(l);
}

/* Where the channels that filter o reads begin. */
static size_t group_start(const layer *l, size_t o)
{
    return o / (l->out.channels / l->groups) * depth(l);
}

/* One output position: out[o] for all o. */
static void position_forward(const layer *l, const float *weight, const float *bias,
                             const double *in, size_t y, size_t x, double *out)
{
    for (size_t o = 0; o < l->out.channels; o++)
        out[o] = bias ? bias[o] : 0.0;
    size_t span = run_span(l), runs = l->kernel_height * (l->kernel_width / span);
    for (size_t t = 0; t < runs; t++) {
        run r = run_find(l, t * span / l->kernel_width, t * span % l->kernel_width, y, x);
        for (size_t o = 0; r.length && o < l->out.channels; o++) {
            const float *w = weight + o * filter_size(l) + r.weight;
            const double *from = in + r.in + group_start(l, o);
            double sum = 0;
#pragma omp simd reduction(+ : sum)
            for (size_t k = 0; k < r.length; k++)
                sum += from[k] * (double)w[k];
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
    size_t span = run_span(l), runs = l->kernel_height * (l->kernel_width / span);
    for (size_t t = 0; t < runs; t++) {
        run r = run_find(l, t * span / l->kernel_width, t * span % l->kernel_width, y, x);
        for (size_t o = 0; r.length && o < l->out.channels; o++) {
            size_t from = r.in + group_start(l, o);
            const float *w = weight + o * filter_size(l) + r.weight;
            double *d_w = d_weight + o * filter_size(l) + r.weight;
            double d = d_out[o];
            if (d == 0)
                continue;
#pragma omp simd
            for (size_t k = 0; k < r.length; k++)
                d_w[k] += d * in[from + k];
            if (!d_in)
                continue;
#pragma omp simd
            for (size_t k = 0; k < r.length; k++)
                d_in[from + k] += d * (double)w[k];
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
