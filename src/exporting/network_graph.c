#include "network_graph.h"

#include "../../common/base/memory.h"

#include <math.h>
#include <string.h>

/* An activation of the graph: [rows][channel][height][width], as ONNX's convolutions and pools want
 * it, or with the channels last, as products over tokens do. */
typedef struct {
    onnx_value name;
    extent size;
    bool channels_first;
} activation;

typedef struct {
    onnx_writer *w;
    const model *m;
    activation *reads; /* what each layer so far reads */
    memory *scratch;
} builder;

static const float *parameter_of(const builder *b, size_t index)
{
    return model_find(b->m, b->m->net.parameters[index].name)->data;
}

/* ---- the order of dimensions ---- */

static onnx_value transposed(const builder *b, onnx_value x, size_t rank, const int64_t *order)
{
    onnx_value y = onnx_put(b->w, "Transpose", x);
    onnx_set_list(b->w, "perm", rank, order);
    return y;
}

static activation channels_first(const builder *b, activation x)
{
    if (!x.channels_first)
        x.name = transposed(b, x.name, 4, (int64_t[]){0, 3, 1, 2});
    x.channels_first = true;
    return x;
}

static activation channels_last(const builder *b, activation x)
{
    if (x.channels_first)
        x.name = transposed(b, x.name, 4, (int64_t[]){0, 2, 3, 1});
    x.channels_first = false;
    return x;
}

/* Of any rank; a 0 keeps the dimension in its place. */
static onnx_value reshaped(const builder *b, onnx_value x, size_t rank, const int64_t *shape)
{
    return onnx_put(b->w, "Reshape", x, onnx_put_whole(b->w, rank, shape));
}

/* With the channels last, of another extent of as many numbers. */
static activation resized(const builder *b, activation x, extent size)
{
    x = channels_last(b, x);
    if (size.height != x.size.height || size.width != x.size.width ||
        size.channels != x.size.channels)
        x.name = reshaped(
            b, x.name, 4,
            (int64_t[]){0, (int64_t)size.height, (int64_t)size.width, (int64_t)size.channels});
    x.size = size;
    return x;
}

/* ---- constants ---- */

/* One number a channel, of a shape that broadcasts over x. */
static onnx_value channel_constant(const builder *b, const activation *x, const float *numbers)
{
    onnx_value name;
    size_t c = x->size.channels;
    float *data = onnx_put_floats(b->w, x->channels_first ? 3 : 1, (size_t[]){c, 1, 1}, &name);
    if (data)
        memcpy(data, numbers, c * sizeof *data);
    return name;
}

/* [columns][rows] of [rows][columns]. */
static onnx_value turned_matrix(const builder *b, const float *from, size_t rows, size_t columns)
{
    onnx_value name;
    float *data = onnx_put_floats(b->w, 2, (size_t[]){columns, rows}, &name);
    for (size_t r = 0; data && r < rows; r++)
        for (size_t c = 0; c < columns; c++)
            data[c * rows + r] = from[r * columns + c];
    return name;
}

/* ---- products ---- */

/* Of the channels, which are last, with weights [out][in]. */
static activation product(const builder *b, const layer *l, activation x)
{
    x.name =
        onnx_put(b->w, "MatMul", x.name,
                 turned_matrix(b, parameter_of(b, l->weight), l->out.channels, x.size.channels));
    x.size = l->out;
    if (l->bias)
        x.name = onnx_put(b->w, "Add", x.name, channel_constant(b, &x, parameter_of(b, l->offset)));
    return x;
}

static activation dense(const builder *b, const layer *l, activation x)
{
    return product(b, l, resized(b, x, (extent){1, 1, extent_size(l->in)}));
}

static bool conv_is_product(const layer *l)
{
    return l->kernel_height == 1 && l->kernel_width == 1 && l->groups == 1 &&
           l->stride_height == 1 && l->stride_width == 1 && l->out.height == l->in.height &&
           l->out.width == l->in.width;
}

/* [out][in][height][width] of [out][height][width][in]. */
static onnx_value filters(const builder *b, const layer *l)
{
    onnx_value name;
    const float *from = parameter_of(b, l->weight);
    size_t in = l->in.channels / l->groups, places = l->kernel_height * l->kernel_width;
    float *data = onnx_put_floats(
        b->w, 4, (size_t[]){l->out.channels, in, l->kernel_height, l->kernel_width}, &name);
    for (size_t o = 0; data && o < l->out.channels; o++)
        for (size_t p = 0; p < places; p++)
            for (size_t c = 0; c < in; c++)
                data[(o * in + c) * places + p] = from[(o * places + p) * in + c];
    return name;
}

static void set_pair(const builder *b, const char *attribute, size_t height, size_t width)
{
    onnx_set_list(b->w, attribute, 2, (int64_t[]){(int64_t)height, (int64_t)width});
}

static void set_sides(const builder *b, const sides *s)
{
    onnx_set_list(
        b->w, "pads", 4,
        (int64_t[]){(int64_t)s->top, (int64_t)s->left, (int64_t)s->bottom, (int64_t)s->right});
}

static activation conv(const builder *b, const layer *l, activation x)
{
    if (conv_is_product(l) && !x.channels_first)
        return product(b, l, x);
    x = channels_first(b, x);
    onnx_value weights = filters(b, l);
    x.size = l->out;
    if (l->bias) {
        onnx_value name;
        float *bias = onnx_put_floats(b->w, 1, &l->out.channels, &name);
        if (bias)
            memcpy(bias, parameter_of(b, l->offset), l->out.channels * sizeof *bias);
        x.name = onnx_put(b->w, "Conv", x.name, weights, name);
    } else {
        x.name = onnx_put(b->w, "Conv", x.name, weights);
    }
    set_pair(b, "kernel_shape", l->kernel_height, l->kernel_width);
    set_pair(b, "strides", l->stride_height, l->stride_width);
    set_pair(b, "dilations", l->dilation_height, l->dilation_width);
    set_sides(b, &l->pad);
    onnx_set_whole(b->w, "group", (int64_t)l->groups);
    return x;
}

/* ---- elements ---- */

static onnx_value with_number(const builder *b, const char *operator, onnx_value x, float number)
{
    return onnx_put(b->w, operator, x, onnx_put_number(b->w, number));
}

static onnx_value gelu(const builder *b, onnx_value x)
{
    onnx_value e = onnx_put(b->w, "Erf", with_number(b, "Div", x, (float)sqrt(2)));
    return with_number(b, "Mul", onnx_put(b->w, "Mul", x, with_number(b, "Add", e, 1)), 0.5f);
}

static onnx_value tanhgelu(const builder *b, onnx_value x)
{
    onnx_value cube = onnx_put(b->w, "Mul", x, onnx_put(b->w, "Mul", x, x));
    onnx_value sum = onnx_put(b->w, "Add", x, with_number(b, "Mul", cube, 0.044715f));
    onnx_value t = onnx_put(b->w, "Tanh", with_number(b, "Mul", sum, (float)sqrt(2 / M_PI)));
    return with_number(b, "Mul", onnx_put(b->w, "Mul", x, with_number(b, "Add", t, 1)), 0.5f);
}

static onnx_value activated(const builder *b, const layer *l, onnx_value x)
{
    switch (l->activation) {
    case ACTIVATION_RELU:
        break;
    case ACTIVATION_CLIP:
        return onnx_put(b->w, "Clip", x, onnx_put_number(b->w, l->rate),
                        onnx_put_number(b->w, l->high));
    case ACTIVATION_LEAKYRELU:
        x = onnx_put(b->w, "LeakyRelu", x);
        onnx_set_float(b->w, "alpha", l->rate);
        return x;
    case ACTIVATION_SIGMOID:
        return onnx_put(b->w, "Sigmoid", x);
    case ACTIVATION_SILU:
        return onnx_put(b->w, "Mul", x, onnx_put(b->w, "Sigmoid", x));
    case ACTIVATION_HARDSIGMOID:
        x = onnx_put(b->w, "HardSigmoid", x);
        onnx_set_float(b->w, "alpha", 1.0f / 6);
        onnx_set_float(b->w, "beta", 0.5f);
        return x;
    case ACTIVATION_HARDSWISH:
        return onnx_put(b->w, "HardSwish", x);
    case ACTIVATION_GELU:
        return gelu(b, x);
    case ACTIVATION_TANHGELU:
        return tanhgelu(b, x);
    }
    return onnx_put(b->w, "Relu", x);
}

/* ---- norms ---- */

static activation batchnorm(const builder *b, const layer *l, activation x)
{
    const size_t parameters[] = {l->weight, l->offset, l->mean, l->variance};
    onnx_value inputs[5];
    x = channels_first(b, x);
    inputs[0] = x.name;
    for (size_t i = 0; i < 4; i++) {
        float *data = onnx_put_floats(b->w, 1, &x.size.channels, &inputs[i + 1]);
        if (data)
            memcpy(data, parameter_of(b, parameters[i]), x.size.channels * sizeof *data);
    }
    x.name = onnx_put_node(b->w, "BatchNormalization", 5, inputs);
    onnx_set_float(b->w, "epsilon", 1e-5f);
    return x;
}

static activation layernorm(const builder *b, const layer *l, activation x)
{
    x = channels_last(b, x);
    x.name = onnx_put(b->w, "LayerNormalization", x.name,
                      channel_constant(b, &x, parameter_of(b, l->weight)),
                      channel_constant(b, &x, parameter_of(b, l->offset)));
    onnx_set_whole(b->w, "axis", -1);
    onnx_set_float(b->w, "epsilon", l->rate);
    return x;
}

static activation affine(const builder *b, const layer *l, activation x)
{
    x.name = onnx_put(b->w, "Mul", x.name, channel_constant(b, &x, parameter_of(b, l->weight)));
    x.name = onnx_put(b->w, "Add", x.name, channel_constant(b, &x, parameter_of(b, l->offset)));
    return x;
}

static activation normalize(const builder *b, const layer *l, activation x)
{
    x.name = onnx_put(b->w, "Sub", x.name, channel_constant(b, &x, l->input_mean));
    x.name = onnx_put(b->w, "Div", x.name, channel_constant(b, &x, l->input_deviation));
    return x;
}

/* ---- pools ---- */

/* What must lie after the input, so that its last window, which may be incomplete, is a whole one
 * without ONNX's ceil_mode, whose meaning changed between versions. */
static size_t room_after(size_t out, size_t stride, size_t window, size_t before, size_t in)
{
    size_t reach = (out - 1) * stride + window;
    return reach > before + in ? reach - before - in : 0;
}

static sides room_around(const layer *l, const sides *before)
{
    return (sides){
        before->top, before->left,
        room_after(l->out.height, l->stride_height, l->kernel_height, before->top, l->in.height),
        room_after(l->out.width, l->stride_width, l->kernel_width, before->left, l->in.width)};
}

/* An average counts the zeros of the padding, but nothing of what an incomplete window lacks. */
static activation zeros_around(const builder *b, const layer *l, activation x)
{
    const sides *p = &l->pad;
    int64_t ends[] = {0, 0, (int64_t)p->top,    (int64_t)p->left,
                      0, 0, (int64_t)p->bottom, (int64_t)p->right};
    if (p->top || p->left || p->bottom || p->right)
        x.name = onnx_put(b->w, "Pad", x.name, onnx_put_whole(b->w, 8, ends));
    return x;
}

static activation pool(const builder *b, const layer *l, activation x)
{
    bool max = l->kind == LAYER_MAXPOOL;
    sides room = room_around(l, &l->pad);
    x = channels_first(b, x);
    if (l->kernel_height == l->in.height && l->kernel_width == l->in.width && l->out.height == 1 &&
        l->out.width == 1 && !l->pad.top && !l->pad.left) {
        x.name = onnx_put(b->w, max ? "GlobalMaxPool" : "GlobalAveragePool", x.name);
        x.size = l->out;
        return x;
    }
    if (!max && !l->within) {
        x = zeros_around(b, l, x);
        room = (sides){0, 0, room.bottom > l->pad.bottom ? room.bottom - l->pad.bottom : 0,
                       room.right > l->pad.right ? room.right - l->pad.right : 0};
    }
    x.name = onnx_put(b->w, max ? "MaxPool" : "AveragePool", x.name);
    set_pair(b, "kernel_shape", l->kernel_height, l->kernel_width);
    set_pair(b, "strides", l->stride_height, l->stride_width);
    set_sides(b, &room);
    x.size = l->out;
    return x;
}

/* ---- tokens ---- */

/* Learned tokens [count][channels] for every row of x. */
static onnx_value tokens_of_rows(const builder *b, const layer *l, onnx_value x)
{
    onnx_writer *w = b->w;
    onnx_value own;
    size_t channels = l->out.channels;
    float *data = onnx_put_floats(w, 4, (size_t[]){1, 1, l->count, channels}, &own);
    if (data)
        memcpy(data, parameter_of(b, l->weight), l->count * channels * sizeof *data);
    onnx_value rows =
        onnx_put(w, "Slice", onnx_put(w, "Shape", x), onnx_put_whole(w, 1, (int64_t[]){0}),
                 onnx_put_whole(w, 1, (int64_t[]){1}));
    int64_t rest[] = {1, (int64_t)l->count, (int64_t)channels};
    onnx_value shape = onnx_put(w, "Concat", rows, onnx_put_whole(w, 3, rest));
    onnx_set_whole(w, "axis", 0);
    return onnx_put(w, "Expand", own, shape);
}

static activation tokens(const builder *b, const layer *l, activation x)
{
    x = resized(b, x, (extent){1, l->in.height * l->in.width, l->in.channels});
    if (l->count) {
        x.name = onnx_put(b->w, "Concat", tokens_of_rows(b, l, x.name), x.name);
        onnx_set_whole(b->w, "axis", 2);
    }
    x.size = l->out;
    return x;
}

static activation position(const builder *b, const layer *l, activation x)
{
    onnx_value own;
    x = channels_last(b, x);
    float *data =
        onnx_put_floats(b->w, 3, (size_t[]){x.size.height, x.size.width, x.size.channels}, &own);
    if (data)
        memcpy(data, parameter_of(b, l->weight), extent_size(x.size) * sizeof *data);
    x.name = onnx_put(b->w, "Add", x.name, own);
    return x;
}

static onnx_value slice(const builder *b, onnx_value x, size_t axis, size_t first, size_t count)
{
    onnx_writer *w = b->w;
    return onnx_put(w, "Slice", x, onnx_put_whole(w, 1, (int64_t[]){(int64_t)first}),
                    onnx_put_whole(w, 1, (int64_t[]){(int64_t)(first + count)}),
                    onnx_put_whole(w, 1, (int64_t[]){(int64_t)axis}));
}

/* softmax(q k / sqrt(width)) v of each head. */
static activation attention(const builder *b, const layer *l, activation x)
{
    onnx_writer *w = b->w;
    int64_t places = (int64_t)(l->in.height * l->in.width), heads = (int64_t)l->heads,
            width = (int64_t)(l->out.channels / l->heads);
    onnx_value part[3];
    x = channels_last(b, x);
    onnx_value all = reshaped(b, x.name, 5, (int64_t[]){0, places, 3, heads, width});
    for (size_t i = 0; i < 3;
         i++) { /* [rows][1][head][place][width]; of keys the last two turned */
        int64_t order[] = {0, 2, 3, i == 1 ? 4 : 1, i == 1 ? 1 : 4};
        part[i] = transposed(b, slice(b, all, 2, i, 1), 5, order);
    }
    onnx_value q = with_number(b, "Mul", part[0], (float)(1 / sqrt((double)width)));
    onnx_value share = onnx_put(w, "Softmax", onnx_put(w, "MatMul", q, part[1]));
    onnx_set_whole(w, "axis", -1);
    onnx_value y = onnx_put(w, "MatMul", share, part[2]);
    y = transposed(b, y, 5, (int64_t[]){0, 1, 3, 2, 4});
    x.size = l->out;
    x.name = reshaped(
        b, y, 4,
        (int64_t[]){0, (int64_t)x.size.height, (int64_t)x.size.width, (int64_t)x.size.channels});
    return x;
}

static activation take(const builder *b, const layer *l, activation x)
{
    x = resized(b, x, (extent){1, l->in.height * l->in.width, l->in.channels});
    x.name = slice(b, x.name, 2, l->first, l->count);
    x.size = l->out;
    return x;
}

static activation channels(const builder *b, const layer *l, activation x)
{
    x.name = slice(b, x.name, x.channels_first ? 1 : 3, l->first, l->count);
    x.size = l->out;
    return x;
}

static activation shuffle(const builder *b, const layer *l, activation x)
{
    int64_t groups = (int64_t)l->groups, of = (int64_t)(x.size.channels / l->groups),
            height = (int64_t)x.size.height, width = (int64_t)x.size.width;
    x = channels_first(b, x);
    onnx_value y = reshaped(b, x.name, 5, (int64_t[]){0, groups, of, height, width});
    y = transposed(b, y, 5, (int64_t[]){0, 2, 1, 3, 4});
    x.name = reshaped(b, y, 4, (int64_t[]){0, groups * of, height, width});
    return x;
}

/* ---- branches ---- */

static activation closed(const builder *b, const layer *l, activation x)
{
    const size_t *operands = b->m->net.operands + l->operands;
    bool first = x.channels_first;
    onnx_value *all = memory_take(b->scratch, l->operand_count, sizeof *all);
    for (size_t i = 0; all && i < l->operand_count; i++)
        all[i] = (first ? channels_first : channels_last)(b, b->reads[operands[i]]).name;
    if (all && l->kind == LAYER_CONCAT) {
        x.name = onnx_put_node(b->w, "Concat", l->operand_count, all);
        onnx_set_whole(b->w, "axis", first ? 1 : 3);
    }
    for (size_t i = 1; all && l->kind != LAYER_CONCAT && i < l->operand_count; i++)
        all[0] = x.name = onnx_put(b->w, l->kind == LAYER_ADD ? "Add" : "Mul", all[0], all[i]);
    x.size = l->out;
    return x;
}

/* ---- all of it ---- */

static activation layer_graph(const builder *b, size_t i, activation x)
{
    const layer *l = &b->m->net.layers[i];
    switch (l->kind) {
    case LAYER_CONV:
        return conv(b, l, x);
    case LAYER_DENSE:
        return dense(b, l, x);
    case LAYER_MAXPOOL:
    case LAYER_AVGPOOL:
        return pool(b, l, x);
    case LAYER_BATCHNORM:
        return batchnorm(b, l, x);
    case LAYER_LAYERNORM:
        return layernorm(b, l, x);
    case LAYER_AFFINE:
        return affine(b, l, x);
    case LAYER_NORMALIZE:
        return normalize(b, l, x);
    case LAYER_TOKENS:
        return tokens(b, l, x);
    case LAYER_POSITION:
        return position(b, l, x);
    case LAYER_ATTENTION:
        return attention(b, l, x);
    case LAYER_TAKE:
        return take(b, l, x);
    case LAYER_CHANNELS:
        return channels(b, l, x);
    case LAYER_SHUFFLE:
        return shuffle(b, l, x);
    case LAYER_BRANCH:
        return b->reads[l->partner];
    case LAYER_ADD:
    case LAYER_MULTIPLY:
    case LAYER_CONCAT:
        return closed(b, l, x);
    case LAYER_DROPOUT:
    case LAYER_SAVE:
        return x;
    case LAYER_RELU:
    case LAYER_ACTIVATION:
        x.name = activated(b, l, x.name);
        return x;
    case LAYER_SCALE:
        x.name = with_number(b, "Mul", x.name, l->rate);
        return x;
    }
    return x;
}

int network_graph(onnx_writer *w, const model *m, onnx_value pictures, onnx_value *out, error *e)
{
    memory scratch = {0};
    size_t layers = m->net.layer_count;
    builder b = {w, m, memory_take(&scratch, layers + 1, sizeof *b.reads), &scratch};
    activation x = {onnx_put(w, "Cast", pictures), m->net.input, false};
    onnx_set_whole(w, "to", 1); /* float */
    x.name = with_number(&b, "Div", x.name, 255);
    for (size_t i = 0; b.reads && i < layers; i++) {
        b.reads[i] = x;
        x = layer_graph(&b, i, x);
    }
    x = channels_last(&b, x);
    *out = reshaped(&b, x.name, 2, (int64_t[]){0, (int64_t)m->net.dimension});
    bool failed = scratch.failed;
    memory_free(&scratch);
    return failed ? error_set(e, "out of memory for the graph") : 0;
}
