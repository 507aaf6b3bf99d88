/* pool.c: the largest of a window, and the mean of a picture. */
#include "reference.h"

#include <string.h>

/* The offset, in one picture, of the first of the largest in the window at (y, x), channel c. */
static size_t largest_find(const layer *l, const double *in, size_t y, size_t x, size_t c)
{
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < l->window_height; i++) {
        for (size_t j = 0; j < l->window_width; j++) {
            size_t row = y * l->window_height + i, column = x * l->window_width + j;
            size_t at = (row * l->in.width + column) * l->in.channels + c;
            if (best == SIZE_MAX || in[at] > in[best])
                best = at;
        }
    }
    return best;
}

void reference_maxpool_forward(const layer *l, size_t rows, const double *in, double *out)
{
    for (size_t r = 0; r < rows; r++, in += extent_size(l->in))
        for (size_t y = 0; y < l->out.height; y++)
            for (size_t x = 0; x < l->out.width; x++)
                for (size_t c = 0; c < l->out.channels; c++)
                    *out++ = in[largest_find(l, in, y, x, c)];
}

/* The gradient goes to the largest, the first of equals. */
void reference_maxpool_backward(const layer *l, size_t rows, const double *in, const double *d_out,
                                double *d_in)
{
    size_t size = extent_size(l->in);
    memset(d_in, 0, rows * size * sizeof *d_in);
    for (size_t r = 0; r < rows; r++, in += size, d_in += size)
        for (size_t y = 0; y < l->out.height; y++)
            for (size_t x = 0; x < l->out.width; x++)
                for (size_t c = 0; c < l->out.channels; c++)
                    d_in[largest_find(l, in, y, x, c)] += *d_out++;
}

void reference_avgpool_forward(const layer *l, size_t rows, const double *in, double *out)
{
    size_t places = l->in.height * l->in.width, channels = l->in.channels;
    for (size_t r = 0; r < rows; r++, in += places * channels) {
        for (size_t c = 0; c < channels; c++) {
            double sum = 0;
            for (size_t i = 0; i < places; i++)
                sum += in[i * channels + c];
            *out++ = sum / (double)places;
        }
    }
}

void reference_avgpool_backward(const layer *l, size_t rows, const double *d_out, double *d_in)
{
    size_t places = l->in.height * l->in.width, channels = l->in.channels;
    for (size_t r = 0; r < rows; r++, d_out += channels)
        for (size_t i = 0; i < places; i++)
            for (size_t c = 0; c < channels; c++)
                *d_in++ = d_out[c] / (double)places;
}
