#include "pointwise.h"

#include "loops.h"
#include "primitive.h"

#include <oneapi/dnnl/dnnl.h>

enum {
    STRIPE = 64, /* channels that one thread sums */
    PIECE = 256  /* places summed in float, before they go into a double */
};

bool pointwise_fits(const layer *l)
{
    return l->kind == LAYER_CONV && l->kernel_height == 1 && l->kernel_width == 1 &&
           l->stride_height == 1 && l->stride_width == 1 && l->groups == 1 &&
           l->in.height == l->out.height && l->in.width == l->out.width;
}

CLONES static void sum_places(const float *g, size_t places, size_t step, size_t width, float *out)
{
    double sums[STRIPE] = {0};
    for (size_t first = 0; first < places; first += PIECE) {
        size_t end = first + PIECE < places ? first + PIECE : places;
        float part[STRIPE] = {0};
        for (size_t i = first; i < end; i++)
            for (size_t c = 0; c < width; c++)
                part[c] += g[i * step + c];
        for (size_t c = 0; c < width; c++)
            sums[c] += part[c];
    }
    for (size_t c = 0; c < width; c++)
        out[c] = (float)sums[c];
}

int pointwise_weight_gradient(const layer *l, const float *x, const float *y_gradient,
                              size_t places, float *weight_gradient, float *bias_gradient, error *e)
{
    size_t in = l->in.channels, out = l->out.channels;
    dnnl_dim_t rows = (dnnl_dim_t)out, columns = (dnnl_dim_t)in;
    dnnl_status_t status = dnnl_sgemm('T', 'N', rows, columns, (dnnl_dim_t)places, 1, y_gradient,
                                      rows, x, columns, 0, weight_gradient, columns);
    if (status != dnnl_success)
        return error_set(e, "oneDNN: the weights' gradient of %zu to %zu channels: %s", in, out,
                         dnnl_status_text(status));
    if (!bias_gradient)
        return 0;
#pragma omp parallel for schedule(static)
    for (size_t c = 0; c < out; c += STRIPE)
        sum_places(y_gradient + c, places, out, out - c < STRIPE ? out - c : STRIPE,
                   bias_gradient + c);
    return 0;
}
