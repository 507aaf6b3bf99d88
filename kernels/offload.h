/* offload.h: an algebra that begins on the CPU and takes a device only for what that is quicker at,
 * and only when there is enough of it: a device takes longer to wake than a few thousand embeddings
 * take.
 *
 * A call goes to the device where the CPU's time for it is longer than the device's, copies there
 * and back included. What is gained adds up over the calls, and the device is woken when it comes
 * to more than waking takes. The times are reckoned from the calls' sizes, not measured: the same
 * calls are always done in the same places, so that the same input gives the same bytes. Sums
 * (moments) that were begun on the CPU go on on the device; both parts are added up at the end. */
#ifndef KERNELS_OFFLOAD_H
#define KERNELS_OFFLOAD_H

#include "backend.h"

typedef struct offload offload;

typedef struct {
    double start;           /* seconds until the device is ready */
    double cpu, cpu_double; /* operations a second */
    double device, device_double;
    double link; /* bytes a second between host and device */
} offload_costs;

/* Of a CPU with so many threads (0: all that the process may run on) beside the least card that
 * there is code for. tests/gpu/run measures where the line really is. */
offload_costs offload_costs_of(int threads);

/* Called when the device is wanted, once: with it, or with NULL and why there is none. */
typedef void (*offload_told)(void *context, const backend *taken, const char *why);

/* Opens the CPU and, when it is wanted, `device` ("cuda"; options->device is not looked at). If
 * there is no such device, or it has no memory for the sums, all is done on the CPU. `told` may be
 * NULL. */
int offload_open(const backend_options *options, const char *device, const offload_costs *costs,
                 offload_told told, void *context, offload **out, error *e);
void offload_close(offload *o);

algebra *offload_algebra(offload *o);
const backend *offload_cpu(const offload *o); /* where it begins */

#endif
