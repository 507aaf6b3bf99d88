#include "winograd.h"

#include "cpu.h"

static const winograd_passes *passes(void)
{
#if defined(__x86_64__)
    if (cpu_has_avx512())
        return &winograd_avx512;
    if (cpu_has_avx2())
        return &winograd_avx2;
#endif
    return NULL;
}

bool winograd_fits(const layer *l, int threads)
{
    const winograd_passes *p = passes();
    return p && p->fits(l, threads);
}

size_t winograd_filter_count(const layer *l)
{
    return passes()->filter_count(l);
}

void winograd_filters(const layer *l, const float *weights, float *filters)
{
    passes()->filters(l, weights, filters);
}

void winograd_filters_rotated(const layer *l, const float *weights, float *filters)
{
    passes()->filters_rotated(l, weights, filters);
}

size_t winograd_scratch_count(const layer *l, int threads)
{
    return passes()->scratch_count(l, threads);
}

void winograd_forward(const layer *l, const void *x, const float *filters, const float *bias,
                      bool relu, void *y, element x_type, element y_type, size_t rows,
                      float *scratch)
{
    passes()->forward(l, x, filters, bias, relu, y, x_type, y_type, rows, scratch);
}

void winograd_backward(const layer *l, const void *y_gradient, const float *filters,
                       const void *gate, float factor, void *x_gradient, element y_type,
                       element x_type, size_t rows, float *scratch)
{
    passes()->backward(l, y_gradient, filters, gate, factor, x_gradient, y_type, x_type, rows,
                       scratch);
}

void winograd_weight_gradient(const layer *l, const void *x, const void *y_gradient, element x_type,
                              element y_type, size_t rows, float *weight_gradient,
                              float *bias_gradient, float *scratch)
{
    passes()->weight_gradient(l, x, y_gradient, x_type, y_type, rows, weight_gradient,
                              bias_gradient, scratch);
}
