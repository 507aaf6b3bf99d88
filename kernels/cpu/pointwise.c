#include "pointwise.h"

#include "elementwise.h"
#include "primitive.h"

bool pointwise_fits(const layer *l)
{
    return l->kind == LAYER_CONV && l->kernel_height == 1 && l->kernel_width == 1 &&
           l->stride_height == 1 && l->stride_width == 1 && l->groups == 1 &&
           l->in.height == l->out.height && l->in.width == l->out.width;
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
    if (bias_gradient)
        elements_sum_rows(y_gradient, ELEMENT_F32, places, out, out, bias_gradient);
    return 0;
}
