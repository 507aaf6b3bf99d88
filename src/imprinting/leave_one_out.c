#include "leave_one_out.h"

#include "class_weight.h"
#include "classifier.h"
#include "proxies.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FOLDS 4

typedef struct {
    algebra *a;
    const model *m;
    const rehearsal *r;
    weighting how;
    size_t proxies;         /* a class; 0 for means */
    float *entering;        /* [rows][dimension]: embeddings as they enter the sums */
    float *facing;          /* and as the head sees them */
    float *scores, *played; /* as rehearsal_contest takes them */
    double *sum;            /* scratch: one sum, */
    float *weight;          /* one class's weights, */
    float *others;          /* and some rows */
} trial;

static void trial_free(trial *t)
{
    free(t->entering);
    free(t->facing);
    free(t->scores);
    free(t->played);
    free(t->sum);
    free(t->weight);
    free(t->others);
}

static int trial_new(algebra *a, const model *m, const rehearsal *r, trial *t, error *e)
{
    const tensor *proxies = model_find(m, "proxies/weight");
    *t = (trial){
        .a = a, .m = m, .r = r, .how = weighting_of(m), .proxies = proxies ? proxies->shape[1] : 0};
    size_t n = t->how.dimension, bytes = (r->rows * n + 1) * sizeof *t->entering;
    t->entering = malloc(bytes);
    t->facing = malloc(bytes);
    t->others = malloc(bytes);
    t->scores = malloc((r->rows * r->classes + 1) * sizeof *t->scores);
    t->played = malloc((r->play_count * r->base_rows + 1) * sizeof *t->played);
    t->sum = malloc(n * sizeof *t->sum);
    t->weight = malloc((t->proxies + 1) * n * sizeof *t->weight);
    if (!t->entering || !t->facing || !t->others || !t->scores || !t->played || !t->sum ||
        !t->weight)
        return error_set(e, "out of memory for a calibration of %zu rows", r->rows);
    memcpy(t->entering, r->embeddings, r->rows * n * sizeof *t->entering);
    memcpy(t->facing, r->embeddings, r->rows * n * sizeof *t->facing);
    if ((t->how.norm == NORM_L2 && a->normalise(a, t->entering, r->rows, n, e) < 0) ||
        (t->how.head == HEAD_COSINE && a->normalise(a, t->facing, r->rows, n, e) < 0))
        return -1;
    return 0;
}

/* The score by the weights in t->weight. */
static float score(const trial *t, size_t row)
{
    size_t n = t->how.dimension;
    float best = weight_score(&t->how, t->facing + row * n, t->weight);
    for (size_t k = 1; k < t->proxies; k++) {
        float other = weight_score(&t->how, t->facing + row * n, t->weight + k * n);
        best = other > best ? other : best;
    }
    return best;
}

/* ---- novel rows ---- */

static void score_by_mean_without(trial *t, size_t row)
{
    size_t n = t->how.dimension, own = t->r->class_of[row];
    const double *whole = (const double *)model_find(t->m, "imprint/sum")->data + own * n;
    double count = t->r->shots[own] - 1;
    for (size_t d = 0; d < n; d++)
        t->sum[d] = whole[d] - t->entering[row * n + d];
    if (count > 0 && weight_from_sum(&t->how, t->sum, count, t->weight) == 0)
        t->scores[row * t->r->classes + own] = score(t, row);
}

static int make_proxies(trial *t, const float *rows, size_t count, error *e)
{
    if (proxies_of_rows(t->a, rows, count, t->how.dimension, t->proxies, 0, t->weight, e) < 0)
        return -1;
    for (size_t i = 0; i < t->proxies * t->how.dimension; i++)
        t->weight[i] *= (float)t->how.length;
    return 0;
}

/* Rows [first, first + count) are those of one class. */
static int score_folds(trial *t, size_t first, size_t count, error *e)
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
            t->scores[(first + i) * t->r->classes + t->r->class_of[first]] = score(t, first + i);
    }
    return 0;
}

static int score_novel(trial *t, error *e)
{
    const rehearsal *r = t->r;
    for (size_t i = r->base_rows, last; i < r->rows; i = last) {
        for (last = i; last < r->rows && r->class_of[last] == r->class_of[i];)
            last++;
        if (t->proxies && score_folds(t, i, last - i, e) < 0)
            return -1;
        for (size_t row = i; !t->proxies && row < last; row++)
            score_by_mean_without(t, row);
    }
    return 0;
}

/* ---- plays ---- */

static int score_play(trial *t, size_t k, error *e)
{
    size_t n = t->how.dimension, rows = t->r->base_rows;
    const play *p = &t->r->plays[k];
    if (t->proxies) {
        if (make_proxies(t, t->entering + p->first * n, p->taken, e) < 0)
            return -1;
    } else {
        if (rehearsal_play_mean(t->r, p, t->entering, n, t->sum, e) < 0)
            return -1;
        if (weight_from_sum(&t->how, t->sum, 1, t->weight) < 0)
            memset(t->weight, 0, n * sizeof *t->weight);
    }
    for (size_t i = 0; i < rows; i++)
        t->played[k * rows + i] = score(t, i);
    return 0;
}

static int score_all(trial *t, error *e)
{
    classifier *c;
    if (classifier_new(t->a, t->m, &c, e) < 0)
        return -1;
    int status = classifier_scores(c, t->r->embeddings, t->r->rows, t->scores, e);
    classifier_free(c);
    if (status < 0 || score_novel(t, e) < 0)
        return -1;
    for (size_t k = 0; k < t->r->play_count; k++)
        if (score_play(t, k, e) < 0)
            return -1;
    return 0;
}

static int compare_numbers(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static float best_but(const rehearsal *r, const float *scores, bool base, size_t but)
{
    float best = -INFINITY;
    for (size_t c = 0; c < r->classes; c++)
        if (r->is_base[c] == base && c != but && scores[c] > best)
            best = scores[c];
    return best;
}

int trial_bare_bias(const rehearsal *r, const float *scores, double *bias, error *e)
{
    double *own = malloc((r->rows + 1) * sizeof *own),
           *foreign = malloc((r->rows + 1) * sizeof *foreign), single = 0;
    size_t owns = 0, foreigns = 0;
    if (!own || !foreign) {
        free(own);
        free(foreign);
        return error_set(e, "out of memory for a calibration of %zu rows", r->rows);
    }
    for (size_t i = 0; i < r->rows; i++) {
        const float *row = scores + i * r->classes;
        double base = best_but(r, row, true, SIZE_MAX),
               other = best_but(r, row, false, r->class_of[i]);
        single += (base - TRIAL_SINGLE * row[r->class_of[i]]) / (double)r->rows;
        if (!rehearsal_leaves_out(r, i))
            continue;
        own[owns++] = base - row[r->class_of[i]];
        if (isfinite(other))
            foreign[foreigns++] = base - other;
    }
    qsort(own, owns, sizeof *own, compare_numbers);
    qsort(foreign, foreigns, sizeof *foreign, compare_numbers);
    *bias = owns ? own[(size_t)(TRIAL_OWN * (double)(owns - 1))] : single;
    if (foreigns)
        *bias = fmin(*bias, foreign[(size_t)(TRIAL_FOREIGN * (double)(foreigns - 1))]);
    free(own);
    free(foreign);
    return 0;
}

int trial_judge(algebra *a, const model *m, const rehearsal *r, outcome *out, float **scores,
                error *e)
{
    trial t;
    contest c = {0};
    *out = (outcome){.plays = -1, .base = -1, .novel = -1};
    *scores = NULL;
    if (r->rows == 0)
        return 0;
    int status = trial_new(a, m, r, &t, e);
    if (status == 0 && score_all(&t, e) < 0)
        status = -1;
    if (status == 0 && r->base_rows == 0 && r->base_classes > 0)
        status = trial_bare_bias(r, t.scores, &out->bias, e);
    else if (status == 0 && (rehearsal_contest(r, t.scores, t.played, &c, e) < 0 ||
                             rehearsal_judge(r, &c, out, e) < 0))
        status = -1;
    if (status == 0) {
        *scores = t.scores;
        t.scores = NULL;
    }
    contest_free(&c);
    trial_free(&t);
    return status;
}
