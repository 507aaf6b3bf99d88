/* program.h: networks on the CPU: the functions of backend.h. */
#ifndef KERNELS_CPU_PROGRAM_H
#define KERNELS_CPU_PROGRAM_H

#include "cpu.h"

int cpu_program_new(backend *b, const program_spec *spec, program **out, error *e);
void cpu_program_free(backend *b, program *p);
int cpu_parameters_set(backend *b, program *p, const float *parameters, error *e);
int cpu_parameters_get(backend *b, program *p, float *parameters, error *e);
int cpu_optimizer_set(backend *b, program *p, uint64_t step, const float *first,
                      const float *second, error *e);
int cpu_optimizer_get(backend *b, program *p, uint64_t *step, float *first, float *second,
                      error *e);
int cpu_data_set(backend *b, program *p, const uint8_t *images, const int32_t *labels, size_t rows,
                 error *e);
int cpu_train(backend *b, program *p, const uint32_t *order, size_t rows, const float *rate,
              metrics *total, error *e);
int cpu_gradients(backend *b, program *p, const uint32_t *order, size_t rows, float *gradient,
                  metrics *total, error *e);
int cpu_evaluate(backend *b, program *p, const uint32_t *order, size_t rows, metrics *total,
                 error *e);
int cpu_embed_submit(backend *b, program *p, const uint8_t *images, size_t rows, uint64_t first_row,
                     uint32_t view, float *embeddings, error *e);
int cpu_embed_wait(backend *b, program *p, error *e);

#endif
