/* cpu.h: the backend on the CPU: convolutions and matrix products by oneDNN, statistics of
 * embeddings by OpenBLAS, the rest by our own loops, all on OpenMP's threads.
 *
 * Activations are rows x height x width x channels, dense, float or bf16. Every function gives the
 * same bytes for the same number of threads.
 *
 * network -> plan (../plan): what is done in one pass, and where each result lies
 *         -> primitives (product.h): oneDNN's, for one number of rows; convolutions of 3x3 are our
 *            own where the processor has AVX2 (winograd.h) and not AMX for their type
 *         -> steps (program.c) */
#ifndef KERNELS_CPU_CPU_H
#define KERNELS_CPU_CPU_H

#include "../backend.h"
#include "../plan/element.h"

#include <oneapi/dnnl/dnnl.h>

typedef struct {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    int threads;
    element type; /* of activations and of what is multiplied */
} cpu;

/* Fails where address space is limited and little is left: oneDNN makes code as it computes, and
 * does not live through it where it gets no memory for that. To be called before it computes. */
int cpu_room(error *e);

/* Makes OpenMP use the backend's threads: at the beginning of every call. */
void cpu_begin(const cpu *own);

/* What the processor has, as far as oneDNN may use it ($ONEDNN_MAX_CPU_ISA). */
bool cpu_has_avx2(void);
bool cpu_has_avx512(void);
bool cpu_has_avx512_bf16(void);
/* Whether the processor multiplies tiles of bf16 (AMX): there oneDNN's convolutions need no saving
 * of multiplications. */
bool cpu_has_tiles(void);

#endif
