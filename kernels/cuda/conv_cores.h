/* conv_cores.h: convolutions in bfloat16 by tensor cores (conv_cores.cu), and how they are cut into
 * tiles. Plain C: conv.c asks whether a shape is one of theirs, and the library's algorithms
 * compete with them. */
#ifndef KERNELS_CUDA_CONV_CORES_H
#define KERNELS_CUDA_CONV_CORES_H

#include "kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

#define CORES_OUTPUTS 32 /* output channels of a block */
#define CORES_TAPS 9     /* elements of the kernel ("taps") of a block, for weights' gradients */
#define CORES_PAIRS 5    /* pairs of taps, of eight channels */
#define CORES_PLACES 256 /* places of the output in a tile, for weights' gradients */
#define CORES_LINES 1680 /* lines of 16 bytes in a tile of the input: with CORES_PLACES in 48 KB */

/* Tiles of `high` rows of a picture's output, `each` a picture, `count` in all; the input's are
 * `wide`. chunks: blocks that share them, each leaving its part of the sums. */
typedef struct {
    int high, wide, each, count, chunks;
} conv_tiling;

/* Input channels that a block does at once. */
static inline int conv_cores_channels(const conv_shape *s)
{
    return s->in_channels % 32 == 0 ? 32 : 8;
}

/* As many rows as fit, as even as they come; count is 0 where not even one does. lines: of a place
 * of the input; places: of the output, at most; least: tiles a picture, where there are rows for
 * them. */
static inline conv_tiling conv_tiling_make(const conv_shape *s, int lines, int places, int least)
{
    int wide = (s->out_width - 1) * s->stride_width + (s->kernel_width - 1) * s->dilation_width + 1;
    int kernel = (s->kernel_height - 1) * s->dilation_height + 1, high = 0;
    while (high < s->out_height && (high + 1) * s->out_width <= places &&
           (high * s->stride_height + kernel) * wide <= CORES_LINES / lines)
        high++;
    int each = high ? (s->out_height + high - 1) / high : 0;
    if (each > 0) {
        each = each > least ? each : least < s->out_height ? least : s->out_height;
        high = (s->out_height + each - 1) / each;
        each = (s->out_height + high - 1) / high;
    }
    conv_tiling t = {high, wide, each, s->rows * each, 1};
    return t;
}

/* Blocks: as many as run at once. */
static inline conv_tiling conv_cores_weight_tiling(const conv_shape *s, int blocks)
{
    int c = conv_cores_channels(s), taps = s->kernel_height * s->kernel_width;
    int beside = s->out_channels / CORES_OUTPUTS * (s->in_channels / c) *
                 ((taps + CORES_TAPS - 1) / CORES_TAPS);
    conv_tiling t = conv_tiling_make(s, c == 32 ? 5 : 1, CORES_PLACES, 1);
    int chunks = beside < blocks ? blocks / beside : 1;
    t.chunks = chunks < t.count ? chunks : t.count;
    return t;
}
static inline conv_tiling conv_cores_forward_tiling(const conv_shape *s, int blocks)
{
    int beside = s->rows * (s->out_channels / CORES_OUTPUTS);
    return conv_tiling_make(s, 1, CORES_LINES, (2 * blocks + beside - 1) / beside);
}

/* Bytes for the parts of the sums; 0: not for this shape. */
static inline size_t conv_cores_weight_bytes(const conv_shape *s, int blocks)
{
    if (s->groups != 1 || s->in_channels % 8 || s->out_channels % CORES_OUTPUTS)
        return 0;
    size_t weights = (size_t)s->out_channels * (size_t)s->kernel_height * (size_t)s->kernel_width *
                     (size_t)s->in_channels;
    return (size_t)conv_cores_weight_tiling(s, blocks).chunks * weights * sizeof(float);
}
static inline int conv_cores_forward_fits(const conv_shape *s, int blocks)
{
    return s->groups == 1 && s->in_channels == 8 && s->out_channels % CORES_OUTPUTS == 0 &&
           s->kernel_height * s->kernel_width <= 2 * CORES_PAIRS && !s->adds &&
           conv_cores_forward_tiling(s, blocks).count > 0;
}

/* d_weight, in bfloat16; partials: conv_cores_weight_bytes. */
int kernel_conv_cores_weight(const conv_shape *s, int blocks, const void *in, const void *d_out,
                             void *d_weight, float *partials, kernel_stream stream);
/* bias NULL for none. */
int kernel_conv_cores_forward(const conv_shape *s, int blocks, const void *in, const void *weight,
                              const void *bias, int relu, void *out, kernel_stream stream);

#ifdef __cplusplus
}
#endif

#endif
