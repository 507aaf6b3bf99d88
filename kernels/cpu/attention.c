#include "attention.h"
#include "function.h"

#include <dnnl.h>
#include <math.h>

/* One head of one row, on one thread: [places][depth] of each, and [places][places]. */
typedef struct {
    size_t places, depth;
    float scale;
    float *q, *k, *v, *out, *weights, *d_weights;
} head;

size_t attention_scratch_count(const layer *l, bool training)
{
    size_t places = l->in.height * l->in.width, depth = l->out.channels / l->heads;
    return 4 * places * depth + (training ? 2 : 1) * places * places;
}

static head head_new(const layer *l, float *scratch)
{
    size_t places = l->in.height * l->in.width, depth = l->out.channels / l->heads;
    head h = {.places = places, .depth = depth, .scale = 1 / sqrtf((float)depth), .q = scratch};
    h.k = h.q + places * depth;
    h.v = h.k + places * depth;
    h.out = h.v + places * depth;
    h.weights = h.out + places * depth;
    h.d_weights = h.weights + places * places;
    return h;
}

/* Between [places][width], of which the head has `depth` numbers at `at`, and [places][depth]. */
CLONES static void gather(const void *x, size_t at, size_t width, const head *h, float *out,
                          element type)
{
    for (size_t t = 0; t < h->places; t++)
        for (size_t i = 0; i < h->depth; i++)
            out[t * h->depth + i] = element_get(x, t * width + at + i, type == ELEMENT_BF16);
}

CLONES static void scatter(const float *from, void *y, size_t at, size_t width, const head *h,
                           element type)
{
    for (size_t t = 0; t < h->places; t++)
        for (size_t i = 0; i < h->depth; i++)
            element_put(y, t * width + at + i, from[t * h->depth + i], type == ELEMENT_BF16);
}

/* c [rows][columns] = factor a b, a [rows][inner] or its transpose, b [inner][columns] or its. */
static void product(bool turn_a, bool turn_b, size_t rows, size_t columns, size_t inner,
                    float factor, const float *a, const float *b, float *c)
{
    dnnl_sgemm(turn_a ? 'T' : 'N', turn_b ? 'T' : 'N', (dnnl_dim_t)rows, (dnnl_dim_t)columns,
               (dnnl_dim_t)inner, factor, a, (dnnl_dim_t)(turn_a ? rows : inner), b,
               (dnnl_dim_t)(turn_b ? inner : columns), 0, c, (dnnl_dim_t)columns);
}

CLONES static void softmax_rows(float *x, size_t rows, size_t count)
{
    for (size_t r = 0; r < rows; r++, x += count) {
        float most = x[0], sum = 0;
        for (size_t i = 0; i < count; i++)
            most = x[i] > most ? x[i] : most;
        for (size_t i = 0; i < count; i++)
            x[i] = exp_float(x[i] - most);
#pragma omp simd reduction(+ : sum)
        for (size_t i = 0; i < count; i++)
            sum += x[i];
        for (size_t i = 0; i < count; i++)
            x[i] /= sum;
    }
}

/* d = weights (d - sum of weights d), a row each. */
CLONES static void softmax_back(const float *weights, float *d, size_t rows, size_t count)
{
    for (size_t r = 0; r < rows; r++, weights += count, d += count) {
        float mean = 0;
#pragma omp simd reduction(+ : mean)
        for (size_t i = 0; i < count; i++)
            mean += weights[i] * d[i];
        for (size_t i = 0; i < count; i++)
            d[i] = weights[i] * (d[i] - mean);
    }
}

/* Reads head `number` of a row, and weighs its places. */
static void head_weigh(const layer *l, head *h, const void *x, size_t number, element type)
{
    size_t third = l->out.channels, at = number * h->depth;
    gather(x, at, 3 * third, h, h->q, type);
    gather(x, third + at, 3 * third, h, h->k, type);
    gather(x, 2 * third + at, 3 * third, h, h->v, type);
    product(false, true, h->places, h->places, h->depth, h->scale, h->q, h->k, h->weights);
    softmax_rows(h->weights, h->places, h->places);
}

void attention_forward(const layer *l, const void *x, void *y, element type, size_t rows,
                       float *scratch)
{
    size_t each = attention_scratch_count(l, false), heads = l->heads;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < rows * heads; i++) {
        head h = head_new(l, scratch + (size_t)omp_get_thread_num() * each);
        head_weigh(l, &h, element_at(x, i / heads * extent_size(l->in), type), i % heads, type);
        product(false, false, h.places, h.depth, h.places, 1, h.weights, h.v, h.out);
        scatter(h.out, element_at(y, i / heads * extent_size(l->out), type), i % heads * h.depth,
                l->out.channels, &h, type);
    }
}

static void head_backward(const layer *l, head *h, const void *d_y, void *d_x, size_t number,
                          element type)
{
    size_t third = l->out.channels, at = number * h->depth, n = h->places;
    float *d_out = h->out;
    gather(d_y, at, third, h, d_out, type);
    product(false, true, n, n, h->depth, 1, d_out, h->v, h->d_weights);
    product(true, false, n, h->depth, n, 1, h->weights, d_out, h->v); /* v is not needed any more */
    scatter(h->v, d_x, 2 * third + at, 3 * third, h, type);
    softmax_back(h->weights, h->d_weights, n, n);
    product(false, false, n, h->depth, n, h->scale, h->d_weights, h->k, h->v);
    scatter(h->v, d_x, at, 3 * third, h, type);
    product(true, false, n, h->depth, n, h->scale, h->d_weights, h->q, h->v);
    scatter(h->v, d_x, third + at, 3 * third, h, type);
}

void attention_backward(const layer *l, const void *x, const void *y_gradient, void *x_gradient,
                        element type, size_t rows, float *scratch)
{
    size_t each = attention_scratch_count(l, true), heads = l->heads;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < rows * heads; i++) {
        head h = head_new(l, scratch + (size_t)omp_get_thread_num() * each);
        size_t row = i / heads;
        head_weigh(l, &h, element_at(x, row * extent_size(l->in), type), i % heads, type);
        head_backward(l, &h, element_at(y_gradient, row * extent_size(l->out), type),
                      element_at(x_gradient, row * extent_size(l->in), type), i % heads, type);
    }
}
