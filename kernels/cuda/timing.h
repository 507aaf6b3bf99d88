/* timing.h: how long each of a program's launches takes on the card, and the least it could take:
 * the bytes it must move and the operations it must do. For tests/gpu/run; no tool calls it.
 *
 * Each launch is captured many times over in one graph, so that what is timed is the card's work
 * and not the host's calls, and its arrays are as warm in the cache as in a step. */
#ifndef KERNELS_CUDA_TIMING_H
#define KERNELS_CUDA_TIMING_H

#include "../backend.h"

typedef void (*timing_report)(void *context, const char *name, double seconds, double bytes,
                              double operations);

/* Reports each launch of a program (with data set, if it is for training). The plug-in's symbol
 * cuda_plugin_timing. */
int cuda_timing(backend *b, program *p, timing_report report, void *context, error *e);

#endif
