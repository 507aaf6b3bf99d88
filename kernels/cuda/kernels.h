/* kernels.h: our own kernels, as the host calls them.
 *
 * Each function launches on `stream` and returns CUDA's error number (0: none) of the launch.
 * Pointers are the device's. `type` says what activations are: ELEMENT_F32 or ELEMENT_BF16 ("T"
 * below); parameters, sums and statistics are float. */
#ifndef KERNELS_CUDA_KERNELS_H
#define KERNELS_CUDA_KERNELS_H

#include "../../common/model/network.h"
#include "../plan/element.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct CUstream_st *kernel_stream;

/* Blocks that share a sum over rows, at most; each leaves one partial sum a column. */
#define COLUMN_CHUNKS 256
/* Blocks a group in batchnorm's sums. */
static inline size_t norm_chunks(size_t groups)
{
    return groups >= COLUMN_CHUNKS ? 1 : COLUMN_CHUNKS / groups;
}

/* What steps read and write on the device, so that a captured step can be replayed unchanged. */
typedef struct {
    uint64_t step;  /* optimizer steps done */
    uint64_t first; /* the step's first row within the call's order */
    uint64_t rate;  /* the step's place among the call's rates */
    double loss;
    uint64_t hits, rows;
} step_state;

/* A step's learning rate, and what adam makes of it (element_adam_rate). */
typedef struct {
    float rate, corrected;
} step_rate;

/* Dropout: elements below the threshold become zero, the others are scaled. Off where not active.
 * */
typedef struct {
    int active;
    uint32_t threshold;
    float scale; /* 1 / (1 - rate) */
    uint64_t seed;
    uint32_t layer;
    const step_state *state;
} kernel_drop;

/* An activation (network.h), with the layer's rate and high. */
typedef struct {
    int kind;
    float rate, high;
} kernel_activation;

/* ---- input.cu: uint8 rows to T / 255, augmented, normalised, channels padded with
 * zeros ---- */

typedef struct {
    const uint8_t *images;   /* [..][height][width][channels] */
    const uint32_t *order;   /* rows to take, from state->first on; NULL for rows 0, 1, ... */
    const step_state *state; /* NULL without order */
    const int32_t *labels;   /* of all images; NULL for none */
    int32_t *batch_labels;   /* those of the rows taken */
    int height, width, channels, stored; /* stored: channels of the output, at least channels */
    int patch_height, patch_width;       /* the output is patch by patch; else the picture's */
    int augmented, flip, shift, cutout;
    uint64_t seed;
    uint64_t view,
        first_row; /* without state: augmentation's step, and the number of the first row */
    size_t rows;
    void *out;
    int normalised; /* then (x - mean) times inverse, a channel each */
    float mean[NORMALIZED_CHANNELS_MAX], inverse[NORMALIZED_CHANNELS_MAX];
} gather_task;
int kernel_gather(element type, const gather_task *task, kernel_stream stream);

/* ---- elementwise.cu: what each element undergoes alone ---- */

/* out = drop(activation(in + bias)); bias T [channels] or NULL; activation NULL for none. In place
 * if out == in. Alone it is an activation, dropout forward, and dropout backward. */
int kernel_bias(element type, const void *in, const void *bias, void *out, size_t count,
                size_t channels, const kernel_activation *activation, const kernel_drop *drop,
                kernel_stream stream);
/* d_in = d_out times the activation's derivative at in, its input. */
int kernel_slope(element type, const kernel_activation *activation, const void *in,
                 const void *d_out, void *d_in, size_t count, kernel_stream stream);
int kernel_scale(element type, const void *in, void *out, size_t count, float factor,
                 kernel_stream stream);
int kernel_add(element type, const void *a, const void *b, void *out, size_t count,
               kernel_stream stream);
int kernel_to_float(element type, const void *in, float *out, size_t count, kernel_stream stream);

/* d_masked = d_out where y > 0 (all, if y is NULL), times scale; and column_sums[c] = sum over rows
 * of d_masked (NULL for none). d_masked may be d_out, or NULL to only add up. partials:
 * COLUMN_CHUNKS x channels floats; arrivals: a counter that is zero. */
int kernel_mask(element type, const void *y, const void *d_out, void *d_masked, float scale,
                size_t rows, size_t channels, float *column_sums, float *partials,
                unsigned *arrivals, kernel_stream stream);

/* ---- pool.cu ---- */

typedef struct {
    int rows, in_height, in_width, out_height, out_width, channels, window_height, window_width;
} pool_shape;

/* The largest of each window, then dropout; argmax (uint16, NULL for none) gets its place in the
 * window. */
int kernel_maxpool(element type, const pool_shape *s, const void *in, void *out, uint16_t *argmax,
                   const kernel_drop *drop, kernel_stream stream);
/* d_in of the window's largest is d_out, if alive, times the drop's scale: all of d_in is written.
 * With y (the pool's output), alive is y > 0; else what the drop keeps. column_sums as
 * kernel_mask's. */
int kernel_unpool(element type, const pool_shape *s, const void *y, const uint16_t *argmax,
                  const void *d_out, void *d_in, const kernel_drop *drop, float *column_sums,
                  float *partials, unsigned *arrivals, kernel_stream stream);
/* Windows that overlap, are padded or incomplete. */
typedef struct {
    int rows, in_height, in_width, out_height, out_width, channels;
    int window_height, window_width, stride_height, stride_width;
    int top, left, bottom, right; /* padding */
    int largest;                  /* maxpool; else the mean */
    int within;                   /* the mean of the input's elements alone */
} window_shape;
int kernel_windows(element type, const window_shape *s, const void *in, void *out,
                   kernel_stream stream);
/* All of d_in is written; `in` (maxpool alone reads it) is searched for each window's largest. */
int kernel_unwindows(element type, const window_shape *s, const void *in, const void *d_out,
                     void *d_in, kernel_stream stream);
/* The mean over `places`, and its gradient. */
int kernel_avgpool(element type, const void *in, void *out, size_t rows, size_t places,
                   size_t channels, kernel_stream stream);
int kernel_unavgpool(element type, const void *d_out, void *d_in, size_t rows, size_t places,
                     size_t channels, kernel_stream stream);

/* ---- norm.cu: batch normalisation over groups of rows ---- */

typedef struct {
    size_t rows, places, channels;
    size_t each, groups; /* rows a group; the last may have fewer */
    int relu;
    float scale; /* of the gradient: that of a dropout behind the ReLU */
    const float *gamma, *beta;
    float *running_mean, *running_variance; /* moved in training; NULL to leave them */
    float *moments; /* [groups][2][channels] mean, 1 / deviation, then [groups][2][channels] sums */
    float *partials; /* max(groups, COLUMN_CHUNKS) * 2 * channels */
    unsigned *arrivals;
} norm_task;
int kernel_norm_train(element type, const norm_task *t, const void *in, void *out,
                      kernel_stream stream);
int kernel_norm_infer(element type, const norm_task *t, const float *mean, const float *variance,
                      const void *in, void *out, kernel_stream stream);
/* y, the output, masks where t->relu. d_in NULL where nobody wants it. */
int kernel_norm_backward(element type, const norm_task *t, const void *in, const void *y,
                         const void *d_out, float *d_gamma, float *d_beta, void *d_in,
                         kernel_stream stream);

/* ---- layernorm.cu: each place by its own channels, or each channel alone ---- */

typedef struct {
    size_t places, channels; /* places: of all rows */
    float epsilon;
    int normalises; /* layernorm; else affine: gamma x + beta */
    const float *gamma, *beta;
    float *moments;  /* layernorm: [places][2] mean, 1 / deviation; NULL in inference */
    float *partials; /* COLUMN_CHUNKS * 2 * channels */
    unsigned *arrivals;
} place_norm_task;
/* In place if out == in. */
int kernel_place_norm(element type, const place_norm_task *t, const void *in, void *out,
                      kernel_stream stream);
/* d_in may be d_out; NULL where nobody wants it. */
int kernel_place_norm_backward(element type, const place_norm_task *t, const void *in,
                               const void *d_out, float *d_gamma, float *d_beta, void *d_in,
                               kernel_stream stream);

/* ---- tokens.cu: what adds to places, and what moves places and channels about ---- */

/* out[row] is weight [own], then in[row] of `came` elements. weight NULL where own is 0. */
int kernel_tokens(element type, size_t rows, size_t own, size_t came, const float *weight,
                  const void *in, void *out, kernel_stream stream);
/* out = in + weight, of `size` elements a row. In place if out == in. */
int kernel_position(element type, size_t rows, size_t size, const float *weight, const void *in,
                    void *out, kernel_stream stream);
/* sums[i] = sum over rows of d[row * stride + i], i < count. */
int kernel_row_sums(element type, size_t rows, size_t stride, size_t count, const void *d,
                    float *sums, kernel_stream stream);

/* take, channels, shuffle. */
typedef struct {
    size_t rows, in_places, in_channels, out_places, out_channels;
    int kind;     /* layer_kind */
    size_t first; /* the first place or channel; shuffle: the groups */
} select_task;
int kernel_select(element type, const select_task *t, const void *in, void *out,
                  kernel_stream stream);
int kernel_select_backward(element type, const select_task *t, const void *d_out, void *d_in,
                           kernel_stream stream);

/* ---- branches.cu: what closes a block, but for sums ---- */

/* out = a b, [rows][places][channels]; an operand may have one place only. out may be an operand of
 * all places. */
int kernel_multiply(element type, size_t rows, size_t places, size_t channels, const void *a,
                    size_t a_places, const void *b, size_t b_places, void *out,
                    kernel_stream stream);
/* sums [rows][channels] = sum over places of a b. */
int kernel_place_dot(element type, size_t rows, size_t places, size_t channels, const void *a,
                     const void *b, void *sums, kernel_stream stream);
/* Channels `first` and on of y, of out_channels a place, are x's; with `back`, x's are y's. */
int kernel_concat(element type, size_t places, void *x, size_t channels, void *y, size_t first,
                  size_t out_channels, int back, kernel_stream stream);

/* ---- attention.cu ---- */

/* weights = softmax(scores scale) of each of `lines` lines of `count` numbers, that lie `stride`
 * apart in both. scores are float. */
int kernel_softmax(element type, const float *scores, void *weights, size_t lines, size_t count,
                   size_t stride, float scale, kernel_stream stream);
/* From d_weights, the gradient by softmax's results, that by the products before they are
 * scaled. */
int kernel_softmax_backward(element type, const void *weights, const float *d_weights,
                            void *d_scores, size_t lines, size_t count, size_t stride, float scale,
                            kernel_stream stream);

/* ---- head.cu: logits, softmax cross-entropy and their gradients ---- */

typedef struct {
    size_t rows, dimension, classes;
    const void *embedding;       /* T [rows][dimension] */
    const float *weight, *scale; /* scale NULL: the softmax head */
    const int32_t *labels;
    float smoothing;
    float *cosines;       /* [rows][classes]: cosine, or the dot product */
    float *d_logits;      /* [rows][classes]: d loss / d logit, scaled: x scale / |w| */
    float *inverse_norms; /* [rows] */
    float *row_sums;      /* [rows][4] */
    void *d_embedding;    /* T; NULL where the backbone does not learn, or in evaluation */
    float *d_scale;       /* one float; NULL for the softmax head or in evaluation */
    float *d_weight;      /* [classes][dimension]; kernel_head_weight */
    step_state *state;
    int advances; /* evaluation: the next step reads the next rows */
    unsigned *arrivals;
} head_task;
/* Logits, loss and hits (added to the state), and the gradient by embedding and scale. */
int kernel_head(element type, const head_task *t, kernel_stream stream);
/* After it, the gradient by the weights. */
int kernel_head_weight(element type, const head_task *t, kernel_stream stream);

/* ---- optimizer.cu ---- */

/* A parameter on the device. */
typedef struct {
    uint64_t start; /* in the flat arrays */
    uint32_t count;
    uint32_t inner, padded;
    const void *gradient; /* float or bf16, padded */
    void *copy;           /* T, padded; NULL for none */
    int32_t bf16;         /* gradient is bf16 */
    int32_t learns, decays;
} optimizer_part;
/* A piece of one, for one block. */
#define OPTIMIZER_PIECE 1024
typedef struct {
    uint32_t part, first;
} optimizer_piece;

typedef struct {
    const optimizer_part *parts;
    const optimizer_piece *pieces;
    size_t piece_count;
    float *master, *first, *second; /* flat */
    int kind;                       /* optimizer_kind */
    float beta1, beta2, epsilon, momentum, decay;
    const step_rate *rates; /* of the call, from state->rate on */
    size_t rows;            /* of the step */
    step_state *state;
    unsigned *arrivals;
} optimizer_task;
/* One step over all parameters that learn; then the state is the next step's. */
int kernel_optimizer(element type, const optimizer_task *t, kernel_stream stream);
/* All copies from the master. */
int kernel_copies(element type, const optimizer_task *t, kernel_stream stream);
/* All gradients into one flat float array (zeros beforehand where nothing learns). */
int kernel_gradients(element type, const optimizer_task *t, float *flat, kernel_stream stream);
/* Loads what no step before the first captured one has run. */
int kernel_optimizer_load(element type);

/* ---- conv.cu: convolution where the library has none, or is slower ---- */

typedef struct {
    int rows, in_height, in_width, in_channels, out_height, out_width, out_channels;
    int kernel_height, kernel_width, stride_height, stride_width, dilation_height, dilation_width;
    int top, left, groups;
    int adds;      /* forward: to what lies there */
    int depthwise; /* as many groups as channels, on both sides */
} conv_shape;
int kernel_conv_forward(element type, const conv_shape *s, const void *in, const void *weight,
                        void *out, kernel_stream stream);
int kernel_conv_backward_data(element type, const conv_shape *s, const void *d_out,
                              const void *weight, void *d_in, kernel_stream stream);
/* Depthwise (others read neither): partials of depthwise_chunks x channels for each of the kernel's
 * elements, and a counter that is zero. */
int kernel_conv_backward_weight(element type, const conv_shape *s, const void *in,
                                const void *d_out, void *d_weight, float *partials,
                                unsigned *arrivals, kernel_stream stream);
static inline size_t depthwise_chunks(size_t kernel_elements)
{
    return kernel_elements >= COLUMN_CHUNKS ? 1 : COLUMN_CHUNKS / kernel_elements;
}
/* inner [rows][height][width][channels] becomes, with zeros around it, or `back` is cut out of
 * padded [rows][padded_height][padded_width][channels], at (top, left). */
typedef struct {
    int rows, height, width, channels, padded_height, padded_width, top, left;
} border;
int kernel_border(element type, const border *b, void *inner, void *padded, int back,
                  kernel_stream stream);

/* ---- embedding.cu ---- */

/* bad: one uint64, the lowest row with a score that is no number; UINT64_MAX beforehand. */
int kernel_top_k(const float *scores, size_t rows, size_t classes, size_t k, uint32_t *index,
                 float *value, unsigned long long *bad, kernel_stream stream);
int kernel_normalise(float *embeddings, size_t rows, size_t dimension, kernel_stream stream);
int kernel_relu_float(float *values, size_t count, kernel_stream stream);
int kernel_to_double(const float *in, double *out, size_t count, kernel_stream stream);
/* out[row][class] = 1 where labels[row] == class, else 0. */
int kernel_one_hot(const int32_t *labels, size_t rows, size_t classes, double *out,
                   kernel_stream stream);

#ifdef __cplusplus
}
#endif

#endif
