/* onnx.h: networks of ONNX files (onnx.ai) as network.h's text and its parameters.
 *
 * A file's graph is read for one picture, its constants and the arithmetic of shapes are computed,
 * and what is left, from the pictures to one value, is told as branches within branches. What
 * cannot be told so is refused by name: operator and node. Files may come from strangers: sizes are
 * checked, and no file is opened but the model and those beside it that it names. */
#ifndef COMMON_FORMATS_ONNX_H
#define COMMON_FORMATS_ONNX_H

#include "../base/error.h"
#include "../stream/tensor.h"

#include <stdbool.h>
#include <stddef.h>

/* What becomes of a last dense layer: the head of the model, nothing (embeddings are what it
 * reads), or a layer as others. */
typedef enum { ONNX_HEAD, ONNX_HEAD_NONE, ONNX_HEAD_LAYER } onnx_head;

typedef struct {
    const char *output; /* the value at which to stop; NULL for the graph's first output */
    bool has_token;     /* of the output, one place alone */
    size_t token;
    onnx_head head;
    bool keep_norms;      /* batch normalisation stays one, for training on */
    size_t height, width; /* of pictures, where the file leaves them open; 0 for none given */
    /* A mean and a deviation a channel, of pixels / 255: the network's word normalize. count 0 for
     * none, 1 for one of all channels. */
    size_t normalize_count;
    float mean[16], deviation[16];
} onnx_options;

/* What belongs to one word of the text; counts are in floats, 0 where the word has no such. */
typedef struct {
    float *weight, *offset, *mean, *variance;
    size_t weight_count, offset_count, mean_count, variance_count;
} onnx_parameters;

typedef struct {
    char *text;
    extent input;
    size_t word_count;
    onnx_parameters *words;         /* one a word */
    size_t dimension;               /* of the embedding */
    size_t classes;                 /* of the head; 0 for none */
    float *head_weight, *head_bias; /* [classes][dimension]; [classes], NULL for none */
    float head_scale; /* of cosines of embedding and weight, the scores; 0: products */
    bool unit;    /* the file normalises the embedding to length 1 at its end, the text does not */
    void *memory; /* all of it */
} onnx_network;

/* Reads the file. *out is set on success only; onnx_free frees it. */
int onnx_read(const char *path, const onnx_options *options, onnx_network *out, error *e);
/* The same from memory, for fuzzers: weights beside the file are refused. */
int onnx_read_memory(const void *data, size_t bytes, const onnx_options *options, onnx_network *out,
                     error *e);
void onnx_free(onnx_network *n);

#endif
