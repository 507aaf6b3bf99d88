/* winograd.h: convolutions of 3x3 in float by Winograd's minimal filtering, F(4x4, 3x3) or F(5x5,
 * 3x3): a tile of 5x5 outputs from 7x7 inputs takes 49 multiplications a pair of channels where the
 * definition takes 225. Tiles reach past a picture's edges: whichever needs fewer for its size.
 * Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2016 (arXiv 1509.09308).
 *
 * Activations are rows x height x width x channels, float or bf16; what is computed is always
 * float. For x86-64 with AVX512 and channels in multiples of 32, or with AVX2 and multiples of 16.
 * Same threads, same bytes. */
#ifndef KERNELS_CPU_WINOGRAD_H
#define KERNELS_CPU_WINOGRAD_H

#include "../../common/model/network.h"
#include "loops.h"

/* Whether this processor has what is needed, and the layer is one that gains, with scratch memory
 * of bearable size for so many threads. */
bool winograd_fits(const layer *l, int threads);

/* Floats of a layer's filters in the transformed domain. */
size_t winograd_filter_count(const layer *l);
/* From the parameter [out][3][3][in] to what winograd_forward or winograd_backward reads. */
void winograd_filters(const layer *l, const float *weights, float *filters);
void winograd_filters_rotated(const layer *l, const float *weights, float *filters);

/* Scratch of all three passes, in floats, for so many threads. */
size_t winograd_scratch_count(const layer *l, int threads);

/* y = x * weights + bias (NULL: none), through ReLU if asked. */
void winograd_forward(const layer *l, const void *x, const float *filters, const float *bias,
                      bool relu, void *y, element x_type, element y_type, size_t rows,
                      float *scratch);
/* From y's gradient to x's, with rotated filters. Where `gate` (of x's shape and type; NULL: none)
 * is not above 0 there is none, elsewhere it is multiplied by the factor: the way back through ReLU
 * and dropout before the convolution, whose result the gate is. */
void winograd_backward(const layer *l, const void *y_gradient, const float *filters,
                       const void *gate, float factor, void *x_gradient, element y_type,
                       element x_type, size_t rows, float *scratch);
/* The gradients of the weights, [out][3][3][in], and of the bias (NULL: none). */
void winograd_weight_gradient(const layer *l, const void *x, const void *y_gradient, element x_type,
                              element y_type, size_t rows, float *weight_gradient,
                              float *bias_gradient, float *scratch);

/* The same functions, for one width of registers: see winograd_passes.h. */
typedef struct {
    bool (*fits)(const layer *l, int threads);
    size_t (*filter_count)(const layer *l);
    void (*filters)(const layer *l, const float *weights, float *filters);
    void (*filters_rotated)(const layer *l, const float *weights, float *filters);
    size_t (*scratch_count)(const layer *l, int threads);
    void (*forward)(const layer *l, const void *x, const float *filters, const float *bias,
                    bool relu, void *y, element x_type, element y_type, size_t rows,
                    float *scratch);
    void (*backward)(const layer *l, const void *y_gradient, const float *filters, const void *gate,
                     float factor, void *x_gradient, element y_type, element x_type, size_t rows,
                     float *scratch);
    void (*weight_gradient)(const layer *l, const void *x, const void *y_gradient, element x_type,
                            element y_type, size_t rows, float *weight_gradient,
                            float *bias_gradient, float *scratch);
} winograd_passes;

extern const winograd_passes winograd_avx2, winograd_avx512; /* of x86-64 alone */

#endif
