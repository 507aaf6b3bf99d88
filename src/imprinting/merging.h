/* merging.h: models that imprinted different classes, or parts of one class, made into one.
 *
 * What imprinting makes it makes from sums (model.h), and sums of disjoint rows add up. So a merge
 * adds its inputs' sums and makes the weights anew of the classes that several of them imprinted:
 * the same weights, but for rounding in double, as imprinting all rows at once. */
#ifndef SRC_IMPRINTING_MERGING_H
#define SRC_IMPRINTING_MERGING_H

#include "../../common/model/model.h"
#include "../../kernels/algebra.h"

typedef struct merging merging;

/* `base`, or NULL: the model that all inputs were imprinted from, borrowed. What it has imprinted
 * itself is then counted once; without it, inputs must share no imprinted rows. */
int merging_new(const model *base, merging **out, error *e);
void merging_free(merging *g);

/* Adds an input, which is taken over (and empty afterwards) whether it succeeds or not. `name` is
 * for errors, which name the input and what differs:
 *
 * - another backbone (network, picture size or a weight below the head), dimension, head, scale,
 *   norm, or other settings in the notes than the inputs before;
 * - a class that is base in one and novel in another, or whose weights differ although neither
 *   imprinted it;
 * - other statistics of the base model's training rows;
 * - a class with the very same sum in two inputs: the same rows would count twice;
 * - rows missing that `base` keeps: the input was not imprinted from it. */
int merging_add(merging *g, model *m, const char *name, error *e);

/* What is odd about the input added last, though it was added: rows that were there before. NULL
 * for nothing. */
const char *merging_note(const merging *g);

/* The merged model, the caller's to free: the first input's classes (or the base's) in their order,
 * then those that later ones bring. Only a model that keeps random features needs the algebra; else
 * it may be NULL. */
bool merging_needs_algebra(const merging *g);
int merging_finish(merging *g, algebra *a, model *out, error *e);

#endif
