/* dnnl_compat.h: the part of oneDNN's C interface that we use, the same for its versions 2 and 3.
 *
 * They differ in how memory descriptors are held and in how primitive descriptors are made; all of
 * that is in dnnl_compat.c. What both share is used directly. Functions return oneDNN's status. */
#ifndef KERNELS_CPU_DNNL_COMPAT_H
#define KERNELS_CPU_DNNL_COMPAT_H

#include <oneapi/dnnl/dnnl.h>

#include <stdbool.h>
#include <stddef.h>

/* How an array lies in memory: both versions hand out pointers. */
#if DNNL_VERSION_MAJOR >= 3
typedef const_dnnl_memory_desc_t layout;
#else
typedef const dnnl_memory_desc_t *layout;
#endif

/* A new layout; layout_free frees it (NULL is harmless). */
dnnl_status_t layout_new(int rank, const dnnl_dim_t *sizes, dnnl_data_type_t type,
                         dnnl_format_tag_t tag, layout *out);
dnnl_status_t layout_copy(layout l, layout *out);
void layout_free(layout l);
size_t layout_bytes(layout l);
bool layout_equal(layout a, layout b);

/* A primitive's layout of one of its arrays; borrowed from the descriptor. NULL or zero bytes where
 * it has none. */
layout layout_of(const_dnnl_primitive_desc_t pd, dnnl_query_t what);

/* Whether oneDNN computes it as a plain product of matrices (GEMM), to which all orders of a matrix
 * are alike. */
bool is_gemm(const_dnnl_primitive_desc_t pd);

/* What is done to a product's results before they are written: what lies there is added, or each
 * goes through oneDNN's elementwise function of that kind. */
typedef struct {
    bool sum;
    dnnl_alg_kind_t kind;
    float alpha, beta;
} post_operation;

/* Attributes with our own scratchpad and those post-operations. */
dnnl_status_t attributes_new(const post_operation *operations, size_t count,
                             dnnl_primitive_attr_t *out);

/* What a convolution or a dense layer is made from. */
typedef struct {
    dnnl_engine_t engine;
    layout source, weights, bias, target; /* bias may be NULL */
    /* Convolutions, height and width each: dilation 0 is none; padding above and left of it, and
     * below and right. */
    dnnl_dims_t strides, dilation, padding, padding_behind;
    dnnl_primitive_attr_t attributes;
    bool training;                    /* forward */
    const_dnnl_primitive_desc_t hint; /* backward: the forward descriptor of the same shape */
} product_request;
typedef dnnl_status_t product_maker(const product_request *r, dnnl_primitive_desc_t *out);

product_maker convolution_forward, convolution_backward_data, convolution_backward_weights;
product_maker dense_forward, dense_backward_data, dense_backward_weights;
product_maker matrix_product; /* target = source weights, a matrix each of a batch */

const char *dnnl_status_text(dnnl_status_t status);

#endif
