/* conv.c: convolutions by cuDNN, NHWC. For each direction and shape the library's quickest algorithm is
 * found by trying (or, with --deterministic, the one it thinks best of those that give the same bytes each
 * time), once, and kept. Where it has none, conv.cu does it. */
#include "cuda.h"

#include <stdlib.h>

#define TRIALS 16                    /* algorithms that the library may name */
#define TRIAL_MOST ((size_t)256 << 20) /* bytes that an algorithm may want, where the card has them free */
#define TRIAL_LEAST ((size_t)8 << 20)

/* ---- descriptions ------------------------------------------------------------------------------------ */

static cudnnDataType_t data_type(const struct cuda *g)
{
    return g->type == KERNEL_FLOAT ? CUDNN_DATA_FLOAT : CUDNN_DATA_BFLOAT16;
}

/* What the library may compute with. */
static cudnnMathType_t math_allowed(const struct cuda *g)
{
    return g->precision == PRECISION_FP32 ? CUDNN_FMA_MATH : CUDNN_TENSOR_OP_MATH;
}

static int describe_conv(const struct cuda *g, const layer *l, conv_ready *c, error *e)
{
    for (int d = 0; d < 3; d++) {
        if (check_dnn(cudnnCreateConvolutionDescriptor(&c->conv[d]), "describing a convolution", e) != 0 ||
            check_dnn(cudnnSetConvolution2dDescriptor(c->conv[d], (int)l->pad_height,
                                                      (int)l->pad_width, 1, 1, 1, 1,
                                                      CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT),
                      "describing a convolution", e) != 0 ||
            check_dnn(cudnnSetConvolutionMathType(c->conv[d], math_allowed(g)), "precision", e) != 0)
            return -1;
    }
    return 0;
}

static int describe_tensor(const struct cuda *g, cudnnTensorDescriptor_t *t, size_t rows, size_t height,
                           size_t width, size_t channels, error *e)
{
    if (check_dnn(cudnnCreateTensorDescriptor(t), "describing a tensor", e) != 0)
        return -1;
    return check_dnn(cudnnSetTensor4dDescriptor(*t, CUDNN_TENSOR_NHWC, data_type(g), (int)rows,
                                                (int)channels, (int)height, (int)width),
                     "describing a tensor", e);
}

static int describe(const struct cuda *g, const operation *o, const layer *l, conv_ready *c, error *e)
{
    if (describe_conv(g, l, c, e) != 0 ||
        describe_tensor(g, &c->in, c->rows, l->in.height, l->in.width, o->in_channels, e) != 0 ||
        describe_tensor(g, &c->out, c->rows, l->out.height, l->out.width, l->out.channels, e) != 0 ||
        describe_tensor(g, &c->bias, 1, 1, 1, l->out.channels, e) != 0)
        return -1;
    if (check_dnn(cudnnCreateFilterDescriptor(&c->weight), "describing weights", e) != 0 ||
        check_dnn(cudnnSetFilter4dDescriptor(c->weight, data_type(g), CUDNN_TENSOR_NHWC,
                                             (int)l->out.channels, (int)o->in_channels,
                                             (int)l->kernel_height, (int)l->kernel_width),
                  "describing weights", e) != 0 ||
        check_dnn(cudnnCreateActivationDescriptor(&c->activation), "describing ReLU", e) != 0)
        return -1;
    return check_dnn(cudnnSetActivationDescriptor(c->activation,
                                                  o->relu ? CUDNN_ACTIVATION_RELU
                                                          : CUDNN_ACTIVATION_IDENTITY,
                                                  CUDNN_NOT_PROPAGATE_NAN, 0), "describing ReLU", e);
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

/* ---- algorithms -------------------------------------------------------------------------------------- */

/* What the library says of an algorithm, whichever the direction. */
typedef struct {
    int algorithm;
    cudnnStatus_t status;
    size_t memory;
    cudnnDeterminism_t determinism;
    cudnnMathType_t math;
} verdict;

/* What algorithms are tried in. */
typedef struct {
    void *memory;
    size_t bytes;
} trial_room;

#define VERDICTS_COPY(results, count, verdicts)                                                    \
    for (int i = 0; i < (count); i++)                                                              \
    (verdicts)[i] = (verdict){(int)(results)[i].algo, (results)[i].status, (results)[i].memory,     \
                              (results)[i].determinism, (results)[i].mathType}

static cudnnStatus_t verdicts_forward(const run *r, const operation *o, const conv_ready *c,
                                      trial_room room, verdict *verdicts, int *count)
{
    cudnnConvolutionFwdAlgoPerf_t results[TRIALS];
    cudnnHandle_t dnn = r->p->gpu->dnn[r->slot];
    cudnnStatus_t status =
        r->p->gpu->deterministic
            ? cudnnGetConvolutionForwardAlgorithm_v7(dnn, c->in, c->weight, c->conv[CONV_FORWARD],
                                                     c->out, TRIALS, count, results)
            : cudnnFindConvolutionForwardAlgorithmEx(dnn, c->in, place(r, o->input), c->weight,
                                                     place(r, o->weight), c->conv[CONV_FORWARD], c->out,
                                                     place(r, o->output), TRIALS, count, results,
                                                     room.memory, room.bytes);
    if (status == CUDNN_STATUS_SUCCESS)
        VERDICTS_COPY(results, *count, verdicts);
    return status;
}

static cudnnStatus_t verdicts_data(const run *r, const operation *o, const conv_ready *c,
                                   trial_room room, verdict *verdicts, int *count)
{
    cudnnConvolutionBwdDataAlgoPerf_t results[TRIALS];
    cudnnHandle_t dnn = r->p->gpu->dnn[r->slot];
    cudnnStatus_t status =
        r->p->gpu->deterministic
            ? cudnnGetConvolutionBackwardDataAlgorithm_v7(dnn, c->weight, c->out,
                                                          c->conv[CONV_BACKWARD_DATA], c->in, TRIALS,
                                                          count, results)
            : cudnnFindConvolutionBackwardDataAlgorithmEx(
                  dnn, c->weight, place(r, o->weight), c->out, place(r, o->d_masked),
                  c->conv[CONV_BACKWARD_DATA], c->in, place(r, o->d_input), TRIALS, count, results,
                  room.memory, room.bytes);
    if (status == CUDNN_STATUS_SUCCESS)
        VERDICTS_COPY(results, *count, verdicts);
    return status;
}

static cudnnStatus_t verdicts_weight(const run *r, const operation *o, const conv_ready *c,
                                     trial_room room, verdict *verdicts, int *count)
{
    cudnnConvolutionBwdFilterAlgoPerf_t results[TRIALS];
    cudnnHandle_t dnn = r->p->gpu->dnn[r->slot];
    cudnnStatus_t status =
        r->p->gpu->deterministic
            ? cudnnGetConvolutionBackwardFilterAlgorithm_v7(dnn, c->in, c->out,
                                                            c->conv[CONV_BACKWARD_WEIGHT], c->weight,
                                                            TRIALS, count, results)
            : cudnnFindConvolutionBackwardFilterAlgorithmEx(
                  dnn, c->in, place(r, o->input), c->out, place(r, o->d_masked),
                  c->conv[CONV_BACKWARD_WEIGHT], c->weight, place(r, o->d_weight), TRIALS, count,
                  results, room.memory, room.bytes);
    if (status == CUDNN_STATUS_SUCCESS)
        VERDICTS_COPY(results, *count, verdicts);
    return status;
}

/* The first that works, fits and is allowed: the library names the quickest first. */
static conv_choice verdict_choose(const struct cuda *g, size_t room, const verdict *verdicts, int count)
{
    for (int i = 0; i < count; i++) {
        const verdict *v = &verdicts[i];
        bool exact = v->math != CUDNN_TENSOR_OP_MATH && v->math != CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION;
        if (v->status != CUDNN_STATUS_SUCCESS || v->memory > room ||
            (g->deterministic && v->determinism != CUDNN_DETERMINISTIC) ||
            (g->precision == PRECISION_FP32 && !exact))
            continue;
        int math = g->precision == PRECISION_FP32 ? (int)CUDNN_FMA_MATH : (int)v->math;
        return (conv_choice){v->algorithm, math, v->memory};
    }
    return (conv_choice){ALGORITHM_OWN, 0, 0};
}

/* Asks the library; what it does not know how to do, conv.cu does. Other failures are errors. */
static int algorithm_ask(const run *r, const operation *o, const conv_ready *c, conv_direction direction,
                         trial_room room, conv_choice *out, error *e)
{
    verdict verdicts[TRIALS];
    int count = 0;
    cudnnStatus_t status = direction == CONV_FORWARD ? verdicts_forward(r, o, c, room, verdicts, &count)
                           : direction == CONV_BACKWARD_DATA
                               ? verdicts_data(r, o, c, room, verdicts, &count)
                               : verdicts_weight(r, o, c, room, verdicts, &count);
    bool unable = status == CUDNN_STATUS_NOT_SUPPORTED || status == CUDNN_STATUS_BAD_PARAM ||
                  CUDNN_STATUS_CATEGORY(status) == CUDNN_STATUS_NOT_SUPPORTED ||
                  CUDNN_STATUS_CATEGORY(status) == CUDNN_STATUS_BAD_PARAM;
    if (unable)
        count = 0;
    else if (check_dnn(status, "choosing a convolution", e) != 0)
        return -1;
    *out = verdict_choose(r->p->gpu, room.bytes, verdicts, count);
    return 0;
}

static bool wanted(const operation *o, conv_direction direction)
{
    return direction == CONV_FORWARD || (direction == CONV_BACKWARD_WEIGHT && o->back) ||
           (direction == CONV_BACKWARD_DATA && o->back && o->want_d_input);
}

/* As much as the card has, up to a limit: with less, the library has fewer algorithms to choose from. */
static int trial_room_take(trial_room *room, error *e)
{
    int status = -1;
    for (room->bytes = TRIAL_MOST; status != 0 && room->bytes >= TRIAL_LEAST;) {
        status = device_take(room->bytes, "trying convolutions", "take a smaller --batch", &room->memory, e);
        if (status != 0)
            room->bytes /= 2;
    }
    return status;
}

/* All choices of one convolution, from those made before or by asking. */
static int choices_make(const run *r, const operation *o, const layer *l, conv_ready *c, error *e)
{
    struct cuda *g = r->p->gpu;
    trial_room room = {NULL, 0};
    int status = 0;
    for (int d = 0; d < 3 && status == 0; d++) {
        c->choices[d] = (conv_choice){ALGORITHM_OWN, 0, 0};
        if (!wanted(o, (conv_direction)d))
            continue;
        conv_key key = conv_key_make((conv_direction)d, l, o->in_channels, c->rows, g->precision,
                                     g->deterministic);
        if (choices_find(&g->choices, &key, &c->choices[d]))
            continue;
        if (!room.memory)
            status = trial_room_take(&room, e);
        if (status == 0)
            status = algorithm_ask(r, o, c, (conv_direction)d, room, &c->choices[d], e);
        if (status == 0 && choices_add(&g->choices, &key, c->choices[d]) != 0)
            status = error_set(e, "cuda: out of memory");
    }
    cudaFree(room.memory);
    return status;
}

static int math_set(conv_ready *c, error *e)
{
    for (int d = 0; d < 3; d++)
        if (c->choices[d].algorithm != ALGORITHM_OWN &&
            check_dnn(cudnnSetConvolutionMathType(c->conv[d], (cudnnMathType_t)c->choices[d].math),
                      "precision", e) != 0)
            return -1;
    return 0;
}

static const float one = 1, zero = 0;

static cudnnStatus_t forward_fused(const run *r, const operation *o, const conv_ready *c)
{
    const conv_choice *choice = &c->choices[CONV_FORWARD];
    void *out = place(r, o->output);
    return cudnnConvolutionBiasActivationForward(
        r->p->gpu->dnn[r->slot], &one, c->in, place(r, o->input), c->weight, place(r, o->weight),
        c->conv[CONV_FORWARD], (cudnnConvolutionFwdAlgo_t)choice->algorithm, r->p->workspace[r->slot],
        r->p->workspace_bytes[r->slot], &zero, c->out, out, c->bias, place(r, o->bias), c->activation,
        c->out, out);
}

/* The library joins bias and ReLU to some algorithms only; which, trying says. */
static bool fuses(const run *r, const operation *o, const conv_ready *c)
{
    return o->bias != NOWHERE && c->choices[CONV_FORWARD].algorithm != ALGORITHM_OWN &&
           forward_fused(r, o, c) == CUDNN_STATUS_SUCCESS;
}

static size_t workspace_wanted(const conv_ready *c)
{
    size_t most = 0;
    for (int d = 0; d < 3; d++)
        most = c->choices[d].workspace > most ? c->choices[d].workspace : most;
    return most;
}

static conv_ready *conv_find(const program *p, size_t op, size_t rows)
{
    for (size_t i = 0; i < p->conv_count; i++)
        if (p->convs[i].op == op && p->convs[i].rows == rows)
            return &p->convs[i];
    return NULL;
}

int conv_prepare(program *p, size_t op, size_t rows, error *e)
{
    if (conv_find(p, op, rows))
        return 0;
    conv_ready *more = realloc(p->convs, (p->conv_count + 1) * sizeof *more);
    if (!more)
        return error_set(e, "cuda: out of memory");
    p->convs = more;
    const operation *o = &p->plan.ops[op];
    const layer *l = &p->net->layers[o->layer];
    run r = {.p = p, .rows = rows};
    conv_ready c = {.op = op, .rows = rows};
    if (dnn_wake(p->gpu, e) != 0 || describe(p->gpu, o, l, &c, e) != 0 ||
        choices_make(&r, o, l, &c, e) != 0 || math_set(&c, e) != 0 ||
        workspace_grow(p, workspace_wanted(&c), e) != 0) {
        conv_discard(&c);
        return -1;
    }
    c.fused = fuses(&r, o, &c);
    p->convs[p->conv_count++] = c;
    return 0;
}

/* ---- running ----------------------------------------------------------------------------------------- */

static conv_shape shape_of(const run *r, const operation *o)
{
    const layer *l = &r->p->net->layers[o->layer];
    return (conv_shape){(int)r->rows, (int)l->in.height, (int)l->in.width, (int)o->in_channels,
                        (int)l->out.height, (int)l->out.width, (int)l->out.channels,
                        (int)l->kernel_height, (int)l->kernel_width, (int)l->pad_height,
                        (int)l->pad_width};
}

static const conv_ready *ready(const run *r, const operation *o)
{
    return conv_find(r->p, (size_t)(o - r->p->plan.ops), r->rows);
}

static int forward_bare(const run *r, const operation *o, const conv_ready *c, error *e)
{
    struct cuda *g = r->p->gpu;
    const conv_choice *choice = &c->choices[CONV_FORWARD];
    if (choice->algorithm == ALGORITHM_OWN) {
        conv_shape s = shape_of(r, o);
        return check_kernel(g, kernel_conv_forward(g->type, &s, place(r, o->input), place(r, o->weight),
                                                   place(r, o->output), g->streams[r->slot]),
                            "conv_forward", g->streams[r->slot], e);
    }
    return check_dnn(cudnnConvolutionForward(
                         g->dnn[r->slot], &one, c->in, place(r, o->input), c->weight,
                         place(r, o->weight), c->conv[CONV_FORWARD],
                         (cudnnConvolutionFwdAlgo_t)choice->algorithm, r->p->workspace[r->slot],
                         r->p->workspace_bytes[r->slot], &zero, c->out, place(r, o->output)),
                     "convolution", e);
}

int conv_forward(const run *r, const operation *o, bool *finished, error *e)
{
    const conv_ready *c = ready(r, o);
    *finished = c->fused || (o->bias == NOWHERE && !o->relu);
    if (c->fused)
        return check_dnn(forward_fused(r, o, c), "convolution with bias", e);
    return forward_bare(r, o, c, e);
}

int conv_backward_weight(const run *r, const operation *o, int lane, error *e)
{
    struct cuda *g = r->p->gpu;
    const conv_ready *c = ready(r, o);
    const conv_choice *choice = &c->choices[CONV_BACKWARD_WEIGHT];
    if (choice->algorithm == ALGORITHM_OWN) {
        conv_shape s = shape_of(r, o);
        return check_kernel(g, kernel_conv_backward_weight(g->type, &s, place(r, o->input),
                                                           place(r, o->d_masked), place(r, o->d_weight),
                                                           g->streams[lane]),
                            "conv_backward_weight", g->streams[lane], e);
    }
    return check_dnn(cudnnConvolutionBackwardFilter(
                         g->dnn[lane], &one, c->in, place(r, o->input), c->out, place(r, o->d_masked),
                         c->conv[CONV_BACKWARD_WEIGHT],
                         (cudnnConvolutionBwdFilterAlgo_t)choice->algorithm, r->p->workspace[lane],
                         r->p->workspace_bytes[lane], &zero, c->weight, place(r, o->d_weight)),
                     "convolution's weight gradient", e);
}

int conv_backward_data(const run *r, const operation *o, int lane, error *e)
{
    struct cuda *g = r->p->gpu;
    const conv_ready *c = ready(r, o);
    const conv_choice *choice = &c->choices[CONV_BACKWARD_DATA];
    if (choice->algorithm == ALGORITHM_OWN) {
        conv_shape s = shape_of(r, o);
        return check_kernel(g, kernel_conv_backward_data(g->type, &s, place(r, o->d_masked),
                                                         place(r, o->weight), place(r, o->d_input),
                                                         g->streams[lane]),
                            "conv_backward_data", g->streams[lane], e);
    }
    return check_dnn(cudnnConvolutionBackwardData(
                         g->dnn[lane], &one, c->weight, place(r, o->weight), c->out,
                         place(r, o->d_masked), c->conv[CONV_BACKWARD_DATA],
                         (cudnnConvolutionBwdDataAlgo_t)choice->algorithm, r->p->workspace[lane],
                         r->p->workspace_bytes[lane], &zero, c->in, place(r, o->d_input)),
                     "convolution's input gradient", e);
}
