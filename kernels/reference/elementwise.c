/* elementwise.c: what each element undergoes alone. */
#include "reference.h"

void reference_relu_forward(size_t count, const double *in, double *out)
{
    for (size_t i = 0; i < count; i++)
        out[i] = in[i] > 0 ? in[i] : 0;
}

void reference_relu_backward(size_t count, const double *in, const double *d_out, double *d_in)
{
    for (size_t i = 0; i < count; i++)
        d_in[i] = in[i] > 0 ? d_out[i] : 0;
}

void reference_scale(size_t count, double factor, const double *in, double *out)
{
    for (size_t i = 0; i < count; i++)
        out[i] = factor * in[i];
}

void reference_add(size_t count, const double *a, const double *b, double *out)
{
    for (size_t i = 0; i < count; i++)
        out[i] = a[i] + b[i];
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
