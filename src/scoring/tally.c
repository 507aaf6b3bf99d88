#include "tally.h"

#include "auroc.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct tally {
    size_t classes;
    class_kind *kinds;
    uint64_t *class_rows, *class_hits, *class_predicted,
        *confusion; /* confusion NULL for too many classes */
    auroc *largest; /* the largest score of each row */
    uint64_t rows, unknown, rejected_known, rejected_unknown, scored;
    uint64_t top5;
    double loss;
    calibration_bin bins[CALIBRATION_BINS];
};

int tally_new(size_t classes, const class_kind *kinds, tally **out, error *e)
{
    tally *t = calloc(1, sizeof *t);
    if (!t)
        return error_set(e, "out of memory for %zu classes", classes);
    t->classes = classes;
    t->kinds = calloc(classes, sizeof *t->kinds);
    t->class_rows = calloc(classes, sizeof *t->class_rows);
    t->class_hits = calloc(classes, sizeof *t->class_hits);
    t->class_predicted = calloc(classes, sizeof *t->class_predicted);
    bool whole = t->kinds && t->class_rows && t->class_hits && t->class_predicted &&
                 auroc_new(AUROC_ROWS_MAX, &t->largest, e) == 0;
    if (classes <= TALLY_CONFUSION_MAX) {
        t->confusion = calloc(classes * classes, sizeof *t->confusion);
        whole = whole && t->confusion;
    }
    if (!whole) {
        tally_free(t);
        return error_set(e, "out of memory for %zu classes", classes);
    }
    memcpy(t->kinds, kinds, classes * sizeof *kinds);
    *out = t;
    return 0;
}

void tally_free(tally *t)
{
    if (!t)
        return;
    free(t->kinds);
    free(t->class_rows);
    free(t->class_hits);
    free(t->class_predicted);
    free(t->confusion);
    auroc_free(t->largest);
    free(t);
}

static float largest(const float *scores, size_t classes)
{
    float most = scores[0];
    for (size_t c = 1; c < classes; c++)
        if (scores[c] > most)
            most = scores[c];
    return most;
}

/* What one row's scores add: its loss, its bin, and whether its class is among the best five. */
static void count_scores(tally *t, const float *scores, size_t label, float most, bool right)
{
    double sum = 0;
    size_t above = 0;
    for (size_t c = 0; c < t->classes; c++) {
        sum += exp((double)scores[c] - most);
        above += scores[c] > scores[label];
    }
    double p = 1 / sum;
    calibration_bin *in = &t->bins[p >= 1 ? CALIBRATION_BINS - 1 : (size_t)(p * CALIBRATION_BINS)];
    in->rows++;
    in->hits += right;
    in->sum += p;
    t->loss += log(sum) + most - scores[label];
    t->top5 += above < 5;
    t->scored++;
}

static int count_unknown(tally *t, int32_t prediction, const float *scores, error *e)
{
    t->unknown++;
    t->rejected_unknown += prediction < 0;
    return scores ? auroc_add(t->largest, false, largest(scores, t->classes), e) : 0;
}

static int count_known(tally *t, size_t label, int32_t prediction, const float *scores, error *e)
{
    t->class_rows[label]++;
    t->class_hits[label] += prediction == (int32_t)label;
    t->rejected_known += prediction < 0;
    if (prediction >= 0)
        t->class_predicted[prediction]++;
    if (t->confusion && prediction >= 0)
        t->confusion[label * t->classes + (size_t)prediction]++;
    if (!scores)
        return 0;
    float most = largest(scores, t->classes);
    count_scores(t, scores, label, most, prediction == (int32_t)label);
    return auroc_add(t->largest, true, most, e);
}

int tally_add(tally *t, const int32_t *labels, const int32_t *predictions, const float *scores,
              size_t rows, error *e)
{
    for (size_t i = 0; i < rows; i++) {
        const float *row = scores ? scores + i * t->classes : NULL;
        if (predictions[i] < -1 || (predictions[i] >= 0 && (size_t)predictions[i] >= t->classes))
            return error_set(e, "row %llu: prediction %d, where the model has %zu classes",
                             (unsigned long long)t->rows, predictions[i], t->classes);
        if (labels[i] < 0)
            return error_set(e, "row %llu: label %d", (unsigned long long)t->rows, labels[i]);
        int status = (size_t)labels[i] < t->classes
                         ? count_known(t, (size_t)labels[i], predictions[i], row, e)
                         : count_unknown(t, predictions[i], row, e);
        if (status < 0)
            return -1;
        t->rows++;
    }
    return 0;
}

static double share(uint64_t part, uint64_t whole)
{
    return whole ? (double)part / (double)whole : NAN;
}

static double calibration_error(const tally *t)
{
    double sum = 0;
    for (size_t i = 0; i < CALIBRATION_BINS; i++)
        sum += fabs((double)t->bins[i].hits - t->bins[i].sum);
    return sum / (double)t->scored;
}

class_quality tally_quality(const tally *t, size_t label)
{
    double hits = (double)t->class_hits[label];
    double rows = (double)t->class_rows[label], predicted = (double)t->class_predicted[label];
    return (class_quality){.precision = predicted > 0 ? hits / predicted : 0,
                           .recall = rows > 0 ? hits / rows : 0,
                           .f1 = rows + predicted > 0 ? 2 * hits / (rows + predicted) : 0,
                           .support = t->class_rows[label]};
}

class_quality tally_mean_quality(const tally *t, bool weighted)
{
    class_quality mean = {0};
    double weights = 0;
    for (size_t c = 0; c < t->classes; c++) {
        class_quality q = tally_quality(t, c);
        double weight = weighted ? (double)q.support : t->class_rows[c] || t->class_predicted[c];
        mean.precision += weight * q.precision;
        mean.recall += weight * q.recall;
        mean.f1 += weight * q.f1;
        mean.support += q.support;
        weights += weight;
    }
    mean.precision /= weights;
    mean.recall /= weights;
    mean.f1 /= weights;
    return mean;
}

const calibration_bin *tally_calibration(const tally *t)
{
    return t->bins;
}

tally_figures tally_get(const tally *t)
{
    uint64_t rows[2] = {0, 0}, hits[2] = {0, 0};
    for (size_t c = 0; c < t->classes; c++) {
        rows[t->kinds[c]] += t->class_rows[c];
        hits[t->kinds[c]] += t->class_hits[c];
    }
    uint64_t known = t->rows - t->unknown;
    bool all_scored = t->scored && t->scored == known;
    class_quality macro = tally_mean_quality(t, false);
    tally_figures f = {
        .rows = t->rows,
        .unknown_rows = t->unknown,
        .rejected = t->rejected_known + t->rejected_unknown,
        .base = share(hits[CLASS_BASE], rows[CLASS_BASE]),
        .novel = share(hits[CLASS_NOVEL], rows[CLASS_NOVEL]),
        .all = share(hits[CLASS_BASE] + hits[CLASS_NOVEL], known),
        .all_rows = share(hits[CLASS_BASE] + hits[CLASS_NOVEL], t->rows),
        .loss = all_scored ? t->loss / (double)known : NAN,
        .top5 = all_scored && t->classes > 5 ? share(t->top5, known) : NAN,
        .calibration_error = all_scored ? calibration_error(t) : NAN,
        .macro_precision = macro.precision,
        .macro_recall = macro.recall,
        .macro_f1 = macro.f1,
        .auroc = auroc_value(t->largest),
        .too_many_scores = auroc_overflowed(t->largest),
        .rejected_known = share(t->rejected_known, known),
        .rejected_unknown = share(t->rejected_unknown, t->unknown),
    };
    double sum = f.base + f.novel;
    f.harmonic_mean = sum == 0 ? 0 : 2 * f.base * f.novel / sum;
    return f;
}

static const struct {
    const char *name;
    size_t offset; /* in tally_figures */
    bool is_count;
} figure_names[] = {
    {"rows", offsetof(tally_figures, rows), true},
    {"unknown_rows", offsetof(tally_figures, unknown_rows), true},
    {"base", offsetof(tally_figures, base), false},
    {"novel", offsetof(tally_figures, novel), false},
    {"all", offsetof(tally_figures, all), false},
    {"all_rows", offsetof(tally_figures, all_rows), false},
    {"harmonic_mean", offsetof(tally_figures, harmonic_mean), false},
    {"loss", offsetof(tally_figures, loss), false},
    {"top5", offsetof(tally_figures, top5), false},
    {"calibration_error", offsetof(tally_figures, calibration_error), false},
    {"macro_precision", offsetof(tally_figures, macro_precision), false},
    {"macro_recall", offsetof(tally_figures, macro_recall), false},
    {"macro_f1", offsetof(tally_figures, macro_f1), false},
    {"auroc", offsetof(tally_figures, auroc), false},
    {"rejected_known", offsetof(tally_figures, rejected_known), false},
    {"rejected_unknown", offsetof(tally_figures, rejected_unknown), false},
};

const char *tally_figure_name(size_t i)
{
    return i < sizeof figure_names / sizeof *figure_names ? figure_names[i].name : NULL;
}

double tally_figure(const tally_figures *f, size_t i)
{
    const char *at = (const char *)f + figure_names[i].offset;
    return figure_names[i].is_count ? (double)*(const uint64_t *)at : *(const double *)at;
}

bool tally_figure_is_count(size_t i)
{
    return figure_names[i].is_count;
}

size_t tally_classes(const tally *t)
{
    return t->classes;
}

uint64_t tally_class_rows(const tally *t, size_t label)
{
    return t->class_rows[label];
}

uint64_t tally_class_hits(const tally *t, size_t label)
{
    return t->class_hits[label];
}

bool tally_has_confusion(const tally *t)
{
    return t->confusion != NULL;
}

uint64_t tally_confusion(const tally *t, size_t label, size_t prediction)
{
    return t->confusion[label * t->classes + prediction];
}
