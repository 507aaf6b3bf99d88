#include "fit.h"

#include "../../common/model/sums.h"
#include "class_weight.h"
#include "episodes.h"
#include "leave_one_out.h"
#include "proxies.h"
#include "ridge.h"
#include "temperature.h"
#include "threshold.h"

#include <stdlib.h>
#include <string.h>

/* ---- the mean ---- */

static int make_means(model *m, const bool *changed, error *e)
{
    class_weight_rule how = class_weight_rule_of(m);
    const class_sums s = sums_of(m, SUMS_IMPRINT);
    float *weight = model_part(m, PART_HEAD_WEIGHT);
    for (size_t c = 0; c < s.classes; c++)
        if (changed[c] && class_weight_from_sum(&how, s.sum + c * s.dimension, s.count[c],
                                                weight + c * s.dimension) < 0)
            return error_set(e, "class %s: its mean has no direction: zeros, or rows cancel out",
                             m->classes.names[c]);
    return 0;
}

/* A head that came with biases keeps them: its classes', aside from what imprinting makes. */
static int keep_base_bias(model *m, error *e)
{
    if (!model_part(m, PART_HEAD_BIAS) || fit_report_of(m).method != METHOD_NONE ||
        model_part(m, PART_BASE_BIAS))
        return 0;
    float *kept = model_part_put(m, PART_BASE_BIAS, 0, e);
    if (!kept)
        return -1;
    memcpy(kept, model_part(m, PART_HEAD_BIAS), m->classes.count * sizeof *kept);
    return 0;
}

/* head/bias: `bias` for imprinted novel classes beside what the head came with. */
static int put_bias(model *m, double bias, error *e)
{
    const class_sums s = sums_of(m, SUMS_IMPRINT);
    const float *own = model_part(m, PART_BASE_BIAS);
    model_part_drop(m, PART_HEAD_BIAS);
    if (bias == 0 && !own)
        return 0;
    float *to = model_part_put(m, PART_HEAD_BIAS, 0, e);
    for (size_t c = 0; to && c < s.classes; c++)
        to[c] = m->kinds[c] == CLASS_NOVEL && sums_count(&s, c) > 0 ? (float)bias
                : own                                               ? own[c]
                                                                    : 0;
    return to ? 0 : -1;
}

/* ---- which ---- */

/* Whether ridge has all that it needs: sums of every class (a novel one that was trained has none),
 * and another class to tell it from. */
static bool ridge_complete(const model *m)
{
    const class_sums base = sums_of(m, SUMS_BASE), imprint = sums_of(m, SUMS_IMPRINT);
    if (!imprint.feature_sum || imprint.classes < 2)
        return false;
    for (size_t c = 0; c < imprint.classes; c++)
        if (imprint.count[c] + sums_count(&base, c) == 0)
            return false;
    return true;
}

bool fit_needs_algebra(const model *m)
{
    fit_settings how = fit_settings_of(m);
    return (how.method != METHOD_NONE && how.method != METHOD_MEAN) || how.calibrate > 0;
}

/* By the head's weights, which stand, or proxies. Calibrated, novel classes have a bias, and scores
 * are spread so that they fit as log-probabilities. */
static int make_by_head(algebra *a, model *m, const fit_settings *how, const episodes *set,
                        fit_report *out, error *e)
{
    calibration_result found = CALIBRATION_UNKNOWN;
    float *scores = NULL;
    if (how->calibrate > 0 && leave_one_out_calibrate(a, m, set, &found, &scores, e) < 0)
        return -1;
    out->bias = found.bias;
    out->base = found.base;
    out->novel = found.novel;
    out->alone = found.alone;
    int status = put_bias(m, found.bias, e);
    if (status == 0 && scores) {
        for (size_t i = 0; i < set->rows * set->classes; i++)
            scores[i] += set->is_base[i % set->classes] ? 0 : (float)found.bias;
        /* Without base rows nothing is known of their probabilities. */
        out->bare = set->base_rows == 0 && set->base_classes > 0;
        out->scale = out->bare ? 1 : temperature_factor(set, scores, WEIGHTS_CLASSES, NULL);
        status = known_scores_put(m, set, scores, out->scale, false, e);
    }
    free(scores);
    return status;
}

static int make_from(algebra *a, model *m, const fit_settings *how, const episodes *set,
                     fit_report *out, error *e)
{
    fit_method method = how->method == METHOD_NONE ? METHOD_MEAN : how->method;
    if (method == METHOD_AUTO)
        method = ridge_complete(m) ? METHOD_RIDGE : METHOD_MEAN;
    *out = (fit_report){.method = method, .base = -1, .novel = -1, .alone = -1};
    if (method == METHOD_RIDGE)
        return ridge_make(a, m, how, set, out, e);
    if (method == METHOD_PROXIES && proxies_make(a, m, how, e) < 0)
        return -1;
    return make_by_head(a, m, how, set, out, e);
}

int fit_make(algebra *a, model *m, const bool *changed, error *e)
{
    episodes set = {0};
    fit_report made;
    fit_settings how = fit_settings_of(m);
    if (keep_base_bias(m, e) < 0 || make_means(m, changed, e) < 0 || put_bias(m, 0, e) < 0)
        return -1;
    model_part_drop(m, PART_RIDGE_WEIGHT);
    model_part_drop(m, PART_PROXIES_WEIGHT);
    model_part_drop(m, PART_KNOWN_SCORES);
    fit_report_drop(m);
    if (fit_needs_algebra(m) && episodes_new(m, &set, e) < 0)
        return -1;
    int status = make_from(a, m, &how, &set, &made, e);
    episodes_free(&set);
    return status < 0 ? -1 : fit_report_put(m, &made, e);
}

/* ---- a class less ---- */

/* gram -= sum sum^T / count: from then on the class counts as rows around a mean of zero. */
static void take_mean(const class_sums *s, size_t class_index)
{
    double count = sums_count(s, class_index);
    size_t n = s->features;
    if (!s->gram || count == 0)
        return;
    const double *sum = s->feature_sum + class_index * n;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            s->gram[i * n + j] -= sum[i] * sum[j] / count;
}

static bool has_imprints(const class_sums *s)
{
    for (size_t c = 0; c < s->classes; c++)
        if (sums_count(s, c) > 0)
            return true;
    return false;
}

int fit_remove_class(model *m, size_t class_index, error *e)
{
    class_sums base = sums_of(m, SUMS_BASE), imprint = sums_of(m, SUMS_IMPRINT);
    bool had = has_imprints(&imprint);
    take_mean(&imprint, class_index);
    take_mean(&base, class_index);
    if (model_remove_class(m, class_index, e) < 0)
        return -1;
    imprint = sums_of(m, SUMS_IMPRINT);
    if (had && !has_imprints(&imprint))
        sums_drop(m, SUMS_IMPRINT);
    return 0;
}
