#include "layers.h"

#include "attention.h"
#include "branches.h"
#include "conv.h"
#include "dense.h"
#include "elementwise.h"
#include "norm.h"
#include "pool.h"
#include "tokens.h"

int layer_prepare(program *p, size_t i, size_t rows, size_t *workspace, error *e)
{
    const fused_layer *f = &p->plan.layers[i];
    *workspace = 0;
    if (fused_is_product(f))
        return dense_prepare(p, i, rows, workspace, e);
    if (f->layer->kind == LAYER_CONV)
        return conv_prepare(p, i, rows, workspace, e);
    return f->layer->kind == LAYER_ATTENTION ? attention_prepare(p, workspace, e) : 0;
}

int layer_forward(const run *r, const fused_layer *f, error *e)
{
    if (fused_is_product(f))
        return dense_forward(r, f, e);
    switch (f->layer->kind) {
    case LAYER_CONV:
        return conv_forward(r, f, e);
    case LAYER_MAXPOOL:
    case LAYER_AVGPOOL:
        return pool_forward(r, f, e);
    case LAYER_BATCHNORM:
        return norm_forward(r, f, e);
    case LAYER_LAYERNORM:
    case LAYER_AFFINE:
        return place_norm_forward(r, f, e);
    case LAYER_TOKENS:
    case LAYER_POSITION:
    case LAYER_TAKE:
    case LAYER_CHANNELS:
    case LAYER_SHUFFLE:
        return tokens_forward(r, f, e);
    case LAYER_ATTENTION:
        return attention_forward(r, f, e);
    case LAYER_MULTIPLY:
    case LAYER_CONCAT:
        return branches_forward(r, f, e);
    default: /* activations, dropout, scale, save, "|", add */
        return elementwise_forward(r, f, e);
    }
}

int layer_backward_mask(const run *r, const fused_layer *f, error *e)
{
    return fused_multiplies(f) ? output_mask(r, f, e) : 0;
}

int layer_backward_beside(const run *r, const fused_layer *f, int lane, error *e)
{
    return fused_is_product(f) ? dense_backward_weight(r, f, lane, e)
                               : conv_backward_weight(r, f, lane, e);
}

int layer_backward_weight(const run *r, const fused_layer *f, error *e)
{
    return layer_backward_beside(r, f, r->slot, e);
}

int layer_backward_data(const run *r, const fused_layer *f, error *e)
{
    if (f->d_input == NOWHERE && (fused_multiplies(f) || !fused_learns(f)))
        return 0;
    if (fused_is_product(f))
        return dense_backward_data(r, f, e);
    switch (f->layer->kind) {
    case LAYER_CONV:
        return conv_backward_data(r, f, e);
    case LAYER_MAXPOOL:
    case LAYER_AVGPOOL:
        return pool_backward(r, f, e);
    case LAYER_BATCHNORM:
        return norm_backward(r, f, e);
    case LAYER_LAYERNORM:
    case LAYER_AFFINE:
        return place_norm_backward(r, f, e);
    case LAYER_TOKENS:
    case LAYER_POSITION:
    case LAYER_TAKE:
    case LAYER_CHANNELS:
    case LAYER_SHUFFLE:
        return tokens_backward(r, f, e);
    case LAYER_ATTENTION:
        return attention_backward(r, f, e);
    case LAYER_MULTIPLY:
    case LAYER_CONCAT:
        return branches_backward(r, f, e);
    default: /* activations, dropout, scale, save, "|", add */
        return elementwise_backward(r, f, e);
    }
}
