#include "selection.h"

#include "ridge.h"

#include <stdlib.h>
#include <string.h>

/* What is tried: both kinds, and lambdas around the usual one, for which another must be better by
 * NEAR. */
static const double factors[] = {1, 0.1, 0.31622776601683794, 3.1622776601683795, 10};
enum {
    FACTORS = sizeof factors / sizeof *factors,
    TRIED = 2 * FACTORS,
    HELD_OUT = 3 /* one row of so many */
};
#define NEAR 0.01

typedef struct {
    size_t *class_of;     /* [rows]: the base classes renumbered */
    size_t *place;        /* [classes]: of the model, to these numbers */
    size_t classes;       /* base classes */
    float *x;             /* [rows][dimension], normalised */
    float *fitted;        /* scratch: rows that a solution is made from, */
    int32_t *labels;      /* their classes, */
    float *judged;        /* those that judge it */
    size_t *judged_class; /* and their classes */
    contest rows[TRIED];
    double merit[TRIED];
} work;

static void work_free(work *w)
{
    free(w->class_of);
    free(w->place);
    free(w->x);
    free(w->fitted);
    free(w->labels);
    free(w->judged);
    free(w->judged_class);
    for (size_t i = 0; i < TRIED; i++)
        contest_free(&w->rows[i]);
}

static int work_new(algebra *a, const rehearsal *r, work *w, error *e)
{
    size_t rows = r->base_rows, n = r->dimension, bytes = (rows * n + 1) * sizeof(float);
    *w = (work){.class_of = malloc((rows + 1) * sizeof *w->class_of),
                .place = malloc(r->classes * sizeof *w->place),
                .x = malloc(bytes),
                .fitted = malloc(bytes),
                .judged = malloc(bytes),
                .labels = malloc((rows + 1) * sizeof *w->labels),
                .judged_class = malloc((rows + 1) * sizeof *w->judged_class)};
    if (!w->class_of || !w->place || !w->x || !w->fitted || !w->judged || !w->labels ||
        !w->judged_class)
        return error_set(e, "out of memory for a calibration of %zu rows", rows);
    for (size_t c = 0; c < r->classes; c++)
        w->place[c] = SIZE_MAX;
    for (size_t i = 0; i < rows; i++) {
        size_t c = r->class_of[i];
        if (w->place[c] == SIZE_MAX)
            w->place[c] = w->classes++;
        w->class_of[i] = w->place[c];
    }
    memcpy(w->x, r->embeddings, rows * n * sizeof *w->x);
    return a->normalise(a, w->x, rows, n, e);
}

/* The episode's play of that class, NULL for none. */
static const play *play_of(const rehearsal *r, const episode *x, size_t class_index)
{
    for (size_t k = x->first; k < x->first + x->count; k++)
        if (r->plays[k].class_index == class_index)
            return &r->plays[k];
    return NULL;
}

static bool is_fitted(const rehearsal *r, const episode *x, size_t row, size_t place_in_class)
{
    const play *p = play_of(r, x, r->class_of[row]);
    if (p)
        return row >= p->first && row < p->first + p->taken;
    return place_in_class % HELD_OUT != HELD_OUT - 1;
}

/* Parts the rows, and makes the problem of those that are fitted. */
static int pose(algebra *a, const rehearsal *r, const episode *x, work *w, ridge_problem *out,
                error *e)
{
    size_t n = r->dimension, fitted = 0, judged = 0;
    for (size_t i = 0, in_class = 0; i < r->base_rows; i++) {
        in_class = i > 0 && r->class_of[i] == r->class_of[i - 1] ? in_class + 1 : 0;
        bool fit = is_fitted(r, x, i, in_class);
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

static double shots_of(const rehearsal *r, const episode *x)
{
    double sum = 0;
    for (size_t k = x->first; k < x->first + x->count; k++)
        sum += 1 / (double)r->plays[k].taken;
    return (double)x->count / sum;
}

static int compare_rows(const void *a, const void *b)
{
    double x = ((const contestant *)a)->difference, y = ((const contestant *)b)->difference;
    return (x > y) - (x < y);
}

/* The best harmonic mean of base and novel accuracy over all biases. */
static double best_mean(contestant *rows, size_t count)
{
    double base = 0, novel = 0, right_base = 0, right_novel = 0, best = 0;
    qsort(rows, count, sizeof *rows, compare_rows);
    for (size_t i = 0; i < count; i++) {
        *(rows[i].novel ? &novel : &base) += 1;
        right_base += !rows[i].novel && rows[i].right;
    }
    for (size_t i = 0; i < count && base > 0 && novel > 0; i++) {
        *(rows[i].novel ? &right_novel : &right_base) +=
            rows[i].novel ? rows[i].right : -(double)rows[i].right;
        bool apart = i + 1 == count || rows[i + 1].difference > rows[i].difference;
        double a = right_base / base, c = right_novel / novel;
        if (apart && a > 0 && c > 0 && 2 * a * c / (a + c) > best)
            best = 2 * a * c / (a + c);
    }
    return best;
}

static int judge(const rehearsal *r, size_t k, const work *w, const ridge_solution *s, contest *out,
                 double *merit, error *e)
{
    const episode *x = &r->episodes[k];
    bool *novel = calloc(w->classes + 1, sizeof *novel);
    size_t first = out->count;
    if (!novel)
        return error_set(e, "out of memory");
    for (size_t p = x->first; p < x->first + x->count; p++)
        novel[w->place[r->plays[p].class_index]] = true;
    int status = 0;
    for (size_t i = 0; status == 0 && i < s->p->judged.rows; i++) {
        const float *scores = s->scores + i * w->classes;
        size_t best[2] = {SIZE_MAX, SIZE_MAX}, own = w->judged_class[i];
        for (size_t c = 0; c < w->classes; c++)
            if (best[novel[c]] == SIZE_MAX || scores[c] > scores[best[novel[c]]])
                best[novel[c]] = c;
        contestant found = {.difference = (double)scores[best[0]] - scores[best[1]],
                            .play = k + 1,
                            .novel = novel[own],
                            .right = best[novel[own]] == own};
        status = contest_add(out, found, e);
    }
    if (status == 0)
        *merit += best_mean(out->rows + first, out->count - first);
    free(novel);
    return status;
}

/* A network leaves less of what it was trained on to tell classes apart by, and of that B is made:
 * then the discriminant alone. */
static size_t first_tried(const rehearsal *r)
{
    return r->trained ? FACTORS * (size_t)RIDGE_DISCRIMINANT : 0;
}

static int play_episode(algebra *a, const rehearsal *r, size_t k, work *w, error *e)
{
    ridge_problem p;
    double shots = shots_of(r, &r->episodes[k]);
    if (pose(a, r, &r->episodes[k], w, &p, e) < 0)
        return -1;
    int status = 0;
    for (size_t i = first_tried(r); status == 0 && i < TRIED; i++) {
        ridge_solution s;
        status = ridge_solve(&p, (ridge_kind)(i / FACTORS),
                             factors[i % FACTORS] * RIDGE_USUAL / shots, &s, e);
        if (status < 0)
            break;
        status = judge(r, k, w, &s, &w->rows[i], &w->merit[i], e);
        ridge_solution_free(&s);
    }
    ridge_problem_free(&p);
    return status;
}

int episodes_choose(algebra *a, const rehearsal *r, episodes_choice *out, error *e)
{
    work w;
    size_t best = first_tried(r);
    int status = work_new(a, r, &w, e);
    for (size_t k = 0; status == 0 && k < r->episode_count; k++)
        status = play_episode(a, r, k, &w, e);
    for (size_t i = best; status == 0 && i < TRIED; i++) {
        if (w.merit[i] > w.merit[best] + NEAR * (double)r->episode_count)
            best = i;
    }
    if (status == 0) {
        *out = (episodes_choice){(ridge_kind)(best / FACTORS),
                                 factors[best % FACTORS] * RIDGE_USUAL, w.rows[best]};
        w.rows[best] = (contest){0};
    }
    work_free(&w);
    return status;
}
