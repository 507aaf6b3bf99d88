/* norm.h: batch normalisation over groups of rows, layer normalisation over the channels of a
 * place, and what multiplies and shifts each channel. */
#ifndef KERNELS_CPU_NORM_H
#define KERNELS_CPU_NORM_H

#include "../../common/model/network.h"
#include "loops.h"

/* `each` rows share statistics (0: all). The arrays are the program's. */
typedef struct {
    size_t channels, pixels, each;
    float *partial;                 /* [rows][2][channels]: a row's sums */
    float *mean, *inverse;          /* [groups][channels]: of the last forward in training */
    float *factor, *slope, *offset; /* [groups][channels] */
} batchnorm;

/* y by the groups' own statistics, through ReLU if asked; moves the running ones unless NULL. */
void batchnorm_train(batchnorm *n, const void *x, void *y, element type, size_t rows,
                     const float *gamma, const float *beta, bool relu, float *running_mean,
                     float *running_variance);
void batchnorm_infer(batchnorm *n, const void *x, void *y, element type, size_t rows,
                     const float *gamma, const float *beta, bool relu, const float *mean,
                     const float *variance);
/* From y's gradient to x's, in place; and those of gamma and beta. */
void batchnorm_backward(batchnorm *n, const void *x, void *gradient, element type, size_t rows,
                        const float *gamma, float *gamma_gradient, float *beta_gradient);

/* Of `places` x channels. y may be x. */
void layernorm_forward(const layer *l, const void *x, void *y, element type, size_t places,
                       const float *gamma, const float *beta);
void affine_forward(const layer *l, const void *x, void *y, element type, size_t places,
                    const float *gamma, const float *beta);
/* Of either: from y's gradient to x's, which may be in its place (NULL: not wanted), and those of
 * gamma and beta. Scratch: 2 x channels floats a thread. */
void places_backward(const layer *l, const void *x, const void *y_gradient, void *x_gradient,
                     element type, size_t places, const float *gamma, float *gamma_gradient,
                     float *beta_gradient, float *scratch);

#endif
