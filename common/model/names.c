#include "names.h"

#include <float.h>
#include <string.h>

#define F32 TYPE_F32
#define F64 TYPE_F64
#define CLASSES SIZE_CLASSES
#define DIMENSION SIZE_DIMENSION
#define FEATURES SIZE_FEATURES

const part_form model_parts[PART_COUNT] = {
    [PART_NONE] = {"", ROLE_OTHER, SUMS_NONE, F32, {SIZE_NONE}},
    [PART_HEAD_SCALE] = {"head/scale", ROLE_NETWORK, SUMS_NONE, F32, {SIZE_ANY}},
    [PART_HEAD_WEIGHT] = {"head/weight", ROLE_CLASS, SUMS_NONE, F32, {CLASSES, DIMENSION}},
    [PART_HEAD_BIAS] = {"head/bias", ROLE_CLASS, SUMS_NONE, F32, {CLASSES}},
    [PART_BASE_BIAS] = {"base/bias", ROLE_CLASS, SUMS_NONE, F32, {CLASSES}},
    [PART_BASE_COUNT] = {"base/count", ROLE_CLASS_SUM, SUMS_BASE, F64, {CLASSES}},
    [PART_BASE_FEATURE_SUM] =
        {"base/feature-sum", ROLE_CLASS_SUM, SUMS_BASE, F64, {CLASSES, FEATURES}},
    [PART_BASE_GRAM] = {"base/feature-gram", ROLE_SUM, SUMS_BASE, F64, {FEATURES, FEATURES}},
    [PART_BASE_EXEMPLARS] =
        {"base/exemplars", ROLE_EXEMPLARS, SUMS_BASE, F32, {CLASSES, SIZE_ANY, DIMENSION}},
    [PART_IMPRINT_COUNT] = {"imprint/count", ROLE_CLASS_SUM, SUMS_IMPRINT, F64, {CLASSES}},
    [PART_IMPRINT_SUM] = {"imprint/sum", ROLE_CLASS_SUM, SUMS_IMPRINT, F64, {CLASSES, DIMENSION}},
    [PART_IMPRINT_FEATURE_SUM] =
        {"imprint/feature-sum", ROLE_CLASS_SUM, SUMS_IMPRINT, F64, {CLASSES, FEATURES}},
    [PART_IMPRINT_GRAM] =
        {"imprint/feature-gram", ROLE_SUM, SUMS_IMPRINT, F64, {FEATURES, FEATURES}},
    [PART_IMPRINT_EXEMPLARS] =
        {"imprint/exemplars", ROLE_EXEMPLARS, SUMS_IMPRINT, F32, {CLASSES, SIZE_ANY, DIMENSION}},
    [PART_PROXIES_WEIGHT] =
        {"proxies/weight", ROLE_CLASS, SUMS_NONE, F32, {CLASSES, SIZE_ANY, DIMENSION}},
    [PART_RIDGE_WEIGHT] = {"ridge/weight", ROLE_CLASS, SUMS_NONE, F32, {CLASSES, FEATURES}},
    [PART_KNOWN_SCORES] = {"made/known-scores", ROLE_MADE, SUMS_NONE, F32, {SIZE_ANY}},
    [PART_CHECKPOINT_PROGRESS] = {"checkpoint/progress", ROLE_OTHER, SUMS_NONE, F64, {SIZE_TWO}},
    [PART_CHECKPOINT_FIRST] = {"checkpoint/first", ROLE_OTHER, SUMS_NONE, F32, {SIZE_PARAMETERS}},
    [PART_CHECKPOINT_SECOND] = {"checkpoint/second", ROLE_OTHER, SUMS_NONE, F32, {SIZE_PARAMETERS}},
    [PART_CHECKPOINT_BEST_EPOCH] =
        {"checkpoint/best-epoch", ROLE_OTHER, SUMS_NONE, F64, {SIZE_THREE}},
    [PART_CHECKPOINT_BEST] = {"checkpoint/best", ROLE_OTHER, SUMS_NONE, F32, {SIZE_PARAMETERS}},
};

/* Those that version 1 called otherwise. */
static const struct {
    model_part_id part;
    const char *name;
} first_names[] = {
    {PART_BASE_COUNT, "statistics/count"},      {PART_BASE_FEATURE_SUM, "statistics/sum"},
    {PART_BASE_GRAM, "statistics/gram"},        {PART_BASE_EXEMPLARS, "statistics/sample"},
    {PART_IMPRINT_EXEMPLARS, "imprint/sample"},
};

const part_form *part_form_named(const char *name)
{
    static const part_form parameter = {"", ROLE_NETWORK, SUMS_NONE, F32, {SIZE_NONE}};
    for (size_t i = 1; i < PART_COUNT; i++)
        if (strcmp(model_parts[i].name, name) == 0)
            return &model_parts[i];
    return *name >= '0' && *name <= '9' ? &parameter : &model_parts[PART_NONE];
}

model_section model_section_of(const char *name)
{
    const part_form *form = part_form_named(name);
    if (!*form->name)
        return form->role == ROLE_NETWORK ? MODEL_NETWORK : MODEL_SUMS;
    switch ((model_part_id)(form - model_parts)) {
    case PART_HEAD_SCALE:
    case PART_HEAD_WEIGHT:
    case PART_HEAD_BIAS:
    case PART_PROXIES_WEIGHT:
    case PART_RIDGE_WEIGHT:
    case PART_KNOWN_SCORES:
    case PART_IMPRINT_COUNT:
        return MODEL_SCORES;
    default:
        return MODEL_SUMS;
    }
}

const char *part_name_of_version(const char *name, unsigned version)
{
    for (size_t i = 0; version == 1 && i < sizeof first_names / sizeof *first_names; i++)
        if (strcmp(first_names[i].name, name) == 0)
            return model_parts[first_names[i].part].name;
    return name;
}

void *model_part(const model *m, model_part_id part)
{
    const tensor *t = model_find(m, model_parts[part].name);
    return t ? t->data : NULL;
}

size_t model_part_size(const model *m, model_part_id part)
{
    const tensor *t = model_find(m, model_parts[part].name);
    for (size_t d = 0; t && d < t->rank; d++)
        if (model_parts[part].shape[d] == FEATURES || model_parts[part].shape[d] == SIZE_ANY)
            return t->shape[d];
    return 0;
}

size_t part_shape(const model *m, const part_form *form, size_t size, size_t *shape)
{
    const size_t sizes[] = {[SIZE_CLASSES] = m->classes.count,
                            [SIZE_DIMENSION] = m->net.dimension,
                            [SIZE_FEATURES] = size,
                            [SIZE_PARAMETERS] = m->net.total,
                            [SIZE_TWO] = 2,
                            [SIZE_THREE] = 3,
                            [SIZE_ANY] = size};
    size_t rank = 0;
    for (; form->shape[rank] != SIZE_NONE; rank++)
        shape[rank] = sizes[form->shape[rank]];
    return rank;
}

void *model_part_put(model *m, model_part_id part, size_t size, error *e)
{
    tensor *t;
    size_t shape[TENSOR_RANK_MAX];
    const part_form *form = &model_parts[part];
    size_t rank = part_shape(m, form, size, shape);
    return model_put(m, form->name, form->type, rank, shape, &t, e) < 0 ? NULL : t->data;
}

void model_part_drop(model *m, model_part_id part)
{
    model_drop(m, model_parts[part].name);
}

/* ---- notes ---- */

#define SEED_MOST 0x1p53 /* the whole numbers that a double holds */

const key_form model_keys[KEY_COUNT] = {
    [KEY_METHOD] = {"imprint/method", " auto mean proxies ridge ", 0, 0, false},
    [KEY_CALIBRATE] = {"imprint/calibrate", NULL, 0, 1, true},
    [KEY_BALANCE] = {"imprint/balance", "", 0, 0, false},
    [KEY_RIDGE_FEATURES] = {"ridge/features", NULL, 0, 1e6, true},
    [KEY_RIDGE_PLAIN] = {"ridge/plain", NULL, 0, 1, true},
    [KEY_RIDGE_SEED] = {"ridge/seed", NULL, 0, SEED_MOST, true},
    [KEY_RIDGE_LAMBDA] = {"ridge/lambda", NULL, 0, DBL_MAX, false},
    [KEY_PROXIES_COUNT] = {"proxies/count", NULL, 1, 1000, true},
    [KEY_PROXIES_SEED] = {"proxies/seed", NULL, 0, SEED_MOST, true},
    [KEY_MADE_METHOD] = {"made/method", " mean proxies ridge ", 0, 0, false},
    [KEY_MADE_KIND] = {"made/kind", " balanced discriminant ", 0, 0, false},
    [KEY_MADE_LAMBDA] = {"made/lambda", NULL, 0, DBL_MAX, false},
    [KEY_MADE_SCALE] = {"made/scale", NULL, 0, DBL_MAX, false},
    [KEY_MADE_BIAS] = {"made/bias", NULL, -DBL_MAX, DBL_MAX, false},
    [KEY_MADE_BARE] = {"made/bare", NULL, 0, 1, true},
    [KEY_MADE_BASE_ACCURACY] = {"made/base-accuracy", NULL, 0, 1, false},
    [KEY_MADE_NOVEL_ACCURACY] = {"made/novel-accuracy", NULL, 0, 1, false},
    [KEY_MADE_BASE_ALONE] = {"made/base-alone", NULL, 0, 1, false},
    [KEY_SLIM] = {"slim", NULL, 1, 1, true},
    [KEY_SLIM_SHOTS] = {"slim/shots", NULL, 0, SEED_MOST, true},
    [KEY_SLIM_SHOTS_MOST] = {"slim/shots-most", NULL, 0, SEED_MOST, true},
    [KEY_TRAINING] = {"training", "", 0, 0, false},
    [KEY_INPUT_EDGE] = {"input/edge", NULL, 1, 16384, true},
    [KEY_INPUT_INTERPOLATION] = {"input/interpolation", " bilinear bicubic ", 0, 0, false},
    [KEY_WEIGHTS_PRECISION] = {"weights/precision", " bf16 ", 0, 0, false},
};

bool model_key_is_made(const char *key)
{
    return strncmp(key, "made/", 5) == 0;
}
