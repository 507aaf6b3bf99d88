/* schedule.h: the learning rate of each training step. */
#ifndef SRC_TRAINING_SCHEDULE_H
#define SRC_TRAINING_SCHEDULE_H

#include <stddef.h>
#include <stdint.h>

typedef enum { SCHEDULE_CONSTANT, SCHEDULE_ONE_CYCLE } schedule_kind;

typedef struct {
    schedule_kind kind;
    double rate;    /* constant: the first step's; one-cycle: the peak */
    double decay;   /* every rate is divided by 1 + decay * step, as Keras's optimizers do */
    double warm_up; /* one-cycle: the share of all steps in which the rate rises, 0 to 1 */
    uint64_t steps; /* one-cycle: all steps of the run */
} schedule;

/* The rate of step 0, 1, ... One-cycle rises in a straight line to the peak at the end of the
 * warm-up and falls in one to 0 just past the last step (after Smith and Topin: Super-Convergence,
 * 2018, without the tail). */
double schedule_rate(const schedule *s, uint64_t step);
void schedule_rates(const schedule *s, uint64_t first_step, size_t count, float *rates);

const char *schedule_name(schedule_kind kind); /* "constant", "one-cycle" */

#endif
