#include "norm.h"

#include <math.h>

static const double epsilon = 1e-5, momentum = 0.9;

/* The rows that share statistics with others, and how many such groups there are. */
typedef struct {
    size_t rows, each, count;
} grouping;

static grouping groups_of(const batchnorm *n, size_t rows)
{
    size_t each = n->each && n->each < rows ? n->each : rows;
    return (grouping){rows, each, (rows + each - 1) / each};
}

static size_t group_rows(grouping g, size_t group)
{
    size_t left = g.rows - group * g.each;
    return left < g.each ? left : g.each;
}

/* ---- one row ---- */

/* Its mean, and the sum of squares about it, in each channel. */
ALWAYS_INLINE void measure(const void *x, size_t pixels, size_t channels, float *restrict mean,
                           float *restrict square, bool bf16)
{
    for (size_t c = 0; c < channels; c++)
        mean[c] = square[c] = 0;
    for (size_t p = 0; p < pixels; p++)
        for (size_t c = 0; c < channels; c++)
            mean[c] += element_get(x, p * channels + c, bf16);
    for (size_t c = 0; c < channels; c++)
        mean[c] /= (float)pixels;
    for (size_t p = 0; p < pixels; p++) {
        for (size_t c = 0; c < channels; c++) {
            float d = element_get(x, p * channels + c, bf16) - mean[c];
            square[c] += d * d;
        }
    }
}

/* y = factor x + offset, through ReLU if asked. */
ALWAYS_INLINE void affine(const void *x, void *y, size_t pixels, size_t channels,
                          const float *restrict factor, const float *restrict offset, bool relu,
                          bool bf16)
{
    for (size_t p = 0; p < pixels; p++) {
        for (size_t c = 0; c < channels; c++) {
            float v = element_get(x, p * channels + c, bf16) * factor[c] + offset[c];
            v = relu && !(v > 0) ? 0 : v;
            element_put(y, p * channels + c, v, bf16);
        }
    }
}

/* Sums of the gradient g, and of g z with z = (x - mean) inverse. */
ALWAYS_INLINE void measure_gradient(const void *x, const void *g, size_t pixels, size_t channels,
                                    const float *restrict mean, const float *restrict inverse,
                                    float *restrict sum, float *restrict sum_z, bool bf16)
{
    for (size_t c = 0; c < channels; c++)
        sum[c] = sum_z[c] = 0;
    for (size_t p = 0; p < pixels; p++) {
        for (size_t c = 0; c < channels; c++) {
            float d = element_get(g, p * channels + c, bf16);
            sum[c] += d;
            sum_z[c] += d * (element_get(x, p * channels + c, bf16) - mean[c]);
        }
    }
    for (size_t c = 0; c < channels; c++)
        sum_z[c] *= inverse[c];
}

/* g = factor g + slope x + offset */
ALWAYS_INLINE void affine_gradient(const void *x, void *g, size_t pixels, size_t channels,
                                   const float *restrict factor, const float *restrict slope,
                                   const float *restrict offset, bool bf16)
{
    for (size_t p = 0; p < pixels; p++) {
        for (size_t c = 0; c < channels; c++) {
            size_t i = p * channels + c;
            float v = factor[c] * element_get(g, i, bf16) + slope[c] * element_get(x, i, bf16);
            element_put(g, i, v + offset[c], bf16);
        }
    }
}

CLONES static void measure_row(const void *x, size_t pixels, size_t channels, float *mean,
                               float *square, element type)
{
    OF_TYPE(measure, x, pixels, channels, mean, square);
}

CLONES static void affine_row(const void *x, void *y, size_t pixels, size_t channels,
                              const float *factor, const float *offset, bool relu, element type)
{
    OF_TYPE(affine, x, y, pixels, channels, factor, offset, relu);
}

CLONES static void measure_gradient_row(const void *x, const void *g, size_t pixels,
                                        size_t channels, const float *mean, const float *inverse,
                                        float *sum, float *sum_z, element type)
{
    OF_TYPE(measure_gradient, x, g, pixels, channels, mean, inverse, sum, sum_z);
}

CLONES static void affine_gradient_row(const void *x, void *g, size_t pixels, size_t channels,
                                       const float *factor, const float *slope, const float *offset,
                                       element type)
{
    OF_TYPE(affine_gradient, x, g, pixels, channels, factor, slope, offset);
}

/* ---- statistics ---- */

/* The rows' means and squares of one channel put together (Chan, Golub, LeVeque: "Updating formulae
 * and a pairwise algorithm for computing sample variances", 1979). */
static void combine_rows(const batchnorm *n, grouping g, size_t group, size_t channel, double *mean,
                         double *square)
{
    double count = 0, pixels = (double)n->pixels;
    *mean = *square = 0;
    for (size_t i = 0; i < group_rows(g, group); i++) {
        const float *row = n->partial + (group * g.each + i) * 2 * n->channels;
        double delta = row[channel] - *mean;
        *mean += delta * pixels / (count + pixels);
        *square += row[n->channels + channel] + delta * delta * count * pixels / (count + pixels);
        count += pixels;
    }
}

static void channel_statistics(batchnorm *n, grouping g, size_t channel, float gamma, float beta,
                               float *running_mean, float *running_variance)
{
    double mean_sum = 0, variance_sum = 0;
    for (size_t group = 0; group < g.count; group++) {
        double mean, square, size = (double)(group_rows(g, group) * n->pixels);
        combine_rows(n, g, group, channel, &mean, &square);
        double inverse = 1 / sqrt(square / size + epsilon);
        size_t at = group * n->channels + channel;
        n->mean[at] = (float)mean;
        n->inverse[at] = (float)inverse;
        n->factor[at] = (float)(gamma * inverse);
        n->offset[at] = (float)(beta - mean * gamma * inverse);
        mean_sum += mean;
        variance_sum += size > 1 ? square / (size - 1) : square;
    }
    if (!running_mean)
        return;
    double weight = (1 - momentum) / (double)g.count;
    running_mean[channel] = (float)(momentum * running_mean[channel] + weight * mean_sum);
    running_variance[channel] =
        (float)(momentum * running_variance[channel] + weight * variance_sum);
}

void batchnorm_train(batchnorm *n, const void *x, void *y, element type, size_t rows,
                     const float *gamma, const float *beta, bool relu, float *running_mean,
                     float *running_variance)
{
    grouping g = groups_of(n, rows);
    size_t channels = n->channels, size = n->pixels * channels;
#pragma omp parallel
    {
#pragma omp for schedule(static)
        for (size_t row = 0; row < rows; row++) {
            float *own = n->partial + row * 2 * channels;
            measure_row(element_at(x, row * size, type), n->pixels, channels, own, own + channels,
                        type);
        }
#pragma omp for schedule(static)
        for (size_t c = 0; c < channels; c++)
            channel_statistics(n, g, c, gamma[c], beta[c], running_mean, running_variance);
#pragma omp for schedule(static)
        for (size_t row = 0; row < rows; row++) {
            size_t at = row / g.each * channels;
            affine_row(element_at(x, row * size, type), element_at(y, row * size, type), n->pixels,
                       channels, n->factor + at, n->offset + at, relu, type);
        }
    }
}

void batchnorm_infer(batchnorm *n, const void *x, void *y, element type, size_t rows,
                     const float *gamma, const float *beta, bool relu, const float *mean,
                     const float *variance)
{
    size_t channels = n->channels, size = n->pixels * channels;
    for (size_t c = 0; c < channels; c++) {
        double factor = gamma[c] / sqrt(variance[c] + epsilon);
        n->factor[c] = (float)factor;
        n->offset[c] = (float)(beta[c] - mean[c] * factor);
    }
#pragma omp parallel for schedule(static)
    for (size_t row = 0; row < rows; row++)
        affine_row(element_at(x, row * size, type), element_at(y, row * size, type), n->pixels,
                   channels, n->factor, n->offset, relu, type);
}

/* ---- backward ---- */

/* dx = gamma inverse (g - sum g / n - z sum(g z) / n) as factor g + slope x + offset. */
static void channel_gradient(batchnorm *n, grouping g, size_t channel, float gamma,
                             float *gamma_gradient, float *beta_gradient)
{
    double total = 0, total_z = 0;
    for (size_t group = 0; group < g.count; group++) {
        double sum = 0, sum_z = 0, size = (double)(group_rows(g, group) * n->pixels);
        for (size_t i = 0; i < group_rows(g, group); i++) {
            const float *row = n->partial + (group * g.each + i) * 2 * n->channels;
            sum += row[channel];
            sum_z += row[n->channels + channel];
        }
        total += sum;
        total_z += sum_z;
        size_t at = group * n->channels + channel;
        double inverse = n->inverse[at], factor = gamma * inverse;
        double slope = -factor * inverse * sum_z / size;
        n->factor[at] = (float)factor;
        n->slope[at] = (float)slope;
        n->offset[at] = (float)(-factor * sum / size - slope * n->mean[at]);
    }
    gamma_gradient[channel] = (float)total_z;
    beta_gradient[channel] = (float)total;
}

void batchnorm_backward(batchnorm *n, const void *x, void *gradient, element type, size_t rows,
                        const float *gamma, float *gamma_gradient, float *beta_gradient)
{
    grouping g = groups_of(n, rows);
    size_t channels = n->channels, size = n->pixels * channels;
#pragma omp parallel
    {
#pragma omp for schedule(static)
        for (size_t row = 0; row < rows; row++) {
            float *own = n->partial + row * 2 * channels;
            size_t at = row / g.each * channels;
            measure_gradient_row(element_at(x, row * size, type),
                                 element_at(gradient, row * size, type), n->pixels, channels,
                                 n->mean + at, n->inverse + at, own, own + channels, type);
        }
#pragma omp for schedule(static)
        for (size_t c = 0; c < channels; c++)
            channel_gradient(n, g, c, gamma[c], gamma_gradient, beta_gradient);
#pragma omp for schedule(static)
        for (size_t row = 0; row < rows; row++) {
            size_t at = row / g.each * channels;
            affine_gradient_row(element_at(x, row * size, type),
                                element_at(gradient, row * size, type), n->pixels, channels,
                                n->factor + at, n->slope + at, n->offset + at, type);
        }
    }
}

/* ---- over the channels of a place ---- */

/* Its mean, and the inverse of its deviation. */
ALWAYS_INLINE void place_measure(const void *x, size_t channels, float floor, float *mean,
                                 float *inverse, bool bf16)
{
    float sum = 0, square = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t c = 0; c < channels; c++)
        sum += element_get(x, c, bf16);
    float middle = sum / (float)channels;
#pragma omp simd reduction(+ : square)
    for (size_t c = 0; c < channels; c++) {
        float off = element_get(x, c, bf16) - middle;
        square += off * off;
    }
    *mean = middle;
    *inverse = 1 / sqrtf(square / (float)channels + floor);
}

ALWAYS_INLINE void layernorm_place(const void *x, void *y, size_t channels, float floor,
                                   const float *gamma, const float *beta, bool bf16)
{
    float mean, inverse;
    place_measure(x, channels, floor, &mean, &inverse, bf16);
    for (size_t c = 0; c < channels; c++)
        element_put(y, c, (element_get(x, c, bf16) - mean) * inverse * gamma[c] + beta[c], bf16);
}

CLONES static void layernorm_place_type(const void *x, void *y, size_t channels, float floor,
                                        const float *gamma, const float *beta, element type)
{
    OF_TYPE(layernorm_place, x, y, channels, floor, gamma, beta);
}

void layernorm_forward(const layer *l, const void *x, void *y, element type, size_t places,
                       const float *gamma, const float *beta)
{
    size_t channels = l->in.channels;
#pragma omp parallel for schedule(static)
    for (size_t p = 0; p < places; p++)
        layernorm_place_type(element_at(x, p * channels, type), element_at(y, p * channels, type),
                             channels, l->rate, gamma, beta, type);
}

ALWAYS_INLINE void affine_place(const void *x, void *y, size_t channels, const float *gamma,
                                const float *beta, bool bf16)
{
    for (size_t c = 0; c < channels; c++)
        element_put(y, c, element_get(x, c, bf16) * gamma[c] + beta[c], bf16);
}

CLONES static void affine_place_type(const void *x, void *y, size_t channels, const float *gamma,
                                     const float *beta, element type)
{
    OF_TYPE(affine_place, x, y, channels, gamma, beta);
}

void affine_forward(const layer *l, const void *x, void *y, element type, size_t places,
                    const float *gamma, const float *beta)
{
    size_t channels = l->in.channels;
#pragma omp parallel for schedule(static)
    for (size_t p = 0; p < places; p++)
        affine_place_type(element_at(x, p * channels, type), element_at(y, p * channels, type),
                          channels, gamma, beta, type);
}

/* Adds this place's share to the thread's sums of gamma's and beta's gradients. `mean` and
 * `inverse` are 0 and 1 for an affine layer. */
ALWAYS_INLINE void place_gradients(const void *x, const void *d, size_t channels, float mean,
                                   float inverse, float *sums, bool bf16)
{
    for (size_t c = 0; c < channels; c++) {
        float g = element_get(d, c, bf16);
        sums[c] += g * (element_get(x, c, bf16) - mean) * inverse;
        sums[channels + c] += g;
    }
}

ALWAYS_INLINE void layernorm_place_backward(const void *x, const void *d, void *d_x,
                                            size_t channels, float floor, const float *gamma,
                                            float *sums, bool bf16)
{
    float mean, inverse, sum = 0, along = 0;
    place_measure(x, channels, floor, &mean, &inverse, bf16);
    place_gradients(x, d, channels, mean, inverse, sums, bf16);
    if (!d_x)
        return;
#pragma omp simd reduction(+ : sum, along)
    for (size_t c = 0; c < channels; c++) {
        float g = element_get(d, c, bf16) * gamma[c];
        sum += g;
        along += g * (element_get(x, c, bf16) - mean) * inverse;
    }
    sum /= (float)channels;
    along /= (float)channels;
    for (size_t c = 0; c < channels; c++) {
        float z = (element_get(x, c, bf16) - mean) * inverse;
        element_put(d_x, c, inverse * (element_get(d, c, bf16) * gamma[c] - sum - z * along), bf16);
    }
}

CLONES static void layernorm_place_backward_type(const void *x, const void *d, void *d_x,
                                                 size_t channels, float floor, const float *gamma,
                                                 float *sums, element type)
{
    OF_TYPE(layernorm_place_backward, x, d, d_x, channels, floor, gamma, sums);
}

ALWAYS_INLINE void affine_place_backward(const void *x, const void *d, void *d_x, size_t channels,
                                         const float *gamma, float *sums, bool bf16)
{
    place_gradients(x, d, channels, 0, 1, sums, bf16);
    for (size_t c = 0; d_x && c < channels; c++)
        element_put(d_x, c, element_get(d, c, bf16) * gamma[c], bf16);
}

CLONES static void affine_place_backward_type(const void *x, const void *d, void *d_x,
                                              size_t channels, const float *gamma, float *sums,
                                              element type)
{
    OF_TYPE(affine_place_backward, x, d, d_x, channels, gamma, sums);
}

/* Each thread's sums over a part of the places, then those of all. */
void places_backward(const layer *l, const void *x, const void *y_gradient, void *x_gradient,
                     element type, size_t places, const float *gamma, float *gamma_gradient,
                     float *beta_gradient, float *scratch)
{
    size_t channels = l->in.channels, threads = 1;
#pragma omp parallel
    {
        size_t first, last;
        float *sums = scratch + (size_t)omp_get_thread_num() * 2 * channels;
        thread_part(places, 1, &first, &last);
        memset(sums, 0, 2 * channels * sizeof *sums);
#pragma omp single
        threads = (size_t)omp_get_num_threads();
        for (size_t p = first; p < last; p++) {
            const void *from = element_at(x, p * channels, type);
            const void *d = element_at(y_gradient, p * channels, type);
            void *d_x = x_gradient ? element_at(x_gradient, p * channels, type) : NULL;
            if (l->kind == LAYER_LAYERNORM)
                layernorm_place_backward_type(from, d, d_x, channels, l->rate, gamma, sums, type);
            else
                affine_place_backward_type(from, d, d_x, channels, gamma, sums, type);
        }
    }
    for (size_t c = 0; c < channels; c++) {
        gamma_gradient[c] = beta_gradient[c] = 0;
        for (size_t t = 0; t < threads; t++) {
            gamma_gradient[c] += scratch[t * 2 * channels + c];
            beta_gradient[c] += scratch[t * 2 * channels + channels + c];
        }
    }
}
