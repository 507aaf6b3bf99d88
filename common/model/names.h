/* names.h: every tensor and note of a model that a tool relies on: names, types, shapes and what a
 * merge does with them, in one table. lowshot-model(5) says what each means. Other names go with a
 * model as they are. */
#ifndef COMMON_MODEL_NAMES_H
#define COMMON_MODEL_NAMES_H

#include "model.h"

typedef enum {
    PART_NONE,
    PART_HEAD_SCALE,
    PART_HEAD_WEIGHT,
    PART_HEAD_BIAS,
    PART_BASE_BIAS,
    PART_BASE_COUNT,
    PART_BASE_FEATURE_SUM,
    PART_BASE_GRAM,
    PART_BASE_EXEMPLARS,
    PART_IMPRINT_COUNT,
    PART_IMPRINT_SUM,
    PART_IMPRINT_FEATURE_SUM,
    PART_IMPRINT_GRAM,
    PART_IMPRINT_EXEMPLARS,
    PART_PROXIES_WEIGHT,
    PART_RIDGE_WEIGHT,
    PART_KNOWN_SCORES,
    PART_CHECKPOINT_PROGRESS,
    PART_CHECKPOINT_FIRST,
    PART_CHECKPOINT_SECOND,
    PART_CHECKPOINT_BEST_EPOCH,
    PART_CHECKPOINT_BEST,
    PART_COUNT
} model_part_id;

/* A dimension: the model's classes, its embeddings' dimension, its features (feature_settings of
 * settings.h), its network's parameters, two, three, or any size. All are 1 at least. */
typedef enum {
    SIZE_NONE,
    SIZE_CLASSES,
    SIZE_DIMENSION,
    SIZE_FEATURES,
    SIZE_PARAMETERS,
    SIZE_TWO,
    SIZE_THREE,
    SIZE_ANY
} size_word;

/* Whose rows sums are of: those of the base model's training, which no imprint changes, or those
 * that were imprinted. */
typedef enum { SUMS_NONE, SUMS_BASE, SUMS_IMPRINT } sums_group;

typedef enum {
    ROLE_NETWORK,   /* a parameter below the head, or its scale: the same in all models merged */
    ROLE_CLASS,     /* a row a class, from the input that made the class */
    ROLE_CLASS_SUM, /* a row a class; of imprinted rows a merge adds them */
    ROLE_EXEMPLARS, /* a row a class; a merge takes exemplars of all */
    ROLE_SUM,       /* over all rows; of imprinted ones a merge adds them */
    ROLE_MADE,      /* made anew by a merge */
    ROLE_OTHER      /* not of the table: no row a class, the same in all models merged */
} tensor_role;

typedef struct {
    const char *name;
    tensor_role role;
    sums_group group;
    tensor_type type;
    size_word shape[TENSOR_RANK_MAX]; /* SIZE_NONE after the last */
} part_form;

/* The section of a file that a tensor of that name stands in. */
model_section model_section_of(const char *name);

extern const part_form model_parts[PART_COUNT];
/* That of any tensor: of one that the table does not have, what its name tells. */
const part_form *part_form_named(const char *name);
/* The name of today of one in a file of that version. */
const char *part_name_of_version(const char *name, unsigned version);

/* The shape it has in that model where its features, or its dimension of any size, are `size`;
 * returns the rank. */
size_t part_shape(const model *m, const part_form *form, size_t size, size_t *shape);
/* Its numbers, or NULL if absent; and its dimension of features or of any size, 0 if absent. */
void *model_part(const model *m, model_part_id part);
size_t model_part_size(const model *m, model_part_id part);
/* Adds it, or replaces it, of zeros. Returns its numbers, NULL on failure. */
void *model_part_put(model *m, model_part_id part, size_t size, error *e);
void model_part_drop(model *m, model_part_id part);

typedef enum {
    KEY_METHOD,
    KEY_CALIBRATE,
    KEY_BALANCE,
    KEY_RIDGE_FEATURES,
    KEY_RIDGE_PLAIN,
    KEY_RIDGE_SEED,
    KEY_RIDGE_LAMBDA,
    KEY_PROXIES_COUNT,
    KEY_PROXIES_SEED,
    KEY_MADE_METHOD,
    KEY_MADE_KIND,
    KEY_MADE_LAMBDA,
    KEY_MADE_SCALE,
    KEY_MADE_BIAS,
    KEY_MADE_BARE,
    KEY_MADE_BASE_ACCURACY,
    KEY_MADE_NOVEL_ACCURACY,
    KEY_MADE_BASE_ALONE,
    KEY_SLIM,
    KEY_SLIM_SHOTS,
    KEY_SLIM_SHOTS_MOST,
    KEY_TRAINING,
    KEY_INPUT_EDGE,
    KEY_INPUT_INTERPOLATION,
    KEY_WEIGHTS_PRECISION,
    KEY_COUNT
} model_key;

typedef struct {
    const char *key;
    const char
        *words; /* of a text: those possible, between blanks, or "" for any; NULL: a number */
    double least, most;
    bool whole;
} key_form;

extern const key_form model_keys[KEY_COUNT];
/* Whether the note says what was made of the sums: it may differ between models that are merged. */
bool model_key_is_made(const char *key);

#endif
