/* program.h: networks on the GPU: the functions of backend.h, and the passes that they are made
 * of. */
#ifndef KERNELS_CUDA_PROGRAM_H
#define KERNELS_CUDA_PROGRAM_H

#include "graph.h"

int cuda_program_new(backend *b, const program_spec *spec, program **out, error *e);
void cuda_program_free(backend *b, program *p);
int cuda_parameters_set(backend *b, program *p, const float *parameters, error *e);
int cuda_parameters_get(backend *b, program *p, float *parameters, error *e);
int cuda_optimizer_set(backend *b, program *p, uint64_t step, const float *first,
                       const float *second, error *e);
int cuda_optimizer_get(backend *b, program *p, uint64_t *step, float *first, float *second,
                       error *e);
int cuda_data_set(backend *b, program *p, const uint8_t *images, const int32_t *labels, size_t rows,
                  error *e);

int cuda_train(backend *b, program *p, const uint32_t *order, size_t rows, const float *rate,
               metrics *total, error *e);
int cuda_gradients(backend *b, program *p, const uint32_t *order, size_t rows, float *gradient,
                   metrics *total, error *e);
int cuda_evaluate(backend *b, program *p, const uint32_t *order, size_t rows, metrics *total,
                  error *e);
int cuda_embed_submit(backend *b, program *p, const uint8_t *images, size_t rows,
                      uint64_t first_row, uint32_t view, float *embeddings, error *e);
int cuda_embed_wait(backend *b, program *p, error *e);

/* The state for a call that begins at the program's step, with sums of zero. */
int train_state_set(program *p, error *e);
/* A whole step, as the mode wants it. */
int step_run(const run *r, error *e);
/* From the slot's staging memory to its embeddings, a whole batch, nothing copied; and its last
 * launch alone. */
int embed_compute(const run *r, uint64_t first_row, uint32_t view, error *e);
int embed_to_float(const run *r, error *e);

/* A fused layer's passes (launch_pass). The three parts of going back: masking and sums; the
 * weights' gradient, of conv and dense; the input's. */
int layer_forward(const run *r, const fused_layer *f, error *e);
int layer_backward_mask(const run *r, const fused_layer *f, error *e);
int layer_backward_weight(const run *r, const fused_layer *f, error *e);
int layer_backward_data(const run *r, const fused_layer *f, error *e);

#endif
