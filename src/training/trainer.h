/* trainer.h: an epoch of training steps in pieces, so that a caller can show progress and stop. */
#ifndef SRC_TRAINING_TRAINER_H
#define SRC_TRAINING_TRAINER_H

#include "../../kernels/backend.h"
#include "schedule.h"

typedef struct {
    backend *device; /* borrowed, as all here */
    program *run;
    const schedule *rates;
    size_t batch;
    uint64_t step; /* steps done; counts on */
    /* Asked after every piece (a fraction of a second): the rows of this epoch done so far. False
     * stops. NULL: never. */
    bool (*proceed)(void *context, const metrics *so_far);
    void *context;
    size_t piece; /* steps a piece; begins at 0 and adapts itself */
} trainer;

/* Trains on data rows order[0 .. rows). *total is what this epoch came to. 1 when it was stopped
 * before its end, 0 at its end, -1 on failure, also where the loss is no number any more. */
int trainer_epoch(trainer *t, const uint32_t *order, size_t rows, metrics *total, error *e);

#endif
