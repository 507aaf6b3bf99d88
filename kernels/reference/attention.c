/* attention.c: Vaswani et al.: "Attention is all you need", 2017, section 3.2. With q, k, v the
 * channels of one head at a place, D of each, over places t, u and w:
 *
 *   s[t][u] = q[t] k[u] / sqrt(D);  p[t] = softmax(s[t]);  out[t] = sum over u of p[t][u] v[u]
 *
 *   d_v[u] = sum over t of p[t][u] d_out[t];  d_p[t][u] = d_out[t] v[u]
 *   d_s[t][u] = p[t][u] (d_p[t][u] - sum over w of p[t][w] d_p[t][w])
 *   d_q[t] = sum over u of d_s[t][u] k[u] / sqrt(D)
 *   d_k[u] = sum over t of d_s[t][u] q[t] / sqrt(D) */
#include "reference.h"

#include <math.h>
#include <string.h>

/* One head of one picture: where its channels begin at place 0, and the channels of a place. */
typedef struct {
    size_t places, depth, width;
    const double *q, *k, *v;
    double scale;
} head_view;

static head_view head_of(const layer *l, const double *in, size_t head)
{
    size_t channels = l->out.channels, depth = channels / l->heads;
    const double *q = in + head * depth;
    return (head_view){.places = l->in.height * l->in.width,
                       .depth = depth,
                       .width = l->in.channels,
                       .q = q,
                       .k = q + channels,
                       .v = q + 2 * channels,
                       .scale = 1 / sqrt((double)depth)};
}

static double dot(size_t count, const double *a, const double *b)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += a[i] * b[i];
    return sum;
}

static void add_times(size_t count, double factor, const double *from, double *to)
{
    for (size_t i = 0; i < count; i++)
        to[i] += factor * from[i];
}

/* p[u] of place t. */
static void weights_of(const head_view *h, size_t t, double *p)
{
    double most = -INFINITY, sum = 0;
    for (size_t u = 0; u < h->places; u++) {
        p[u] = dot(h->depth, h->q + t * h->width, h->k + u * h->width) * h->scale;
        most = fmax(most, p[u]);
    }
    for (size_t u = 0; u < h->places; u++)
        sum += p[u] = exp(p[u] - most);
    for (size_t u = 0; u < h->places; u++)
        p[u] /= sum;
}

void reference_attention_forward(const layer *l, size_t rows, const double *in, double *scratch,
                                 double *out)
{
    size_t places = l->in.height * l->in.width, channels = l->out.channels;
    memset(out, 0, rows * extent_size(l->out) * sizeof *out);
    for (size_t r = 0; r < rows; r++) {
        for (size_t head = 0; head < l->heads; head++) {
            head_view h = head_of(l, in + r * extent_size(l->in), head);
            double *o = out + r * extent_size(l->out) + head * h.depth;
            for (size_t t = 0; t < places; t++) {
                weights_of(&h, t, scratch);
                for (size_t u = 0; u < places; u++)
                    add_times(h.depth, scratch[u], h.v + u * h.width, o + t * channels);
            }
        }
    }
}

/* From the gradient of one head's output at place t; d is of the head's queries at place 0. */
static void place_backward(const head_view *h, size_t t, const double *d_out, double *p,
                           double *d_p, double *d)
{
    size_t third = h->width / 3;
    double mean = 0;
    weights_of(h, t, p);
    for (size_t u = 0; u < h->places; u++) {
        add_times(h->depth, p[u], d_out, d + 2 * third + u * h->width);
        d_p[u] = dot(h->depth, d_out, h->v + u * h->width);
        mean += p[u] * d_p[u];
    }
    for (size_t u = 0; u < h->places; u++) {
        double d_s = p[u] * (d_p[u] - mean) * h->scale;
        add_times(h->depth, d_s, h->k + u * h->width, d + t * h->width);
        add_times(h->depth, d_s, h->q + t * h->width, d + third + u * h->width);
    }
}

void reference_attention_backward(const layer *l, size_t rows, const double *in,
                                  const double *d_out, double *scratch, double *d_in)
{
    size_t places = l->in.height * l->in.width, channels = l->out.channels;
    memset(d_in, 0, rows * extent_size(l->in) * sizeof *d_in);
    for (size_t r = 0; r < rows; r++) {
        for (size_t head = 0; head < l->heads; head++) {
            head_view h = head_of(l, in + r * extent_size(l->in), head);
            const double *d_o = d_out + r * extent_size(l->out) + head * h.depth;
            double *d = d_in + r * extent_size(l->in) + head * h.depth;
            for (size_t t = 0; t < places; t++)
                place_backward(&h, t, d_o + t * channels, scratch, scratch + places, d);
        }
    }
}
