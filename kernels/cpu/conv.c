#include "conv.h"

#include "elementwise.h"
#include "first_conv.h"
#include "pointwise.h"
#include "winograd.h"

/* ---- oneDNN's ---- */

static dnnl_status_t activation(size_t rows, extent e, dnnl_data_type_t type, layout *out)
{
    dnnl_dim_t sizes[] = {(dnnl_dim_t)rows, (dnnl_dim_t)e.channels, (dnnl_dim_t)e.height,
                          (dnnl_dim_t)e.width};
    return layout_new(4, sizes, type, dnnl_nhwc, out);
}

/* Groups are a dimension of their own. */
static dnnl_status_t weight(const layer *l, bool plain, dnnl_data_type_t type, layout *out)
{
    dnnl_dim_t groups = (dnnl_dim_t)l->groups;
    dnnl_dim_t sizes[] = {groups, (dnnl_dim_t)l->out.channels / groups,
                          (dnnl_dim_t)l->in.channels / groups, (dnnl_dim_t)l->kernel_height,
                          (dnnl_dim_t)l->kernel_width};
    bool one = groups == 1;
    dnnl_format_tag_t tag = !plain ? dnnl_format_tag_any : one ? dnnl_ohwi : dnnl_abdec;
    return layout_new(one ? 4 : 5, one ? sizes + 1 : sizes, type, tag, out);
}

const product_kind conv_product = {"convolution",
                                   activation,
                                   weight,
                                   convolution_forward,
                                   convolution_backward_data,
                                   convolution_backward_weights};

/* ---- the choice ---- */

#define FEW_CHANNELS 8

bool conv_is_winograd(const cpu *own, const layer *l)
{
    return !(own->type == ELEMENT_BF16 && cpu_has_tiles()) && winograd_fits(l, own->threads);
}

layer conv_shape(const layer *l)
{
    layer s = *l;
    size_t width = l->kernel_width;
    if (width == 1 || width != l->stride_width || l->dilation_width != 1 || l->pad.left ||
        l->pad.right || l->in.width % width || l->groups != 1 || l->in.channels > FEW_CHANNELS)
        return s;
    s.in.width /= width;
    s.in.channels *= width;
    s.kernel_width = s.stride_width = 1;
    return s;
}

/* The way back through Winograd's also takes that through ReLU and dropout of the layer below. */
void conv_choose(program *p, size_t i)
{
    fused_layer *f = &p->plan.layers[i];
    layer_state *own = &p->layers[i];
    own->first_conv = p->spec.training && i >= p->plan.lowest && first_conv_fits(f->layer);
    own->winograd = conv_is_winograd(p->own, f->layer);
    own->pointwise = p->own->type == ELEMENT_F32 && pointwise_fits(&own->shape);
    if (!own->winograd || i == 0 || !fused_masks(f - 1))
        return;
    own->masks_below = true;
    f[-1].masked = true;
}

/* ---- filters ---- */

void conv_take(program *p, size_t i)
{
    layer_state *own = &p->layers[i];
    if (!own->winograd)
        return;
    size_t bytes = winograd_filter_count(p->plan.layers[i].layer) * sizeof(float);
    own->filters = program_take(p, bytes);
    if (p->plan.layers[i].d_input != NOWHERE)
        own->rotated = program_take(p, bytes);
}

size_t conv_scratch_count(const program *p, size_t i)
{
    const layer *l = p->plan.layers[i].layer;
    size_t first = p->layers[i].first_conv ? first_conv_scratch_count(l, p->own->threads) : 0;
    size_t winograd = p->layers[i].winograd ? winograd_scratch_count(l, p->own->threads) : 0;
    return first > winograd ? first : winograd;
}

void conv_refresh(program *p)
{
    if (p->filter_version == p->version)
        return;
    for (size_t i = 0; i < p->plan.count; i++) {
        const layer_state *own = &p->layers[i];
        const layer *l = p->plan.layers[i].layer;
        if (!own->winograd)
            continue;
        winograd_filters(l, program_value(p, l->weight), own->filters);
        if (own->rotated)
            winograd_filters_rotated(l, program_value(p, l->weight), own->rotated);
    }
    p->filter_version = p->version;
}

/* ---- running ---- */

int conv_forward(program *p, const primitive_set *s, size_t i, error *e)
{
    const fused_layer *f = &p->plan.layers[i];
    if (!p->layers[i].winograd)
        return product_forward(p, s, i, e);
    winograd_forward(f->layer, program_at(p, f->input), p->layers[i].filters,
                     program_value(p, f->layer->offset), f->relu, program_at(p, f->output),
                     f->in_type, f->out_type, s->rows, p->scratch);
    return 0;
}

int conv_backward_weights(program *p, const primitive_set *s, size_t i, error *e)
{
    const fused_layer *f = &p->plan.layers[i];
    const layer *l = f->layer;
    const void *x = program_at(p, f->input);
    float *gradient = program_gradient(p, l->weight), *bias = program_gradient(p, l->offset);
    if (p->layers[i].winograd)
        winograd_weight_gradient(l, x, program_at(p, f->d_masked), f->in_type, f->out_type, s->rows,
                                 gradient, bias, p->scratch);
    else if (p->layers[i].first_conv)
        first_conv_weight_gradient(l, x, product_gradient(p, f), p->own->type, s->rows, gradient,
                                   bias, p->scratch);
    else if (p->layers[i].pointwise)
        return pointwise_weight_gradient(&p->layers[i].shape, x, product_gradient(p, f),
                                         s->rows * f->out.height * f->out.width, gradient, bias, e);
    else
        return product_backward_weights(p, s, i, e);
    return 0;
}

int conv_backward_data(program *p, const primitive_set *s, size_t i, error *e)
{
    const fused_layer *f = &p->plan.layers[i], *below = p->layers[i].masks_below ? f - 1 : NULL;
    if (!p->layers[i].winograd)
        return product_backward_data(p, s, i, e);
    if (f->d_input != NOWHERE)
        winograd_backward(f->layer, program_at(p, f->d_masked), p->layers[i].rotated,
                          below ? program_at(p, below->output) : NULL,
                          below ? program_drop_factor(below) : 1, program_at(p, f->d_input),
                          f->out_type, f->in_type, s->rows, p->scratch);
    return 0;
}
