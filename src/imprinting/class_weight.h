/* class_weight.h: how a class's sum becomes its weight, and how the head scores by it. */
#ifndef SRC_IMPRINTING_CLASS_WEIGHT_H
#define SRC_IMPRINTING_CLASS_WEIGHT_H

#include "../../common/model/names.h"

typedef struct {
    size_t dimension;
    norm_kind norm;
    head_kind head;
    double length; /* norm l2: 1 for the cosine head, which looks at directions alone, and the base
                      weights' mean length for the softmax head */
    double scale;  /* of the cosine head */
} class_weight_rule;

class_weight_rule class_weight_rule_of(const model *m);

/* The weight w [dimension] of the sum of `count` rows. Norm l2: the mean's direction; norm none:
 * the mean as it is. -1 where the mean has no direction. */
int class_weight_from_sum(const class_weight_rule *how, const double *sum, double count, float *w);

/* The head's logit for an embedding, which the cosine head takes normalised. */
float class_weight_score(const class_weight_rule *how, const float *embedding, const float *w);

#endif
