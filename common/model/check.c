/* check.c: whether a model is whole: every tensor there, of its shape, all numbers finite. */
#include "settings.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static int check_classes(const model *m, error *e)
{
    if (m->classes.count == 0 && m->net.layer_count == 0)
        return error_set(e, "the model has no classes");
    for (size_t i = 0; i < m->classes.count; i++) {
        if (!*m->classes.names[i])
            return error_set(e, "the model has a class with an empty name");
        if (m->kinds[i] != CLASS_BASE && m->kinds[i] != CLASS_NOVEL)
            return error_set(e, "a class of the model is neither base nor novel");
    }
    return 0;
}

static int check_shape(const char *name, const tensor *t, tensor_type type, size_t rank,
                       const size_t *shape, error *e)
{
    char is[160], wanted[160];
    tensor right = {.type = type, .rank = rank};
    memcpy(right.shape, shape, rank * sizeof *shape);
    if (t->type == type && t->rank == rank &&
        memcmp(t->shape, right.shape, rank * sizeof *shape) == 0)
        return 0;
    return error_set(e, "tensor '%s' is %s, where the model needs %s", name,
                     tensor_describe(t, is, sizeof is),
                     tensor_describe(&right, wanted, sizeof wanted));
}

static int check_parameters(const model *m, error *e)
{
    for (size_t i = 0; i < m->net.parameter_count; i++) {
        const parameter *p = &m->net.parameters[i];
        const tensor *t = model_find(m, p->name);
        if (!t && model_lacks(m, p->name))
            continue;
        if (!t)
            return error_set(e, "tensor '%s' is missing", p->name);
        if (check_shape(p->name, t, TYPE_F32, p->rank, p->shape, e) < 0)
            return -1;
    }
    return 0;
}

/* A tensor named as a parameter that the network does not have: a file of two minds. */
static int check_stranger(const model *m, const char *name, error *e)
{
    bool claims = part_form_named(name)->role == ROLE_NETWORK || strncmp(name, "head/", 5) == 0;
    if (!claims || strcmp(name, model_parts[PART_HEAD_BIAS].name) == 0)
        return 0;
    for (size_t i = 0; i < m->net.parameter_count; i++)
        if (strcmp(m->net.parameters[i].name, name) == 0)
            return 0;
    return error_set(e, "tensor '%s' belongs to no layer of the model's network", name);
}

static bool has(const part_form *form, size_word word)
{
    for (size_t d = 0; form->shape[d] != SIZE_NONE; d++)
        if (form->shape[d] == word)
            return true;
    return false;
}

/* The first means nothing without the second. */
static const model_part_id needs[][2] = {
    {PART_BASE_COUNT, PART_BASE_FEATURE_SUM},       {PART_BASE_FEATURE_SUM, PART_BASE_COUNT},
    {PART_BASE_FEATURE_SUM, PART_BASE_GRAM},        {PART_BASE_GRAM, PART_BASE_FEATURE_SUM},
    {PART_IMPRINT_COUNT, PART_IMPRINT_SUM},         {PART_IMPRINT_SUM, PART_IMPRINT_COUNT},
    {PART_IMPRINT_FEATURE_SUM, PART_IMPRINT_COUNT}, {PART_IMPRINT_FEATURE_SUM, PART_IMPRINT_GRAM},
    {PART_IMPRINT_GRAM, PART_IMPRINT_FEATURE_SUM},  {PART_IMPRINT_EXEMPLARS, PART_IMPRINT_COUNT},
};

/* One that the table knows: it has the shape that follows from the model, and those beside it that
 * it needs. */
static int check_part(const model *m, model_part_id part, error *e)
{
    const part_form *form = &model_parts[part];
    const tensor *t = model_find(m, form->name);
    feature_settings features;
    size_t shape[TENSOR_RANK_MAX], size = 1;
    if (!t)
        return 0;
    if (has(form, SIZE_FEATURES) && !feature_settings_of(m, &features))
        return error_set(e,
                         "the notes ridge/features and ridge/seed are missing or wrong, which "
                         "tensor '%s' needs",
                         form->name);
    if (has(form, SIZE_FEATURES))
        size = features.width;
    for (size_t d = 0; has(form, SIZE_ANY) && d < t->rank && form->shape[d] != SIZE_NONE; d++)
        size = form->shape[d] == SIZE_ANY && t->shape[d] > 0 ? t->shape[d] : size;
    size_t rank = part_shape(m, form, size, shape);
    if (check_shape(form->name, t, form->type, rank, shape, e) < 0)
        return -1;
    for (size_t i = 0; i < sizeof needs / sizeof *needs; i++)
        if (needs[i][0] == part && !model_part(m, needs[i][1]) &&
            !model_lacks(m, model_parts[needs[i][1]].name))
            return error_set(e, "tensor '%s' is missing, which '%s' needs",
                             model_parts[needs[i][1]].name, form->name);
    return 0;
}

static double number_at(const tensor *t, size_t i)
{
    return t->type == TYPE_F32 ? (double)((const float *)t->data)[i] : ((const double *)t->data)[i];
}

static bool may_be_negative(const model *m, const char *name)
{
    if (strcmp(name, model_parts[PART_BASE_COUNT].name) == 0 ||
        strcmp(name, model_parts[PART_IMPRINT_COUNT].name) == 0)
        return false;
    for (size_t i = 0; i < m->net.layer_count; i++) {
        size_t variance = m->net.layers[i].variance;
        if (m->net.layers[i].kind == LAYER_BATCHNORM &&
            strcmp(m->net.parameters[variance].name, name) == 0)
            return false;
    }
    return true;
}

/* Without a branch a number, for the hundreds of megabytes of a network's weights. A sum is finite
 * times zero if each part is: x * 0 is 0 or, for a NaN or an infinity, a NaN. */
static bool all_finite(const tensor *t, size_t count)
{
    enum { LANES = 16 };
    float single[LANES] = {0};
    double wide[LANES] = {0};
    size_t i = 0;
    for (; t->type == TYPE_F32 && i + LANES <= count; i += LANES)
        for (size_t j = 0; j < LANES; j++)
            single[j] += ((const float *)t->data)[i + j] * 0;
    for (; t->type == TYPE_F64 && i + LANES <= count; i += LANES)
        for (size_t j = 0; j < LANES; j++)
            wide[j] += ((const double *)t->data)[i + j] * 0;
    double sum = 0;
    for (size_t j = 0; j < LANES; j++)
        sum += (double)single[j] + wide[j];
    for (; i < count; i++)
        sum += number_at(t, i) * 0;
    return sum == 0;
}

static int check_numbers(const model *m, const char *name, const tensor *t, error *e)
{
    size_t row = tensor_row_size(t), count = tensor_rows(t) * row;
    bool negative = may_be_negative(m, name);
    if (negative && all_finite(t, count))
        return 0;
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

static int check_text(const key_form *form, const char *text, error *e)
{
    char word[72];
    if (!form->words)
        return error_set(e, "the note %s is '%.40s', and not a number", form->key, text);
    snprintf(word, sizeof word, " %.64s ", text);
    if (*form->words && (strchr(text, ' ') || !strstr(form->words, word)))
        return error_set(e, "the note %s is '%.40s', and not one of%s", form->key, text,
                         form->words);
    return 0;
}

static int check_number(const key_form *form, double number, error *e)
{
    if (form->words)
        return error_set(e, "the note %s is %g, and not a text", form->key, number);
    if (!(number >= form->least && number <= form->most) ||
        (form->whole && number != floor(number)))
        return error_set(e, "the note %s is %g, and not a %s from %g to %g", form->key, number,
                         form->whole ? "whole number" : "number", form->least, form->most);
    return 0;
}

/* Each known note by itself, and what a method needs. */
static int check_notes(const model *m, error *e)
{
    for (model_key key = 0; key < KEY_COUNT; key++) {
        const key_form *form = &model_keys[key];
        const char *text = model_get_text(m, form->key);
        double number;
        if ((text && check_text(form, text, e) < 0) ||
            (model_get_number(m, form->key, &number) && check_number(form, number, e) < 0))
            return -1;
    }
    balance how;
    fit_settings s = fit_settings_of(m);
    if (s.balance && balance_parse(s.balance, &how) < 0)
        return error_set(e, "the model's note imprint/balance is '%.40s', and not " BALANCE_WORDS,
                         s.balance);
    if (s.method != METHOD_PROXIES || !model_part(m, PART_IMPRINT_COUNT))
        return 0;
    if (s.proxies == 0 || s.proxies_seed < 0)
        return error_set(e,
                         "the notes proxies/count and proxies/seed are missing, which the method "
                         "proxies needs");
    const char *exemplars = model_parts[PART_IMPRINT_EXEMPLARS].name;
    if (!model_find(m, exemplars) && !model_lacks(m, exemplars))
        return error_set(e, "tensor '%s' is missing, which the method proxies needs", exemplars);
    return 0;
}

int model_check(const model *m, error *e)
{
    if (check_classes(m, e) < 0)
        return -1;
    if (m->net.class_count != m->classes.count)
        return error_set(e, "the model's network is for %zu classes, its list has %zu",
                         m->net.class_count, m->classes.count);
    if (check_parameters(m, e) < 0 || check_notes(m, e) < 0)
        return -1;
    for (model_part_id part = PART_NONE + 1; part < PART_COUNT; part++)
        if (check_part(m, part, e) < 0)
            return -1;
    for (size_t i = 0; i < m->tensor_count; i++) {
        const char *name = m->tensors[i].name;
        const tensor *t = &m->tensors[i].value;
        if (t->type != TYPE_F32 && t->type != TYPE_F64)
            return error_set(e, "tensor '%s' is %s; a model holds float32 and float64", name,
                             type_name(t->type));
        if (check_stranger(m, name, e) < 0 || check_numbers(m, name, t, e) < 0)
            return -1;
    }
    return 0;
}
