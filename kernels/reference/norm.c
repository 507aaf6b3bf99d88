/* norm.c: Ioffe, Szegedy: "Batch normalization", 2015, section 3; with groups of rows ("ghost
 * batches"), Hoffer, Hubara, Soudry: "Train longer, generalize better", 2017, algorithm 1.
 *
 * Over the n elements of one channel in one group of rows:
 *
 *   mean = sum x / n;  variance = sum (x - mean)^2 / n
 *   z = (x - mean) / sqrt(variance + epsilon);  out = gamma z + beta */
#include "reference.h"

#include <math.h>

static const double epsilon = 1e-5, momentum = 0.9;

/* The elements of one channel in one group: n of them, `step` apart. */
typedef struct {
    size_t first, n, step;
    double mean, variance, inverse; /* inverse: 1 / sqrt(variance + epsilon) */
} slice;

static size_t group_rows(const layer *l, size_t rows)
{
    return l->group && l->group < rows ? l->group : rows;
}

static size_t group_count(const layer *l, size_t rows)
{
    size_t each = group_rows(l, rows);
    return (rows + each - 1) / each;
}

static slice slice_measure(const layer *l, size_t rows, size_t group, size_t channel,
                           const double *in)
{
    size_t each = group_rows(l, rows), start = group * each;
    size_t count = rows - start < each ? rows - start : each;
    size_t places = l->in.height * l->in.width;
    slice s = {.first = start * places * l->in.channels + channel,
               .n = count * places,
               .step = l->in.channels};
    for (size_t i = 0; i < s.n; i++)
        s.mean += in[s.first + i * s.step];
    s.mean /= (double)s.n;
    for (size_t i = 0; i < s.n; i++) {
        double d = in[s.first + i * s.step] - s.mean;
        s.variance += d * d;
    }
    s.variance /= (double)s.n;
    s.inverse = 1 / sqrt(s.variance + epsilon);
    return s;
}

/* One channel through all its groups; gives the means over the groups of their statistics. */
static void channel_train(const layer *l, size_t rows, size_t c, double gamma, double beta,
                          const double *in, double *out, double *mean, double *variance)
{
    size_t groups = group_count(l, rows);
    *mean = *variance = 0;
    for (size_t g = 0; g < groups; g++) {
        slice s = slice_measure(l, rows, g, c, in);
        for (size_t i = 0; i < s.n; i++) {
            size_t at = s.first + i * s.step;
            out[at] = gamma * (in[at] - s.mean) * s.inverse + beta;
        }
        double unbiased = s.n > 1 ? (double)s.n / (double)(s.n - 1) : 1;
        *mean += s.mean / (double)groups;
        *variance += s.variance * unbiased / (double)groups;
    }
}

void reference_batchnorm_train(const layer *l, size_t rows, const float *gamma, const float *beta,
                               const double *in, double *out, float *running_mean,
                               float *running_variance)
{
    for (size_t c = 0; c < l->in.channels; c++) {
        double mean, variance;
        channel_train(l, rows, c, (double)gamma[c], (double)beta[c], in, out, &mean, &variance);
        if (!running_mean)
            continue;
        running_mean[c] = (float)(momentum * (double)running_mean[c] + (1 - momentum) * mean);
        running_variance[c] =
            (float)(momentum * (double)running_variance[c] + (1 - momentum) * variance);
    }
}

void reference_batchnorm_infer(const layer *l, size_t rows, const float *gamma, const float *beta,
                               const float *running_mean, const float *running_variance,
                               const double *in, double *out)
{
    size_t count = rows * extent_size(l->in);
    for (size_t i = 0; i < count; i++) {
        size_t c = i % l->in.channels;
        double z = (in[i] - (double)running_mean[c]) / sqrt((double)running_variance[c] + epsilon);
        out[i] = (double)gamma[c] * z + (double)beta[c];
    }
}

/* d_beta = sum d_out;  d_gamma = sum d_out z;
 * d_in = gamma inverse (d_out - (sum d_out) / n - z (sum d_out z) / n), the sums over the group. */
void reference_batchnorm_backward(const layer *l, size_t rows, const float *gamma, const double *in,
                                  const double *d_out, double *d_gamma, double *d_beta,
                                  double *d_in)
{
    for (size_t c = 0; c < l->in.channels; c++) {
        for (size_t g = 0; g < group_count(l, rows); g++) {
            slice s = slice_measure(l, rows, g, c, in);
            double sum = 0, sum_z = 0;
            for (size_t i = 0; i < s.n; i++) {
                size_t at = s.first + i * s.step;
                sum += d_out[at];
                sum_z += d_out[at] * (in[at] - s.mean) * s.inverse;
            }
            d_beta[c] += sum;
            d_gamma[c] += sum_z;
            for (size_t i = 0; d_in && i < s.n; i++) {
                size_t at = s.first + i * s.step;
                double z = (in[at] - s.mean) * s.inverse;
                d_in[at] = (double)gamma[c] * s.inverse *
                           (d_out[at] - sum / (double)s.n - z * sum_z / (double)s.n);
            }
        }
    }
}

/* ---- over the channels of one place ---- */

/* Ba, Kiros, Hinton: "Layer normalization", 2016. */
static slice place_measure(const layer *l, size_t place, const double *in)
{
    size_t channels = l->in.channels;
    slice s = {.first = place * channels, .n = channels, .step = 1};
    for (size_t c = 0; c < channels; c++)
        s.mean += in[s.first + c] / (double)channels;
    for (size_t c = 0; c < channels; c++) {
        double off = in[s.first + c] - s.mean;
        s.variance += off * off / (double)channels;
    }
    s.inverse = 1 / sqrt(s.variance + (double)l->rate);
    return s;
}

static size_t place_count(const layer *l, size_t rows)
{
    return rows * l->in.height * l->in.width;
}

void reference_layernorm_forward(const layer *l, size_t rows, const float *gamma, const float *beta,
                                 const double *in, double *out)
{
    for (size_t place = 0; place < place_count(l, rows); place++) {
        slice s = place_measure(l, place, in);
        for (size_t c = 0; c < s.n; c++) {
            double z = (in[s.first + c] - s.mean) * s.inverse;
            out[s.first + c] = (double)gamma[c] * z + (double)beta[c];
        }
    }
}

void reference_layernorm_backward(const layer *l, size_t rows, const float *gamma, const double *in,
                                  const double *d_out, double *d_gamma, double *d_beta,
                                  double *d_in)
{
    for (size_t place = 0; place < place_count(l, rows); place++) {
        slice s = place_measure(l, place, in);
        double sum = 0, along = 0; /* of the gradient of z, and of it times z, over the channels */
        for (size_t c = 0; c < s.n; c++) {
            double z = (in[s.first + c] - s.mean) * s.inverse, d = d_out[s.first + c];
            d_gamma[c] += d * z;
            d_beta[c] += d;
            sum += d * (double)gamma[c] / (double)s.n;
            along += d * (double)gamma[c] * z / (double)s.n;
        }
        for (size_t c = 0; c < s.n; c++) {
            double z = (in[s.first + c] - s.mean) * s.inverse;
            d_in[s.first + c] =
                s.inverse * (d_out[s.first + c] * (double)gamma[c] - sum - z * along);
        }
    }
}

/* ---- each channel alone ---- */

void reference_affine_forward(const layer *l, size_t rows, const float *gamma, const float *beta,
                              const double *in, double *out)
{
    size_t channels = l->in.channels;
    for (size_t i = 0; i < place_count(l, rows) * channels; i++)
        out[i] = (double)gamma[i % channels] * in[i] + (double)beta[i % channels];
}

void reference_affine_backward(const layer *l, size_t rows, const float *gamma, const double *in,
                               const double *d_out, double *d_gamma, double *d_beta, double *d_in)
{
    size_t channels = l->in.channels;
    for (size_t i = 0; i < place_count(l, rows) * channels; i++) {
        d_gamma[i % channels] += d_out[i] * in[i];
        d_beta[i % channels] += d_out[i];
        d_in[i] = d_out[i] * (double)gamma[i % channels];
    }
}

void reference_normalize_forward(const layer *l, size_t rows, const double *in, double *out)
{
    size_t channels = l->in.channels;
    for (size_t i = 0; i < place_count(l, rows) * channels; i++)
        out[i] = (in[i] - (double)l->input_mean[i % channels]) /
                 (double)l->input_deviation[i % channels];
}

void reference_normalize_backward(const layer *l, size_t rows, const double *d_out, double *d_in)
{
    size_t channels = l->in.channels;
    for (size_t i = 0; i < place_count(l, rows) * channels; i++)
        d_in[i] = d_out[i] / (double)l->input_deviation[i % channels];
}
