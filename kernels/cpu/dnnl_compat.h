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

/* Attributes with our own scratchpad, and ReLU as a post-operation if asked. */
dnnl_status_t attributes_new(bool relu, dnnl_primitive_attr_t *out);

/* Convolutions of stride 1 with the same padding on both sides. `bias` may be NULL. `hint` is the
 * forward descriptor of the same shape. */
dnnl_status_t convolution_forward(dnnl_engine_t engine, bool training, layout source,
                                  layout weights, layout bias, layout target,
                                  const dnnl_dim_t *padding, dnnl_primitive_attr_t attributes,
                                  dnnl_primitive_desc_t *out);
dnnl_status_t convolution_backward_data(dnnl_engine_t engine, layout source, layout weights,
                                        layout target, const dnnl_dim_t *padding,
                                        const_dnnl_primitive_desc_t hint,
                                        dnnl_primitive_attr_t attributes,
                                        dnnl_primitive_desc_t *out);
dnnl_status_t convolution_backward_weights(dnnl_engine_t engine, layout source, layout weights,
                                           layout bias, layout target, const dnnl_dim_t *padding,
                                           const_dnnl_primitive_desc_t hint,
                                           dnnl_primitive_attr_t attributes,
                                           dnnl_primitive_desc_t *out);

/* Fully connected layers. */
dnnl_status_t dense_forward(dnnl_engine_t engine, bool training, layout source, layout weights,
                            layout bias, layout target, dnnl_primitive_attr_t attributes,
                            dnnl_primitive_desc_t *out);
dnnl_status_t dense_backward_data(dnnl_engine_t engine, layout source, layout weights,
                                  layout target, const_dnnl_primitive_desc_t hint,
                                  dnnl_primitive_attr_t attributes, dnnl_primitive_desc_t *out);
dnnl_status_t dense_backward_weights(dnnl_engine_t engine, layout source, layout weights,
                                     layout bias, layout target, const_dnnl_primitive_desc_t hint,
                                     dnnl_primitive_attr_t attributes, dnnl_primitive_desc_t *out);

const char *dnnl_status_text(dnnl_status_t status);

#endif
