/* check.c: whether a model is whole: every tensor there, of its shape, all numbers finite. */
#include "model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A dimension in the table below: the model's classes, its embeddings' dimension, the random
 * features (the same F wherever it stands), or anything. */
typedef enum { NO_SIZE, CLASSES, DIMENSION, FEATURES, ANY_SIZE } size_word;

typedef struct {
    const char *name;
    tensor_type type;
    size_t rank;
    size_word shape[3];
    bool not_negative;
} known_tensor;

static const known_tensor known[] = {
    {"imprint/sum", TYPE_F64, 2, {CLASSES, DIMENSION}, false},
    {"imprint/count", TYPE_F64, 1, {CLASSES}, true},
    {"imprint/feature-sum", TYPE_F64, 2, {CLASSES, FEATURES}, false},
    {"imprint/feature-gram", TYPE_F64, 2, {FEATURES, FEATURES}, false},
    {"statistics/sum", TYPE_F64, 2, {CLASSES, FEATURES}, false},
    {"statistics/count", TYPE_F64, 1, {CLASSES}, true},
    {"statistics/gram", TYPE_F64, 2, {FEATURES, FEATURES}, false},
    {"statistics/sample", TYPE_F32, 3, {CLASSES, ANY_SIZE, DIMENSION}, false},
    {"imprint/sample", TYPE_F32, 3, {CLASSES, ANY_SIZE, DIMENSION}, false},
    {"head/bias", TYPE_F32, 1, {CLASSES}, false},
    {"base/bias", TYPE_F32, 1, {CLASSES}, false},
    {"proxies/weight", TYPE_F32, 3, {CLASSES, ANY_SIZE, DIMENSION}, false},
    {"made/known-scores", TYPE_F32, 1, {ANY_SIZE}, false},
    {"ridge/weight", TYPE_F32, 2, {CLASSES, FEATURES}, false},
};

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int check_classes(const model *m, error *e)
{
    size_t count = m->classes.count;
    if (count == 0)
        return error_set(e, "the model has no classes");
    if (count > STREAM_CLASSES_MAX)
        return error_set(e, "the model has %zu classes; %d are possible", count,
                         STREAM_CLASSES_MAX);
    char **sorted = malloc(count * sizeof *sorted);
    if (!sorted)
        return error_set(e, "out of memory for the model");
    memcpy(sorted, m->classes.names, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, compare_names);
    int status = 0;
    for (size_t i = 0; i < count && status == 0; i++) {
        if (!*sorted[i])
            status = error_set(e, "the model has a class with an empty name");
        else if (i && strcmp(sorted[i - 1], sorted[i]) == 0)
            status = error_set(e, "the model has the class '%.80s' twice", sorted[i]);
        if (status == 0 && m->kinds[i] != CLASS_BASE && m->kinds[i] != CLASS_NOVEL)
            status = error_set(e, "a class of the model is neither base nor novel");
    }
    free(sorted);
    return status;
}

static bool shape_is(const tensor *t, tensor_type type, size_t rank, const size_t *shape)
{
    bool same = t->type == type && t->rank == rank;
    for (size_t i = 0; same && i < rank; i++)
        same = t->shape[i] == shape[i];
    return same;
}

static int refuse_shape(const char *name, const tensor *t, tensor_type type, size_t rank,
                        const size_t *shape, error *e)
{
    char is[160], wanted[160];
    tensor right = {.type = type, .rank = rank};
    memcpy(right.shape, shape, rank * sizeof *shape);
    return error_set(e, "tensor '%s' is %s, where the model needs %s", name,
                     tensor_describe(t, is, sizeof is),
                     tensor_describe(&right, wanted, sizeof wanted));
}

static int check_parameters(const model *m, error *e)
{
    for (size_t i = 0; i < m->net.parameter_count; i++) {
        const parameter *p = &m->net.parameters[i];
        const tensor *t = model_find(m, p->name);
        if (!t)
            return error_set(e, "tensor '%s' is missing", p->name);
        if (!shape_is(t, TYPE_F32, p->rank, p->shape))
            return refuse_shape(p->name, t, TYPE_F32, p->rank, p->shape, e);
    }
    return 0;
}

/* A tensor named as a parameter that the network does not have: a file of two minds. */
static int check_stranger(const model *m, const char *name, error *e)
{
    bool claims = model_role(name) == ROLE_NETWORK || strncmp(name, "head/", 5) == 0;
    if (!claims || strcmp(name, "head/bias") == 0)
        return 0;
    for (size_t i = 0; i < m->net.parameter_count; i++)
        if (strcmp(m->net.parameters[i].name, name) == 0)
            return 0;
    return error_set(e, "tensor '%s' belongs to no layer of the model's network", name);
}

/* What a tensor's shape must be, from the table or, for names it does not have, from their role. */
static int check_shape(const model *m, const char *name, const tensor *t, size_t *features,
                       error *e)
{
    size_t shape[TENSOR_RANK_MAX];
    memcpy(shape, t->shape, sizeof shape);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const known_tensor *k = &known[i];
        if (strcmp(k->name, name) != 0)
            continue;
        for (size_t d = 0; d < k->rank; d++) {
            if (k->shape[d] == FEATURES && *features == 0 && d < t->rank)
                *features = t->shape[d];
            shape[d] = k->shape[d] == CLASSES     ? m->classes.count
                       : k->shape[d] == DIMENSION ? m->net.dimension
                       : k->shape[d] == FEATURES  ? *features
                       : d < t->rank              ? t->shape[d]
                                                  : 1;
        }
        if (!shape_is(t, k->type, k->rank, shape))
            return refuse_shape(name, t, k->type, k->rank, shape, e);
        return 0;
    }
    tensor_role role = model_role(name);
    if ((role == ROLE_CLASS || role == ROLE_CLASS_SUM || role == ROLE_CLASS_SAMPLE) &&
        t->shape[0] != m->classes.count) {
        shape[0] = m->classes.count;
        return refuse_shape(name, t, t->type, t->rank, shape, e);
    }
    if (role == ROLE_SUM && (t->rank != 2 || t->shape[0] != t->shape[1])) {
        shape[1] = shape[0];
        return refuse_shape(name, t, t->type, 2, shape, e);
    }
    return 0;
}

static double number_at(const tensor *t, size_t i)
{
    return t->type == TYPE_F32 ? (double)((const float *)t->data)[i] : ((const double *)t->data)[i];
}

static bool may_be_negative(const model *m, const char *name)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].name, name) == 0)
            return !known[i].not_negative;
    for (size_t i = 0; i < m->net.layer_count; i++) {
        size_t variance = m->net.layers[i].variance;
        if (m->net.layers[i].kind == LAYER_BATCHNORM &&
            strcmp(m->net.parameters[variance].name, name) == 0)
            return false;
    }
    return true;
}

static int check_numbers(const model *m, const char *name, const tensor *t, error *e)
{
    size_t row = tensor_row_size(t), count = tensor_rows(t) * row;
    bool negative = may_be_negative(m, name);
    for (size_t i = 0; i < count; i++) {
        double x = number_at(t, i);
        if (!isfinite(x))
            return error_set(e, "tensor '%s' holds %s in row %zu; every number must be finite",
                             name, isnan(x) ? "a NaN" : "an infinity", i / row);
        if (x < 0 && !negative)
            return error_set(e, "tensor '%s' holds %g in row %zu, where nothing is negative", name,
                             x, i / row);
    }
    return 0;
}

/* Tensors that mean nothing without each other. */
static int check_pairs(const model *m, error *e)
{
    static const char *const pairs[][2] = {
        {"imprint/sum", "imprint/count"},
        {"imprint/count", "imprint/sum"},
        {"imprint/feature-sum", "imprint/count"},
        {"imprint/sample", "imprint/count"},
        {"imprint/feature-sum", "imprint/feature-gram"},
        {"imprint/feature-gram", "imprint/feature-sum"},
        {"statistics/sum", "statistics/count"},
        {"statistics/sum", "statistics/gram"},
        {"statistics/count", "statistics/sum"},
        {"statistics/gram", "statistics/sum"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        if (model_find(m, pairs[i][0]) && !model_find(m, pairs[i][1]))
            return error_set(e, "tensor '%s' is missing, which '%s' needs", pairs[i][1],
                             pairs[i][0]);
    return 0;
}

/* The notes that say which features tensors are of (src/imprinting/projection.h). */
static int check_features(const model *m, size_t features, error *e)
{
    double count, seed, plain = 0;
    bool counted = model_get_number(m, "ridge/features", &count),
         seeded = model_get_number(m, "ridge/seed", &seed);
    model_get_number(m, "ridge/plain", &plain);
    if (features > 0 && (!counted || !seeded))
        return error_set(
            e,
            "the notes ridge/features and ridge/seed are missing, which tensors of features need");
    if (features > 0 && count + (plain != 0 ? (double)m->net.dimension : 0) != (double)features)
        return error_set(
            e, "the note ridge/features is %g, where the model has sums or weights of %zu", count,
            features);
    if (seeded && !(seed >= 0 && seed <= 0x1p53 && seed == floor(seed)))
        return error_set(e, "the note ridge/seed is %g, and not a whole number up to 2^53", seed);
    return 0;
}

int model_check(const model *m, error *e)
{
    if (check_classes(m, e) < 0)
        return -1;
    if (m->net.class_count != m->classes.count)
        return error_set(e, "the model's network is for %zu classes, its list has %zu",
                         m->net.class_count, m->classes.count);
    if (check_parameters(m, e) < 0 || check_pairs(m, e) < 0)
        return -1;
    size_t features = 0;
    for (size_t i = 0; i < m->tensor_count; i++) {
        const char *name = m->tensors[i].name;
        const tensor *t = &m->tensors[i].value;
        if (t->type != TYPE_F32 && t->type != TYPE_F64)
            return error_set(e, "tensor '%s' is %s; a model holds float32 and float64", name,
                             type_name(t->type));
        if (check_stranger(m, name, e) < 0 || check_shape(m, name, t, &features, e) < 0 ||
            check_numbers(m, name, t, e) < 0)
            return -1;
    }
    return check_features(m, features, e);
}
