/* loops.h: the parts of a network that are plain loops over memory: everything but convolutions and
 * matrix products. Activations are rows x height x width x channels, dense, of the type given. All
 * of them run on OpenMP's threads, and give the same bytes for the same number of threads. */
#ifndef KERNELS_CPU_LOOPS_H
#define KERNELS_CPU_LOOPS_H

#include "../../common/model/network.h"
#include "../backend.h"
#include "element.h"

/* ---- pictures ---- */

/* How pictures are changed on their way in; see random_augment. */
typedef struct {
    augmentation kind;
    uint64_t seed, step, row; /* row: the number of the first row */
} picture_change;

/* out[i] = images[order[i]] / 255, changed if `change` is not NULL; order NULL is 0, 1, ...
 * Scratch, for changes only: width x channels bytes a thread. */
void pictures_load(const uint8_t *images, const uint32_t *order, size_t rows, extent shape,
                   const picture_change *change, uint8_t *scratch, void *out, element type);

/* ---- elementwise ---- */

void elements_convert(const void *from, element from_type, void *to, element to_type, size_t count);
void elements_relu(const void *x, void *y, element type, size_t count);
/* gradient = y > 0 ? gradient * factor : 0, in place. */
void elements_relu_backward(void *gradient, const void *y, element type, size_t count,
                            float factor);
void elements_scale(const void *x, void *y, element type, size_t count, float factor);
void elements_add(const void *a, const void *b, void *sum, element type, size_t count);

/* ---- dropout ---- */

typedef struct {
    uint32_t threshold; /* 0: nothing is dropped */
    uint32_t layer;
    float factor; /* of what is kept */
    uint64_t seed, step;
} dropout;

/* The 16-bit numbers (random.h) of elements first .. first + count; `numbers` has room for
 * DROPOUT_ROOM(count), and theirs begin at the pointer returned. */
#define DROPOUT_PIECE 4096
#define DROPOUT_ROOM(count) ((count) + 8 + 8 * 64)
const uint16_t *dropout_numbers(const dropout *d, uint64_t first, size_t count, uint16_t *numbers);

/* y = kept ? x * factor : 0; forward and backward are the same. */
void dropout_apply(const dropout *d, const void *x, void *y, element type, size_t count);

/* ---- pooling ---- */

#define POOL_NOTHING 255   /* the code of an output that passes no gradient */
#define POOL_CODES_MAX 255 /* windows of more elements have no codes */

/* Maxima over windows of high x wide. With codes, also where in its window each maximum was (the
 * first of equals), or POOL_NOTHING where dropout (which acts on the result; NULL for none) dropped
 * it or, with `relu`, where it is not above 0. */
void maxpool_forward(const void *x, void *y, uint8_t *codes, element type, size_t rows, extent in,
                     extent out, size_t high, size_t wide, bool relu, const dropout *d);
/* x_gradient = y_gradient * factor where the code says, else 0. */
void maxpool_backward(const void *y_gradient, const uint8_t *codes, void *x_gradient, element type,
                      size_t rows, extent in, extent out, size_t high, size_t wide, float factor);
/* Without codes, for larger windows: finds the maximum again. */
void maxpool_backward_search(const void *y_gradient, const void *x, void *x_gradient, element type,
                             size_t rows, extent in, extent out, size_t high, size_t wide);

/* The mean over height x width, to rows x channels. */
void avgpool_forward(const void *x, void *y, element type, size_t rows, extent in);
void avgpool_backward(const void *y_gradient, void *x_gradient, element type, size_t rows,
                      extent in);

/* ---- batch normalisation ---- */

/* Room for up to `rows` rows; `each` rows share statistics (0: all). */
typedef struct {
    size_t channels, pixels, each;
    float *partial;                 /* [rows][2][channels]: a row's sums */
    float *mean, *inverse;          /* [groups][channels]: of the last forward in training */
    float *factor, *slope, *offset; /* [groups][channels] */
} batchnorm;

int batchnorm_new(const layer *l, size_t rows, batchnorm *n);
void batchnorm_free(batchnorm *n);
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

#endif
