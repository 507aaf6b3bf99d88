/* tokens.c: what adds to places, and what moves places and channels about. */
#include "reference.h"

#include <string.h>

void reference_tokens_forward(const layer *l, size_t rows, const float *weight, const double *in,
                              double *out)
{
    size_t own = l->count * l->in.channels, came = extent_size(l->in);
    for (size_t r = 0; r < rows; r++, out += own + came) {
        for (size_t i = 0; i < own; i++)
            out[i] = (double)weight[i];
        memcpy(out + own, in + r * came, came * sizeof *out);
    }
}

void reference_tokens_backward(const layer *l, size_t rows, const double *d_out, double *d_weight,
                               double *d_in)
{
    size_t own = l->count * l->in.channels, came = extent_size(l->in);
    for (size_t r = 0; r < rows; r++, d_out += own + came) {
        for (size_t i = 0; i < own; i++)
            d_weight[i] += d_out[i];
        memcpy(d_in + r * came, d_out + own, came * sizeof *d_in);
    }
}

void reference_position_forward(const layer *l, size_t rows, const float *weight, const double *in,
                                double *out)
{
    size_t size = extent_size(l->in);
    for (size_t i = 0; i < rows * size; i++)
        out[i] = in[i] + (double)weight[i % size];
}

void reference_position_backward(const layer *l, size_t rows, const double *d_out, double *d_weight,
                                 double *d_in)
{
    size_t size = extent_size(l->in);
    for (size_t i = 0; i < rows * size; i++) {
        d_weight[i % size] += d_out[i];
        d_in[i] = d_out[i];
    }
}

/* ---- take, channels, shuffle ---- */

/* Where in one picture of the input element i of the output comes from. */
static size_t source(const layer *l, size_t i)
{
    size_t place = i / l->out.channels, channel = i % l->out.channels;
    if (l->kind == LAYER_TAKE)
        return (l->first + place) * l->in.channels + channel;
    if (l->kind == LAYER_CHANNELS)
        return place * l->in.channels + l->first + channel;
    size_t each = l->in.channels / l->groups; /* shuffle: `groups` rows of so many, by columns */
    return place * l->in.channels + channel % l->groups * each + channel / l->groups;
}

void reference_select_forward(const layer *l, size_t rows, const double *in, double *out)
{
    for (size_t r = 0; r < rows; r++, in += extent_size(l->in))
        for (size_t i = 0; i < extent_size(l->out); i++)
            *out++ = in[source(l, i)];
}

void reference_select_backward(const layer *l, size_t rows, const double *d_out, double *d_in)
{
    size_t size = extent_size(l->in);
    memset(d_in, 0, rows * size * sizeof *d_in);
    for (size_t r = 0; r < rows; r++, d_in += size)
        for (size_t i = 0; i < extent_size(l->out); i++)
            d_in[source(l, i)] += *d_out++;
}
