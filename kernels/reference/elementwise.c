/* elementwise.c: what each element undergoes alone. */
#include "reference.h"

#include <math.h>

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static double hard_sigmoid(double x)
{
    return fmin(fmax(x / 6 + 0.5, 0), 1);
}

/* The probability that a standard normal number is below x, and its density. */
static double normal_below(double x)
{
    return 0.5 * erfc(-x * M_SQRT1_2);
}

static double normal_density(double x)
{
    return exp(-0.5 * x * x) * 0.5 * M_2_SQRTPI * M_SQRT1_2;
}

/* Hendrycks, Gimpel: "Gaussian error linear units", 2016: the approximation of its section 2. */
static const double cubic = 0.044715, root = 0.5 * M_2_SQRTPI * M_SQRT2; /* sqrt(2 / pi) */

static double activate(const layer *l, double x)
{
    double rate = (double)l->rate;
    switch (l->activation) {
    case ACTIVATION_CLIP:
        return fmin(fmax(x, rate), (double)l->high);
    case ACTIVATION_LEAKYRELU:
        return x > 0 ? x : rate * x;
    case ACTIVATION_SIGMOID:
        return sigmoid(x);
    case ACTIVATION_SILU:
        return x * sigmoid(x);
    case ACTIVATION_HARDSIGMOID:
        return hard_sigmoid(x);
    case ACTIVATION_HARDSWISH:
        return x * hard_sigmoid(x);
    case ACTIVATION_GELU:
        return x * normal_below(x);
    case ACTIVATION_TANHGELU:
        return 0.5 * x * (1 + tanh(root * (x + cubic * x * x * x)));
    case ACTIVATION_RELU:
        break;
    }
    return x > 0 ? x : 0;
}

static double slope(const layer *l, double x)
{
    double rate = (double)l->rate, inside = fabs(x) < 3, s, t;
    switch (l->activation) {
    case ACTIVATION_CLIP:
        return x > rate && x < (double)l->high;
    case ACTIVATION_LEAKYRELU:
        return x > 0 ? 1 : rate;
    case ACTIVATION_SIGMOID:
        s = sigmoid(x);
        return s * (1 - s);
    case ACTIVATION_SILU:
        s = sigmoid(x);
        return s * (1 + x * (1 - s));
    case ACTIVATION_HARDSIGMOID:
        return inside / 6;
    case ACTIVATION_HARDSWISH:
        return hard_sigmoid(x) + x * inside / 6;
    case ACTIVATION_GELU:
        return normal_below(x) + x * normal_density(x);
    case ACTIVATION_TANHGELU:
        t = tanh(root * (x + cubic * x * x * x));
        return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * root * (1 + 3 * cubic * x * x);
    case ACTIVATION_RELU:
        break;
    }
    return x > 0;
}

void reference_activation_forward(const layer *l, size_t count, const double *in, double *out)
{
    for (size_t i = 0; i < count; i++)
        out[i] = activate(l, in[i]);
}

void reference_activation_backward(const layer *l, size_t count, const double *in,
                                   const double *d_out, double *d_in)
{
    for (size_t i = 0; i < count; i++)
        d_in[i] = slope(l, in[i]) * d_out[i];
}

void reference_scale(size_t count, double factor, const double *in, double *out)
{
    for (size_t i = 0; i < count; i++)
        out[i] = factor * in[i];
}

void reference_dropout(size_t count, float rate, uint64_t seed, uint32_t layer, uint64_t step,
                       const double *in, double *out)
{
    uint32_t threshold = random_dropout_threshold(rate);
    for (size_t i = 0; i < count; i++)
        out[i] = random_dropout_keeps(seed, layer, step, i, threshold)
                     ? in[i] / (1.0 - (double)rate)
                     : 0;
}
