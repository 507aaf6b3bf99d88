/* leave_one_out.h: how well the head's weights, or proxies, tell base rows from novel ones. */
#ifndef SRC_IMPRINTING_LEAVE_ONE_OUT_H
#define SRC_IMPRINTING_LEAVE_ONE_OUT_H

#include "../../common/base/error.h"
#include "../../common/model/model.h"
#include "../../kernels/algebra.h"
#include "episodes.h"

/* Judges the model as it stands, its bias left out: a contest of its rehearsal, novel rows scored
 * without themselves (proxies: without a fourth of their class's rows). *scores [rows][classes] are
 * those, the caller's to free; NULL where there are no rows. Where the model keeps no rows of its
 * base classes, out->bias is trial_bare_bias's. */
int trial_judge(algebra *a, const model *m, const rehearsal *r, outcome *out, float **scores,
                error *e);

/* The bias of novel classes beside base classes of which no row is at hand (a pretrained
 * classifier's head). How base classes score on what is not theirs is seen on novel rows, and how
 * novel classes score on that on each other's rows. Base rows score higher by their own class than
 * novel rows do by any base class: so a bias by which TRIAL_FOREIGN of the novel rows would be
 * taken by a foreign novel class costs base less than that. It is no higher either than what
 * TRIAL_OWN of the novel rows need, scored without themselves; of classes of one row a row of
 * TRIAL_SINGLE times the score of that row by itself is to be right on average. Found on
 * EfficientNet-Lite0's head of ImageNet and photos of twenty of its classes, one to ten of them
 * novel. */
int trial_bare_bias(const rehearsal *r, const float *scores, double *bias, error *e);

#define TRIAL_FOREIGN 0.1
#define TRIAL_OWN 0.8
#define TRIAL_SINGLE 0.6

#endif
