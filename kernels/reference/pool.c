/* pool.c: the largest of a window, and its mean. */
#include "reference.h"

#include <string.h>

/* The part of the window of the output at (y, x) that lies on the input, and how many elements are
 * counted for its mean. */
typedef struct {
    size_t top, left, bottom, right; /* bottom and right are the first behind it */
    size_t counted;
} window;

/* Of the window's elements those up to the end of the input and its padding. */
static window window_find(const layer *l, size_t y, size_t x)
{
    long top = (long)(y * l->stride_height) - (long)l->pad.top;
    long left = (long)(x * l->stride_width) - (long)l->pad.left;
    long bottom = top + (long)l->kernel_height, right = left + (long)l->kernel_width;
    long low = (long)l->in.height, far = (long)l->in.width;
    long padded_low = low + (long)l->pad.bottom, padded_far = far + (long)l->pad.right;
    size_t padded = (size_t)((bottom < padded_low ? bottom : padded_low) - top) *
                    (size_t)((right < padded_far ? right : padded_far) - left);
    window w = {.top = top < 0 ? 0 : (size_t)top,
                .left = left < 0 ? 0 : (size_t)left,
                .bottom = (size_t)(bottom < low ? bottom : low),
                .right = (size_t)(right < far ? right : far)};
    w.counted = l->within ? (w.bottom - w.top) * (w.right - w.left) : padded;
    return w;
}

/* The offset, in one picture, of the first of the largest in the window at (y, x), channel c. */
static size_t largest_find(const layer *l, const double *in, size_t y, size_t x, size_t c)
{
    size_t best = SIZE_MAX;
    window w = window_find(l, y, x);
    for (size_t row = w.top; row < w.bottom; row++) {
        for (size_t column = w.left; column < w.right; column++) {
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

static double window_mean(const layer *l, const double *in, window w, size_t c)
{
    double sum = 0;
    for (size_t row = w.top; row < w.bottom; row++)
        for (size_t column = w.left; column < w.right; column++)
            sum += in[(row * l->in.width + column) * l->in.channels + c];
    return sum / (double)w.counted;
}

void reference_avgpool_forward(const layer *l, size_t rows, const double *in, double *out)
{
    for (size_t r = 0; r < rows; r++, in += extent_size(l->in))
        for (size_t y = 0; y < l->out.height; y++)
            for (size_t x = 0; x < l->out.width; x++)
                for (size_t c = 0; c < l->out.channels; c++)
                    *out++ = window_mean(l, in, window_find(l, y, x), c);
}

static void window_spread(const layer *l, double d, double *d_in, window w, size_t c)
{
    for (size_t row = w.top; row < w.bottom; row++)
        for (size_t column = w.left; column < w.right; column++)
            d_in[(row * l->in.width + column) * l->in.channels + c] += d / (double)w.counted;
}

void reference_avgpool_backward(const layer *l, size_t rows, const double *d_out, double *d_in)
{
    size_t size = extent_size(l->in);
    memset(d_in, 0, rows * size * sizeof *d_in);
    for (size_t r = 0; r < rows; r++, d_in += size)
        for (size_t y = 0; y < l->out.height; y++)
            for (size_t x = 0; x < l->out.width; x++)
                for (size_t c = 0; c < l->out.channels; c++)
                    window_spread(l, *d_out++, d_in, window_find(l, y, x), c);
}
