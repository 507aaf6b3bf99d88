/* network.h: a network as a short text, one word a layer with its numbers.
 *
 *     conv:3x3x32:same relu conv:3x3x32 relu maxpool:2 dropout:0.25 dense:512 relu dropout:0.5
 *
 *   conv:HxWxN[:same][:nobias][:stride=S][:dilation=D][:groups=G][:pad=P]
 *                               N filters of H x W; S and D are one number or HEIGHTxWIDTH (1 where
 *                               they are not given), P one number of zeros on each side or
 *                               TOP,LEFT,BOTTOM,RIGHT (0: valid); `same` is half the filter's reach
 *                               on each side, and keeps height and width at stride 1 (odd H and W
 *                               only). With G groups, filter n reads the input's channels
 *                               [g C/G, (g+1) C/G) of g = floor(n G/N); G = C is depthwise
 *   dense:N[:nobias]            fully connected over all of height x width x channels
 *   relu                        max(x, 0)
 *   clip:A,B                    min(max(x, A), B); clip:0,6 is known as ReLU6
 *   leakyrelu:A                 x where x > 0, else A x
 *   sigmoid                     1 / (1 + exp(-x))
 *   silu                        x sigmoid(x), also known as swish
 *   hardsigmoid                 min(max(x / 6 + 1/2, 0), 1)
 *   hardswish                   x hardsigmoid(x)
 *   gelu                        x (1 + erf(x / sqrt 2)) / 2
 *   tanhgelu                    x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2
 *   maxpool:N[:stride=S][:pad=P][:ceil]
 *                               N x N windows (or N is HEIGHTxWIDTH), stride as the window unless
 *                               given; a last incomplete window is dropped, or taken with `ceil`.
 *                               What lies outside of the input counts for nothing
 *   maxpool:all                 one window over all of height x width (gives 1 x 1 x channels)
 *   avgpool                     the mean over height x width (gives 1 x 1 x channels)
 *   avgpool:N[:stride=S][:pad=P][:ceil][:within]
 *                               the mean of each window, with the zeros of the padding or,
 *                               `within`, of the input's elements in it alone
 *   dropout:P                   in training, each element is 0 with probability P, else x / (1 - P)
 *   batchnorm[:G]               batch normalisation over rows, height and width; with G, "ghost"
 *                               statistics over groups of G rows in a row (the last group takes
 *                               what is left); epsilon 1e-5. A training step normalises by the
 *                               group's mean and biased variance and then, per channel,
 *                                   running = 0.9 running + 0.1 (mean over the groups of statistic)
 *                               where the variance's statistic is unbiased, as PyTorch's (n / (n -
 *                               1); biased where a group has one element)
 *   layernorm[:E]               over the channels of each place: (x - mean) / sqrt(variance + E)
 *                               gamma + beta, E 1e-5 unless given
 *   scale:F                     x * F
 *   affine                      gamma x + beta, learned, of each channel
 *   normalize:M,..:D,..         the first word only: (x - M) / D, a mean and a deviation a channel,
 *                               or one of each for all
 *   tokens:N                    places become tokens in a row (height 1, width N + height x width),
 *                               N learned ones before them
 *   position                    + a learned number for each place and channel
 *   attention:N                 self-attention of N heads over the places. Channels are queries,
 *                               keys and values, as many of each, head after head in each; per head
 *                               softmax(q k / sqrt(channels of q)) v
 *   take:A[-B]                  places A to B, counted from 0 along the rows, as tokens
 *   channels:A[-B]              channels A to B
 *   shuffle:G                   channels as G rows of C/G, read by columns
 *   save  |  add                branches: `save` remembers the activation, each `|` goes back to
 *                               it, and `add` sums what the branches came to, of one shape. Without
 *                               a `|` it adds what was saved to the present activation: a residual.
 *                               Blocks nest as brackets do
 *   multiply                    closes as `add` does, of two; one may be 1 x 1 x channels
 *   concat                      closes as `add` does, side by side in the order of the branches
 *                               (what was saved first), of the same height and width
 *
 * Words are separated by white space. A text may also be the name of a built-in network alone, or
 * empty: then the embedding is the input itself.
 *
 * The head stands apart: `cosine` has logits s * (w_c/|w_c|) . (f/|f|) with a learned scale s, and
 * `softmax` has logits w_c . f; neither has a bias. A vector shorter than 1e-12 has no direction:
 * in the cosine head it counts as zeros and gets no gradient. f, the activation after the last
 * word, flattened in (height, width, channel) order, is the embedding, of `dimension` numbers.
 *
 * This file knows shapes and names, not arithmetic: kernels/ does that. */
#ifndef COMMON_MODEL_NETWORK_H
#define COMMON_MODEL_NETWORK_H

#include "../base/error.h"
#include "../stream/tensor.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum { HEAD_COSINE, HEAD_SOFTMAX } head_kind;

typedef enum {
    LAYER_CONV,
    LAYER_DENSE,
    LAYER_RELU,
    LAYER_ACTIVATION, /* any but ReLU */
    LAYER_MAXPOOL,
    LAYER_AVGPOOL,
    LAYER_DROPOUT,
    LAYER_BATCHNORM,
    LAYER_LAYERNORM,
    LAYER_SCALE,
    LAYER_AFFINE,
    LAYER_NORMALIZE,
    LAYER_TOKENS,
    LAYER_POSITION,
    LAYER_ATTENTION,
    LAYER_TAKE,
    LAYER_CHANNELS,
    LAYER_SHUFFLE,
    LAYER_SAVE,
    LAYER_BRANCH, /* "|" */
    LAYER_ADD,
    LAYER_MULTIPLY,
    LAYER_CONCAT
} layer_kind;

typedef enum {
    ACTIVATION_RELU,
    ACTIVATION_CLIP,
    ACTIVATION_LEAKYRELU,
    ACTIVATION_SIGMOID,
    ACTIVATION_SILU,
    ACTIVATION_HARDSIGMOID,
    ACTIVATION_HARDSWISH,
    ACTIVATION_GELU,
    ACTIVATION_TANHGELU
} activation_kind;

typedef struct {
    size_t top, left, bottom, right;
} sides;

#define NORMALIZED_CHANNELS_MAX 16

typedef struct {
    layer_kind kind;
    activation_kind activation; /* relu's, and a LAYER_ACTIVATION's */
    /* conv and pools: elements; 1 where the text gives none */
    size_t kernel_height, kernel_width, stride_height, stride_width;
    size_t dilation_height, dilation_width; /* conv; pools have 1 */
    sides pad;                              /* conv: zeros; pools: nothing that counts */
    bool within;                            /* avgpool: the mean of the input's elements alone */
    bool bias;                              /* conv, dense */
    size_t groups;                          /* conv, shuffle */
    size_t group;                           /* batchnorm: rows a group; 0 for the whole batch */
    float rate;           /* dropout: P; scale: F; leakyrelu: A; layernorm: E; clip: A */
    float high;           /* clip: B */
    size_t heads;         /* attention */
    size_t first, count;  /* take: places, channels: channels, tokens: count alone */
    size_t partner;       /* save: the layer that closes its block; others of the block: the save */
    size_t operands;      /* add, multiply, concat: where they begin in network.operands */
    size_t operand_count; /* two at least */
    extent in, out;
    /* normalize, a channel each */
    float input_mean[NORMALIZED_CHANNELS_MAX], input_deviation[NORMALIZED_CHANNELS_MAX];
    /* Indices into network.parameters, SIZE_MAX where there is none. */
    size_t weight, offset; /* conv, dense: weight, bias; norms, affine: gamma, beta; tokens,
                              position: weight */
    size_t mean, variance; /* batchnorm: running statistics */
} layer;

typedef enum { INITIAL_GLOROT, INITIAL_ZERO, INITIAL_ONE, INITIAL_SCALE } initial_kind;

/* One named array of float32 within the flat array that holds all of a network's parameters. conv
 * weights are [out][height][width][in / groups], dense weights [out][in], tokens [token][channel],
 * position [height][width][channel], head/weight [class][dimension]. */
typedef struct {
    char name[64]; /* "0.conv/weight": the layer's place in the text, its kind, what it is */
    size_t rank, shape[4];
    size_t start, count; /* place and size in the flat array, in floats */
    size_t layer;        /* whose it is; layer_count for the head's */
    bool trainable;      /* false for batchnorm's running mean and variance */
    initial_kind initial;
    size_t fan_in, fan_out; /* for INITIAL_GLOROT: uniform in +-sqrt(6 / (fan_in + fan_out)) */
} parameter;

typedef struct {
    char *text; /* in its normal spelling: single blanks, no name of a built-in */
    extent input;
    size_t layer_count;
    layer *layers;
    /* Of all blocks: an operand is what layer operands[i] reads, a save or a "|" or the layer that
     * closes the block itself. */
    size_t *operands;
    size_t operand_count;
    size_t dimension; /* of the embedding */
    head_kind head;
    size_t class_count;
    size_t parameter_count;
    parameter *parameters; /* layer by layer, then head/scale (cosine only), then head/weight */
    size_t head_scale;     /* index in parameters, SIZE_MAX for softmax */
    size_t head_weight;    /* index in parameters */
    size_t total;          /* floats in the flat array */
} network;

/* The text of a built-in network ("keras-cnn", "resnet9"), or NULL if none has that name. */
const char *network_builtin(const char *name);

/* Reads `text` for pictures of that extent; without classes it gives embeddings alone. Fails on an
 * unknown word, a shape that does not fit, more than 1,000 layers, or more than 2^31 parameters or
 * elements in an activation; the error names the word and its place. *out is set on success only.
 * The caller frees it with network_free (also harmless on a zeroed one). */
int network_parse(const char *text, extent input, head_kind head, size_t class_count, network *out,
                  error *e);
void network_free(network *n);

/* Fills all n->total floats: Glorot-uniform weights (element i of parameter p from word i % 4 of
 * Philox block i / 4 of stream RANDOM_INITIAL, p), zero biases, one for gamma and variance,
 * head/scale 10. The same seed gives the same numbers on every machine. */
void network_initialise(const network *n, uint64_t seed, float *parameters);

const char *head_name(head_kind head);
const char *layer_name(const layer *l); /* its word in a text: "conv" */
/* ReLU or another. */
bool layer_is_activation(layer_kind kind);
/* add, multiply, concat */
bool layer_closes(layer_kind kind);
/* Whether a convolution has stride 1, no dilation, one group, and the same padding on all opposite
 * sides. */
bool conv_is_plain(const layer *l);
/* Whether a pool's windows tile its input: stride as the window, no padding, none incomplete. */
bool pool_tiles(const layer *l);

#endif
