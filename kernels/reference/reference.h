/* reference.h: the plain backend, the yardstick of every test.
 *
 * Each function computes its formula as it reads, in double; only what crosses backend.h is float.
 * Activations and their gradients ("d_" before a name is the gradient of the loss by it) are double
 * [row][height][width][channel]. A backward function adds to the gradients of parameters and sets
 * that of its input, d_in, which may be NULL where nobody needs it. */
#ifndef KERNELS_REFERENCE_H
#define KERNELS_REFERENCE_H

#include "../backend.h"
#include "../random.h"

/* input.c: one picture to pixel / 255, seen as `view` says. */
void reference_picture(const uint8_t *image, extent e, random_view view, int cutout, double *out);

/* conv.c */
void reference_conv_forward(const layer *l, size_t rows, const float *weight, const float *bias,
                            const double *in, double *out);
void reference_conv_backward(const layer *l, size_t rows, const float *weight, const double *in,
                             const double *d_out, double *d_weight, double *d_bias, double *d_in);

/* dense.c */
void reference_dense_forward(const layer *l, size_t rows, const float *weight, const float *bias,
                             const double *in, double *out);
void reference_dense_backward(const layer *l, size_t rows, const float *weight, const double *in,
                              const double *d_out, double *d_weight, double *d_bias, double *d_in);

/* pool.c */
void reference_maxpool_forward(const layer *l, size_t rows, const double *in, double *out);
void reference_maxpool_backward(const layer *l, size_t rows, const double *in, const double *d_out,
                                double *d_in);
void reference_avgpool_forward(const layer *l, size_t rows, const double *in, double *out);
void reference_avgpool_backward(const layer *l, size_t rows, const double *d_out, double *d_in);

/* elementwise.c: over `count` elements. */
void reference_activation_forward(const layer *l, size_t count, const double *in, double *out);
void reference_activation_backward(const layer *l, size_t count, const double *in,
                                   const double *d_out, double *d_in);
void reference_scale(size_t count, double factor, const double *in, double *out);
/* Dropout is linear: the same function takes activations forward and gradients back. */
void reference_dropout(size_t count, float rate, uint64_t seed, uint32_t layer, uint64_t step,
                       const double *in, double *out);

/* norm.c. By the statistics of each group; moves running_mean and running_variance if they are
 * not NULL. */
void reference_batchnorm_train(const layer *l, size_t rows, const float *gamma, const float *beta,
                               const double *in, double *out, float *running_mean,
                               float *running_variance);
void reference_batchnorm_infer(const layer *l, size_t rows, const float *gamma, const float *beta,
                               const float *running_mean, const float *running_variance,
                               const double *in, double *out);
void reference_batchnorm_backward(const layer *l, size_t rows, const float *gamma, const double *in,
                                  const double *d_out, double *d_gamma, double *d_beta,
                                  double *d_in);

/* By the channels of each place. */
void reference_layernorm_forward(const layer *l, size_t rows, const float *gamma, const float *beta,
                                 const double *in, double *out);
void reference_layernorm_backward(const layer *l, size_t rows, const float *gamma, const double *in,
                                  const double *d_out, double *d_gamma, double *d_beta,
                                  double *d_in);
void reference_affine_forward(const layer *l, size_t rows, const float *gamma, const float *beta,
                              const double *in, double *out);
void reference_affine_backward(const layer *l, size_t rows, const float *gamma, const double *in,
                               const double *d_out, double *d_gamma, double *d_beta, double *d_in);
void reference_normalize_forward(const layer *l, size_t rows, const double *in, double *out);
void reference_normalize_backward(const layer *l, size_t rows, const double *d_out, double *d_in);

/* tokens.c: what moves places and channels about. weight is NULL where tokens:0 has none. */
void reference_tokens_forward(const layer *l, size_t rows, const float *weight, const double *in,
                              double *out);
void reference_tokens_backward(const layer *l, size_t rows, const double *d_out, double *d_weight,
                               double *d_in);
void reference_position_forward(const layer *l, size_t rows, const float *weight, const double *in,
                                double *out);
void reference_position_backward(const layer *l, size_t rows, const double *d_out, double *d_weight,
                                 double *d_in);
/* take, channels, shuffle */
void reference_select_forward(const layer *l, size_t rows, const double *in, double *out);
void reference_select_backward(const layer *l, size_t rows, const double *d_out, double *d_in);

/* attention.c: in has the channels of queries, keys and values. scratch: 2 numbers a place. */
void reference_attention_forward(const layer *l, size_t rows, const double *in, double *scratch,
                                 double *out);
void reference_attention_backward(const layer *l, size_t rows, const double *in,
                                  const double *d_out, double *scratch, double *d_in);

/* branches.c: add, multiply and concat of operands, of the extents that the layers network.operands
 * names read. The backward function adds to the gradient of operand k, d_operand. */
void reference_close_forward(const network *n, const layer *l, size_t rows,
                             const double *const *operands, double *out);
void reference_close_backward(const network *n, const layer *l, size_t rows,
                              const double *const *operands, size_t k, const double *d_out,
                              double *d_operand);

/* head.c: logits [row][class] of embeddings [row][dimension]; scale NULL for the softmax head. */
void reference_head_forward(const network *n, size_t rows, const float *scale, const float *weight,
                            const double *embedding, double *logits);
void reference_head_backward(const network *n, size_t rows, const float *scale, const float *weight,
                             const double *embedding, const double *d_logits, double *d_scale,
                             double *d_weight, double *d_embedding);
/* Adds loss and hits of these rows to *total; d_logits (may be NULL) gets the gradient of the mean
 * loss over the rows. */
void reference_cross_entropy(size_t rows, size_t classes, const double *logits,
                             const int32_t *labels, double smoothing, metrics *total,
                             double *d_logits);

/* optimizer.c: one step of one parameter, t = 1, 2, ... */
void reference_optimizer_step(const optimizer *o, uint64_t t, double rate, bool decays,
                              size_t count, const double *gradient, float *value, float *first,
                              float *second);

/* program.c, embedding.c, moments.c, linear.c: each fills its functions in. */
void reference_program(backend *b);
void reference_embedding(algebra *a);
void reference_moments(algebra *a);
void reference_linear(algebra *a);

#endif
