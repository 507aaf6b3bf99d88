/* network.h: a network as a short text, one word a layer with its numbers.
 *
 *     conv:3x3x32:same relu conv:3x3x32 relu maxpool:2 dropout:0.25 dense:512 relu dropout:0.5
 *
 *   conv:HxWxN[:same][:nobias]  N filters of H x W, stride 1; `same` keeps height and width (zero
 *                               padding, odd H and W only), otherwise valid
 *   dense:N[:nobias]            fully connected over all of height x width x channels
 *   relu                        max(x, 0)
 *   maxpool:N                   N x N windows, stride N, a last incomplete window is dropped
 *   maxpool:all                 one window over all of height x width (gives 1 x 1 x channels)
 *   avgpool                     the mean over height x width (gives 1 x 1 x channels)
 *   dropout:P                   in training, each element is 0 with probability P, else x / (1 - P)
 *   batchnorm[:G]               batch normalisation over rows, height and width; with G, "ghost"
 *                               statistics over groups of G rows in a row (the last group takes
 *                               what is left); epsilon 1e-5. A training step normalises by the
 *                               group's mean and biased variance and then, per channel,
 *                                   running = 0.9 running + 0.1 (mean over the groups of statistic)
 *                               where the variance's statistic is unbiased, as PyTorch's (n / (n -
 *                               1); biased where a group has one element)
 *   scale:F                     x * F
 *   save  add                   a residual: `save` remembers the activation, `add` adds it to the
 *                               present one, of the same shape (they nest as brackets do)
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
    LAYER_MAXPOOL,
    LAYER_AVGPOOL,
    LAYER_DROPOUT,
    LAYER_BATCHNORM,
    LAYER_SCALE,
    LAYER_SAVE,
    LAYER_ADD
} layer_kind;

typedef struct {
    layer_kind kind;
    size_t kernel_height, kernel_width; /* conv */
    size_t pad_height, pad_width;       /* conv: zeros on each side; 0 for valid */
    bool bias;                          /* conv, dense */
    size_t window_height, window_width; /* maxpool: also the stride */
    size_t group;                       /* batchnorm: rows a group; 0 for the whole batch */
    float rate;                         /* dropout: P; scale: F */
    size_t partner;                     /* save, add: the index of the other one */
    extent in, out;
    /* Indices into network.parameters, SIZE_MAX where there is none. */
    size_t weight, offset; /* conv, dense: weight, bias; batchnorm: gamma, beta */
    size_t mean, variance; /* batchnorm: running statistics */
} layer;

typedef enum { INITIAL_GLOROT, INITIAL_ZERO, INITIAL_ONE, INITIAL_SCALE } initial_kind;

/* One named array of float32 within the flat array that holds all of a network's parameters. conv
 * weights are [out][height][width][in], dense weights [out][in], head/weight [class][dimension]. */
typedef struct {
    char name[64]; /* "0.conv/weight": the layer's place in the text, its kind, what it is */
    size_t rank, shape[4];
    size_t start, count; /* place and size in the flat array, in floats */
    bool trainable;      /* false for batchnorm's running mean and variance */
    initial_kind initial;
    size_t fan_in, fan_out; /* for INITIAL_GLOROT: uniform in +-sqrt(6 / (fan_in + fan_out)) */
} parameter;

typedef struct {
    char *text; /* in its normal spelling: single blanks, no name of a built-in */
    extent input;
    size_t layer_count;
    layer *layers;
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

/* Reads `text` for pictures of that extent, class_count >= 1, or 0 where it is empty. Fails on an
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
const char *layer_name(layer_kind kind); /* its word in a text: "conv" */

#endif
