/* device_plan.h: what a program does on the GPU, before any GPU is there: which layers run in one
 * pass, where every array lies in the one piece of memory that the program takes, and how a call of
 * train is cut into launches. Plain C: it is built and tested on machines without CUDA.
 *
 * Layers run together where that saves a pass over memory and a launch:
 *
 *   conv, dense, batchnorm + relu   the ReLU is done where the output is written
 *   ... + dropout                   (behind a ReLU) in place, in the same pass as bias and ReLU
 *   maxpool + dropout               in one pass
 *
 * Backward, what is masked by a ReLU and its dropout need not be drawn again: an output is positive
 * only where it was neither cut off nor dropped (MASK_POSITIVE). A pool behind a convolution masks
 * its gradient and adds up its bias' gradient in the same pass ("settles" it).
 *
 * Arrays: activations and their gradients are float or bfloat16 ("narrow"),
 * [row][height][width][channel]; the input's channels are padded with zeros to a multiple of eight
 * where the tensor cores want it. Every weight and bias of conv and dense has an aligned copy in
 * that type, which the optimizer writes. */
#ifndef KERNELS_CUDA_DEVICE_PLAN_H
#define KERNELS_CUDA_DEVICE_PLAN_H

#include "../../backend.h"
#include "../kernels.h"

#define NOWHERE SIZE_MAX

typedef enum {
    OP_CONV,
    OP_DENSE,
    OP_RELU,
    OP_MAXPOOL,
    OP_AVGPOOL,
    OP_DROPOUT,
    OP_BATCHNORM,
    OP_SCALE,
    OP_SAVE,
    OP_ADD
} op_kind;

/* How the backward pass knows which elements of an output are alive. */
typedef enum {
    MASK_NONE,     /* all */
    MASK_POSITIVE, /* those above zero */
    MASK_RANDOM    /* those that dropout keeps, drawn again */
} mask_kind;

/* One operation. Places are byte offsets into the program's memory, NOWHERE for none. */
typedef struct {
    op_kind kind;
    size_t layer;      /* its place in the network */
    bool relu;         /* a ReLU follows, in the same pass */
    float drop;        /* then a dropout of this rate; 0 for none. For OP_DROPOUT its own rate */
    size_t drop_layer; /* which layer that is (its random numbers) */
    extent in, out;
    size_t in_channels; /* of the input as it is stored: in.channels, or padded */
    size_t partner;     /* save, add: the other operation */
    size_t groups;      /* batchnorm: of a full batch */

    size_t input, output; /* activations */
    size_t other;         /* add: the activation that was saved */
    size_t argmax;        /* maxpool in training: uint16 place in the window, one an output */
    size_t weight, bias;  /* conv, dense: the aligned copies */

    bool back;         /* the backward pass comes here */
    bool want_d_input; /* and goes on below it */
    mask_kind mask;
    bool settled;   /* the pool behind it does its masking and its bias' gradient */
    size_t settles; /* pool: the operation for which it does that */
    size_t d_output, d_masked, d_input, d_other; /* gradients; d_masked may be d_output */
    size_t d_weight, d_bias;
    size_t
        moments; /* batchnorm: float [groups][2][channels]: mean, 1 / deviation; then as much again
                        for the backward pass' sums */
    size_t partials; /* of sums over rows: float */
    size_t tickets;  /* two counters of blocks that are done, zero between uses */
} operation;

/* Where the optimizer finds a parameter's gradient and writes its copy. */
typedef struct {
    size_t gradient;      /* place */
    bool narrow;          /* whether that gradient is of the activations' type; float otherwise */
    size_t copy;          /* place; NOWHERE for none */
    size_t inner, padded; /* elements of the last dimension, and as they are stored there */
    bool learns, decays;
} plan_parameter;

typedef struct {
    const network *net;
    size_t batch;
    bool training;
    size_t element; /* bytes of an activation's element: 4, or 2 for bfloat16 */
    size_t count;
    operation *ops;
    plan_parameter *parameters; /* net->parameter_count */

    size_t input; /* [batch][height][width][input_channels] */
    size_t input_channels;
    size_t embedding, d_embedding; /* what the last operation writes; d: training */
    /* Of the head and the step, for training. */
    size_t labels;        /* int32 [batch] */
    size_t d_logits;      /* float [batch][classes] */
    size_t cosines;       /* float [batch][classes] */
    size_t inverse_norms; /* float [batch] */
    size_t row_sums;      /* float [batch][4]: loss, hit, sum of d_logits times cosine, unused */
    size_t head_tickets;
    size_t master, first, second; /* float [net->total] */
    size_t optimizer_tickets;
    size_t state;              /* struct step_state */
    size_t zeroed, zeroed_end; /* what must be zero before the first step: tickets and state */
    /* For embedding. */
    size_t staging;    /* uint8 [batch][height][width][channels] */
    size_t embeddings; /* float [batch][dimension] */

    size_t bytes; /* of it all */
} plan;

/* Plans the network of `spec` for a precision (fp32, tf32 or bf16). Fails on what the kernels
 * cannot do, or without memory. device_plan_free also bears a zeroed plan. */
int device_plan_new(const program_spec *spec, precision_kind precision, plan *out, error *e);
void device_plan_free(plan *p);

/* ---- memory ---- */

/* An array that is needed from time `first` to time `last`, both included. */
typedef struct {
    size_t bytes, first, last;
    size_t offset; /* filled in */
} arena_block;

#define ARENA_ALIGNMENT 256

/* Gives every block a place, aligned, so that no two that are needed at the same time overlap;
 * returns the bytes of it all. Blocks of no bytes get place 0. */
size_t arena_layout(arena_block *blocks, size_t count);

/* ---- time ---- */

/* What is launched next when `left` rows are still to be done: `steps` steps of `rows` rows each. A
 * burst is the largest number of steps in one launch. */
typedef struct {
    size_t rows, steps;
} launch;
launch launch_next(size_t left, size_t batch, size_t burst);

/* ---- sums over rows ---- */

/* Groups of a batch of `rows` when each has `group` (0: all). */
size_t norm_groups(size_t rows, size_t group);

#endif
