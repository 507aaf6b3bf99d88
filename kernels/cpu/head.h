/* head.h: the classifier on top: logits, softmax cross-entropy, and their gradients, in float
 * whatever the precision below.
 *
 *   cosine    z[r][c] = s * u[r] . k[c],  u = f/|f|, k = w/|w|  (a vector of norm < 1e-12 gives
 * zeros) softmax   z[r][c] = f[r] . w[c] */
#ifndef KERNELS_CPU_HEAD_H
#define KERNELS_CPU_HEAD_H

#include "../backend.h"

/* Its arrays are the program's. */
typedef struct {
    head_kind kind;
    size_t classes, dimension;
    float *units, *unit_inverse;    /* u [rows][dimension], 1/|f| [rows]; cosine only */
    float *proxies, *proxy_inverse; /* k [classes][dimension], 1/|w| [classes]; cosine only */
    float *logits;                  /* [rows][classes]; after head_loss the loss's gradient */
    float *cosines;                 /* [rows][classes]; cosine only */
    float *losses;                  /* [rows] */
    bool *hits;                     /* [rows] */
} head_space;

/* Logits of rows of features; parameters is the network's flat array. */
void head_forward(head_space *h, const network *net, const float *parameters, const float *features,
                  size_t rows);

/* Adds the rows' losses and hits to *total. With `gradient`, the logits become the gradient of the
 * rows' mean loss. Row i's label is labels[order[i]]. */
void head_loss(head_space *h, const int32_t *labels, const uint32_t *order, size_t rows,
               float smoothing, bool gradient, metrics *total);

/* From the logits' gradient: those of head/scale and head/weight (into the flat array) and, unless
 * NULL, of the features. */
void head_backward(head_space *h, const network *net, const float *parameters,
                   const float *features, size_t rows, float *parameter_gradient,
                   float *feature_gradient);

#endif
