/* places.h: where a program on the GPU keeps what there is beside activations and their gradients,
 * and how a call of train is cut into launches. Plain C: it is built and tested on machines without
 * CUDA.
 *
 * Every weight and bias of conv and dense has an aligned copy in the activations' type, which the
 * optimizer writes; a convolution that reads the pictures has its input's channels padded with
 * zeros to a multiple of eight where the tensor cores want it. Places are numbers of blocks in the
 * plan's arena, NOWHERE for none. */
#ifndef KERNELS_CUDA_PLACES_H
#define KERNELS_CUDA_PLACES_H

#include "../plan/plan.h"
#include "kernels.h"

/* Of a fused layer. */
typedef struct {
    size_t weight, bias; /* conv, dense: the aligned copies */
    size_t d_weight, d_bias;
    size_t moments;  /* batchnorm: float [groups][2][channels]: mean, 1 / deviation; then as much
                        again for the backward pass' sums; layernorm: [place][2], the same */
    size_t partials; /* of sums over rows: float */
    size_t arrivals; /* counter of blocks that are done, zero between uses */
    /* conv_is_bordered: the input with zeros around it, and that one's gradient */
    size_t padded, d_padded;
    /* attention, of one head at a time, [row][place][attention_stride], for the forward pass and
     * for the backward pass: products, float; weights; and the products' gradient. Tensor cores
     * want none of the former */
    size_t scores, weights, back_scores, back_weights, d_scores;
} layer_places;

/* Where the optimizer finds a parameter's gradient and writes its copy. */
typedef struct {
    size_t gradient;
    bool bf16;   /* the gradient is bf16: the convolution library writes it so; float otherwise */
    size_t copy; /* NOWHERE for none */
    size_t inner, padded; /* elements of the last dimension, and as they are stored there */
    bool learns, decays;
} parameter_places;

typedef struct {
    layer_places *layers;         /* one a fused layer */
    parameter_places *parameters; /* one a parameter of the network */
    /* Of the head and the step, for training. */
    size_t labels;        /* int32 [batch] */
    size_t d_logits;      /* float [batch][classes] */
    size_t cosines;       /* float [batch][classes] */
    size_t inverse_norms; /* float [batch] */
    size_t row_sums;      /* float [batch][4]: loss, hit, sum of d_logits times cosine, unused */
    size_t head_arrivals;
    size_t master, first, second; /* float [net->total] */
    size_t optimizer_arrivals;
    size_t state; /* step_state */
    /* For embedding. */
    size_t staging;    /* uint8 [batch][height][width][channels] */
    size_t embeddings; /* float [batch][dimension] */
} places;

/* Plans the network of `spec` for a precision (fp32, tf32 or bf16), and lays the plan's arena out
 * with these places in it. Fails on what the kernels cannot do, or without memory. plan_free and
 * places_free also bear zeroed ones. */
int places_new(const program_spec *spec, precision_kind precision, plan *p, places *out, error *e);
void places_free(places *q);

/* Dense layers, and convolutions that are one product of matrices over all places, or patches:
 * cuBLASLt does them. The others are cuDNN's or our own. */
bool fused_is_product(const fused_layer *f);
/* Of pictures whose channels are padded, in windows that tile them: the pictures are gathered
 * window by window, [row][window][place in it][channel], and so each is a row of the product. */
bool conv_is_patches(const fused_layer *f);
/* As many groups as channels, on both sides. */
bool conv_is_depthwise(const fused_layer *f);
/* Convolutions whose paddings differ by side, which the library does not know: they read a copy of
 * their input with zeros around it. Depthwise ones have kernels of our own, which do. */
bool conv_is_bordered(const fused_layer *f);
/* What a convolution reads, as it is stored: with its border, where it has one. */
extent conv_input(const fused_layer *f);
/* Elements from one line of attention's matrices to the next: whole vectors. */
size_t attention_stride(const layer *l);

/* What is launched next when `left` rows are still to be done: `steps` steps of `rows` rows each. A
 * burst is the largest number of steps in one launch. */
typedef struct {
    size_t rows, steps;
} launch;
launch launch_next(size_t left, size_t batch, size_t burst);

/* Groups of a batch of `rows` when each has `group` (0: all). */
size_t norm_groups(size_t rows, size_t group);

#endif
