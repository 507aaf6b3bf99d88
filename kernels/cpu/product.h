/* product.h: what convolutions and dense layers share: oneDNN's primitives for a number of rows,
 * made from what conv.c and dense.c say of their layers, and their weights in the orders that these
 * want. */
#ifndef KERNELS_CPU_PRODUCT_H
#define KERNELS_CPU_PRODUCT_H

#include "../plan/plan.h"
#include "primitive.h"

/* A kind of layer. */
typedef struct {
    const char *name; /* for messages */
    dnnl_status_t (*activation)(size_t rows, extent e, dnnl_data_type_t type, layout *out);
    /* Weights as network.h lays them out (plain), or as oneDNN likes them. */
    dnnl_status_t (*weight)(const layer *l, bool plain, dnnl_data_type_t type, layout *out);
    product_maker *forward, *backward_data, *backward_weights;
} product_kind;

/* A parameter as a primitive wants it: `data` in the primitive's layout and type. */
typedef struct {
    size_t parameter;
    layout want;
    void *data;
    primitive reorder;
} prepared;

typedef struct {
    primitive forward, backward_data, backward_weights;
    void *weight_gradient; /* in the primitive's layout, where that is not the flat array's */
    primitive weight_gradient_reorder;
} layer_primitives;

/* All primitives for one number of rows. */
typedef struct {
    size_t rows, count;
    bool training;
    layer_primitives *layers; /* one a fused layer; empty for those that are done without oneDNN */
    prepared *weights;
    size_t weight_count;
    void *scratch;
    uint64_t version; /* of the parameters that `weights` were made from */
    uint64_t used;
} primitive_set;

/* The primitives for that many rows, made if need be; NULL with *e filled. */
primitive_set *primitives_get(program *p, size_t rows, bool training, error *e);
/* Brings their weights up to date. */
int primitives_refresh(const program *p, primitive_set *s, error *e);
void primitives_free(primitive_set *s);

int product_forward(const program *p, const primitive_set *s, size_t i, error *e);
int product_backward_weights(const program *p, const primitive_set *s, size_t i, error *e);
int product_backward_data(const program *p, const primitive_set *s, size_t i, error *e);
/* The gradient of the layer's outputs before ReLU, in the type that is multiplied. */
void *product_gradient(const program *p, const fused_layer *f);

/* Chooses the order in which the program keeps its weights, before the first primitives. */
int storage_new(program *p, error *e);
void storage_free(program *p);
/* All parameters (or what is one a parameter), from network's order to the program's, and back. */
int storage_put(program *p, const float *plain, float *stored, error *e);
int storage_get(program *p, const float *stored, float *plain, error *e);

#endif
