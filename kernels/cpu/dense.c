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

static dnnl_status_t forward(const ingredients *g, bool training, layout target,
                             dnnl_primitive_attr_t attributes, dnnl_primitive_desc_t *out)
{
    return dense_forward(g->engine, training, g->source, g->any, g->bias, target, attributes, out);
}

static dnnl_status_t backward_data(const ingredients *g, dnnl_primitive_desc_t hint,
                                   dnnl_primitive_desc_t *out)
{
    return dense_backward_data(g->engine, g->source, g->any, g->gradient, hint, g->plainly, out);
}

static dnnl_status_t backward_weights(const ingredients *g, dnnl_primitive_desc_t hint,
                                      dnnl_primitive_desc_t *out)
{
    return dense_backward_weights(g->engine, g->source, g->any_float, g->bias, g->gradient, hint,
                                  g->plainly, out);
}

const product_kind dense_product = {"dense layer", activation,    weight,
                                    forward,       backward_data, backward_weights};
