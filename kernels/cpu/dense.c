#include "dense.h"

static dnnl_status_t activation(size_t rows, extent e, dnnl_data_type_t type, layout *out)
{
    dnnl_dim_t sizes[] = {(dnnl_dim_t)rows, (dnnl_dim_t)extent_size(e)};
    return layout_new(2, sizes, type, dnnl_nc, out);
}

static dnnl_status_t weight(const layer *l, bool plain, dnnl_data_type_t type, layout *out)
{
    dnnl_dim_t sizes[] = {(dnnl_dim_t)extent_size(l->out), (dnnl_dim_t)extent_size(l->in)};
    return layout_new(2, sizes, type, plain ? dnnl_oi : dnnl_format_tag_any, out);
}

const product_kind dense_product = {"dense layer", activation,          weight,
                                    dense_forward, dense_backward_data, dense_backward_weights};
