/* conv.h: convolutions: by Winograd's minimal filtering where that gains (winograd.h), else by
 * oneDNN; for the first layer's weights' gradient see first_conv.h. */
#ifndef KERNELS_CPU_CONV_H
#define KERNELS_CPU_CONV_H

#include "state.h"

extern const product_kind conv_product;

/* Whether it is done by Winograd's filtering, which takes a ReLU in the same pass, and nothing
 * else. */
bool conv_is_winograd(const cpu *own, const layer *l);
/* The layer as oneDNN is to see it. Pictures' few channels leave its vectors empty; where windows
 * lie side by side, as a vision transformer's patches do, a window's row of pixels is as well one
 * place of more channels, in the same memory. */
layer conv_shape(const layer *l);
/* Chooses how fused layer i is done, once the layers are planned. */
void conv_choose(program *p, size_t i);
/* Its memory, as program_take. */
void conv_take(program *p, size_t i);
size_t conv_scratch_count(const program *p, size_t i); /* floats */
/* Brings the filters of all up to date with the parameters. */
void conv_refresh(program *p);

int conv_forward(program *p, const primitive_set *s, size_t i, error *e);
/* The weights' gradient from that of the outputs before ReLU. */
int conv_backward_weights(program *p, const primitive_set *s, size_t i, error *e);
int conv_backward_data(program *p, const primitive_set *s, size_t i, error *e);

#endif
