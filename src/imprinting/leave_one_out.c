#include "leave_one_out.h"

#include "../../common/base/memory.h"
#include "class_weight.h"
#include "classifier.h"
#include "proxies.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FOLDS 4 /* of a class's rows, for proxies: each costs a k-means */

/* Found on EfficientNet-Lite0's head of ImageNet and photos of twenty of its classes, one to ten of
 * them novel; examples/low-shot has no command for a head without rows. */
#define BARE_FOREIGN 0.1
#define BARE_OWN 0.8
#define BARE_SINGLE 0.6

typedef struct {
    memory held;
    algebra *a;
    const model *m;
    const episodes *set;
    class_weight_rule how;
    size_t proxies;             /* a class; 0 for means */
    float *entering;            /* [rows][dimension]: embeddings as they enter the sums */
    float *facing;              /* and as the head sees them */
    float *scores, *by_partner; /* as episodes_add_rows takes them; the first owned by itself */
    double *sum;                /* scratch: one sum, */
    float *weight;              /* one class's weights, */
    float *others;              /* and some rows */
} scoring;

static int scoring_new(algebra *a, const model *m, const episodes *set, scoring *t, error *e)
{
    *t = (scoring){.a = a,
                   .m = m,
                   .set = set,
                   .how = class_weight_rule_of(m),
                   .proxies = model_part_size(m, PART_PROXIES_WEIGHT)};
    size_t n = t->how.dimension, rows = set->rows;
    t->entering = memory_take(&t->held, rows * n + 1, sizeof *t->entering);
    t->facing = memory_take(&t->held, rows * n + 1, sizeof *t->facing);
    t->others = memory_take(&t->held, rows * n + 1, sizeof *t->others);
    t->by_partner =
        memory_take(&t->held, set->partner_count * set->base_rows + 1, sizeof *t->by_partner);
    t->sum = memory_take(&t->held, n, sizeof *t->sum);
    t->weight = memory_take(&t->held, (t->proxies + 1) * n, sizeof *t->weight);
    t->scores = malloc((rows * set->classes + 1) * sizeof *t->scores);
    if (t->held.failed || !t->scores)
        return error_set(e, "out of memory for a calibration of %zu rows", rows);
    memcpy(t->entering, set->embeddings, set->rows * n * sizeof *t->entering);
    memcpy(t->facing, set->embeddings, set->rows * n * sizeof *t->facing);
    if ((t->how.norm == NORM_L2 && a->normalise(a, t->entering, set->rows, n, e) < 0) ||
        (t->how.head == HEAD_COSINE && a->normalise(a, t->facing, set->rows, n, e) < 0))
        return -1;
    return 0;
}

/* The score by the weights in t->weight. */
static float score(const scoring *t, size_t row)
{
    size_t n = t->how.dimension;
    float best = class_weight_score(&t->how, t->facing + row * n, t->weight);
    for (size_t k = 1; k < t->proxies; k++) {
        float other = class_weight_score(&t->how, t->facing + row * n, t->weight + k * n);
        best = other > best ? other : best;
    }
    return best;
}

/* ---- novel rows ---- */

static void score_by_mean_without(scoring *t, size_t row)
{
    size_t n = t->how.dimension, own = t->set->class_of[row];
    const double *whole = (const double *)model_part(t->m, PART_IMPRINT_SUM) + own * n;
    double count = t->set->shots[own] - 1;
    for (size_t d = 0; d < n; d++)
        t->sum[d] = whole[d] - t->entering[row * n + d];
    if (count > 0 && class_weight_from_sum(&t->how, t->sum, count, t->weight) == 0)
        t->scores[row * t->set->classes + own] = score(t, row);
}

static int make_proxies(scoring *t, const float *rows, size_t count, error *e)
{
    if (proxies_of_rows(t->a, rows, count, t->how.dimension, t->proxies, 0, t->weight, e) < 0)
        return -1;
    for (size_t i = 0; i < t->proxies * t->how.dimension; i++)
        t->weight[i] *= (float)t->how.length;
    return 0;
}

/* Rows [first, first + count) are those of one class. */
static int score_folds(scoring *t, size_t first, size_t count, error *e)
{
    size_t n = t->how.dimension;
    for (size_t fold = 0; count > 1 && fold < FOLDS; fold++) {
        size_t kept = 0;
        for (size_t i = 0; i < count; i++)
            if (i % FOLDS != fold)
                memcpy(t->others + kept++ * n, t->entering + (first + i) * n,
                       n * sizeof *t->others);
        if (kept == count)
            continue;
        if (make_proxies(t, t->others, kept, e) < 0)
            return -1;
        for (size_t i = fold; i < count; i += FOLDS)
            t->scores[(first + i) * t->set->classes + t->set->class_of[first]] =
                score(t, first + i);
    }
    return 0;
}

static int score_novel(scoring *t, error *e)
{
    const episodes *set = t->set;
    for (size_t i = set->base_rows, last; i < set->rows; i = last) {
        for (last = i; last < set->rows && set->class_of[last] == set->class_of[i];)
            last++;
        if (t->proxies && score_folds(t, i, last - i, e) < 0)
            return -1;
        for (size_t row = i; !t->proxies && row < last; row++)
            score_by_mean_without(t, row);
    }
    return 0;
}

/* ---- partners ---- */

static int score_partner(scoring *t, size_t k, error *e)
{
    size_t n = t->how.dimension, rows = t->set->base_rows;
    const partner *p = &t->set->partners[k];
    if (t->proxies) {
        if (make_proxies(t, t->entering + p->first * n, p->taken, e) < 0)
            return -1;
    } else {
        if (episodes_partner_mean(t->set, p, t->entering, n, t->sum, e) < 0)
            return -1;
        if (class_weight_from_sum(&t->how, t->sum, 1, t->weight) < 0)
            memset(t->weight, 0, n * sizeof *t->weight);
    }
    for (size_t i = 0; i < rows; i++)
        t->by_partner[k * rows + i] = score(t, i);
    return 0;
}

static int score_all(scoring *t, error *e)
{
    classifier *c;
    if (classifier_new(t->a, t->m, &c, e) < 0)
        return -1;
    int status = classifier_scores(c, t->set->embeddings, t->set->rows, t->scores, e);
    classifier_free(c);
    if (status < 0 || score_novel(t, e) < 0)
        return -1;
    for (size_t k = 0; k < t->set->partner_count; k++)
        if (score_partner(t, k, e) < 0)
            return -1;
    return 0;
}

static float best_but(const episodes *set, const float *scores, bool base, size_t but)
{
    float best = -INFINITY;
    for (size_t c = 0; c < set->classes; c++)
        if (set->is_base[c] == base && c != but && scores[c] > best)
            best = scores[c];
    return best;
}

/* The bias of novel classes beside base classes of which no row is at hand (a pretrained
 * classifier's head). How base classes score on what is not theirs is seen on novel rows, and how
 * novel classes score on that on each other's rows. Base rows score higher by their own class than
 * novel rows do by any base class: so a bias by which BARE_FOREIGN of the novel rows would be taken
 * by a foreign novel class costs base less than that. It is no higher either than what BARE_OWN of
 * the novel rows need, scored without themselves; of classes of one row a row of BARE_SINGLE times
 * the score of that row by itself is to be right on average. */
static int bare_bias(const episodes *set, const float *scores, double *bias, error *e)
{
    memory held = {0};
    double *own = memory_take(&held, set->rows + 1, sizeof *own),
           *foreign = memory_take(&held, set->rows + 1, sizeof *foreign), single = 0;
    size_t owns = 0, foreigns = 0;
    if (held.failed) {
        memory_free(&held);
        return error_set(e, "out of memory for a calibration of %zu rows", set->rows);
    }
    for (size_t i = 0; i < set->rows; i++) {
        const float *row = scores + i * set->classes;
        double base = best_but(set, row, true, SIZE_MAX),
               other = best_but(set, row, false, set->class_of[i]);
        single += (base - BARE_SINGLE * row[set->class_of[i]]) / (double)set->rows;
        if (!episodes_can_leave_out(set, i))
            continue;
        own[owns++] = base - row[set->class_of[i]];
        if (isfinite(other))
            foreign[foreigns++] = base - other;
    }
    qsort(own, owns, sizeof *own, compare_doubles);
    qsort(foreign, foreigns, sizeof *foreign, compare_doubles);
    *bias = owns ? own[(size_t)(BARE_OWN * (double)(owns - 1))] : single;
    if (foreigns)
        *bias = fmin(*bias, foreign[(size_t)(BARE_FOREIGN * (double)(foreigns - 1))]);
    memory_free(&held);
    return 0;
}

int leave_one_out_calibrate(algebra *a, const model *m, const episodes *set,
                            calibration_result *out, float **scores, error *e)
{
    scoring t;
    calibration c = {0};
    *out = CALIBRATION_UNKNOWN;
    *scores = NULL;
    if (set->rows == 0)
        return 0;
    int status = scoring_new(a, m, set, &t, e);
    if (status == 0 && score_all(&t, e) < 0)
        status = -1;
    if (status == 0 && set->base_rows == 0 && set->base_classes > 0)
        status = bare_bias(set, t.scores, &out->bias, e);
    else if (status == 0 && (episodes_add_rows(set, t.scores, t.by_partner, &c, e) < 0 ||
                             episodes_calibrate(set, &c, out, e) < 0))
        status = -1;
    if (status == 0)
        *scores = t.scores;
    else
        free(t.scores);
    calibration_free(&c);
    memory_free(&t.held);
    return status;
}
