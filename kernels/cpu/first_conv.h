/* first_conv.h: the weights' gradient of convolutions of 3x3 with few input channels: of the first
 * layer, whose inputs are pictures. dW[k][ty][tx][c] = sum over pixels of g[y][x][k] d[y + ty -
 * pad][x + tx - pad][c].
 *
 * oneDNN's waits for the other threads in the midst of it, spinning, which on a busy machine takes
 * twenty times as long as the work. Here each thread sums over pictures of its own, and the sums
 * are added in a fixed order: same threads, same bytes. For x86-64 with AVX2; sums are float. */
#ifndef KERNELS_CPU_FIRST_CONV_H
#define KERNELS_CPU_FIRST_CONV_H

#include "../../common/model/network.h"
#include "loops.h"

#define FIRST_CONV_CHANNELS 3 /* of the input, at most */

/* Whether this processor has what is needed, and the layer is one of them: up to three channels to
 * a multiple of 16. */
bool first_conv_fits(const layer *l);

/* Scratch in floats, for so many threads. */
size_t first_conv_scratch_count(const layer *l, int threads);

/* The gradients of the weights, [out][3][3][in], and of the bias (NULL: none); x and y_gradient are
 * of one type. */
void first_conv_weight_gradient(const layer *l, const void *x, const void *y_gradient, element type,
                                size_t rows, float *weight_gradient, float *bias_gradient,
                                float *scratch);

/* Numbers of a picture's line with the zeros around it, and one pixel more for the pairs. */
static inline size_t first_conv_line(const layer *l)
{
    return (l->in.width + 2 * l->pad.left + 2) * l->in.channels;
}

/* Of x86-64 alone: adds a picture's to a thread's sums, [tap][out], the last of the taps being the
 * bias; the picture has the zeros around it. Row: of y's gradient g, of that type. */
void first_conv_sums_avx2(const layer *l, const float *picture, const void *g, size_t row,
                          element type, float *sums);
void first_conv_sums_avx512(const layer *l, const float *picture, const void *g, size_t row,
                            element type, float *sums);
/* By AVX512's products of bf16: each number of the picture with the one a pixel further on. */
void first_conv_sums_pairs(const layer *l, const uint32_t *picture, const uint16_t *g, size_t row,
                           float *sums);

#endif
