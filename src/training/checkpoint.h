/* checkpoint.h: the state of training between two epochs, as a file.
 *
 * It is a model like any other, and works as one, with the tensors checkpoint/... more
 * (lowshot-model(5)).
 * The model's note "training" holds the settings that shape the result, one "name=value" a word. */
#ifndef SRC_TRAINING_CHECKPOINT_H
#define SRC_TRAINING_CHECKPOINT_H

#include "../../common/base/error.h"
#include "../../common/model/names.h"
#include "best_epoch.h"

#include <stddef.h>
#include <stdint.h>

#define CHECKPOINT_SETTINGS (model_keys[KEY_TRAINING].key)

typedef struct {
    size_t epoch;                       /* epochs done */
    uint64_t step;                      /* optimizer steps done */
    float *parameters, *first, *second; /* net.total floats each; owned */
    best_epoch best;                    /* of those done; its parameters are owned */
} training_state;

/* Zeros for a network of `total` parameters. */
int training_state_new(size_t total, training_state *s, error *e);
void training_state_free(training_state *s);

/* Writes m with s (whose parameters become m's) to the file, which appears whole or not at all.
 * Leaves in m nothing but the parameters. */
int checkpoint_save(const char *path, model *m, const training_state *s, error *e);

/* Loads both; m is then without the checkpoint's tensors. A model that is no checkpoint is an
 * error. On success the caller frees both. */
int checkpoint_load(const char *path, model *m, training_state *s, error *e);

/* Epochs done, where the model is a checkpoint's, with its tensors; else -1. */
int checkpoint_epoch(const model *m);

/* Whether two texts of settings are the same; else the error names the first that differs and both
 * its values. */
int checkpoint_compare(const char *had, const char *have, error *e);

#endif
