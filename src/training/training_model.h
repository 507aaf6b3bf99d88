/* training_model.h: the model that training begins with. */
#ifndef SRC_TRAINING_TRAINING_MODEL_H
#define SRC_TRAINING_TRAINING_MODEL_H

#include "../../common/base/error.h"
#include "../../common/model/model.h"

#include <stdint.h>

/* The network that --arch names: a built-in's name, or @FILE, whose text (words, lines, comments
 * from # to the end of the line) is read. The caller frees *text. */
int training_network(const char *name, char **text, error *e);

/* A new model of that text, all classes base, parameters fresh from the seed. scale > 0 replaces
 * the first scale of a cosine head. */
int training_model_new(const char *text, extent input, head_kind head, double scale,
                       const class_list *classes, uint64_t seed, model *m, error *e);

/* Makes a finished model one to train further: `classes` that it lacks are appended as novel ones,
 * with fresh weights. Fails for a model without a network or of another picture size. */
int training_model_extend(model *m, extent input, double scale, const class_list *classes,
                          uint64_t seed, error *e);

/* Drops what the training just done has made untrue: weights made from sums, biases, the notes of
 * them, and (unless the backbone was frozen, so that embeddings are what they were) the sums
 * themselves and the notes of how weights are made from them. */
void training_model_finish(model *m, bool frozen);

#endif
