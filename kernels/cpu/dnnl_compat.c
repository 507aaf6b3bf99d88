#include "dnnl_compat.h"

#include <stdlib.h>
#include <string.h>

static dnnl_prop_kind_t forward_kind(const product_request *r)
{
    return r->training ? dnnl_forward_training : dnnl_forward_inference;
}

#if DNNL_VERSION_MAJOR >= 3

dnnl_status_t layout_new(int rank, const dnnl_dim_t *sizes, dnnl_data_type_t type,
                         dnnl_format_tag_t tag, layout *out)
{
    dnnl_memory_desc_t made = NULL;
    dnnl_status_t status = dnnl_memory_desc_create_with_tag(&made, rank, sizes, type, tag);
    *out = made;
    return status;
}

dnnl_status_t layout_copy(layout l, layout *out)
{
    dnnl_memory_desc_t made = NULL;
    dnnl_status_t status = dnnl_memory_desc_clone(&made, l);
    *out = made;
    return status;
}

void layout_free(layout l)
{
    if (l)
        dnnl_memory_desc_destroy((dnnl_memory_desc_t)l);
}

static dnnl_status_t append(dnnl_post_ops_t operations, const post_operation *o)
{
    return o->sum ? dnnl_post_ops_append_sum(operations, 1, 0, dnnl_data_type_undef)
                  : dnnl_post_ops_append_eltwise(operations, o->kind, o->alpha, o->beta);
}

dnnl_status_t convolution_forward(const product_request *r, dnnl_primitive_desc_t *out)
{
    return dnnl_convolution_forward_primitive_desc_create(
        out, r->engine, forward_kind(r), dnnl_convolution_direct, r->source, r->weights, r->bias,
        r->target, r->strides, r->dilation, r->padding, r->padding_behind, r->attributes);
}

dnnl_status_t convolution_backward_data(const product_request *r, dnnl_primitive_desc_t *out)
{
    return dnnl_convolution_backward_data_primitive_desc_create(
        out, r->engine, dnnl_convolution_direct, r->source, r->weights, r->target, r->strides,
        r->dilation, r->padding, r->padding_behind, r->hint, r->attributes);
}

dnnl_status_t convolution_backward_weights(const product_request *r, dnnl_primitive_desc_t *out)
{
    return dnnl_convolution_backward_weights_primitive_desc_create(
        out, r->engine, dnnl_convolution_direct, r->source, r->weights, r->bias, r->target,
        r->strides, r->dilation, r->padding, r->padding_behind, r->hint, r->attributes);
}

dnnl_status_t dense_forward(const product_request *r, dnnl_primitive_desc_t *out)
{
    return dnnl_inner_product_forward_primitive_desc_create(
        out, r->engine, forward_kind(r), r->source, r->weights, r->bias, r->target, r->attributes);
}

dnnl_status_t dense_backward_data(const product_request *r, dnnl_primitive_desc_t *out)
{
    return dnnl_inner_product_backward_data_primitive_desc_create(
        out, r->engine, r->source, r->weights, r->target, r->hint, r->attributes);
}

dnnl_status_t dense_backward_weights(const product_request *r, dnnl_primitive_desc_t *out)
{
    return dnnl_inner_product_backward_weights_primitive_desc_create(
        out, r->engine, r->source, r->weights, r->bias, r->target, r->hint, r->attributes);
}

dnnl_status_t matrix_product(const product_request *r, dnnl_primitive_desc_t *out)
{
    return dnnl_matmul_primitive_desc_create(out, r->engine, r->source, r->weights, r->bias,
                                             r->target, r->attributes);
}

#else /* version 2 */

dnnl_status_t layout_new(int rank, const dnnl_dim_t *sizes, dnnl_data_type_t type,
                         dnnl_format_tag_t tag, layout *out)
{
    dnnl_memory_desc_t *made = calloc(1, sizeof *made);
    *out = made;
    return made ? dnnl_memory_desc_init_by_tag(made, rank, sizes, type, tag) : dnnl_out_of_memory;
}

dnnl_status_t layout_copy(layout l, layout *out)
{
    dnnl_memory_desc_t *made = malloc(sizeof *made);
    if (made)
        *made = *l;
    *out = made;
    return made ? dnnl_success : dnnl_out_of_memory;
}

void layout_free(layout l)
{
    free((dnnl_memory_desc_t *)l);
}

static dnnl_status_t append(dnnl_post_ops_t operations, const post_operation *o)
{
    return o->sum ? dnnl_post_ops_append_sum(operations, 1)
                  : dnnl_post_ops_append_eltwise(operations, 1, o->kind, o->alpha, o->beta);
}

static dnnl_status_t create(dnnl_status_t described, const_dnnl_op_desc_t description,
                            const product_request *r, dnnl_primitive_desc_t *out)
{
    if (described != dnnl_success)
        return described;
    return dnnl_primitive_desc_create(out, description, r->attributes, r->engine, r->hint);
}

dnnl_status_t convolution_forward(const product_request *r, dnnl_primitive_desc_t *out)
{
    dnnl_convolution_desc_t d;
    return create(dnnl_dilated_convolution_forward_desc_init(
                      &d, forward_kind(r), dnnl_convolution_direct, r->source, r->weights, r->bias,
                      r->target, r->strides, r->dilation, r->padding, r->padding_behind),
                  &d, r, out);
}

dnnl_status_t convolution_backward_data(const product_request *r, dnnl_primitive_desc_t *out)
{
    dnnl_convolution_desc_t d;
    return create(dnnl_dilated_convolution_backward_data_desc_init(
                      &d, dnnl_convolution_direct, r->source, r->weights, r->target, r->strides,
                      r->dilation, r->padding, r->padding_behind),
                  &d, r, out);
}

dnnl_status_t convolution_backward_weights(const product_request *r, dnnl_primitive_desc_t *out)
{
    dnnl_convolution_desc_t d;
    return create(dnnl_dilated_convolution_backward_weights_desc_init(
                      &d, dnnl_convolution_direct, r->source, r->weights, r->bias, r->target,
                      r->strides, r->dilation, r->padding, r->padding_behind),
                  &d, r, out);
}

dnnl_status_t dense_forward(const product_request *r, dnnl_primitive_desc_t *out)
{
    dnnl_inner_product_desc_t d;
    return create(dnnl_inner_product_forward_desc_init(&d, forward_kind(r), r->source, r->weights,
                                                       r->bias, r->target),
                  &d, r, out);
}

dnnl_status_t dense_backward_data(const product_request *r, dnnl_primitive_desc_t *out)
{
    dnnl_inner_product_desc_t d;
    return create(dnnl_inner_product_backward_data_desc_init(&d, r->source, r->weights, r->target),
                  &d, r, out);
}

dnnl_status_t dense_backward_weights(const product_request *r, dnnl_primitive_desc_t *out)
{
    dnnl_inner_product_desc_t d;
    return create(dnnl_inner_product_backward_weights_desc_init(&d, r->source, r->weights, r->bias,
                                                                r->target),
                  &d, r, out);
}

dnnl_status_t matrix_product(const product_request *r, dnnl_primitive_desc_t *out)
{
    dnnl_matmul_desc_t d;
    return create(dnnl_matmul_desc_init(&d, r->source, r->weights, r->bias, r->target), &d, r, out);
}

#endif

size_t layout_bytes(layout l)
{
    return l ? dnnl_memory_desc_get_size(l) : 0;
}

bool layout_equal(layout a, layout b)
{
    return dnnl_memory_desc_equal(a, b) != 0;
}

layout layout_of(const_dnnl_primitive_desc_t pd, dnnl_query_t what)
{
    return dnnl_primitive_desc_query_md(pd, what, 0);
}

bool is_gemm(const_dnnl_primitive_desc_t pd)
{
    const char *name = NULL;
    if (dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, (void *)&name) != dnnl_success)
        return false;
    return name && strstr(name, "gemm:") && !strstr(name, "brg");
}

dnnl_status_t attributes_new(const post_operation *operations, size_t count,
                             dnnl_primitive_attr_t *out)
{
    dnnl_post_ops_t made = NULL;
    dnnl_status_t status = dnnl_primitive_attr_create(out);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_scratchpad_mode(*out, dnnl_scratchpad_mode_user);
    if (status != dnnl_success || count == 0)
        return status;
    status = dnnl_post_ops_create(&made);
    for (size_t i = 0; i < count && status == dnnl_success; i++)
        status = append(made, &operations[i]);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_post_ops(*out, made);
    if (made)
        dnnl_post_ops_destroy(made);
    return status;
}

const char *dnnl_status_text(dnnl_status_t status)
{
    switch (status) {
    case dnnl_success:
        return "success";
    case dnnl_out_of_memory:
        return "out of memory";
    case dnnl_invalid_arguments:
        return "invalid arguments";
    case dnnl_unimplemented:
        return "not implemented for this processor";
    default:
        return "a runtime error";
    }
}
