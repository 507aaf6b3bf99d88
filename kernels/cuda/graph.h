/* graph.h: launches captured into graphs, to be replayed without the host or to be timed without
 * it. */
#ifndef KERNELS_CUDA_GRAPH_H
#define KERNELS_CUDA_GRAPH_H

#include "state.h"

/* What can be captured: a fused layer's launches on the run's stream; `f` NULL for what is no
 * layer's. */
typedef int (*launch_pass)(const run *r, const fused_layer *f, error *e);

/* That many times one pass in one graph, ready to be launched; the caller destroys it. */
int graph_capture(const run *r, launch_pass pass, const fused_layer *f, size_t times,
                  cudaGraphExec_t *ready, error *e);
/* The seconds of one pass, in a graph of so many of them: the best of so many launches. */
int graph_time(const run *r, launch_pass pass, const fused_layer *f, size_t times, size_t turns,
               double *seconds, error *e);

#endif
