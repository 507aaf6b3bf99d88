/* onnx_convert.c: from nodes to steps of a network. */
#include "onnx_graph.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- steps ---- */

act *onnx_act(reader *r, size_t input_count, act *const *inputs, extent size, const char *format,
              ...)
{
    act *a = onnx_take(r, 1, sizeof *a);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(a->word, sizeof a->word, format, arguments);
    va_end(arguments);
    a->size = size;
    a->input_count = input_count;
    a->inputs = onnx_take(r, input_count, sizeof *a->inputs);
    for (size_t i = 0; i < input_count; i++)
        a->inputs[i] = inputs[i];
    return a;
}

static act *step(reader *r, act *input, extent size, const char *word)
{
    return onnx_act(r, 1, &input, size, "%s", word);
}

static bool is_word(const act *a, const char *word)
{
    size_t length = strlen(word);
    return strncmp(a->word, word, length) == 0 &&
           (a->word[length] == '\0' || a->word[length] == ':');
}

static float *floats(reader *r, size_t count, float of)
{
    float *out = onnx_take(r, count, sizeof *out);
    for (size_t i = 0; i < count; i++)
        out[i] = of;
    return out;
}

/* A number as few digits as tell it. */
typedef struct {
    char text[24];
} number;
static number number_of(float x)
{
    number n;
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(n.text, sizeof n.text, "%.*g", digits, (double)x);
        if (strtof(n.text, NULL) == x)
            break;
    }
    return n;
}

static size_t places_of(const act *a)
{
    return a->size.height * a->size.width;
}

static void set(const node *n, view v)
{
    v.sole = v.sole && n->outputs[0]->uses == 1;
    n->outputs[0]->state = STATE_VIEW;
    n->outputs[0]->v = v;
}

/* A new activation as the node's output, with the axes of `like`. */
static void set_act(const node *n, act *a, const view *like)
{
    set(n, view_of(a, true, like));
}

static void set_spatial(const node *n, act *a)
{
    set(n, view_spatial(a, true));
}

/* ---- gamma x + beta, a channel ---- */

static bool takes_affine(const act *a)
{
    return is_word(a, "conv") || is_word(a, "dense") || is_word(a, "layernorm") ||
           is_word(a, "affine");
}

/* Into the parameters of what computes it, if nobody else sees that; else a step of its own. */
static void channels_affine(reader *r, view *v, const float *gamma, const float *beta)
{
    act *a = v->of;
    size_t channels = a->size.channels;
    if (!v->sole || !takes_affine(a)) {
        a = v->of = step(r, a, a->size, "affine");
        a->parameters.weight = floats(r, channels, 1);
        a->parameters.offset = floats(r, channels, 0);
        a->parameters.weight_count = a->parameters.offset_count = channels;
        v->sole = true;
    }
    onnx_parameters *p = &a->parameters;
    if (!p->offset && beta) {
        p->offset = floats(r, channels, 0);
        p->offset_count = channels;
    }
    size_t row = p->weight_count / channels;
    for (size_t c = 0; c < channels; c++) {
        float g = gamma ? gamma[c] : 1;
        for (size_t i = 0; i < row; i++)
            p->weight[c * row + i] *= g;
        if (p->offset)
            p->offset[c] = p->offset[c] * g + (beta ? beta[c] : 0);
    }
}

static void scale_settle(reader *r, view *v)
{
    float scale = v->scale;
    v->scale = 1;
    if (scale == 1)
        return;
    if (v->sole && takes_affine(v->of)) {
        channels_affine(r, v, floats(r, v->of->size.channels, scale), NULL);
        return;
    }
    char word[64];
    snprintf(word, sizeof word, "scale:%s", number_of(scale).text);
    v->of = step(r, v->of, v->of->size, word);
    v->sole = true;
}

/* ---- whole activations ---- */

/* The steps of a view's places, or of its channels, in its order. */
static size_t steps_of(const view *v, bool place, factor *out)
{
    size_t count = 0;
    for (size_t d = 0; d < v->rank; d++) {
        for (size_t i = 0; i < v->axes[d].count; i++) {
            factor f = v->axes[d].factors[i];
            size_t own = place ? f.place : f.channel;
            if (own == 0)
                continue;
            size_t last = count ? (place ? out[count - 1].place : out[count - 1].channel) : 0;
            if (count && last == own * f.size)
                out[count - 1] = (factor){out[count - 1].size * f.size, f.place, f.channel};
            else
                out[count++] = f;
        }
    }
    return count;
}

static void take_places(reader *r, const node *n, view *v, const factor *f, size_t count)
{
    size_t size = count ? f->size : 1, places = places_of(v->of);
    if (count > 1 || (count == 1 && f->place != 1))
        onnx_fail(r, n, "it reads places of its input out of their order");
    if (size == places)
        return;
    act *a = v->of;
    v->of = onnx_act(r, 1, &a, (extent){1, size, a->size.channels}, "take:%zu-%zu", v->place,
                     v->place + size - 1);
    v->place = 0;
    v->sole = true;
}

static void take_channels(reader *r, const node *n, view *v, const factor *f, size_t count)
{
    size_t size = count ? f->size : 1, channels = v->of->size.channels;
    act *a = v->of;
    if (count == 2 && f[0].channel == 1 && f[1].channel == f[0].size &&
        f[0].size * f[1].size == channels) {
        v->of = onnx_act(r, 1, &a, a->size, "shuffle:%zu", f[1].size);
        size_t groups = f[1].size;
        for (size_t d = 0; d < v->rank; d++)
            for (size_t i = 0; i < v->axes[d].count; i++) {
                factor *g = &v->axes[d].factors[i];
                /* Steps within a row, and from row to row, change places. */
                if (g->channel && g->channel < f[0].size)
                    g->channel *= groups;
                else if (g->channel)
                    g->channel /= f[0].size;
            }
        v->sole = true;
        return;
    }
    if (count > 1 || (count == 1 && f->channel != 1))
        onnx_fail(r, n, "it reads channels of its input out of their order");
    if (size == channels)
        return;
    v->of = onnx_act(r, 1, &a, (extent){a->size.height, a->size.width, size}, "channels:%zu-%zu",
                     v->channel, v->channel + size - 1);
    v->channel = 0;
    v->sole = true;
}

void onnx_make_whole(reader *r, const node *n, view *v)
{
    factor places[ONNX_RANK_MAX * FACTORS_MAX], channels[ONNX_RANK_MAX * FACTORS_MAX];
    take_places(r, n, v, places, steps_of(v, true, places));
    take_channels(r, n, v, channels, steps_of(v, false, channels));
    if (!view_is_whole(v))
        onnx_fail(r, n, "it reads its input in an order that is not known here");
}

/* ---- inputs of a node ---- */

static bool is_view(const value *v)
{
    return v && v->state == STATE_VIEW;
}

static bool is_constant(const value *v)
{
    return v && (v->state == STATE_CONSTANT || (v->state == STATE_NONE && v->initial));
}

static view *input_view(reader *r, const node *n, size_t k)
{
    value *v = onnx_input(n, k);
    view *copy = onnx_take(r, 1, sizeof *copy);
    if (v && v->state == STATE_UNIT)
        onnx_fail(r, n, "its input %.100s has length 1, which is possible at the end alone",
                  v->name);
    if (!is_view(v))
        onnx_fail(r, n, "its input %.100s is none that is known here",
                  v ? v->name : "is left out, which");
    *copy = v->v;
    return copy;
}

static view *spatial_input(reader *r, const node *n, size_t k)
{
    view *v = input_view(r, n, k);
    if (!view_is_spatial(v))
        onnx_make_whole(r, n, v);
    if (!view_is_spatial(v))
        onnx_fail(r, n, "its input is not channels x height x width");
    scale_settle(r, v);
    return v;
}

static view *tokens_input(reader *r, const node *n, size_t k)
{
    view *v = input_view(r, n, k);
    if (!view_channels_last(v))
        onnx_make_whole(r, n, v);
    if (!view_channels_last(v))
        onnx_fail(r, n, "its last axis is not all channels of a place");
    scale_settle(r, v);
    return v;
}

/* ---- windows ---- */

typedef struct {
    size_t kernel[2], stride[2], dilation[2], pads[4]; /* top, left, bottom, right */
} window;

static void read_pair(reader *r, const node *n, const char *name, size_t *out, size_t otherwise)
{
    array a;
    out[0] = out[1] = otherwise;
    if (!onnx_numbers(r, n, SIZE_MAX, name, &a))
        return;
    if (a.count != 2 || !a.whole || a.i[0] < 1 || a.i[1] < 1 || a.i[0] > 65536 || a.i[1] > 65536)
        onnx_fail(r, n, "%s is not that of two dimensions", name);
    out[0] = (size_t)a.i[0];
    out[1] = (size_t)a.i[1];
}

/* auto_pad: outputs are the input's size by the stride. */
static void pad_same(window *w, extent in, bool lower)
{
    const size_t size[] = {in.height, in.width};
    for (int d = 0; d < 2; d++) {
        size_t outputs = (size[d] + w->stride[d] - 1) / w->stride[d];
        size_t reach = (outputs - 1) * w->stride[d] + (w->kernel[d] - 1) * w->dilation[d] + 1;
        size_t all = reach > size[d] ? reach - size[d] : 0;
        w->pads[d] = lower ? all - all / 2 : all / 2;
        w->pads[d + 2] = all - w->pads[d];
    }
}

static window read_window(reader *r, const node *n, const size_t *kernel, extent in)
{
    window w = {.kernel = {kernel[0], kernel[1]}};
    array pads;
    const char *automatic = onnx_string(n, "auto_pad", "NOTSET");
    read_pair(r, n, "strides", w.stride, 1);
    read_pair(r, n, "dilations", w.dilation, 1);
    if (strncmp(automatic, "SAME", 4) == 0) {
        pad_same(&w, in, strcmp(automatic, "SAME_LOWER") == 0);
    } else if (onnx_numbers(r, n, SIZE_MAX, "pads", &pads)) {
        if (pads.count != 4 || !pads.whole)
            onnx_fail(r, n, "pads are not those of two dimensions");
        for (size_t i = 0; i < 4; i++) {
            if (pads.i[i] < 0 || pads.i[i] > 65536)
                onnx_fail(r, n, "padding of %lld", (long long)pads.i[i]);
            w.pads[i] = (size_t)pads.i[i];
        }
    }
    return w;
}

static void add_pads(const value *v, window *w)
{
    for (int i = 0; v->state == STATE_PADDED && i < 4; i++)
        w->pads[i] += v->pads[i];
}

/* Of one side, as network_words.c counts; 0 where it does not fit. */
static size_t outputs_of(size_t in, const window *w, int d, bool ceil)
{
    size_t reach = (w->kernel[d] - 1) * w->dilation[d] + 1, room = in + w->pads[d] + w->pads[d + 2];
    if (reach > room)
        return 0;
    size_t count = (room - reach) / w->stride[d] + 1;
    if (ceil && (count - 1) * w->stride[d] + reach < room && count * w->stride[d] < in + w->pads[d])
        count++;
    return count;
}

static void window_words(const window *w, char *text, size_t size)
{
    size_t length = 0;
    const size_t *p = w->pads;
    text[0] = '\0';
    if (w->stride[0] != w->stride[1])
        length += (size_t)snprintf(text, size, ":stride=%zux%zu", w->stride[0], w->stride[1]);
    else
        length += (size_t)snprintf(text, size, ":stride=%zu", w->stride[0]);
    if (w->dilation[0] != w->dilation[1])
        length += (size_t)snprintf(text + length, size - length, ":dilation=%zux%zu",
                                   w->dilation[0], w->dilation[1]);
    else if (w->dilation[0] > 1)
        length += (size_t)snprintf(text + length, size - length, ":dilation=%zu", w->dilation[0]);
    if (p[0] == p[1] && p[0] == p[2] && p[0] == p[3]) {
        if (p[0])
            snprintf(text + length, size - length, ":pad=%zu", p[0]);
    } else {
        snprintf(text + length, size - length, ":pad=%zu,%zu,%zu,%zu", p[0], p[1], p[2], p[3]);
    }
}

/* ---- convolutions and products ---- */

/* The view of an input that may be padded. */
static view *padded_input(reader *r, const node *n)
{
    value *v = onnx_input(n, 0);
    if (!v || v->state != STATE_PADDED)
        return spatial_input(r, n, 0);
    value plain = *v;
    plain.state = STATE_VIEW;
    node as = *n;
    as.inputs = (value *[]){&plain};
    as.input_count = 1;
    return spatial_input(r, &as, 0);
}

static const array *bias_of(reader *r, const node *n, size_t k, size_t count)
{
    if (!onnx_input(n, k))
        return NULL;
    const array *b = onnx_constant(r, n, n->inputs[k]);
    if (b->whole || b->count != count)
        onnx_fail(r, n, "a bias of %zu numbers for %zu channels", b->count, count);
    return b;
}

static void put_bias(reader *r, act *a, const array *bias)
{
    if (!bias)
        return;
    a->parameters.offset = floats(r, bias->count, 0);
    a->parameters.offset_count = bias->count;
    memcpy(a->parameters.offset, bias->f, bias->count * sizeof *bias->f);
}

static void convert_conv(reader *r, const node *n)
{
    view *v = padded_input(r, n);
    const array *w = onnx_constant(r, n, onnx_input(n, 1));
    extent in = v->of->size;
    int64_t groups = onnx_int(n, "group", 1);
    if (w->rank != 4 || w->whole || groups < 1 || in.channels % (size_t)groups ||
        w->dims[0] % (size_t)groups || w->dims[1] != in.channels / (size_t)groups || !w->count)
        onnx_fail(r, n, "weights that do not fit %zu channels", in.channels);
    window win = read_window(r, n, w->dims + 2, in);
    add_pads(onnx_input(n, 0), &win);
    extent out = {outputs_of(in.height, &win, 0, false), outputs_of(in.width, &win, 1, false),
                  w->dims[0]};
    char words[128], grouped[40] = "";
    window_words(&win, words, sizeof words);
    if (strcmp(words, ":stride=1") == 0)
        *words = '\0';
    if (groups > 1)
        snprintf(grouped, sizeof grouped, ":groups=%zu", (size_t)groups);
    if (!out.height || !out.width)
        onnx_fail(r, n, "its filter is larger than what it is laid on");
    act *a = onnx_act(r, 1, &v->of, out, "conv:%zux%zux%zu%s%s", w->dims[2], w->dims[3], w->dims[0],
                      words, grouped);
    size_t depth = w->dims[1], area = w->dims[2] * w->dims[3];
    a->parameters.weight = floats(r, w->count, 0);
    a->parameters.weight_count = w->count;
    for (size_t o = 0; o < w->dims[0]; o++)
        for (size_t c = 0; c < depth; c++)
            for (size_t k = 0; k < area; k++)
                a->parameters.weight[(o * area + k) * depth + c] = w->f[(o * depth + c) * area + k];
    put_bias(r, a, bias_of(r, n, 2, w->dims[0]));
    set_spatial(n, a);
}

/* weight(k, j): of input number k to output number j. */
static void convert_product(reader *r, const node *n, const array *w, bool turned, float alpha,
                            const array *bias)
{
    size_t rows = w->dims[w->rank - 2], columns = w->dims[w->rank - 1];
    size_t inputs = turned ? columns : rows, outputs = turned ? rows : columns;
    view *v = input_view(r, n, 0);
    size_t dims[ONNX_RANK_MAX], place, channel;
    if (w->whole || w->count != rows * columns || !w->count)
        onnx_fail(r, n, "weights of more than two dimensions");
    onnx_make_whole(r, n, v);
    view_dims(v, dims);
    if (v->rank == 0 || dims[v->rank - 1] != inputs)
        onnx_fail(r, n, "weights for %zu numbers, and %zu come", inputs,
                  v->rank ? dims[v->rank - 1] : 1);
    bool flat = view_count(v) == inputs;
    if (!flat && !view_channels_last(v))
        onnx_fail(r, n, "its last axis is not all channels of a place");
    scale_settle(r, v);
    extent in = v->of->size;
    extent out = flat ? (extent){1, 1, outputs} : (extent){in.height, in.width, outputs};
    act *a = onnx_act(r, 1, &v->of, out, flat ? "dense:%zu" : "conv:1x1x%zu", outputs);
    a->parameters.weight = floats(r, w->count, 0);
    a->parameters.weight_count = w->count;
    view last = *v;
    last.rank = 1;
    last.axes[0] = v->axes[v->rank - 1];
    for (size_t k = 0; k < inputs; k++) {
        view_element(&last, k, &place, &channel);
        size_t at = flat ? place * in.channels + channel : channel;
        for (size_t j = 0; j < outputs; j++)
            a->parameters.weight[j * inputs + at] =
                alpha * w->f[turned ? j * columns + k : k * columns + j];
    }
    put_bias(r, a, bias);
    view like = *v;
    like.axes[v->rank - 1].count = outputs > 1;
    like.axes[v->rank - 1].factors[0] = (factor){outputs, 0, 1};
    set_act(n, a, &like);
}

/* By how much the lengths of classes' weights may differ, which a head of cosines takes as one: as
 * much as results may be off. */
#define COSINE_LENGTHS 1e-4

/* An embedding of length 1 times weights: cosines, where all classes' weights have one length. */
static void convert_cosines(reader *r, const node *n, const array *w, bool turned, float alpha,
                            const array *bias)
{
    value *in = onnx_input(n, 0), *out = n->outputs[0];
    size_t dimension = in->v.of->size.channels, classes = w->dims[turned ? 0 : 1];
    double least = INFINITY, most = 0;
    if (w->rank != 2 || w->dims[turned ? 1 : 0] != dimension || places_of(in->v.of) != 1 || bias ||
        alpha <= 0 || !view_channels_last(&in->v))
        onnx_fail(r, n, "a product of an embedding of length 1 that is no cosine");
    float *rows = onnx_take(r, w->count, sizeof *rows);
    for (size_t c = 0; c < classes; c++) {
        double sum = 0;
        for (size_t d = 0; d < dimension; d++) {
            double x = onnx_at(w, turned ? c * dimension + d : d * classes + c);
            rows[c * dimension + d] = (float)x;
            sum += x * x;
        }
        least = fmin(least, sqrt(sum));
        most = fmax(most, sqrt(sum));
    }
    if (!(most > 0) || least < most * (1 - COSINE_LENGTHS))
        onnx_fail(r, n,
                  "weights of lengths from %g to %g times an embedding of length 1, which no head "
                  "has",
                  least, most);
    r->cosine_classes = classes;
    r->cosine_weight = rows;
    r->cosine_scale = alpha * (float)most;
    *out = (value){.name = out->name, .uses = out->uses, .state = STATE_COSINES, .v = in->v};
}

static bool is_unit(const value *v)
{
    return v && v->state == STATE_UNIT;
}

static void convert_gemm(reader *r, const node *n)
{
    const array *w = onnx_constant(r, n, onnx_input(n, 1));
    bool turned = onnx_int(n, "transB", 0) != 0;
    if (w->rank != 2 || onnx_int(n, "transA", 0) || onnx_float(n, "beta", 1) != 1)
        onnx_fail(r, n, "a product that is not known here");
    const array *bias = bias_of(r, n, 2, turned ? w->dims[0] : w->dims[1]);
    (is_unit(onnx_input(n, 0)) ? convert_cosines
                               : convert_product)(r, n, w, turned, onnx_float(n, "alpha", 1), bias);
}

/* ---- attention ---- */

/* How the heads of queries, keys or values lie in an activation: head h's number d, of place t. */
typedef struct {
    act *of;
    size_t heads, places, depth, first, head_step, step;
    float scale;
} heads_view;

static size_t axis_step(const axis *a, bool place)
{
    return a->count ? (place ? a->factors[0].place : a->factors[0].channel) : 0;
}

/* t_axis, d_axis: where places and numbers are, counted from the last. */
static heads_view heads_of(reader *r, const node *n, const view *v, size_t t_axis, size_t d_axis)
{
    heads_view h = {.of = v->of, .heads = 1, .scale = v->scale, .first = v->channel};
    if (v->rank < 2)
        onnx_fail(r, n, "a product of two results, which is no attention");
    const axis *t = &v->axes[v->rank - t_axis], *d = &v->axes[v->rank - d_axis];
    h.places = axis_size(t);
    h.depth = axis_size(d);
    h.step = d->count ? axis_step(d, false) : 1;
    size_t heads = 0;
    for (size_t i = 0; i + 2 < v->rank; i++) {
        if (axis_size(&v->axes[i]) == 1)
            continue;
        h.heads = axis_size(&v->axes[i]);
        h.head_step = axis_step(&v->axes[i], false);
        heads += v->axes[i].count + (axis_step(&v->axes[i], true) ? 9 : 0);
    }
    factor joined[ONNX_RANK_MAX * FACTORS_MAX];
    view places = {.rank = 1, .axes = {*t}};
    size_t parts = steps_of(&places, true, joined);
    bool fits = heads <= 1 && v->place == 0 && h.places == places_of(v->of) && d->count <= 1 &&
                axis_step(d, true) == 0 && parts <= 1 && (parts == 0 || joined[0].place == 1) &&
                axis_step(t, false) == 0;
    if (!fits)
        onnx_fail(r, n, "a product of two results, which is no attention over all places");
    return h;
}

/* Whether a source is a product of one place at a time, so that its rows may be taken apart. */
static bool has_rows(const act *a)
{
    return strncmp(a->word, "conv:1x1x", 9) == 0 && !strchr(a->word + 9, ':');
}

/* Queries, keys and values of one product: the rows of the three in attention's order. Constant
 * queries, NULL for none, are the same at every place. */
static act *gather_rows(reader *r, const heads_view *all, const float *scales, const array *queries)
{
    size_t channels = all[0].heads * all[0].depth, out = 3 * channels;
    act *input = all[0].of->inputs[0];
    size_t row = input->size.channels;
    act *a = onnx_act(r, 1, &input, (extent){input->size.height, input->size.width, out},
                      "conv:1x1x%zu", out);
    a->parameters.weight = floats(r, out * row, 0);
    a->parameters.weight_count = out * row;
    a->parameters.offset = floats(r, out, 0);
    a->parameters.offset_count = out;
    for (size_t k = 0; k < 3; k++) {
        const onnx_parameters *p = &all[k].of->parameters;
        for (size_t i = 0; i < channels; i++) {
            if (k == 0 && queries) {
                a->parameters.offset[i] = scales[0] * (float)onnx_at(queries, i);
                continue;
            }
            size_t from =
                all[k].first + i / all[k].depth * all[k].head_step + i % all[k].depth * all[k].step;
            for (size_t c = 0; c < row; c++)
                a->parameters.weight[(k * channels + i) * row + c] =
                    scales[k] * p->weight[from * row + c];
            a->parameters.offset[k * channels + i] = p->offset ? scales[k] * p->offset[from] : 0;
        }
    }
    return a;
}

static bool lies_as(const heads_view *h, act *of, size_t first)
{
    return h->of == of && h->first == first && (h->heads == 1 || h->head_step == h->depth) &&
           h->step == 1;
}

static void convert_attention(reader *r, const node *n, const value *weights, const view *values)
{
    const array *queries = weights->constant.count ? &weights->constant : NULL;
    heads_view keys = heads_of(r, n, &weights->keys, 1, 2);
    heads_view all[3] = {queries ? keys : heads_of(r, n, &weights->v, 2, 1), keys,
                         heads_of(r, n, values, 2, 1)};
    if (queries)
        all[0].scale = weights->v.scale;
    size_t heads = all[0].heads, depth = all[0].depth, channels = heads * depth;
    for (int k = 1; k < 3; k++)
        if (all[k].heads != heads || all[k].depth != depth || all[k].places != all[0].places)
            onnx_fail(r, n, "attention of heads that differ");
    /* The step divides scores by sqrt(depth); what they were multiplied by else is the queries'. */
    float scale = all[0].scale * all[1].scale * sqrtf((float)depth);
    float scales[3] = {fabsf(scale - 1) < 1e-6f ? 1 : scale, 1, all[2].scale};
    if (queries && queries->count != channels)
        onnx_fail(r, n, "attention of several constant queries");
    bool plain = !queries && scales[0] == 1 && scales[2] == 1 && lies_as(&all[0], all[0].of, 0) &&
                 lies_as(&all[1], all[0].of, channels) &&
                 lies_as(&all[2], all[0].of, 2 * channels) &&
                 all[0].of->size.channels == 3 * channels;
    act *source = all[0].of;
    if (!plain) {
        for (int k = 0; k < 3; k++)
            if (!has_rows(all[k].of) || all[k].of->inputs[0] != all[0].of->inputs[0])
                onnx_fail(r, n, "queries, keys and values that are not products of one input");
        source = gather_rows(r, all, scales, queries);
    }
    extent size = {source->size.height, source->size.width, channels};
    act *a = onnx_act(r, 1, &source, size, "attention:%zu", heads);
    view like = *values;
    for (size_t i = 0; i + 2 < like.rank; i++)
        if (like.axes[i].count)
            like.axes[i].factors[0] = (factor){heads, 0, depth};
    like.axes[like.rank - 2] = (axis){places_of(a) > 1, {{places_of(a), 1, 0}}};
    like.axes[like.rank - 1] = (axis){depth > 1, {{depth, 0, 1}}};
    /* With one constant query it gives the same at every place. */
    if (queries) {
        a = onnx_act(r, 1, &a, (extent){1, 1, channels}, "take:0-0");
        like.axes[like.rank - 2] = (axis){0};
    }
    set_act(n, a, &like);
}

static void convert_matmul(reader *r, const node *n)
{
    value *a = onnx_input(n, 0), *b = onnx_input(n, 1), *out = n->outputs[0];
    if (a && a->state == STATE_WEIGHTS && is_view(b)) {
        convert_attention(r, n, a, &b->v);
    } else if (is_view(a) && is_view(b)) {
        out->state = STATE_SCORES;
        out->v = a->v;
        out->keys = b->v;
    } else if (is_constant(a) && is_view(b) && b->v.rank > 2) {
        *out = (value){.name = out->name,
                       .uses = out->uses,
                       .state = STATE_SCORES,
                       .v.scale = 1,
                       .keys = b->v,
                       .constant = *onnx_constant(r, n, a)};
    } else {
        const array *w = onnx_constant(r, n, b);
        if (w->rank < 2)
            onnx_fail(r, n, "a product with a vector");
        (is_unit(a) ? convert_cosines : convert_product)(r, n, w, false, 1, NULL);
    }
}

/* ---- pools ---- */

static void set_pool(reader *r, const node *n, view *v, const char *name, const window *w,
                     bool ceil, bool within)
{
    extent in = v->of->size;
    extent out = {outputs_of(in.height, w, 0, ceil), outputs_of(in.width, w, 1, ceil), in.channels};
    char words[128];
    window_words(w, words, sizeof words);
    if (!out.height || !out.width || w->dilation[0] > 1 || w->dilation[1] > 1)
        onnx_fail(r, n, "windows that are not known here");
    set_spatial(n, onnx_act(r, 1, &v->of, out, "%s:%zux%zu%s%s%s", name, w->kernel[0], w->kernel[1],
                            words, ceil ? ":ceil" : "", within ? ":within" : ""));
}

/* The mean of all places of a view, or of the largest: the axes that are gone have one element. */
static void whole_pool(reader *r, const node *n, view *v, const char *word, const bool *gone,
                       bool keeps)
{
    onnx_make_whole(r, n, v);
    scale_settle(r, v);
    act *a = step(r, v->of, (extent){1, 1, v->of->size.channels}, word);
    view like = *v;
    like.rank = 0;
    for (size_t d = 0; d < v->rank; d++) {
        bool places = axis_step(&v->axes[d], true) != 0;
        if (places != gone[d] && axis_size(&v->axes[d]) > 1)
            onnx_fail(r, n, "a mean over some axes of the places");
        if (gone[d] && keeps)
            like.axes[like.rank++].count = 0;
        else if (!gone[d])
            like.axes[like.rank++] = v->axes[d];
    }
    set_act(n, a, &like);
}

/* Which axes a node takes together; all where it says none. */
static void gone_axes(reader *r, const node *n, size_t rank, bool *gone)
{
    array axes;
    bool given = onnx_numbers(r, n, 1, "axes", &axes);
    for (size_t d = 0; d < rank; d++)
        gone[d] = !given;
    for (size_t i = 0; given && i < axes.count; i++)
        gone[onnx_axis(r, n, onnx_whole_at(&axes, i), rank)] = true;
}

/* Whether the last axis goes, and no other. */
static bool last_goes(size_t rank, const bool *gone)
{
    bool last = rank > 0 && gone[rank - 1];
    for (size_t d = 0; d + 1 < rank; d++)
        last = last && !gone[d];
    return last;
}

static void convert_mean(reader *r, const node *n)
{
    value *in = onnx_input(n, 0), *out = n->outputs[0];
    bool gone[ONNX_RANK_MAX], keeps = onnx_int(n, "keepdims", 1) != 0;
    if (!in || (in->state != STATE_VIEW && in->state != STATE_SQUARE))
        onnx_fail(r, n, "a mean of something that is not known here");
    gone_axes(r, n, in->v.rank, gone);
    bool last = last_goes(in->v.rank, gone);
    /* Of some places alone: what comes from here reads them from a result of their own. */
    if (in->state == STATE_VIEW && last && keeps && !axis_step(&in->v.axes[in->v.rank - 1], true))
        onnx_make_whole(r, n, &in->v);
    if (in->state == STATE_SQUARE && last) {
        *out = (value){.name = out->name, .uses = out->uses, .state = STATE_VARIANCE, .v = in->v};
    } else if (in->state == STATE_VIEW && last && view_channels_last(&in->v) && keeps) {
        *out = (value){.name = out->name, .uses = out->uses, .state = STATE_MEAN, .v = in->v};
    } else if (in->state == STATE_VIEW) {
        whole_pool(r, n, input_view(r, n, 0), "avgpool", gone, keeps);
    } else {
        onnx_fail(r, n, "a mean of squares that is no layer normalisation");
    }
}

static void convert_global_pool(reader *r, const node *n)
{
    const bool gone[ONNX_RANK_MAX] = {false, false, true, true};
    view *v = spatial_input(r, n, 0);
    whole_pool(r, n, v, onnx_is(n, "GlobalMaxPool") ? "maxpool:all" : "avgpool", gone, true);
}

static void convert_pool(reader *r, const node *n)
{
    bool most = onnx_is(n, "MaxPool");
    if (most && onnx_input(n, 0) && onnx_input(n, 0)->state == STATE_PADDED)
        onnx_fail(r, n, "the largest of windows with zeros around");
    view *v = padded_input(r, n);
    size_t kernel[2];
    read_pair(r, n, "kernel_shape", kernel, 1);
    window w = read_window(r, n, kernel, v->of->size);
    bool counts = onnx_int(n, "count_include_pad", 0) != 0, ceil = onnx_int(n, "ceil_mode", 0) != 0;
    bool padded = w.pads[0] || w.pads[1] || w.pads[2] || w.pads[3];
    bool before = onnx_input(n, 0)->state == STATE_PADDED;
    /* One window larger than the picture is cut off at its edges. */
    extent size = v->of->size;
    if (ceil && !padded && !before && kernel[0] >= size.height && kernel[1] >= size.width) {
        const bool gone[ONNX_RANK_MAX] = {false, false, true, true};
        whole_pool(r, n, v, most ? "maxpool:all" : "avgpool", gone, true);
        return;
    }
    if (before && padded && !counts)
        onnx_fail(r, n, "a mean of windows with two kinds of padding");
    add_pads(onnx_input(n, 0), &w);
    set_pool(r, n, v, most ? "maxpool" : "avgpool", &w, ceil, !most && padded && !counts);
}

/* ---- norms ---- */

static void convert_batchnorm(reader *r, const node *n)
{
    view *v = input_view(r, n, 0);
    const array *p[4];
    size_t channels = v->of->size.channels, dims[ONNX_RANK_MAX];
    if (!view_is_whole(v))
        onnx_make_whole(r, n, v);
    scale_settle(r, v);
    view_dims(v, dims);
    if (v->rank < 2 || dims[1] != channels || axis_step(&v->axes[1], false) != (channels > 1))
        onnx_fail(r, n, "its second axis is not the channels");
    for (size_t k = 0; k < 4; k++)
        p[k] = bias_of(r, n, k + 1, channels);
    if (!p[0] || !p[1] || !p[2] || !p[3])
        onnx_fail(r, n, "its statistics are not there");
    double floor = (double)onnx_float(n, "epsilon", 1e-5f);
    float *gamma = floats(r, channels, 0), *beta = floats(r, channels, 0);
    if (r->options->keep_norms) {
        act *a = step(r, v->of, v->of->size, "batchnorm");
        onnx_parameters *to = &a->parameters;
        float **each[] = {&to->weight, &to->offset, &to->mean, &to->variance};
        for (size_t k = 0; k < 4; k++) {
            *each[k] = floats(r, channels, 0);
            memcpy(*each[k], p[k]->f, channels * sizeof(float));
        }
        for (size_t c = 0; c < channels; c++)
            to->variance[c] = fmaxf(to->variance[c] + (float)(floor - 1e-5), 0);
        to->weight_count = to->offset_count = to->mean_count = to->variance_count = channels;
        set_act(n, a, v);
        return;
    }
    for (size_t c = 0; c < channels; c++) {
        double g = (double)p[0]->f[c] / sqrt((double)p[3]->f[c] + floor);
        gamma[c] = (float)g;
        beta[c] = (float)((double)p[1]->f[c] - g * (double)p[2]->f[c]);
    }
    channels_affine(r, v, gamma, beta);
    set(n, *v);
}

static act *new_layernorm(reader *r, act *input, float epsilon)
{
    act *a = onnx_act(r, 1, &input, input->size, "layernorm:%s", number_of(epsilon).text);
    size_t channels = input->size.channels;
    a->parameters.weight = floats(r, channels, 1);
    a->parameters.offset = floats(r, channels, 0);
    a->parameters.weight_count = a->parameters.offset_count = channels;
    return a;
}

static void convert_layernorm(reader *r, const node *n)
{
    view *v = tokens_input(r, n, 0);
    size_t channels = v->of->size.channels;
    if (onnx_axis(r, n, onnx_int(n, "axis", -1), v->rank) + 1 != v->rank)
        onnx_fail(r, n, "a norm over more than the channels");
    const array *gamma = bias_of(r, n, 1, channels), *beta = bias_of(r, n, 2, channels);
    act *a = new_layernorm(r, v->of, onnx_float(n, "epsilon", 1e-5f));
    view out = view_of(a, true, v);
    channels_affine(r, &out, gamma ? gamma->f : NULL, beta ? beta->f : NULL);
    set(n, out);
}

/* ---- elements ---- */

static void convert_activation(reader *r, const node *n, const char *word)
{
    view *v = input_view(r, n, 0);
    onnx_make_whole(r, n, v);
    scale_settle(r, v);
    set_act(n, step(r, v->of, v->of->size, word), v);
}

static double bound(reader *r, const node *n, size_t input, const char *name, double otherwise)
{
    if (onnx_input(n, input)) {
        const array *a = onnx_constant(r, n, n->inputs[input]);
        if (a->count != 1)
            onnx_fail(r, n, "a bound of %zu numbers", a->count);
        return onnx_at(a, 0);
    }
    return (double)onnx_float(n, name, (float)otherwise);
}

static void convert_clip(reader *r, const node *n)
{
    char word[80];
    double low = bound(r, n, 1, "min", -3e38), high = bound(r, n, 2, "max", 3e38);
    if (low == 0 && high >= 3e38)
        snprintf(word, sizeof word, "relu");
    else
        snprintf(word, sizeof word, "clip:%s,%s", number_of((float)fmax(low, -3e38)).text,
                 number_of((float)fmin(high, 3e38)).text);
    convert_activation(r, n, word);
}

static void convert_simple(reader *r, const node *n)
{
    char word[64] = "";
    const char *op = n->proto->op_type;
    if (strcmp(op, "Relu") == 0)
        strcpy(word, "relu");
    else if (strcmp(op, "Sigmoid") == 0)
        strcpy(word, "sigmoid");
    else if (strcmp(op, "HardSwish") == 0)
        strcpy(word, "hardswish");
    else if (strcmp(op, "LeakyRelu") == 0)
        snprintf(word, sizeof word, "leakyrelu:%s", number_of(onnx_float(n, "alpha", 0.01f)).text);
    else if (strcmp(op, "HardSigmoid") == 0 &&
             fabsf(onnx_float(n, "alpha", 0.2f) - 1.0f / 6) < 1e-6f &&
             onnx_float(n, "beta", 0.5f) == 0.5f)
        strcpy(word, "hardsigmoid");
    else if (strcmp(op, "Gelu") == 0)
        strcpy(word,
               strcmp(onnx_string(n, "approximate", "none"), "tanh") == 0 ? "tanhgelu" : "gelu");
    if (!*word)
        onnx_fail(r, n, "%s, which no word of a network means",
                  strcmp(op, "HardSigmoid") == 0 ? "a hard sigmoid of another slope"
                                                 : "an operator");
    convert_activation(r, n, word);
}

/* ---- with a constant ---- */

/* The constant at each place and channel of a whole view: [places][channels]; *places is 1 where it
 * is the same at all. */
static float *constant_table(reader *r, const node *n, const view *v, const array *a,
                             size_t *places, bool *one)
{
    size_t dims[ONNX_RANK_MAX], channels = v->of->size.channels, count = view_count(v);
    view_dims(v, dims);
    for (size_t d = 0; d < a->rank; d++) {
        size_t own = d + v->rank < a->rank ? 1 : dims[d + v->rank - a->rank];
        if (a->dims[d] != 1 && a->dims[d] != own)
            onnx_fail(r, n, "a constant of %zu where there are %zu", a->dims[d], own);
    }
    float *table = floats(r, count, 0);
    for (size_t i = 0; i < count; i++) {
        size_t left = i, at[ONNX_RANK_MAX], from = 0, place, channel;
        for (size_t d = v->rank; d-- > 0;) {
            at[d] = left % dims[d];
            left /= dims[d];
        }
        for (size_t d = 0; d < a->rank; d++)
            from = from * a->dims[d] + (a->dims[d] == 1 ? 0 : at[d + v->rank - a->rank]);
        view_element(v, i, &place, &channel);
        table[place * channels + channel] = (float)onnx_at(a, from);
    }
    *one = true;
    bool same = true;
    for (size_t i = 0; i < count; i++) {
        *one = *one && table[i] == table[0];
        same = same && table[i] == table[i % channels];
    }
    *places = same ? 1 : count / channels;
    return table;
}

static void add_constant(reader *r, const node *n, view *v, const array *a, float sign)
{
    size_t places;
    bool one;
    onnx_make_whole(r, n, v);
    scale_settle(r, v);
    float *table = constant_table(r, n, v, a, &places, &one);
    size_t channels = v->of->size.channels;
    for (size_t i = 0; i < places * channels; i++)
        table[i] *= sign;
    if (places == 1) {
        channels_affine(r, v, NULL, table);
    } else {
        v->of = step(r, v->of, v->of->size, "position");
        v->of->parameters.weight = table;
        v->of->parameters.weight_count = places * channels;
        v->sole = true;
    }
    set(n, *v);
}

/* 2 sigmoid(2 x) - 1. */
static void convert_tanh(reader *r, const node *n)
{
    float one = 1;
    view *v = input_view(r, n, 0);
    onnx_make_whole(r, n, v);
    v->scale *= 2;
    scale_settle(r, v);
    view out = view_of(step(r, v->of, v->of->size, "sigmoid"), true, v);
    out.scale = 2;
    add_constant(r, n, &out, &(array){.count = 1, .f = &one}, -1);
}

static void multiply_constant(reader *r, const node *n, view *v, const array *a, bool divides)
{
    if (a->count == 1) {
        float factor = (float)onnx_at(a, 0);
        v->scale = divides ? v->scale / factor : v->scale * factor;
        set(n, *v);
        return;
    }
    size_t places;
    bool one;
    onnx_make_whole(r, n, v);
    float *table = constant_table(r, n, v, a, &places, &one);
    if (places > 1)
        onnx_fail(r, n, "a factor for each place");
    for (size_t c = 0; divides && c < v->of->size.channels; c++)
        table[c] = 1 / table[c];
    scale_settle(r, v);
    channels_affine(r, v, table, NULL);
    set(n, *v);
}

/* ---- with another result ---- */

static bool same_axes(const view *a, const view *b)
{
    if (a->rank != b->rank)
        return false;
    for (size_t d = 0; d < a->rank; d++)
        if (a->axes[d].count != b->axes[d].count ||
            memcmp(a->axes[d].factors, b->axes[d].factors, a->axes[d].count * sizeof(factor)) != 0)
            return false;
    return true;
}

/* Whether b has one element where a has places, and the same channels. */
static bool is_one_place_of(const view *a, const view *b)
{
    if (a->rank != b->rank || places_of(b->of) != 1)
        return false;
    for (size_t d = 0; d < a->rank; d++)
        if (axis_step(&a->axes[d], false) ? axis_size(&a->axes[d]) != axis_size(&b->axes[d])
                                          : axis_size(&b->axes[d]) != 1)
            return false;
    return true;
}

/* Their sum, or what the first has more than the second. */
static void add_results(reader *r, const node *n)
{
    view *v[2] = {input_view(r, n, 0), input_view(r, n, 1)};
    act *inputs[2];
    if (onnx_is(n, "Sub"))
        v[1]->scale = -v[1]->scale;
    for (int k = 0; k < 2; k++) {
        onnx_make_whole(r, n, v[k]);
        scale_settle(r, v[k]);
        inputs[k] = v[k]->of;
    }
    if (!same_axes(v[0], v[1]) || memcmp(&inputs[0]->size, &inputs[1]->size, sizeof(extent)) != 0)
        onnx_fail(r, n, "a sum of two results of other shapes");
    set_act(n, onnx_act(r, 2, inputs, inputs[0]->size, "add"), v[0]);
}

/* x sigmoid(x) and x hardsigmoid(x) are one step. */
static bool multiply_gate(reader *r, const node *n, const view *x, const view *gate)
{
    const act *g = gate->of;
    bool soft = strcmp(g->word, "sigmoid") == 0, hard = strcmp(g->word, "hardsigmoid") == 0;
    if (!(soft || hard) || g->inputs[0] != x->of || x->scale != 1 || gate->scale != 1 ||
        !same_axes(x, gate) || !view_is_whole(x) || !view_is_whole(gate))
        return false;
    set_act(n, step(r, x->of, x->of->size, soft ? "silu" : "hardswish"), x);
    return true;
}

static void multiply_results(reader *r, const node *n)
{
    view *a = input_view(r, n, 0), *b = input_view(r, n, 1);
    if (multiply_gate(r, n, a, b) || multiply_gate(r, n, b, a))
        return;
    onnx_make_whole(r, n, a);
    onnx_make_whole(r, n, b);
    if (!same_axes(a, b) && !is_one_place_of(a, b) && !is_one_place_of(b, a))
        onnx_fail(r, n, "a product of two results of other shapes");
    const view *larger = places_of(a->of) >= places_of(b->of) ? a : b;
    act *inputs[2] = {a->of, b->of};
    view out = view_of(onnx_act(r, 2, inputs, larger->of->size, "multiply"), true, larger);
    out.scale = a->scale * b->scale;
    set(n, out);
}

/* ---- gelu and layer normalisation, node by node ---- */

static void convert_erf(reader *r, const node *n)
{
    view *v = input_view(r, n, 0);
    value *out = n->outputs[0];
    if (fabsf(v->scale - (float)M_SQRT1_2) > 1e-4f)
        onnx_fail(r, n, "an error function that is no part of a gelu");
    out->v = *v;
    out->state = STATE_ERF;
}

/* x (1 + erf(x / sqrt 2)), twice what the step gives. */
static bool multiply_erf(reader *r, const node *n, const value *x, const value *erf)
{
    if (!is_view(x) || !erf || erf->state != STATE_ERF_ONE)
        return false;
    view v = x->v;
    if (v.of != erf->v.of || !same_axes(&v, &erf->v))
        onnx_fail(r, n, "an error function that is no part of a gelu");
    float scale = v.scale;
    v.scale = 1;
    onnx_make_whole(r, n, &v);
    view out = view_of(step(r, v.of, v.of->size, "gelu"), true, &v);
    out.scale = 2 * scale;
    set(n, out);
    return true;
}

static bool scalar(const value *v, double *out)
{
    if (!v || v->state != STATE_CONSTANT || v->constant.count != 1)
        return false;
    *out = onnx_at(&v->constant, 0);
    return true;
}

/* A mask that leaves everything, as exporters write one. */
static bool is_zeros(reader *r, const node *n, value *v)
{
    if (!is_constant(v))
        return false;
    const array *a = onnx_constant(r, n, v);
    for (size_t i = 0; i < a->count; i++)
        if (onnx_at(a, i) != 0)
            return false;
    return true;
}

/* The steps that are not results yet; false where it is none of them. */
static bool convert_part(reader *r, const node *n)
{
    value *a = onnx_input(n, 0), *b = onnx_input(n, 1), *out = n->outputs[0];
    double x = 0;
    bool one = scalar(b, &x) || scalar(a, &x);
    const value *kept = a && a->state != STATE_CONSTANT ? a : b;
    if (!kept)
        return false;
    value made = {.name = out->name,
                  .uses = out->uses,
                  .v = kept->v,
                  .keys = kept->keys,
                  .constant = kept->constant,
                  .epsilon = kept->epsilon};
    if (onnx_is(n, "Add") && one && kept->state == STATE_ERF && x == 1)
        made.state = STATE_ERF_ONE;
    else if (onnx_is(n, "Add") && one && kept->state == STATE_VARIANCE)
        made.state = STATE_VARIANCE, made.epsilon = (float)x;
    else if (onnx_is(n, "Sub") && is_view(a) && b && b->state == STATE_MEAN && b->v.of == a->v.of &&
             b->v.scale == a->v.scale)
        made.state = STATE_CENTRED;
    else if (onnx_is(n, "Pow") && one && x == 2 && kept->state == STATE_CENTRED)
        made.state = STATE_SQUARE;
    else if (onnx_is(n, "Mul") && a == b && kept->state == STATE_CENTRED)
        made.state = STATE_SQUARE;
    else if (onnx_is(n, "Sqrt") && kept->state == STATE_VARIANCE && kept->epsilon > 0)
        made.state = STATE_DEVIATION;
    else if ((onnx_is(n, "Mul") || onnx_is(n, "Div")) && one && kept->state == STATE_SCORES)
        made.state = STATE_SCORES, made.v.scale *= onnx_is(n, "Mul") ? (float)x : 1 / (float)x;
    else if (onnx_is(n, "Add") && kept->state == STATE_SCORES && is_zeros(r, n, kept == a ? b : a))
        made.state = STATE_SCORES;
    else if (onnx_is(n, "Softmax") && kept->state == STATE_SCORES)
        made.state = STATE_WEIGHTS;
    else if (onnx_is(n, "IsNaN") && kept->state == STATE_WEIGHTS)
        made.state = STATE_NAN;
    else if (onnx_is(n, "Where") && kept->state == STATE_NAN && onnx_input(n, 2) &&
             onnx_input(n, 2)->state == STATE_WEIGHTS)
        made = *onnx_input(n, 2), made.name = out->name, made.uses = out->uses;
    else if (onnx_is(n, "Cast") && kept->state != STATE_VIEW)
        made.state = kept->state;
    else if (onnx_is(n, "Div") && a && a->state == STATE_CENTRED && b &&
             b->state == STATE_DEVIATION && a->v.of == b->v.of) {
        view v = a->v;
        scale_settle(r, &v);
        set_act(n, new_layernorm(r, v.of, b->epsilon), &v);
        return true;
    } else if (onnx_is(n, "Mul"))
        return multiply_erf(r, n, a, b) || multiply_erf(r, n, b, a);
    else
        return false;
    *out = made;
    return true;
}

/* ---- lengths, node by node ---- */

static bool is_any(const node *n, const char *const *operators)
{
    while (*operators && !onnx_is(n, *operators))
        operators++;
    return *operators != NULL;
}

/* The squares of a view, summed or rooted by the nodes that use them: a view times itself is a step
 * of the network else. */
static bool is_square(const reader *r, const node *n, double power)
{
    if (onnx_is(n, "Pow"))
        return power == 2;
    for (size_t i = 0; i < r->node_count; i++)
        if (onnx_is(&r->nodes[i], "ReduceSum") && r->nodes[i].inputs[0] == n->outputs[0])
            return onnx_is(n, "Mul") && n->inputs[0] == n->inputs[1];
    return false;
}

/* What a reduction over a view's channels makes of the state of its input. */
static state_kind reduced(const node *n, state_kind is)
{
    return onnx_is(n, "ReduceL2") && is == STATE_VIEW          ? STATE_LENGTH
           : onnx_is(n, "ReduceSumSquare") && is == STATE_VIEW ? STATE_SQUARED
           : onnx_is(n, "ReduceSum") && is == STATE_SQUARES    ? STATE_SQUARED
                                                               : STATE_NONE;
}

/* Lower and upper bounds, or what is added, are none that make a length negative. */
static bool keeps_positive(reader *r, const node *n)
{
    for (size_t k = 0; k < n->input_count; k++)
        if (is_constant(n->inputs[k]) && onnx_at(onnx_constant(r, n, n->inputs[k]), 0) < 0)
            return false;
    return onnx_float(n, "min", 0) >= 0 && onnx_float(n, "max", 0) >= 0;
}

/* What a node makes of the state of its one input that is no constant, the first one or `second`; x
 * is its constant. A length with an epsilon counts as one: the direction is the same. */
static state_kind rooted(reader *r, const node *n, state_kind is, bool second, double x)
{
    static const char *const moves[] = {"Cast",    "Expand",  "Identity",  "Reshape",
                                        "Squeeze", "Flatten", "Unsqueeze", NULL};
    static const char *const bounds[] = {"Add", "Clip", "Max", NULL};
    bool power = onnx_is(n, "Pow") && !second;
    if (is == STATE_SQUARED && (onnx_is(n, "Sqrt") || (power && x == 0.5)))
        return STATE_LENGTH;
    if ((is == STATE_SQUARED && power && x == -0.5) ||
        (is == STATE_LENGTH &&
         (onnx_is(n, "Reciprocal") || (onnx_is(n, "Div") && second && x > 0))))
        return STATE_INVERSE;
    if ((is == STATE_SQUARED || is == STATE_LENGTH) && is_any(n, bounds) && keeps_positive(r, n))
        return is;
    return is_any(n, moves) ? is : STATE_NONE;
}

/* Whether a and b are a view and (one over) its own length. */
static bool is_own_length(const value *a, const value *b, state_kind wanted)
{
    return is_view(a) && b && b->state == wanted && a->v.of == b->v.of &&
           a->v.scale == b->v.scale && same_axes(&a->v, &b->v);
}

/* The steps from a result to the same of length 1; false where it is none of them. */
static bool convert_length(reader *r, const node *n)
{
    value *a = onnx_input(n, 0), *b = onnx_input(n, 1), *out = n->outputs[0];
    const value *kept = a && !is_constant(a) ? a : b;
    double x = 0;
    state_kind made = STATE_NONE;
    if (!kept || is_constant(kept))
        return false;
    if (!scalar(b, &x))
        scalar(a, &x);
    bool lone = kept == b || !b || is_constant(b);
    state_kind after = reduced(n, kept->state);
    if (after || (onnx_is(n, "LpNormalization") && is_view(kept))) {
        bool gone[ONNX_RANK_MAX] = {false};
        if (after)
            gone_axes(r, n, kept->v.rank, gone);
        else
            gone[onnx_axis(r, n, onnx_int(n, "axis", -1), kept->v.rank)] = true;
        if (!last_goes(kept->v.rank, gone) || onnx_int(n, "p", 2) != 2)
            onnx_fail(r, n, "a length that is not that of an embedding");
        made = after ? after : STATE_UNIT;
    } else if (is_view(kept) && is_square(r, n, x)) {
        made = STATE_SQUARES;
    } else if (kept->state == STATE_COSINES && lone) {
        if (onnx_is(n, "Mul") && x > 0)
            r->cosine_scale *= (float)x;
        else if (onnx_is(n, "Div") && kept == a && x > 0)
            r->cosine_scale /= (float)x;
        else if (!onnx_is(n, "Softmax") && !onnx_is(n, "Identity"))
            return false;
        made = STATE_COSINES;
    } else if (kept->state >= STATE_SQUARED && lone) {
        made = rooted(r, n, kept->state, kept == b, x);
    } else if ((onnx_is(n, "Div") && is_own_length(a, b, STATE_LENGTH)) ||
               (onnx_is(n, "Mul") &&
                (is_own_length(a, b, STATE_INVERSE) || is_own_length(b, a, STATE_INVERSE)))) {
        made = STATE_UNIT;
    }
    if (made)
        *out = (value){.name = out->name, .uses = out->uses, .state = made, .v = kept->v};
    return made;
}

/* ---- what only moves ---- */

static void convert_same(reader *r, const node *n)
{
    size_t dims[ONNX_RANK_MAX];
    view *v = input_view(r, n, 0);
    view_dims(v, dims);
    if (onnx_is(n, "Expand")) {
        const array *to = onnx_constant(r, n, onnx_input(n, 1));
        for (size_t d = 0; d < to->count; d++) {
            double own = d + v->rank < to->count ? 1 : (double)dims[d + v->rank - to->count];
            if (onnx_at(to, d) != 1 && onnx_at(to, d) != own)
                onnx_fail(r, n, "a result repeated");
        }
    }
    set(n, *v);
}

/* Whether an axis has channels in another order than their own: a shuffle, which is a step. */
static bool mixes_channels(const view *v)
{
    for (size_t d = 0; d < v->rank; d++) {
        size_t channels = 0;
        for (size_t i = 0; i < v->axes[d].count; i++)
            channels += v->axes[d].factors[i].channel != 0;
        if (channels > 1)
            return true;
    }
    return false;
}

static void convert_reshape(reader *r, const node *n)
{
    view *v = input_view(r, n, 0);
    size_t dims[ONNX_RANK_MAX], to[ONNX_RANK_MAX], rank = 0, before = 1, behind = 1;
    view_dims(v, dims);
    if (onnx_is(n, "Flatten")) {
        size_t at = (size_t)onnx_int(n, "axis", 1);
        for (size_t d = 0; d < v->rank; d++)
            *(d < at ? &before : &behind) *= dims[d];
        to[0] = before;
        to[1] = behind;
        rank = 2;
    } else if (onnx_is(n, "Reshape")) {
        onnx_reshape_dims(r, n, v->rank, dims, onnx_constant(r, n, onnx_input(n, 1)), &rank, to);
    } else { /* Squeeze, Unsqueeze */
        bool adds = onnx_is(n, "Unsqueeze"), chosen[ONNX_RANK_MAX] = {false};
        array axes;
        bool given = onnx_numbers(r, n, 1, "axes", &axes);
        size_t all = v->rank + (adds && given ? axes.count : 0), k = 0;
        if (all > ONNX_RANK_MAX)
            onnx_fail(r, n, "%zu dimensions", all);
        for (size_t i = 0; given && i < axes.count; i++)
            chosen[onnx_axis(r, n, onnx_whole_at(&axes, i), all)] = true;
        for (size_t d = 0; d < all; d++) {
            if (adds)
                to[rank++] = chosen[d] ? 1 : dims[k++];
            else if (!(given ? chosen[d] : dims[d] == 1))
                to[rank++] = dims[d];
        }
    }
    if (!view_reshape(v, rank, to))
        onnx_fail(r, n, "a shape that takes its elements in another order");
    if (mixes_channels(v) && view_is_whole(v))
        onnx_make_whole(r, n, v);
    set(n, *v);
}

static void convert_transpose(reader *r, const node *n)
{
    view *v = input_view(r, n, 0);
    array order;
    size_t from[ONNX_RANK_MAX];
    bool given = onnx_numbers(r, n, SIZE_MAX, "perm", &order), seen[ONNX_RANK_MAX] = {false};
    if (given && (order.count != v->rank || !order.whole))
        onnx_fail(r, n, "%zu axes in another order than %zu", order.count, v->rank);
    for (size_t d = 0; d < v->rank; d++) {
        from[d] = given ? onnx_axis(r, n, order.i[d], v->rank) : v->rank - 1 - d;
        if (seen[from[d]])
            onnx_fail(r, n, "an axis twice");
        seen[from[d]] = true;
    }
    view_permute(v, from);
    set(n, *v);
}

static void slice_or_fail(reader *r, const node *n, view *v, size_t axis, size_t first,
                          size_t count)
{
    if (!view_slice(v, axis, first, count))
        onnx_fail(r, n, "it takes %zu from %zu on of an axis of %zu", count, first,
                  axis_size(&v->axes[axis]));
    v->sole = false;
}

static void convert_slice(reader *r, const node *n)
{
    view *v = input_view(r, n, 0);
    size_t dims[ONNX_RANK_MAX], first[ONNX_RANK_MAX], count[ONNX_RANK_MAX];
    int64_t step[ONNX_RANK_MAX];
    view_dims(v, dims);
    onnx_slice_ranges(r, n, v->rank, dims, first, count, step);
    for (size_t d = 0; d < v->rank; d++)
        if (step[d] != 1 && dims[d] > 1)
            onnx_fail(r, n, "it takes every %lld-th element", (long long)step[d]);
        else if (count[d] != dims[d])
            slice_or_fail(r, n, v, d, first[d], count[d]);
    set(n, *v);
}

static void axis_remove(view *v, size_t at)
{
    memmove(v->axes + at, v->axes + at + 1, (--v->rank - at) * sizeof *v->axes);
}

/* Whether a table of places counts with a fixed step on each axis, and on all together each place
 * once: `order` is its axes by falling steps. So the dynamo exporter writes as_strided. */
static bool table_orders(const array *table, size_t *order)
{
    size_t steps[ONNX_RANK_MAX] = {0}, behind = 1;
    for (size_t d = table->rank, step = 1; d-- > 0; step *= table->dims[d]) {
        if (table->dims[d] > 1 && table->i[step] <= 0)
            return false;
        steps[d] = table->dims[d] > 1 ? (size_t)table->i[step] : 0;
    }
    for (size_t d = 0; d < table->rank; d++) {
        size_t at = d;
        for (; at > 0 && steps[order[at - 1]] < steps[d]; at--)
            order[at] = order[at - 1];
        order[at] = d;
    }
    for (size_t k = table->rank; k-- > 0;) {
        size_t size = table->dims[order[k]];
        if (size > 1 && steps[order[k]] != behind)
            return false;
        behind *= size;
    }
    for (size_t i = 0; i < table->count; i++) {
        size_t place = 0;
        for (size_t d = table->rank, rest = i; d-- > 0; rest /= table->dims[d])
            place += rest % table->dims[d] * steps[d];
        if (table->i[i] != (int64_t)place)
            return false;
    }
    return true;
}

/* All elements of a vector in another order: it becomes the table's axes by falling steps, and then
 * these as the table has them. */
static void convert_table(reader *r, const node *n, view *v, const array *table)
{
    size_t order[ONNX_RANK_MAX], dims[ONNX_RANK_MAX], back[ONNX_RANK_MAX];
    if (v->rank != 1 || table->count != view_count(v) || !table_orders(table, order))
        onnx_fail(r, n, "it gathers by a table");
    for (size_t k = 0; k < table->rank; k++) {
        dims[k] = table->dims[order[k]];
        back[order[k]] = k;
    }
    if (!view_reshape(v, table->rank, dims))
        onnx_fail(r, n, "it gathers by a table across the axes of what it reads");
    view_permute(v, back);
    set(n, *v);
}

static void convert_gather(reader *r, const node *n)
{
    view *v = input_view(r, n, 0);
    const array *which = onnx_constant(r, n, onnx_input(n, 1));
    size_t at = onnx_axis(r, n, onnx_int(n, "axis", 0), v->rank);
    if (which->count == 0 || !which->whole)
        onnx_fail(r, n, "it gathers by nothing, or by fractions");
    if (which->rank > 1) {
        convert_table(r, n, v, which);
        return;
    }
    size_t first = onnx_axis(r, n, which->i[0], axis_size(&v->axes[at]));
    for (size_t i = 0; i < which->count; i++)
        if (which->i[i] != which->i[0] + (int64_t)i)
            onnx_fail(r, n, "it gathers out of order");
    slice_or_fail(r, n, v, at, first, which->count);
    if (which->rank == 0)
        axis_remove(v, at);
    set(n, *v);
}

static void convert_split(reader *r, const node *n)
{
    const view *v = input_view(r, n, 0);
    size_t at = onnx_axis(r, n, onnx_int(n, "axis", 0), v->rank), first = 0, sizes[SPLIT_MOST];
    onnx_split_sizes(r, n, axis_size(&v->axes[at]), sizes);
    for (size_t k = 0; k < n->output_count; first += sizes[k++]) {
        view part = *v;
        slice_or_fail(r, n, &part, at, first, sizes[k]);
        if (!n->outputs[k])
            continue;
        n->outputs[k]->state = STATE_VIEW;
        n->outputs[k]->v = part;
    }
}

static void convert_pad(reader *r, const node *n)
{
    view *v = spatial_input(r, n, 0);
    value *out = n->outputs[0];
    array pads;
    if (!onnx_numbers(r, n, 1, "pads", &pads) || pads.count != 8 || !pads.whole)
        onnx_fail(r, n, "padding that is not that of pictures");
    if (strcmp(onnx_string(n, "mode", "constant"), "constant") != 0 ||
        bound(r, n, 2, "value", 0) != 0)
        onnx_fail(r, n, "padding with something else than zeros");
    for (size_t i = 0; i < 8; i++)
        if (pads.i[i] < 0 || pads.i[i] > 65536 || (i % 4 < 2 && pads.i[i] != 0))
            onnx_fail(r, n, "padding of %lld", (long long)pads.i[i]);
    out->state = STATE_PADDED;
    out->v = *v;
    out->pads[0] = (size_t)pads.i[2];
    out->pads[1] = (size_t)pads.i[3];
    out->pads[2] = (size_t)pads.i[6];
    out->pads[3] = (size_t)pads.i[7];
    if (!out->pads[0] && !out->pads[1] && !out->pads[2] && !out->pads[3])
        set(n, *v);
}

/* ---- side by side ---- */

/* Where several results begin with those of another such step, as DenseNet's do, that step's result
 * stands for them. */
static size_t concat_shorten(const reader *r, act **inputs, size_t count)
{
    for (size_t k = count - 1; k > 1; k--) {
        for (size_t i = 0; i < r->node_count; i++) {
            const value *v = r->nodes[i].outputs[0];
            act *a = is_view(v) ? v->v.of : NULL;
            if (!a || a->listed_count != k || memcmp(a->listed, inputs, k * sizeof *inputs) != 0)
                continue;
            inputs[0] = a;
            memmove(inputs + 1, inputs + k, (count - k) * sizeof *inputs);
            return count - k + 1;
        }
    }
    return count;
}

static void concat_channels(reader *r, const node *n, size_t at)
{
    act **inputs = onnx_take(r, n->input_count, sizeof *inputs);
    view like = {0};
    size_t channels = 0, count = n->input_count;
    for (size_t k = 0; k < n->input_count; k++) {
        view *v = input_view(r, n, k);
        onnx_make_whole(r, n, v);
        scale_settle(r, v);
        inputs[k] = v->of;
        view other = *v;
        if (k > 0 && at < v->rank)
            other.axes[at] = like.axes[at];
        if (k == 0)
            like = *v;
        else if (!same_axes(&like, &other))
            onnx_fail(r, n, "results of other shapes side by side");
        if (at >= v->rank || axis_size(&v->axes[at]) != v->of->size.channels)
            onnx_fail(r, n, "results side by side along another axis than the channels");
        channels += v->of->size.channels;
    }
    extent size = {inputs[0]->size.height, inputs[0]->size.width, channels};
    act **listed = onnx_take(r, count, sizeof *listed);
    memcpy(listed, inputs, count * sizeof *listed);
    count = count > 2 ? concat_shorten(r, inputs, count) : count;
    act *whole = onnx_act(r, count, inputs, size, "concat");
    whole->listed = listed;
    whole->listed_count = n->input_count;
    like.axes[at] = (axis){1, {{channels, 0, 1}}};
    set_act(n, whole, &like);
}

static void put_tokens(reader *r, act *a, size_t at, const array *from)
{
    size_t channels = a->size.channels;
    if (from->whole || from->count % channels)
        onnx_fail(r, NULL, "tokens of other channels");
    memcpy(a->parameters.weight + at * channels, from->f, from->count * sizeof *from->f);
}

/* Learned tokens before those of a result. */
static void concat_tokens(reader *r, const node *n, size_t at)
{
    size_t constants = 0, tokens = 0, last = n->input_count - 1;
    for (size_t k = 0; k < last; k++) {
        if (!is_constant(onnx_input(n, k)))
            onnx_fail(r, n, "learned tokens that are not the first");
        const array *a = onnx_constant(r, n, n->inputs[k]);
        if (at >= a->rank)
            onnx_fail(r, n, "learned tokens of %zu dimensions", a->rank);
        tokens += a->dims[at];
        constants++;
    }
    view *v = tokens_input(r, n, last);
    if (axis_size(&v->axes[at]) != places_of(v->of) || constants == 0)
        onnx_fail(r, n, "learned tokens along another axis than that of places");
    act *a = onnx_act(r, 1, &v->of, (extent){1, tokens + places_of(v->of), v->of->size.channels},
                      "tokens:%zu", tokens);
    a->parameters.weight = floats(r, tokens * a->size.channels, 0);
    a->parameters.weight_count = tokens * a->size.channels;
    for (size_t k = 0, to = 0; k < last; k++) {
        const array *from = onnx_constant(r, n, n->inputs[k]);
        if (from->count != from->dims[at] * a->size.channels)
            onnx_fail(r, n, "learned tokens of other channels");
        put_tokens(r, a, to, from);
        to += from->dims[at];
    }
    view like = *v;
    like.axes[at] = (axis){1, {{places_of(a), 1, 0}}};
    set_act(n, a, &like);
}

/* Learned tokens put between a class token and the rest (DINOv2's registers): before the class
 * token's position is added there, they are as tokens without one. */
static bool concat_registers(reader *r, const node *n, size_t at)
{
    if (n->input_count != 3 || !is_view(onnx_input(n, 0)) || !is_constant(onnx_input(n, 1)) ||
        !is_view(onnx_input(n, 2)))
        return false;
    const view *head = &n->inputs[0]->v, *tail = &n->inputs[2]->v;
    const array *registers = onnx_constant(r, n, n->inputs[1]);
    const act *position = head->of, *tokens = position->input_count ? position->inputs[0] : NULL;
    if (tail->of != head->of || !is_word(position, "position") || !is_word(tokens, "tokens") ||
        at >= head->rank || at >= registers->rank || head->place != 0 || head->channel ||
        tail->channel || head->scale != 1 || tail->scale != 1)
        return false;
    size_t first = axis_size(&head->axes[at]), channels = position->size.channels;
    size_t added = registers->dims[at], own = tokens->parameters.weight_count / channels;
    size_t rest = axis_size(&tail->axes[at]);
    if (first != own || tail->place != first || first + rest != places_of(position) ||
        registers->count != added * channels)
        return false;
    act *input = tokens->inputs[0];
    extent size = {1, first + added + rest, channels};
    act *a = onnx_act(r, 1, &input, size, "tokens:%zu", first + added);
    a->parameters.weight_count = (first + added) * channels;
    a->parameters.weight = floats(r, a->parameters.weight_count, 0);
    memcpy(a->parameters.weight, tokens->parameters.weight, own * channels * sizeof(float));
    put_tokens(r, a, first, registers);
    act *moved = step(r, a, size, "position");
    moved->parameters.weight_count = extent_size(size);
    moved->parameters.weight = floats(r, extent_size(size), 0);
    const float *from = position->parameters.weight;
    memcpy(moved->parameters.weight, from, first * channels * sizeof *from);
    memcpy(moved->parameters.weight + (first + added) * channels, from + first * channels,
           rest * channels * sizeof *from);
    view like = *tail;
    like.axes[at] = (axis){1, {{size.width, 1, 0}}};
    set_act(n, moved, &like);
    return true;
}

static void convert_concat(reader *r, const node *n)
{
    size_t rank = 0;
    bool views = true;
    for (size_t k = 0; k < n->input_count; k++) {
        value *v = onnx_input(n, k);
        views = views && is_view(v);
        if (is_view(v))
            rank = v->v.rank;
    }
    size_t at = onnx_axis(r, n, onnx_int(n, "axis", 1), rank);
    if (concat_registers(r, n, at))
        return;
    if (views && n->input_count == 1)
        convert_same(r, n);
    else if (views)
        concat_channels(r, n, at);
    else
        concat_tokens(r, n, at);
}

/* ---- all nodes ---- */

static void convert_binary(reader *r, const node *n)
{
    value *a = onnx_input(n, 0), *b = onnx_input(n, 1);
    bool turned = !is_view(a);
    const value *constant = turned ? a : b;
    if (is_view(a) && is_view(b)) {
        if (onnx_is(n, "Add") || onnx_is(n, "Sub"))
            add_results(r, n);
        else if (onnx_is(n, "Mul"))
            multiply_results(r, n);
        else
            onnx_fail(r, n, "two results, which no word of a network joins so");
        return;
    }
    if (!is_constant(constant))
        onnx_fail(r, n, "something that is not known here");
    const array *c = onnx_constant(r, n, turned ? a : b);
    view *v = input_view(r, n, turned ? 1 : 0);
    if (onnx_is(n, "Mul"))
        multiply_constant(r, n, v, c, false);
    else if (onnx_is(n, "Div") && !turned)
        multiply_constant(r, n, v, c, true);
    else if (onnx_is(n, "Add"))
        add_constant(r, n, v, c, 1);
    else if (onnx_is(n, "Sub") && !turned)
        add_constant(r, n, v, c, -1);
    else if (onnx_is(n, "Sub")) {
        v->scale = -v->scale;
        add_constant(r, n, v, c, 1);
    } else
        onnx_fail(r, n, "an operator that no word of a network means");
}

/* The scores of the classes, at the end. */
static void convert_softmax(reader *r, const node *n)
{
    view *v = input_view(r, n, 0);
    for (size_t i = 0; i < r->node_count; i++)
        for (size_t k = 0; k < r->nodes[i].input_count; k++)
            if (r->nodes[i].inputs[k] == n->outputs[0] && onnx_is(&r->nodes[i], "MatMul"))
                onnx_fail(r, n, "attention that is not known here");
    if (places_of(v->of) != 1)
        onnx_fail(r, n, "a softmax over places");
    set(n, *v);
}

static void convert_shape(reader *r, const node *n)
{
    size_t dims[ONNX_RANK_MAX];
    const view *v = input_view(r, n, 0);
    view_dims(v, dims);
    n->outputs[0]->constant = onnx_shape(r, n, v->rank, dims);
    n->outputs[0]->state = STATE_CONSTANT;
}

static const struct {
    const char *operator;
    void (*convert)(reader *r, const node *n);
} converters[] = {{"Conv", convert_conv},
                  {"Gemm", convert_gemm},
                  {"MatMul", convert_matmul},
                  {"MaxPool", convert_pool},
                  {"AveragePool", convert_pool},
                  {"GlobalAveragePool", convert_global_pool},
                  {"GlobalMaxPool", convert_global_pool},
                  {"ReduceMean", convert_mean},
                  {"BatchNormalization", convert_batchnorm},
                  {"LayerNormalization", convert_layernorm},
                  {"Clip", convert_clip},
                  {"Erf", convert_erf},
                  {"Tanh", convert_tanh},
                  {"Reshape", convert_reshape},
                  {"Flatten", convert_reshape},
                  {"Squeeze", convert_reshape},
                  {"Unsqueeze", convert_reshape},
                  {"Transpose", convert_transpose},
                  {"Slice", convert_slice},
                  {"Gather", convert_gather},
                  {"Split", convert_split},
                  {"Pad", convert_pad},
                  {"Concat", convert_concat},
                  {"Add", convert_binary},
                  {"Sub", convert_binary},
                  {"Mul", convert_binary},
                  {"Div", convert_binary},
                  {"Identity", convert_same},
                  {"Dropout", convert_same},
                  {"Cast", convert_same},
                  {"Expand", convert_same},
                  {"Softmax", convert_softmax},
                  {"Shape", convert_shape}};

static bool all_constant(const node *n)
{
    for (size_t k = 0; k < n->input_count; k++)
        if (n->inputs[k] && !is_constant(n->inputs[k]))
            return false;
    return true;
}

static void convert_node(reader *r, const node *n)
{
    if (n->proto->domain && *n->proto->domain && strcmp(n->proto->domain, "ai.onnx") != 0)
        onnx_fail(r, n, "an operator of %.60s, which is not ONNX's own", n->proto->domain);
    if (all_constant(n)) {
        onnx_fold(r, n);
        return;
    }
    for (size_t k = 0; k < n->input_count; k++)
        if (is_constant(n->inputs[k]))
            onnx_constant(r, n, n->inputs[k]);
        else if (n->inputs[k] && n->inputs[k]->state == STATE_NONE)
            onnx_fail(r, n, "its input %.100s comes from nowhere", n->inputs[k]->name);
    if (convert_part(r, n) || convert_length(r, n))
        return;
    for (size_t i = 0; i < sizeof converters / sizeof *converters; i++)
        if (onnx_is(n, converters[i].operator)) {
            converters[i].convert(r, n);
            return;
        }
    convert_simple(r, n);
}

/* ---- input and output ---- */

static value *find_value(reader *r, const char *name)
{
    for (size_t i = 0; i < r->value_count; i++)
        if (strcmp(r->values[i].name, name) == 0)
            return &r->values[i];
    onnx_fail(r, NULL, "it has no value %.100s", name);
}

/* Marks the nodes that the output needs, from behind, and counts who uses what. */
static bool *needed_nodes(reader *r, const value *last)
{
    bool *needed = onnx_take(r, r->node_count, sizeof *needed);
    bool *wanted = onnx_take(r, r->value_count, sizeof *wanted);
    for (size_t i = 0; i < r->value_count; i++)
        r->values[i].uses = 0;
    wanted[last - r->values] = true;
    r->values[last - r->values].uses = 1;
    for (size_t i = r->node_count; i-- > 0;) {
        const node *n = &r->nodes[i];
        for (size_t k = 0; k < n->output_count; k++)
            needed[i] = needed[i] || (n->outputs[k] && wanted[n->outputs[k] - r->values]);
        for (size_t k = 0; needed[i] && k < n->input_count; k++) {
            if (!n->inputs[k])
                continue;
            wanted[n->inputs[k] - r->values] = true;
            n->inputs[k]->uses++;
        }
    }
    return needed;
}

static size_t input_dim(const Onnx__TensorShapeProto *shape, size_t d, size_t given)
{
    const Onnx__TensorShapeProto__Dimension *dim = shape->dim[d];
    if (dim->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE &&
        dim->dim_value > 0 && dim->dim_value < 65536)
        return (size_t)dim->dim_value;
    return given;
}

/* The pictures: one input of four dimensions. */
static void begin_pictures(reader *r)
{
    const Onnx__GraphProto *g = r->model->graph;
    const Onnx__ValueInfoProto *input = NULL;
    for (size_t i = 0; i < g->n_input; i++) {
        const char *name = g->input[i]->name;
        if (!name || (*name && find_value(r, name)->initial))
            continue;
        if (input)
            onnx_fail(r, NULL, "it has two inputs, %.60s and %.60s", input->name, name);
        input = g->input[i];
    }
    const Onnx__TensorShapeProto *shape =
        input && input->type && input->type->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE
            ? input->type->tensor_type->shape
            : NULL;
    if (!shape || shape->n_dim != 4)
        onnx_fail(r, NULL, "it takes no pictures: no input of four dimensions");
    const onnx_options *o = r->options;
    size_t last = input_dim(shape, 3, 0), second = input_dim(shape, 1, 0);
    bool channels_last = (last == 1 || last == 3) && second != 1 && second != 3;
    size_t h = channels_last ? 1 : 2;
    extent size = {input_dim(shape, h, o->height), input_dim(shape, h + 1, o->width),
                   input_dim(shape, channels_last ? 3 : 1, 3)};
    if (!size.height || !size.width)
        onnx_fail(r, NULL, "it leaves the pictures' size open; give --size");
    r->pictures = onnx_act(r, 0, NULL, size, "pictures");
    act *a = r->pictures;
    if (o->normalize_count) {
        char word[600] = "normalize";
        for (int k = 0; k < 2; k++)
            for (size_t c = 0; c < o->normalize_count; c++) {
                strncat(word, c ? "," : ":", sizeof word - strlen(word) - 1);
                strncat(word, number_of((k ? o->deviation : o->mean)[c]).text,
                        sizeof word - strlen(word) - 1);
            }
        if (o->normalize_count != 1 && o->normalize_count != size.channels)
            onnx_fail(r, NULL, "%zu means for %zu channels", o->normalize_count, size.channels);
        a = onnx_act(r, 1, &a, size, "%s", word);
    }
    value *v = find_value(r, input->name);
    static const size_t order[] = {0, 2, 3, 1};
    v->state = STATE_VIEW;
    v->v = view_spatial(a, false);
    if (channels_last)
        view_permute(&v->v, order);
}

value *onnx_convert(reader *r)
{
    const Onnx__GraphProto *g = r->model->graph;
    const char *name = r->options->output;
    if (!name && (g->n_output == 0 || !g->output[0]->name))
        onnx_fail(r, NULL, "it has no output");
    value *last = find_value(r, name ? name : g->output[0]->name);
    bool *needed = needed_nodes(r, last);
    begin_pictures(r);
    for (size_t i = 0; i < r->node_count; i++)
        if (needed[i])
            convert_node(r, &r->nodes[i]);
    r->cosine_classes = last->state == STATE_COSINES ? r->cosine_classes : 0;
    r->unit = last->state == STATE_UNIT || r->cosine_classes;
    if (r->unit)
        last->state = STATE_VIEW;
    if (!is_view(last))
        onnx_fail(r, NULL, "its output %.100s is no result of the pictures", last->name);
    onnx_make_whole(r, NULL, &last->v);
    scale_settle(r, &last->v);
    size_t token = r->options->token, places = places_of(last->v.of);
    if (r->options->has_token && token >= places)
        onnx_fail(r, NULL, "it has no token %zu; there are %zu", token, places);
    if (r->options->has_token && places > 1) {
        act *a = last->v.of;
        last->v.of =
            onnx_act(r, 1, &a, (extent){1, 1, a->size.channels}, "take:%zu-%zu", token, token);
    }
    return last;
}
