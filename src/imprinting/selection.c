#include "selection.h"

#include "../../common/base/memory.h"
#include "ridge.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What is tried: both kinds, and lambdas around the usual one, for which another must be better by
 * NEAR, about what draws of the same shots differ by (examples/low-shot/results). Found by
 * ./peers.py --base there: above the other methods in 18 of 20 columns (its README). */
static const double factors[] = {1, 0.1, 0.31622776601683794, 3.1622776601683795, 10};
enum {
    FACTORS = sizeof factors / sizeof *factors,
    TRIED = 2 * FACTORS,
    HELD_OUT = 3 /* one row of so many */
};
#define NEAR 0.01

typedef struct {
    memory held;
    size_t *class_of;     /* [rows]: the base classes renumbered */
    size_t *place;        /* [classes]: of the model, to these numbers */
    size_t classes;       /* base classes */
    float *x;             /* [rows][dimension], normalised */
    float *fitted;        /* scratch: rows that a solution is made from, */
    int32_t *labels;      /* their classes, */
    float *judged;        /* those that judge it */
    size_t *judged_class; /* and their classes; */
    bool *novel;          /* [base classes]: the episode's partners */
    calibration rows[TRIED];
    double harmonic[TRIED];
} work;

static void work_free(work *w)
{
    memory_free(&w->held);
    for (size_t i = 0; i < TRIED; i++)
        calibration_free(&w->rows[i]);
}

static int work_new(algebra *a, const episodes *set, work *w, error *e)
{
    size_t rows = set->base_rows, n = set->dimension;
    *w = (work){0};
    w->class_of = memory_take(&w->held, rows + 1, sizeof *w->class_of);
    w->place = memory_take(&w->held, set->classes, sizeof *w->place);
    w->x = memory_take(&w->held, rows * n + 1, sizeof *w->x);
    w->fitted = memory_take(&w->held, rows * n + 1, sizeof *w->fitted);
    w->judged = memory_take(&w->held, rows * n + 1, sizeof *w->judged);
    w->labels = memory_take(&w->held, rows + 1, sizeof *w->labels);
    w->judged_class = memory_take(&w->held, rows + 1, sizeof *w->judged_class);
    w->novel = memory_take(&w->held, set->classes, sizeof *w->novel);
    if (w->held.failed)
        return error_set(e, "out of memory for a calibration of %zu rows", rows);
    for (size_t c = 0; c < set->classes; c++)
        w->place[c] = SIZE_MAX;
    for (size_t i = 0; i < rows; i++) {
        size_t c = set->class_of[i];
        if (w->place[c] == SIZE_MAX)
            w->place[c] = w->classes++;
        w->class_of[i] = w->place[c];
    }
    memcpy(w->x, set->embeddings, rows * n * sizeof *w->x);
    return a->normalise(a, w->x, rows, n, e);
}

static bool is_fitted(const episodes *set, const episode *x, size_t row, size_t place_in_class)
{
    const partner *p = episode_partner(set, x, set->class_of[row]);
    if (p)
        return row >= p->first && row < p->first + p->taken;
    return place_in_class % HELD_OUT != HELD_OUT - 1;
}

/* Parts the rows, and makes the problem of those that are fitted. */
static int pose(algebra *a, const episodes *set, const episode *x, work *w, ridge_problem *out,
                error *e)
{
    size_t n = set->dimension, fitted = 0, judged = 0;
    for (size_t i = 0, in_class = 0; i < set->base_rows; i++) {
        in_class = i > 0 && set->class_of[i] == set->class_of[i - 1] ? in_class + 1 : 0;
        bool fit = is_fitted(set, x, i, in_class);
        memcpy((fit ? w->fitted + fitted * n : w->judged + judged * n), w->x + i * n,
               n * sizeof *w->x);
        if (fit)
            w->labels[fitted++] = (int32_t)w->class_of[i];
        else
            w->judged_class[judged++] = w->class_of[i];
    }
    ridge_sums sums;
    ridge_rows rows = {judged, judged, w->judged, w->judged_class};
    if (ridge_sums_of_rows(a, w->fitted, w->labels, fitted, w->classes, n, &sums, e) < 0)
        return -1;
    return ridge_problem_new(a, &sums, &rows, out, e);
}

static double shots_of(const episodes *set, const episode *x)
{
    double sum = 0;
    for (size_t k = x->first; k < x->first + x->count; k++)
        sum += 1 / (double)set->partners[k].taken;
    return (double)x->count / sum;
}

/* The best harmonic mean of base and novel accuracy over all biases. */
static double best_mean(calibration_row *rows, size_t count)
{
    double base = 0, novel = 0, right_base = 0, right_novel = 0, best = 0;
    qsort(rows, count, sizeof *rows, compare_doubles); /* the margins */
    for (size_t i = 0; i < count; i++) {
        *(rows[i].novel ? &novel : &base) += 1;
        right_base += !rows[i].novel && rows[i].right;
    }
    for (size_t i = 0; i < count && base > 0 && novel > 0; i++) {
        *(rows[i].novel ? &right_novel : &right_base) +=
            rows[i].novel ? rows[i].right : -(double)rows[i].right;
        bool apart = i + 1 == count || rows[i + 1].margin > rows[i].margin;
        if (apart)
            best = fmax(best, harmonic_mean(right_base / base, right_novel / novel));
    }
    return best;
}

static int judge(const episodes *set, size_t k, const work *w, const ridge_solution *s,
                 calibration *out, double *harmonic, error *e)
{
    const episode *x = &set->episodes[k];
    bool *novel = w->novel;
    size_t first = out->count;
    memset(novel, 0, w->classes * sizeof *novel);
    for (size_t p = x->first; p < x->first + x->count; p++)
        novel[w->place[set->partners[p].class_index]] = true;
    int status = 0;
    for (size_t i = 0; status == 0 && i < s->p->judged.rows; i++) {
        const float *scores = s->scores + i * w->classes;
        size_t best[2] = {SIZE_MAX, SIZE_MAX}, own = w->judged_class[i];
        for (size_t c = 0; c < w->classes; c++)
            if (best[novel[c]] == SIZE_MAX || scores[c] > scores[best[novel[c]]])
                best[novel[c]] = c;
        calibration_row found = {.margin = (double)scores[best[0]] - scores[best[1]],
                                 .episode = k + 1,
                                 .novel = novel[own],
                                 .right = best[novel[own]] == own};
        status = calibration_add(out, found, e);
    }
    if (status == 0)
        *harmonic += best_mean(out->rows + first, out->count - first);
    return status;
}

/* A network leaves less of what it was trained on to tell classes apart by, and of that B is made:
 * then the discriminant alone. */
static size_t first_tried(const episodes *set)
{
    return set->trained ? FACTORS * (size_t)RIDGE_DISCRIMINANT : 0;
}

static int try_episode(algebra *a, const episodes *set, size_t k, work *w, error *e)
{
    ridge_problem p;
    double shots = shots_of(set, &set->episodes[k]);
    if (pose(a, set, &set->episodes[k], w, &p, e) < 0)
        return -1;
    int status = 0;
    for (size_t i = first_tried(set); status == 0 && i < TRIED; i++) {
        ridge_solution s;
        status = ridge_solve(&p, (ridge_kind)(i / FACTORS),
                             factors[i % FACTORS] * RIDGE_USUAL / shots, &s, e);
        if (status < 0)
            break;
        status = judge(set, k, w, &s, &w->rows[i], &w->harmonic[i], e);
        memory_free(&s.held);
    }
    memory_free(&p.held);
    return status;
}

int selection_make(algebra *a, const episodes *set, selection *out, error *e)
{
    work w;
    size_t best = first_tried(set);
    int status = work_new(a, set, &w, e);
    for (size_t k = 0; status == 0 && k < set->episode_count; k++)
        status = try_episode(a, set, k, &w, e);
    for (size_t i = best; status == 0 && i < TRIED; i++) {
        if (w.harmonic[i] > w.harmonic[best] + NEAR * (double)set->episode_count)
            best = i;
    }
    if (status == 0) {
        *out = (selection){(ridge_kind)(best / FACTORS), factors[best % FACTORS] * RIDGE_USUAL,
                           w.rows[best]};
        w.rows[best] = (calibration){0};
    }
    work_free(&w);
    return status;
}
