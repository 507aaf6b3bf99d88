#include "layers.h"

#include "../random.h"
#include "attention.h"
#include "branches.h"
#include "conv.h"
#include "elementwise.h"
#include "pool.h"
#include "tokens.h"

/* ---- the choice ---- */

bool layer_joins(const void *own, const layer *product, const layer *next)
{
    if (product->kind == LAYER_CONV)
        return !conv_is_winograd(own, product);
    return next->kind != LAYER_ADD;
}

/* Whether an average is over all of height x width. */
static bool whole_picture(const layer *l)
{
    return pool_tiles(l) && l->out.height == 1 && l->out.width == 1 &&
           l->kernel_height == l->in.height && l->kernel_width == l->in.width;
}

size_t layer_scratch_count(const program *p, size_t i)
{
    const layer *l = p->plan.layers[i].layer;
    size_t threads = (size_t)p->own->threads;
    bool training = p->spec.training;
    switch (l->kind) {
    case LAYER_CONV:
        return conv_scratch_count(p, i);
    case LAYER_LAYERNORM:
    case LAYER_AFFINE:
        return training ? threads * 2 * l->in.channels : 0;
    case LAYER_MAXPOOL:
    case LAYER_AVGPOOL:
        return training && !(l->kind == LAYER_MAXPOOL ? pool_tiles(l) : whole_picture(l))
                   ? threads * extent_size(l->in)
                   : 0;
    default:
        return 0;
    }
}

/* ---- forward ---- */

static dropout dropout_of(const program *p, const fused_layer *f)
{
    return (dropout){.threshold = random_dropout_threshold(f->drop),
                     .layer = (uint32_t)f->drop_layer,
                     .factor = program_drop_factor(f),
                     .seed = p->spec.seed,
                     .step = p->step};
}

static void norm_forward(program *p, size_t i, size_t rows, run_mode mode)
{
    const fused_layer *f = &p->plan.layers[i];
    const layer *l = f->layer;
    batchnorm *n = &p->layers[i].norm;
    const float *gamma = program_value(p, l->weight), *beta = program_value(p, l->offset);
    float *mean = program_value(p, l->mean), *variance = program_value(p, l->variance);
    const void *in = program_at(p, f->input);
    void *out = program_at(p, f->output);
    bool moves = mode == MODE_TRAIN && f->index >= p->spec.frozen;
    if (mode == MODE_INFER)
        batchnorm_infer(n, in, out, f->out_type, rows, gamma, beta, f->relu, mean, variance);
    else
        batchnorm_train(n, in, out, f->out_type, rows, gamma, beta, f->relu, moves ? mean : NULL,
                        moves ? variance : NULL);
}

/* What goes back to what was saved, and what closes a block. */
static operand operand_of(const program *p, const layer *l, size_t k, const size_t *places)
{
    size_t o = l->operands + k;
    return (operand){program_at(p, places[o]), p->net->layers[p->net->operands[o]].in};
}

static void close_forward(const program *p, const fused_layer *f, size_t rows)
{
    const layer *l = f->layer;
    size_t count = rows * extent_size(f->out), first = 0;
    void *out = program_at(p, f->output);
    operand a = operand_of(p, l, 0, p->plan.operands), b = operand_of(p, l, 1, p->plan.operands);
    if (l->kind == LAYER_MULTIPLY) {
        multiply_forward(a, b, out, f->out_type, rows);
        return;
    }
    if (l->kind == LAYER_ADD) {
        elements_add(a.data, b.data, out, f->out_type, count);
        for (size_t k = 2; k < l->operand_count; k++)
            elements_add(operand_of(p, l, k, p->plan.operands).data, out, out, f->out_type, count);
        return;
    }
    for (size_t k = 0; k < l->operand_count; k++) {
        operand x = operand_of(p, l, k, p->plan.operands);
        concat_forward(x, first, out, f->out, f->out_type, rows);
        first += x.size.channels;
    }
}

int layer_forward(program *p, const primitive_set *s, size_t i, run_mode mode, error *e)
{
    const fused_layer *f = &p->plan.layers[i];
    const layer *l = f->layer;
    size_t rows = s->rows, count = rows * extent_size(f->out);
    size_t places = rows * f->out.height * f->out.width;
    const float *weight = program_value(p, l->weight), *offset = program_value(p, l->offset);
    const void *in = program_at(p, f->input);
    void *out = program_at(p, f->output);
    element type = f->out_type;
    dropout drop = dropout_of(p, f);
    bool drops = mode != MODE_INFER && f->drop > 0;
    switch (l->kind) {
    case LAYER_CONV:
        if (conv_forward(p, s, i, e) < 0)
            return -1;
        break;
    case LAYER_DENSE:
        if (product_forward(p, s, i, e) < 0)
            return -1;
        break;
    case LAYER_BATCHNORM:
        norm_forward(p, i, rows, mode);
        break;
    case LAYER_MAXPOOL:
        if (!pool_tiles(l)) {
            windows_forward(l, in, out, type, rows);
            break;
        }
        maxpool_forward(l, in, out, mode != MODE_INFER ? program_at(p, f->codes) : NULL, type, rows,
                        f->masks_for != NOWHERE && p->plan.layers[f->masks_for].relu,
                        drops ? &drop : NULL);
        return 0;
    case LAYER_AVGPOOL:
        if (whole_picture(l))
            avgpool_forward(in, out, type, rows, f->in);
        else
            windows_forward(l, in, out, type, rows);
        break;
    case LAYER_RELU:
        elements_relu(in, out, type, count);
        break;
    case LAYER_ACTIVATION:
        elements_activation(l, in, out, type, count);
        break;
    case LAYER_SCALE:
        elements_scale(in, out, type, count, l->rate);
        break;
    case LAYER_LAYERNORM:
        layernorm_forward(l, in, out, type, places, weight, offset);
        break;
    case LAYER_AFFINE:
        affine_forward(l, in, out, type, places, weight, offset);
        break;
    case LAYER_TOKENS:
        tokens_forward(l, in, out, type, rows, weight);
        break;
    case LAYER_POSITION:
        position_forward(l, in, out, type, rows, weight);
        break;
    case LAYER_ATTENTION:
        if (attention_forward(p->layers[i].attention, p->own, in, out, rows, e) < 0)
            return -1;
        break;
    case LAYER_TAKE:
    case LAYER_CHANNELS:
    case LAYER_SHUFFLE:
        select_forward(l, in, out, type, rows);
        break;
    case LAYER_ADD:
    case LAYER_MULTIPLY:
    case LAYER_CONCAT:
        close_forward(p, f, rows);
        break;
    case LAYER_DROPOUT:
        if (drops)
            dropout_apply(&drop, in, out, type, count);
        else if (in != out)
            elements_convert(in, type, out, type, count);
        return 0;
    case LAYER_NORMALIZE: /* as the pictures are loaded */
    case LAYER_SAVE:      /* its output is its input */
    case LAYER_BRANCH:    /* and that of what was saved */
        return 0;
    }
    if (drops)
        dropout_apply(&drop, out, out, type, count);
    return 0;
}

/* ---- back ---- */

/* Where the gradient of a layer's outputs is changed in place: an add may need the one that came
 * once more, as it is. */
static void *gradient_begin(program *p, const fused_layer *f, size_t count)
{
    bool apart = !fused_multiplies(f) && f->d_input != NOWHERE;
    void *came = program_at(p, f->d_output), *own = program_at(p, apart ? f->d_input : f->d_masked);
    if (own != came)
        elements_convert(came, f->out_type, own, f->out_type, count);
    return own;
}

static int product_backward(program *p, const primitive_set *s, size_t i, error *e)
{
    const fused_layer *f = &p->plan.layers[i];
    bool conv = f->layer->kind == LAYER_CONV;
    if (f->d_converted != NOWHERE)
        elements_convert(program_at(p, f->d_masked), f->out_type, program_at(p, f->d_converted),
                         p->own->type, s->rows * extent_size(f->out));
    if ((conv ? conv_backward_weights(p, s, i, e) : product_backward_weights(p, s, i, e)) < 0)
        return -1;
    program_time(p, &p->times.layers[i].weights);
    return conv ? conv_backward_data(p, s, i, e) : product_backward_data(p, s, i, e);
}

static void pool_backward(program *p, const fused_layer *f, size_t rows)
{
    const layer *l = f->layer;
    const void *d_output = program_at(p, f->d_output);
    void *d_input = program_at(p, f->d_input);
    if (l->kind == LAYER_AVGPOOL && whole_picture(l))
        avgpool_backward(d_output, d_input, f->out_type, rows, f->in);
    else if (!pool_tiles(l) || l->kind == LAYER_AVGPOOL)
        windows_backward(l, d_output, program_at(p, f->input), d_input, f->out_type, rows,
                         p->scratch);
    else if (f->codes != NOWHERE)
        maxpool_backward(l, d_output, program_at(p, f->codes), d_input, f->out_type, rows,
                         program_drop_factor(f));
    else
        maxpool_backward_search(l, d_output, program_at(p, f->input), d_input, f->out_type, rows);
}

/* An addition's operands have the gradient of its sum. */
static void close_backward(const program *p, const fused_layer *f, size_t rows)
{
    const layer *l = f->layer;
    const void *d_output = program_at(p, f->d_output);
    size_t first = 0;
    for (size_t k = 0; k < l->operand_count && l->kind != LAYER_ADD; k++) {
        operand d = operand_of(p, l, k, p->plan.d_operands);
        if (l->kind == LAYER_MULTIPLY)
            multiply_backward(d, operand_of(p, l, 1 - k, p->plan.operands), d_output, f->out,
                              f->out_type, rows);
        else
            concat_backward(d, first, d_output, f->out, f->out_type, rows);
        first += d.size.channels;
    }
}

int layer_backward(program *p, const primitive_set *s, size_t i, error *e)
{
    const fused_layer *f = &p->plan.layers[i];
    const layer *l = f->layer;
    element type = f->out_type;
    size_t rows = s->rows, count = rows * extent_size(f->out);
    float *d_weight = program_gradient(p, l->weight), *d_offset = program_gradient(p, l->offset);
    size_t places = rows * f->out.height * f->out.width;
    bool changes = fused_multiplies(f) || l->kind == LAYER_BATCHNORM ||
                   layer_is_activation(l->kind) || l->kind == LAYER_POSITION;
    void *gradient = changes ? gradient_begin(p, f, count) : program_at(p, f->d_output);
    if (fused_masks(f) || l->kind == LAYER_RELU)
        elements_relu_backward(gradient, program_at(p, f->output), type, count,
                               program_drop_factor(f));
    program_time(p, &p->times.layers[i].mask);
    dropout drop = dropout_of(p, f);
    switch (l->kind) {
    case LAYER_CONV:
    case LAYER_DENSE:
        if (product_backward(p, s, i, e) < 0)
            return -1;
        break;
    case LAYER_BATCHNORM:
        batchnorm_backward(&p->layers[i].norm, program_at(p, f->input), gradient, type, rows,
                           program_value(p, l->weight), d_weight, d_offset);
        break;
    case LAYER_MAXPOOL:
    case LAYER_AVGPOOL:
        pool_backward(p, f, rows);
        break;
    case LAYER_SCALE:
        elements_scale(gradient, program_at(p, f->d_input), type, count, l->rate);
        break;
    case LAYER_ACTIVATION:
        elements_activation_backward(l, program_at(p, f->input), gradient, type, count);
        break;
    case LAYER_LAYERNORM:
    case LAYER_AFFINE:
        places_backward(l, program_at(p, f->input), gradient, program_at(p, f->d_input), type,
                        places, program_value(p, l->weight), d_weight, d_offset, p->scratch);
        break;
    case LAYER_TOKENS:
        tokens_backward(l, gradient, program_at(p, f->d_input), type, rows, d_weight);
        break;
    case LAYER_POSITION:
        position_backward(l, gradient, type, rows, d_weight);
        break;
    case LAYER_ATTENTION:
        if (attention_backward(p->layers[i].attention, p->own, program_at(p, f->input), gradient,
                               program_at(p, f->d_input), rows, e) < 0)
            return -1;
        break;
    case LAYER_TAKE:
    case LAYER_CHANNELS:
    case LAYER_SHUFFLE:
        select_backward(l, gradient, program_at(p, f->d_input), type, rows);
        break;
    case LAYER_DROPOUT:
        dropout_apply(&drop, gradient, program_at(p, f->d_input), type, count);
        break;
    case LAYER_SAVE:
    case LAYER_BRANCH: /* what reached it before, and what comes now */
        if (f->d_saved != NOWHERE)
            elements_add(gradient, program_at(p, f->d_saved), program_at(p, f->d_input), type,
                         count);
        break;
    case LAYER_ADD:
    case LAYER_MULTIPLY:
    case LAYER_CONCAT:
        close_backward(p, f, rows);
        break;
    case LAYER_RELU:      /* done */
    case LAYER_NORMALIZE: /* below all that learns */
        break;
    }
    program_time(p, &p->times.layers[i].back);
    return 0;
}
