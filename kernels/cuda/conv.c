#include "conv.h"

#include "conv_cores.h"
#include "elementwise.h"
#include "graph.h"
#include "memory.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define CANDIDATES 16 /* algorithms that the library may name, */
#define TRIED 4       /* and how many of them are tried: it names the likeliest first */
#ifdef EMULATED
enum { TIMING_REPEATS = 1, TIMING_TURNS = 1 };
#else
enum { TIMING_REPEATS = 5, TIMING_TURNS = 2 };
#endif
#define TIMING_MOST                                                                                \
    ((size_t)256 << 20) /* bytes that an algorithm may want, where the card has them free */
#define TIMING_LEAST ((size_t)8 << 20)

/* ---- descriptions ---- */

static cudnnDataType_t data_type(const struct cuda *g)
{
    return g->type == ELEMENT_F32 ? CUDNN_DATA_FLOAT : CUDNN_DATA_BFLOAT16;
}

/* What the library may compute with. */
static cudnnMathType_t math_allowed(const struct cuda *g)
{
    return g->precision == PRECISION_FP32 ? CUDNN_FMA_MATH : CUDNN_TENSOR_OP_MATH;
}

/* The library knows padding that is alike on both sides; all else is in the border already. */
static int describe_conv(const struct cuda *g, const fused_layer *f, conv_ready *c, error *e)
{
    const layer *l = f->layer;
    bool bordered = conv_is_bordered(f);
    int top = bordered ? 0 : (int)l->pad.top, left = bordered ? 0 : (int)l->pad.left;
    for (int d = 0; d < 3; d++) {
        if (check_dnn(cudnnCreateConvolutionDescriptor(&c->conv[d]), "describing a convolution",
                      e) < 0 ||
            check_dnn(cudnnSetConvolution2dDescriptor(c->conv[d], top, left, (int)l->stride_height,
                                                      (int)l->stride_width, (int)l->dilation_height,
                                                      (int)l->dilation_width,
                                                      CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT),
                      "describing a convolution", e) < 0 ||
            check_dnn(cudnnSetConvolutionGroupCount(c->conv[d], (int)l->groups),
                      "describing a convolution", e) < 0 ||
            check_dnn(cudnnSetConvolutionMathType(c->conv[d], math_allowed(g)), "precision", e) < 0)
            return -1;
    }
    return 0;
}

static int describe_tensor(const struct cuda *g, cudnnTensorDescriptor_t *t, size_t rows,
                           size_t height, size_t width, size_t channels, error *e)
{
    if (check_dnn(cudnnCreateTensorDescriptor(t), "describing a tensor", e) < 0)
        return -1;
    return check_dnn(cudnnSetTensor4dDescriptor(*t, CUDNN_TENSOR_NHWC, data_type(g), (int)rows,
                                                (int)channels, (int)height, (int)width),
                     "describing a tensor", e);
}

static int describe(const struct cuda *g, const fused_layer *f, conv_ready *c, error *e)
{
    const layer *l = f->layer;
    extent in = conv_input(f);
    if (describe_conv(g, f, c, e) < 0 ||
        describe_tensor(g, &c->in, c->rows, in.height, in.width, in.channels, e) < 0 ||
        describe_tensor(g, &c->out, c->rows, l->out.height, l->out.width, l->out.channels, e) < 0 ||
        describe_tensor(g, &c->bias, 1, 1, 1, l->out.channels, e) < 0)
        return -1;
    if (check_dnn(cudnnCreateFilterDescriptor(&c->weight), "describing weights", e) < 0 ||
        check_dnn(cudnnSetFilter4dDescriptor(c->weight, data_type(g), CUDNN_TENSOR_NHWC,
                                             (int)l->out.channels, (int)(in.channels / l->groups),
                                             (int)l->kernel_height, (int)l->kernel_width),
                  "describing weights", e) < 0 ||
        check_dnn(cudnnCreateActivationDescriptor(&c->activation), "describing ReLU", e) < 0)
        return -1;
    return check_dnn(cudnnSetActivationDescriptor(
                         c->activation, f->relu ? CUDNN_ACTIVATION_RELU : CUDNN_ACTIVATION_IDENTITY,
                         CUDNN_NOT_PROPAGATE_NAN, 0),
                     "describing ReLU", e);
}

void conv_discard(conv_ready *c)
{
    for (int d = 0; d < 3; d++)
        if (c->conv[d])
            cudnnDestroyConvolutionDescriptor(c->conv[d]);
    if (c->in)
        cudnnDestroyTensorDescriptor(c->in);
    if (c->out)
        cudnnDestroyTensorDescriptor(c->out);
    if (c->bias)
        cudnnDestroyTensorDescriptor(c->bias);
    if (c->weight)
        cudnnDestroyFilterDescriptor(c->weight);
    if (c->activation)
        cudnnDestroyActivationDescriptor(c->activation);
}

/* ---- running ---- */

static const float one = 1, zero = 0;

static conv_ready *conv_find(const program *p, size_t layer, size_t rows)
{
    for (size_t i = 0; i < p->conv_count; i++)
        if (p->convs[i].layer == layer && p->convs[i].rows == rows)
            return &p->convs[i];
    return NULL;
}

static conv_shape shape_of(const run *r, const fused_layer *f)
{
    const layer *l = f->layer;
    extent in = conv_input(f);
    bool bordered = conv_is_bordered(f);
    return (conv_shape){.rows = (int)r->rows,
                        .in_height = (int)in.height,
                        .in_width = (int)in.width,
                        .in_channels = (int)in.channels,
                        .out_height = (int)l->out.height,
                        .out_width = (int)l->out.width,
                        .out_channels = (int)l->out.channels,
                        .kernel_height = (int)l->kernel_height,
                        .kernel_width = (int)l->kernel_width,
                        .stride_height = (int)l->stride_height,
                        .stride_width = (int)l->stride_width,
                        .dilation_height = (int)l->dilation_height,
                        .dilation_width = (int)l->dilation_width,
                        .top = bordered ? 0 : (int)l->pad.top,
                        .left = bordered ? 0 : (int)l->pad.left,
                        .groups = (int)l->groups,
                        .adds = f->sums,
                        .depthwise = conv_is_depthwise(f)};
}

/* What the sums are made of, and where the input's gradient goes: with the border, if any. */
static void *input_of(const run *r, const fused_layer *f)
{
    return place(r, conv_is_bordered(f) ? places_of(r, f)->padded : f->input);
}
static void *d_input_of(const run *r, const fused_layer *f)
{
    return place(r, conv_is_bordered(f) ? places_of(r, f)->d_padded : f->d_input);
}

/* Puts zeros around the input; `back`: cuts its gradient out of the border's. */
static int border_pass(const run *r, const fused_layer *f, bool back, error *e)
{
    const struct cuda *g = r->p->gpu;
    const sides *pad = &f->layer->pad;
    extent padded = conv_input(f);
    if (!conv_is_bordered(f))
        return 0;
    border b = {.rows = (int)r->rows,
                .height = (int)f->in.height,
                .width = (int)f->in.width,
                .channels = (int)padded.channels,
                .padded_height = (int)padded.height,
                .padded_width = (int)padded.width,
                .top = (int)pad->top,
                .left = (int)pad->left};
    void *inner = place(r, back ? f->d_input : f->input);
    return run_check(r,
                     kernel_border(g->type, &b, inner, back ? d_input_of(r, f) : input_of(r, f),
                                   back, g->streams[r->slot]),
                     "border", e);
}

static const conv_ready *ready(const run *r, const fused_layer *f)
{
    return conv_find(r->p, layer_index(r, f), r->rows);
}

/* Blocks that run at once, as conv_cores.h counts them. */
static int blocks_of(const run *r)
{
    return r->p->gpu->properties.multiProcessorCount;
}

/* Whether tensor cores of our own can do it, and the bytes that they work in. */
static bool cores_can(const run *r, const fused_layer *f, conv_direction direction, size_t *bytes)
{
    const struct cuda *g = r->p->gpu;
    conv_shape s = shape_of(r, f);
    *bytes = 0;
    if (g->type != ELEMENT_BF16 || s.depthwise || direction == CONV_BACKWARD_DATA)
        return false;
    if (direction == CONV_FORWARD)
        return conv_cores_forward_fits(&s, blocks_of(r));
    *bytes = conv_cores_weight_bytes(&s, blocks_of(r));
    return *bytes > 0;
}

/* What is added to, forward, is what lies in the output's place. */
static const float *beta_of(const fused_layer *f)
{
    return f->sums ? &one : &zero;
}

static cudnnStatus_t forward_fused(const run *r, const fused_layer *f, const conv_ready *c)
{
    const conv_choice *choice = &c->choices[CONV_FORWARD];
    const layer_places *o = places_of(r, f);
    void *out = place(r, f->output);
    return cudnnConvolutionBiasActivationForward(
        r->p->gpu->dnn[r->slot], &one, c->in, input_of(r, f), c->weight, place(r, o->weight),
        c->conv[CONV_FORWARD], (cudnnConvolutionFwdAlgo_t)choice->algorithm,
        r->p->workspace[r->slot], r->p->workspace_bytes[r->slot], beta_of(f), c->out, out, c->bias,
        place(r, o->bias), c->activation, c->out, out);
}

static int forward_cores(const run *r, const fused_layer *f, bool fused, error *e)
{
    const layer_places *o = places_of(r, f);
    conv_shape s = shape_of(r, f);
    return run_check(r,
                     kernel_conv_cores_forward(&s, blocks_of(r), input_of(r, f),
                                               place(r, o->weight),
                                               fused ? place(r, o->bias) : NULL, fused && f->relu,
                                               place(r, f->output), r->p->gpu->streams[r->slot]),
                     "eight_forward", e);
}

static int forward_bare(const run *r, const fused_layer *f, const conv_ready *c, error *e)
{
    const layer_places *o = places_of(r, f);
    struct cuda *g = r->p->gpu;
    const conv_choice *choice = &c->choices[CONV_FORWARD];
    if (choice->algorithm == ALGORITHM_OWN) {
        conv_shape s = shape_of(r, f);
        return check_kernel(g,
                            kernel_conv_forward(g->type, &s, input_of(r, f), place(r, o->weight),
                                                place(r, f->output), g->streams[r->slot]),
                            "conv_forward", g->streams[r->slot], e);
    }
    return check_dnn(cudnnConvolutionForward(
                         g->dnn[r->slot], &one, c->in, input_of(r, f), c->weight,
                         place(r, o->weight), c->conv[CONV_FORWARD],
                         (cudnnConvolutionFwdAlgo_t)choice->algorithm, r->p->workspace[r->slot],
                         r->p->workspace_bytes[r->slot], beta_of(f), c->out, place(r, f->output)),
                     "convolution", e);
}

int conv_forward(const run *r, const fused_layer *f, error *e)
{
    const conv_ready *c = ready(r, f);
    bool fused = c->choices[CONV_FORWARD].fused;
    bool by_cores = c->choices[CONV_FORWARD].algorithm == ALGORITHM_CORES;
    if (border_pass(r, f, false, e) < 0)
        return -1;
    int status = by_cores ? forward_cores(r, f, fused, e)
                 : fused  ? check_dnn(forward_fused(r, f, c), "convolution with bias", e)
                          : forward_bare(r, f, c, e);
    return status < 0 ? -1 : output_finish(r, f, fused, e);
}

int conv_backward_weight(const run *r, const fused_layer *f, int lane, error *e)
{
    const layer_places *o = places_of(r, f);
    struct cuda *g = r->p->gpu;
    const conv_ready *c = ready(r, f);
    const conv_choice *choice = &c->choices[CONV_BACKWARD_WEIGHT];
    if (choice->algorithm == ALGORITHM_CORES) {
        conv_shape s = shape_of(r, f);
        return check_kernel(g,
                            kernel_conv_cores_weight(&s, blocks_of(r), input_of(r, f),
                                                     place(r, f->d_masked), place(r, o->d_weight),
                                                     r->p->workspace[lane], g->streams[lane]),
                            "weight_sums", g->streams[lane], e);
    }
    if (choice->algorithm == ALGORITHM_OWN) {
        conv_shape s = shape_of(r, f);
        return check_kernel(
            g,
            kernel_conv_backward_weight(g->type, &s, input_of(r, f), place(r, f->d_masked),
                                        place(r, o->d_weight), place(r, o->partials),
                                        place(r, o->arrivals), g->streams[lane]),
            "conv_backward_weight", g->streams[lane], e);
    }
    return check_dnn(cudnnConvolutionBackwardFilter(
                         g->dnn[lane], &one, c->in, input_of(r, f), c->out, place(r, f->d_masked),
                         c->conv[CONV_BACKWARD_WEIGHT],
                         (cudnnConvolutionBwdFilterAlgo_t)choice->algorithm, r->p->workspace[lane],
                         r->p->workspace_bytes[lane], &zero, c->weight, place(r, o->d_weight)),
                     "convolution's weight gradient", e);
}

static int backward_data(const run *r, const fused_layer *f, error *e)
{
    const layer_places *o = places_of(r, f);
    int lane = r->slot;
    struct cuda *g = r->p->gpu;
    const conv_ready *c = ready(r, f);
    const conv_choice *choice = &c->choices[CONV_BACKWARD_DATA];
    if (choice->algorithm == ALGORITHM_OWN) {
        conv_shape s = shape_of(r, f);
        return check_kernel(g,
                            kernel_conv_backward_data(g->type, &s, place(r, f->d_masked),
                                                      place(r, o->weight), d_input_of(r, f),
                                                      g->streams[lane]),
                            "conv_backward_data", g->streams[lane], e);
    }
    return check_dnn(cudnnConvolutionBackwardData(
                         g->dnn[lane], &one, c->weight, place(r, o->weight), c->out,
                         place(r, f->d_masked), c->conv[CONV_BACKWARD_DATA],
                         (cudnnConvolutionBwdDataAlgo_t)choice->algorithm, r->p->workspace[lane],
                         r->p->workspace_bytes[lane], &zero, c->in, d_input_of(r, f)),
                     "convolution's input gradient", e);
}

int conv_backward_data(const run *r, const fused_layer *f, error *e)
{
    return backward_data(r, f, e) < 0 ? -1 : border_pass(r, f, true, e);
}

/* ---- algorithms ---- */

/* What the library says of an algorithm, whichever the direction. */
typedef struct {
    int algorithm;
    cudnnStatus_t status;
    size_t memory;
    cudnnDeterminism_t determinism;
    cudnnMathType_t math;
} verdict;

/* Asks by the library's function of one direction. */
#define VERDICTS(perf, function, first, second, conv, third)                                       \
    perf results[CANDIDATES];                                                                      \
    cudnnStatus_t status = function(dnn, first, second, conv, third, CANDIDATES, count, results);  \
    for (int i = 0; status == CUDNN_STATUS_SUCCESS && i < *count; i++)                             \
        verdicts[i] = (verdict){(int)results[i].algo, results[i].status, results[i].memory,        \
                                results[i].determinism, results[i].mathType};                      \
    return status

static cudnnStatus_t verdicts_forward(cudnnHandle_t dnn, const conv_ready *c, verdict *verdicts,
                                      int *count)
{
    VERDICTS(cudnnConvolutionFwdAlgoPerf_t, cudnnGetConvolutionForwardAlgorithm_v7, c->in,
             c->weight, c->conv[CONV_FORWARD], c->out);
}

static cudnnStatus_t verdicts_data(cudnnHandle_t dnn, const conv_ready *c, verdict *verdicts,
                                   int *count)
{
    VERDICTS(cudnnConvolutionBwdDataAlgoPerf_t, cudnnGetConvolutionBackwardDataAlgorithm_v7,
             c->weight, c->out, c->conv[CONV_BACKWARD_DATA], c->in);
}

static cudnnStatus_t verdicts_weight(cudnnHandle_t dnn, const conv_ready *c, verdict *verdicts,
                                     int *count)
{
    VERDICTS(cudnnConvolutionBwdFilterAlgoPerf_t, cudnnGetConvolutionBackwardFilterAlgorithm_v7,
             c->in, c->out, c->conv[CONV_BACKWARD_WEIGHT], c->weight);
}

/* What the library cannot do, as opposed to an installation that is not whole. */
static bool is_unable(cudnnStatus_t status)
{
    bool broken = status >= CUDNN_STATUS_NOT_SUPPORTED_INCOMPATIBLE_CUDA_DRIVER &&
                  status <= CUDNN_STATUS_NOT_SUPPORTED_SUBLIBRARY_UNAVAILABLE;
    return !broken && (CUDNN_STATUS_CATEGORY(status) == CUDNN_STATUS_NOT_SUPPORTED ||
                       CUDNN_STATUS_CATEGORY(status) == CUDNN_STATUS_BAD_PARAM);
}

/* The library's algorithms, those that it thinks quickest first. None where it does not know the
 * shape. */
static int algorithms_ask(const struct cuda *g, const conv_ready *c, conv_direction direction,
                          verdict *verdicts, int *count, error *e)
{
    cudnnHandle_t dnn = g->dnn[0];
    *count = 0;
    cudnnStatus_t status = direction == CONV_FORWARD ? verdicts_forward(dnn, c, verdicts, count)
                           : direction == CONV_BACKWARD_DATA
                               ? verdicts_data(dnn, c, verdicts, count)
                               : verdicts_weight(dnn, c, verdicts, count);
    if (!is_unable(status))
        return check_dnn(status, "choosing a convolution", e);
    *count = 0;
    return 0;
}

/* A weight's gradient that is no sum in a fixed order is added up by atomics, in the result's own
 * type. */
static bool may_be_chosen(const struct cuda *g, const verdict *v, conv_direction direction,
                          size_t room)
{
    bool ordered =
        g->deterministic || (direction == CONV_BACKWARD_WEIGHT && g->type == ELEMENT_BF16);
    bool exact =
        v->math != CUDNN_TENSOR_OP_MATH && v->math != CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION;
    return v->status == CUDNN_STATUS_SUCCESS && v->memory <= room &&
           (!ordered || v->determinism == CUDNN_DETERMINISTIC) &&
           (g->precision != PRECISION_FP32 || exact);
}

static int weight_pass(const run *r, const fused_layer *f, error *e)
{
    return conv_backward_weight(r, f, r->slot, e);
}

/* How long the layer takes in that direction as it is set now, bias and ReLU too; infinity where it
 * does not work, or not in a graph. The time does not matter where all are to be the same each
 * time. */
static double seconds_of(const run *r, const fused_layer *f, conv_direction direction)
{
    static const launch_pass passes[] = {conv_forward, conv_backward_data, weight_pass};
    struct cuda *g = r->p->gpu;
    error unused = {""};
    double seconds = INFINITY;
    int status = passes[direction](r, f, &unused); /* this loads it, too */
    if (cudaStreamSynchronize(g->streams[r->slot]) != cudaSuccess || status < 0) {
        (void)cudaGetLastError();
        return INFINITY;
    }
    if (g->deterministic)
        return 0;
    status = graph_time(r, passes[direction], f, TIMING_REPEATS, TIMING_TURNS, &seconds, &unused);
    return status == 0 ? seconds : INFINITY;
}

/* Whether the library may be asked: not where a kernel of our own alone knows the padding. */
static bool is_known(const fused_layer *f)
{
    const sides *pad = &f->layer->pad;
    return conv_is_bordered(f) || (pad->top == pad->bottom && pad->left == pad->right);
}

/* Bias, and a ReLU if there is one, may be done with the sums; another activation has its pass,
 * and then that does the bias, too. */
static bool may_fuse(const run *r, const fused_layer *f)
{
    return places_of(r, f)->bias != NOWHERE && !f->activation;
}

/* The quickest of the algorithms, with and without bias and ReLU in the same pass. Our own compete
 * where they are depthwise or by tensor cores; elsewhere they are the last resort. */
static int choose(const run *r, const fused_layer *f, conv_ready *c, conv_direction direction,
                  size_t room, error *e)
{
    struct cuda *g = r->p->gpu;
    verdict verdicts[CANDIDATES];
    int count = 0;
    if (is_known(f) && algorithms_ask(g, c, direction, verdicts, &count, e) < 0)
        return -1;
    conv_choice best = {ALGORITHM_OWN, 0, 0, false}, *tried = &c->choices[direction];
    *tried = best;
    double least = conv_is_depthwise(f) ? seconds_of(r, f, direction) : INFINITY;
    for (int i = 0, left = TRIED; i < count && left > 0 && least > 0; i++) {
        const verdict *v = &verdicts[i];
        if (!may_be_chosen(g, v, direction, room))
            continue;
        left--;
        int math = g->precision == PRECISION_FP32 ? (int)CUDNN_FMA_MATH : (int)v->math;
        if (check_dnn(cudnnSetConvolutionMathType(c->conv[direction], (cudnnMathType_t)math),
                      "precision", e) < 0)
            return -1;
        bool fuses = direction == CONV_FORWARD && may_fuse(r, f);
        for (int fused = fuses; fused >= 0 && least > 0; fused--) {
            *tried = (conv_choice){v->algorithm, math, v->memory, fused};
            double seconds = seconds_of(r, f, direction);
            if (seconds < least) {
                least = seconds;
                best = *tried;
            }
        }
    }
    size_t bytes;
    if (least > 0 && cores_can(r, f, direction, &bytes) && bytes <= room) {
        *tried =
            (conv_choice){ALGORITHM_CORES, 0, bytes, direction == CONV_FORWARD && may_fuse(r, f)};
        double seconds = seconds_of(r, f, direction);
        best = seconds < least ? *tried : best;
    }
    *tried = best;
    return 0;
}

static bool wanted(const fused_layer *f, conv_direction direction)
{
    return direction == CONV_FORWARD ||
           (direction == CONV_BACKWARD_WEIGHT && f->d_output != NOWHERE) ||
           (direction == CONV_BACKWARD_DATA && f->d_input != NOWHERE);
}

/* Memory that algorithms are tried in takes the place of the program's workspace: as much as the
 * card has, up to a limit, since with less there are fewer to choose from. */
typedef struct {
    void *own;
    size_t own_bytes;
} timing_room;

static int timing_begin(program *p, timing_room *room, error *e)
{
    int status = -1;
    void *memory = NULL;
    *room = (timing_room){p->workspace[0], p->workspace_bytes[0]};
    for (size_t bytes = TIMING_MOST; status < 0 && bytes >= TIMING_LEAST; bytes /= 2) {
        status = device_take(bytes, "timing convolutions", "take a smaller --batch", &memory, e);
        if (status == 0) {
            p->workspace[0] = memory;
            p->workspace_bytes[0] = bytes;
        }
    }
    return status;
}

static void timing_end(program *p, const timing_room *room)
{
    cudaFree(p->workspace[0]);
    p->workspace[0] = room->own;
    p->workspace_bytes[0] = room->own_bytes;
}

/* All choices of one convolution, from those made before or by timing. */
static int choices_make(const run *r, const fused_layer *f, conv_ready *c, error *e)
{
    program *p = r->p;
    struct cuda *g = p->gpu;
    timing_room room = {0};
    bool timing = false;
    int status = 0;
    for (int d = 0; d < 3 && status == 0; d++) {
        conv_direction direction = (conv_direction)d;
        c->choices[d] = (conv_choice){ALGORITHM_OWN, 0, 0, false};
        if (!wanted(f, direction))
            continue;
        conv_key key = conv_key_make(direction, f->layer, f->in_channels, c->rows, g->precision,
                                     g->deterministic, may_fuse(r, f), f->relu, f->sums);
        if (choices_find(&g->choices, &key, &c->choices[d]))
            continue;
        if (!timing)
            status = timing_begin(p, &room, e);
        timing = status == 0;
        if (status == 0)
            status = choose(r, f, c, direction, p->workspace_bytes[0], e);
        if (status == 0 && choices_add(&g->choices, &key, c->choices[d]) < 0)
            status = error_set(e, "cuda: out of memory");
    }
    if (timing)
        timing_end(p, &room);
    return status;
}

static int math_set(conv_ready *c, error *e)
{
    for (int d = 0; d < 3; d++)
        if (c->choices[d].algorithm >= 0 &&
            check_dnn(cudnnSetConvolutionMathType(c->conv[d], (cudnnMathType_t)c->choices[d].math),
                      "precision", e) < 0)
            return -1;
    return 0;
}

int conv_prepare(program *p, size_t layer, size_t rows, size_t *workspace, error *e)
{
    *workspace = 0;
    if (conv_find(p, layer, rows))
        return 0;
    conv_ready *more = realloc(p->convs, (p->conv_count + 1) * sizeof *more);
    if (!more)
        return error_set(e, "cuda: out of memory");
    p->convs = more;
    const fused_layer *f = &p->plan.layers[layer];
    run r = {.p = p, .mode = MODE_INFER, .rows = rows};
    conv_ready *c = &more[p->conv_count++]; /* there already, so that it can be timed */
    *c = (conv_ready){.layer = layer, .rows = rows};
    if (dnn_wake(p->gpu, e) < 0 || describe(p->gpu, f, c, e) < 0 || choices_make(&r, f, c, e) < 0 ||
        math_set(c, e) < 0) {
        conv_discard(c);
        p->conv_count--;
        return -1;
    }
    for (int d = 0; d < 3; d++)
        if (c->choices[d].workspace > *workspace)
            *workspace = c->choices[d].workspace;
    return 0;
}

void conv_describe(const run *r, const fused_layer *f, conv_direction direction, char *text,
                   size_t size)
{
    const conv_ready *c = ready(r, f);
    const conv_choice *choice = c ? &c->choices[direction] : NULL;
    if (!choice || choice->algorithm < 0)
        snprintf(text, size, "%s",
                 !choice                                ? "not ready"
                 : choice->algorithm == ALGORITHM_CORES ? "own kernel, tensor cores"
                                                        : "own kernel");
    else
        snprintf(text, size, "algorithm %d%s", choice->algorithm,
                 choice->fused ? ", with bias" : "");
}
