#include "fit.h"

#include "class_weight.h"
#include "episodes.h"
#include "known_scores.h"
#include "leave_one_out.h"
#include "proxies.h"
#include "ridge.h"
#include "temperature.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- the mean ---- */

static int make_means(model *m, const bool *changed, error *e)
{
    weighting how = weighting_of(m);
    for (size_t c = 0; c < m->classes.count; c++) {
        if (!changed[c])
            continue;
        const double *sum = (const double *)model_find(m, "imprint/sum")->data + c * how.dimension;
        double count = ((const double *)model_find(m, "imprint/count")->data)[c];
        float *w = (float *)model_find(m, "head/weight")->data + c * how.dimension;
        if (weight_from_sum(&how, sum, count, w) < 0)
            return error_set(
                e,
                "class %s: its embeddings are zeros or cancel out, so their mean has no "
                "direction",
                m->classes.names[c]);
    }
    return 0;
}

/* A head that came with biases keeps them: those of its classes, aside from what imprinting makes.
 * */
static int keep_base_bias(model *m, error *e)
{
    tensor *t;
    const tensor *bias = model_find(m, "head/bias");
    if (!bias || model_get_text(m, "made/method") || model_find(m, "base/bias"))
        return 0;
    if (model_put(m, "base/bias", TYPE_F32, 1, &m->classes.count, &t, e) < 0)
        return -1;
    memcpy(model_find(m, "base/bias")->data, model_find(m, "head/bias")->data,
           m->classes.count * sizeof(float));
    return 0;
}

/* head/bias: `bias` for imprinted novel classes beside what the head came with. */
static int put_bias(model *m, double bias, error *e)
{
    tensor *t;
    model_drop(m, "head/bias");
    if (model_note_number(m, "made/bias", bias) < 0)
        return error_set(e, "out of memory");
    if (bias == 0 && !model_find(m, "base/bias"))
        return 0;
    if (model_put(m, "head/bias", TYPE_F32, 1, &m->classes.count, &t, e) < 0)
        return -1;
    const tensor *own = model_find(m, "base/bias");
    const tensor *count = model_find(m, "imprint/count");
    float *to = model_find(m, "head/bias")->data;
    for (size_t c = 0; c < m->classes.count; c++)
        to[c] = m->kinds[c] == CLASS_NOVEL && count && ((const double *)count->data)[c] > 0
                    ? (float)bias
                : own ? ((const float *)own->data)[c]
                      : 0;
    return 0;
}

/* ---- which ---- */

/* Whether ridge has all that it needs: sums of every class (a novel one that was trained has none),
 * and another class to tell it from. */
static bool ridge_complete(const model *m)
{
    const tensor *count = model_find(m, "imprint/count"), *base = model_find(m, "statistics/count");
    if (!count || !model_find(m, "imprint/feature-sum") || m->classes.count < 2)
        return false;
    for (size_t c = 0; c < m->classes.count; c++)
        if (((const double *)count->data)[c] + (base ? ((const double *)base->data)[c] : 0) == 0)
            return false;
    return true;
}

static bool takes_bias(const model *m)
{
    double calibrate;
    return model_get_number(m, "imprint/calibrate", &calibrate) && calibrate != 0;
}

bool weights_need_algebra(const model *m)
{
    const char *word = model_get_text(m, "imprint/method");
    return (word && strcmp(word, "mean") != 0) || takes_bias(m);
}

static int note_method(model *m, const char *name, error *e)
{
    return model_note_text(m, "made/method", name) < 0 ? error_set(e, "out of memory") : 0;
}

static int note_expected(model *m, const outcome *found, error *e)
{
    if ((found->base >= 0 && model_note_number(m, "made/base-accuracy", found->base) < 0) ||
        (found->novel >= 0 && model_note_number(m, "made/novel-accuracy", found->novel) < 0))
        return error_set(e, "out of memory");
    return 0;
}

static int make_by_ridge(algebra *a, model *m, const rehearsal *r, error *e)
{
    double lambda = 0;
    model_get_number(m, "ridge/lambda", &lambda);
    outcome found;
    if (note_method(m, "ridge", e) < 0 || ridge_make(a, m, lambda, takes_bias(m), r, &found, e) < 0)
        return -1;
    return note_expected(m, &found, e);
}

/* By the head's weights, which stand, or proxies. Calibrated, novel classes have a bias, and scores
 * are spread so that they fit as log-probabilities. */
static int make_by_head(algebra *a, model *m, const char *name, const rehearsal *r, error *e)
{
    outcome found = {.base = -1, .novel = -1};
    float *scores = NULL;
    if (takes_bias(m) && trial_judge(a, m, r, &found, &scores, e) < 0)
        return -1;
    int status = note_method(m, name, e) < 0 || note_expected(m, &found, e) < 0
                     ? -1
                     : put_bias(m, found.bias, e);
    if (status == 0 && scores) {
        for (size_t i = 0; i < r->rows * r->classes; i++)
            scores[i] += r->is_base[i % r->classes] ? 0 : (float)found.bias;
        /* Without base rows nothing is known of their probabilities. */
        bool bare = r->base_rows == 0 && r->base_classes > 0;
        double scale = bare ? 1 : scale_fit(r, scores, NULL);
        if (model_note_number(m, "made/scale", scale) < 0 ||
            (bare && model_note_number(m, "made/bare", 1) < 0))
            status = error_set(e, "out of memory");
        else
            status = known_put(m, r, scores, scale, false, e);
    }
    free(scores);
    return status;
}

static int make_from(algebra *a, model *m, const rehearsal *r, error *e)
{
    const char *word = model_get_text(m, "imprint/method");
    if (!word || strcmp(word, "mean") == 0)
        return make_by_head(a, m, "mean", r, e);
    if (strcmp(word, "ridge") == 0 || (strcmp(word, "auto") == 0 && ridge_complete(m)))
        return make_by_ridge(a, m, r, e);
    if (strcmp(word, "auto") == 0)
        return make_by_head(a, m, "mean", r, e);
    return proxies_make(a, m, e) < 0 ? -1 : make_by_head(a, m, "proxies", r, e);
}

int weights_make(algebra *a, model *m, const bool *changed, error *e)
{
    static const char *const made[] = {"made/lambda",        "made/kind",           "made/scale",
                                       "made/base-accuracy", "made/novel-accuracy", "made/bare"};
    rehearsal r = {0};
    if (keep_base_bias(m, e) < 0 || make_means(m, changed, e) < 0 || put_bias(m, 0, e) < 0)
        return -1;
    model_drop(m, "ridge/weight");
    model_drop(m, "proxies/weight");
    for (size_t i = 0; i < sizeof made / sizeof *made; i++)
        model_note_drop(m, made[i]);
    model_drop(m, "made/known-scores");
    if (weights_need_algebra(m) && rehearsal_new(m, &r, e) < 0)
        return -1;
    int status = make_from(a, m, &r, e);
    rehearsal_free(&r);
    return status;
}

/* ---- a class less ---- */

/* gram -= sum sum^T / count: from then on the class counts as rows around a mean of zero. */
static void take_mean(const model *m, const char *gram_name, const char *sum_name,
                      const char *count_name, size_t class_index)
{
    const tensor *gram = model_find(m, gram_name), *sums = model_find(m, sum_name);
    const tensor *counts = model_find(m, count_name);
    double count = counts ? ((const double *)counts->data)[class_index] : 0;
    if (!gram || !sums || count == 0)
        return;
    size_t n = gram->shape[0];
    const double *sum = (const double *)sums->data + class_index * n;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            ((double *)gram->data)[i * n + j] -= sum[i] * sum[j] / count;
}

static bool has_imprints(const model *m)
{
    const tensor *counts = model_find(m, "imprint/count");
    for (size_t c = 0; counts && c < m->classes.count; c++)
        if (((const double *)counts->data)[c] > 0)
            return true;
    return false;
}

int weights_remove_class(model *m, size_t class_index, error *e)
{
    bool had = has_imprints(m);
    take_mean(m, "imprint/feature-gram", "imprint/feature-sum", "imprint/count", class_index);
    take_mean(m, "statistics/gram", "statistics/sum", "statistics/count", class_index);
    if (model_remove_class(m, class_index, e) < 0)
        return -1;
    if (!had || has_imprints(m))
        return 0;
    for (size_t i = m->tensor_count; i-- > 0;)
        if (strncmp(m->tensors[i].name, "imprint/", 8) == 0)
            model_drop(m, m->tensors[i].name);
    return 0;
}

bool weights_makes_note(const char *key)
{
    return strncmp(key, "made/", 5) == 0;
}
