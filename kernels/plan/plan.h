/* plan.h: what a program does, before there is any device: which layers run in one pass, and where
 * every activation and gradient lies in the one piece of memory that the program takes. One planner
 * for the CPU and the GPU.
 *
 * Layers run together where that saves a pass over memory:
 *
 *   conv, dense, batchnorm + relu   the ReLU is done where the output is written
 *   ... + dropout                   (behind a ReLU) in place
 *   maxpool + dropout               in one pass
 *   conv, dense + activation        in inference, where the backend can
 *   conv + add [+ activation]       in inference, where the backend can: the sum is made where the
 *                                   other operand lies, which nothing else reads
 *   normalize                       as the pictures are loaded
 *
 * An output behind a ReLU is positive only where it was neither cut off nor dropped: that is how
 * the backward pass masks its gradient. A pool behind conv, dense or batchnorm does the layer's
 * masking in its own pass ("masks for" it).
 *
 * Time: fused layer i of n runs forward at time i, the head at n, fused layer i backward at 2n - i.
 * Inference keeps an activation until its last reader is done; training until the backward pass has
 * read it, where it does. Places are numbers of blocks in the arena (arena.h), NOWHERE for none. A
 * backend adds blocks of its own, then lays the arena out. */
#ifndef KERNELS_PLAN_H
#define KERNELS_PLAN_H

#include "../backend.h"
#include "arena.h"
#include "element.h"

/* How a backend differs from another. */
typedef struct {
    element type;          /* of activations, their gradients, and what is multiplied */
    bool float_tail;       /* what follows the last conv or dense layer is float, unless a residual
                              from before it is added */
    size_t input_multiple; /* a convolution that reads the pictures gets their channels padded with
                              zeros to a multiple of this */
    size_t window_most; /* elements of a pool's window that a code can name: a larger one takes no
                              dropout and masks for no layer */
    size_t code_bytes;
    /* Whether the backend has the layer, in training too if asked; NULL for all. */
    bool (*computes)(const network *n, const layer *l, bool training);
    /* Whether it does an activation other than ReLU, or an addition, in the same pass as that conv
     * or dense layer, in inference; NULL for never. */
    bool (*joins)(const void *own, const layer *product, const layer *next);
    const void *own;     /* the backend's, for `joins` */
    bool weights_beside; /* the weights' gradients are computed beside the rest, and may read until
                            the step's end */
} plan_rules;

/* A layer with those that are done in the same pass. */
typedef struct {
    const layer *layer;
    size_t index;            /* the layer's, in the network */
    bool relu;               /* a ReLU follows, in the same pass */
    const layer *activation; /* or another activation; NULL for none */
    bool sums;               /* before that, what lies in the output's place is added */
    float drop;        /* then, in training, a dropout of this rate; 0 for none. Of dropout itself:
                          its own rate */
    size_t drop_layer; /* which layer that is (its random numbers) */
    extent in, out;
    size_t in_channels; /* of the input as it is stored: in.channels, or padded */
    element in_type, out_type;
    size_t partner;   /* save, "|", add ...: layer.partner's, among the fused layers; NOWHERE where
                         that is not one of its own */
    size_t masks_for; /* maxpool: the fused layer for which it masks; NOWHERE for none */
    bool masked;      /* the one behind does this one's masking */

    size_t input, output;
    size_t saved; /* add: its first operand */
    size_t codes; /* maxpool in training: which element of its window each output is */

    /* Gradients; NOWHERE below plan.lowest. d_input may be d_output. */
    size_t d_output, d_input; /* d_input NOWHERE where nothing below learns */
    size_t d_masked;          /* conv, dense: of the outputs before ReLU; may be d_output */
    size_t d_converted; /* conv, dense of another out_type than what is multiplied: d_masked in that
                           type */
    size_t d_saved;     /* save, "|": another gradient of what was saved, to be added to d_output;
                           NOWHERE where there is none yet. The sum is d_input. Of a "|", d_input is
                           not what the layer before it gets: that is its operand's gradient */
} fused_layer;

typedef struct {
    const network *net;
    size_t rows; /* at once */
    size_t count;
    fused_layer *layers;
    size_t lowest; /* the first of them that learns, down to which gradients go; count for none */
    size_t *operands, *d_operands; /* of network.operands: where they and their gradients lie */
    const layer *normalize;        /* NULL where the network has none */
    size_t input, input_channels;  /* pictures: [rows][height][width][input_channels] */
    element input_type;
    size_t embedding, d_embedding; /* what the last one writes, and its gradient (training) */
    arena arena;
} plan;

/* Plans the network of `spec`, for so many rows at once. Fails without memory; plan_free bears a
 * zeroed plan. */
int plan_new(const program_spec *spec, size_t rows, const plan_rules *rules, plan *out, error *e);
void plan_free(plan *p);

/* A layer of a straight line with residuals: convolutions of stride 1 over all channels, padded
 * alike on both sides, pools that tile, ReLU, batchnorm, dropout, scale, save and add. */
bool layer_is_plain(const network *n, const layer *l);

bool fused_multiplies(const fused_layer *f); /* conv, dense */
bool fused_learns(const fused_layer *f);     /* has parameters */
/* Whether its own backward pass goes through a ReLU. */
bool fused_masks(const fused_layer *f);

#endif
