/* sums.h: what a model keeps of rows, in one shape for the two groups that it keeps apart: rows of
 * the base model's training, which no imprint changes, and imprinted rows. The sums of a class, or
 * of all rows, are those of both together. */
#ifndef COMMON_MODEL_SUMS_H
#define COMMON_MODEL_SUMS_H

#include "names.h"

/* The model's own numbers; NULL for what it does not keep. They stay where they are until the model
 * gets or loses classes, or that part. */
typedef struct {
    size_t classes, dimension, features, room; /* the last two 0 where there are none */
    double *count;                             /* [classes] */
    double *sum;         /* [classes][dimension], of imprinted rows alone: as they enter weights */
    double *feature_sum; /* [classes][features] */
    double *gram;        /* [features][features]: the sum of x x^T over all rows' features x */
    float *exemplars;    /* [classes][room][dimension]: some rows as they came, then zeros */
} class_sums;

class_sums sums_of(const model *m, sums_group group);
/* Adds those that are missing, of zeros: exemplars where room > 0, the others of features where
 * features > 0, and the counts (of imprinted rows the sums, too) where either stands for them. */
int sums_put(model *m, sums_group group, size_t features, size_t room, class_sums *out, error *e);
void sums_drop(model *m, sums_group group);

/* Drops both groups and notes that, and the shots: what classes are scored by stays, and no class
 * can be imprinted any more, nor the model merged, for which sums_check fails, telling so. */
int sums_slim(model *m, error *e);
int sums_check(const model *m, error *e);

/* The fewest and the most rows that a novel class was imprinted from. -1 where nothing tells. */
void sums_shots(const model *m, double *least, double *most);

/* Rows of the class; 0 where there are no counts. */
double sums_count(const class_sums *s, size_t class_index);

#endif
