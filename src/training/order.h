/* order.h: in which order, and which, rows are trained on.
 *
 * All are functions of a seed and an epoch: the same on every machine, and epoch 7 needs no memory
 * of the six before it, so that a run can be resumed anywhere. */
#ifndef SRC_TRAINING_ORDER_H
#define SRC_TRAINING_ORDER_H

#include "../../common/base/error.h"

#include <stddef.h>
#include <stdint.h>

/* Shuffles order[0 .. count) uniformly (Fisher and Yates) for that epoch. The result depends on the
 * order that stands there before, so start each epoch from the same one. */
void order_shuffle(uint32_t *order, size_t count, uint64_t seed, uint64_t epoch);

/* An epoch in which every class comes equally often: fills order[0 .. count) with rows out of
 * rows[0 .. count), shuffled. Each class that occurs gets count / classes places (the first ones
 * one more, where that leaves a remainder): a large class as many of its rows, without repeats, a
 * small one all of its rows again and again. labels[row] < classes for every row named. -1 for want
 * of memory. */
int order_balanced(const uint32_t *rows, size_t count, const int32_t *labels, size_t classes,
                   uint64_t seed, uint64_t epoch, uint32_t *order, error *e);

/* Chooses `held` of 0 .. count - 1 at random, the same for the same seed: they go to
 * order[count - held .. count) and the others stand before them, each part ascending. */
void order_hold_out(uint32_t *order, size_t count, size_t held, uint64_t seed);

#endif
