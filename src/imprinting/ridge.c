#include "ridge.h"

#include "known_scores.h"
#include "projection.h"
#include "ridge_problem.h"
#include "selection.h"
#include "temperature.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define STEP 3.1622776601683795 /* between lambdas that are tried, */
#define STEPS_UP 2              /* at most so many times above the usual one */
#define STEPS_DOWN 5            /* and below it */
#define STEP_LOSS 0.005         /* another is taken for a loss better by this share of it */
#define ONE_SHOT 0.75           /* see scale_of_shots, */
#define USUAL_ROWS 4            /* which weighs as much as so many rows left out */
#define EXACT_ROWS                                                                                 \
    8 /* base rows are scored without themselves where there are fewer than so many times the      \
         features */

bool ridge_possible(const model *m)
{
    return model_find(m, "statistics/gram") || model_find(m, "imprint/feature-gram");
}

/* The problem of a model, the rows of its rehearsal, and what it came to. */
typedef struct {
    model *m;
    const rehearsal *r;
    ridge_problem problem;
    double
        shots; /* the harmonic mean of the rows of novel classes, or of all where none is novel */
    ridge_solution best;
    outcome found; /* with base classes */
} fit;

static void fit_free(fit *f)
{
    ridge_solution_free(&f->best);
    ridge_problem_free(&f->problem);
}

static double shots_of(const rehearsal *r, const double *count)
{
    double classes = 0, sum = 0;
    for (size_t c = 0; c < r->classes; c++)
        if (r->base_classes == r->classes || !r->is_base[c]) {
            classes += 1;
            sum += 1 / count[c];
        }
    return classes / sum;
}

static int fit_new(algebra *a, model *m, const rehearsal *r, fit *out, error *e)
{
    projection projected;
    ridge_sums sums;
    if (projection_of_model(m, &projected, e) < 0)
        return -1;
    float *x = malloc((r->rows * projected.width + 1) * sizeof *x);
    int status = x ? 0 : error_set(e, "out of memory for the features of %zu rows", r->rows);
    *out = (fit){.m = m, .r = r, .found = {.plays = -1, .base = -1, .novel = -1}};
    if (status == 0 && (projection_features(&projected, a, r->embeddings, r->rows, x, e) < 0 ||
                        ridge_sums_of_model(m, &sums, e) < 0))
        status = -1;
    if (status == 0) {
        double rows = 0;
        for (size_t c = 0; c < sums.classes; c++)
            rows += sums.count[c];
        bool many = rows >= EXACT_ROWS * (double)sums.width;
        ridge_rows judged = {r->rows, many ? r->base_rows : 0, x, r->class_of};
        status = ridge_problem_new(a, &sums, &judged, &out->problem, e);
    }
    if (status == 0)
        out->shots = shots_of(r, out->problem.count);
    projection_free(&projected);
    free(x);
    return status;
}

/* ---- without base classes
 * ---------------------------------------------------------------------------------- */

/* Whether some row can be left out. */
static bool can_choose(const rehearsal *r)
{
    for (size_t i = 0; i < r->rows; i++)
        if (rehearsal_leaves_out(r, i))
            return true;
    return false;
}

/* Takes `now` for `best` where its loss is less by enough; frees the other. */
static bool take_better(ridge_solution *best, double *least, ridge_solution *now,
                        const rehearsal *r, double by)
{
    double loss;
    scale_fit(r, now->scores, &loss);
    bool better = loss < *least - by;
    if (better) {
        ridge_solution_free(best);
        *best = *now;
        *least = loss;
    } else {
        ridge_solution_free(now);
    }
    return better;
}

/* From the usual lambda up while it helps, else down. */
static int search(const fit *f, ridge_kind kind, ridge_solution *best, double *least, error *e)
{
    double usual = RIDGE_USUAL / f->shots;
    if (ridge_solve(&f->problem, kind, usual, best, e) < 0)
        return -1;
    scale_fit(f->r, best->scores, least);
    for (int way = 1; way >= -1 && can_choose(f->r); way -= 2) {
        bool helped = false;
        double lambda = usual;
        for (int step = 0; step < (way > 0 ? STEPS_UP : STEPS_DOWN); step++) {
            ridge_solution now;
            lambda *= way > 0 ? STEP : 1 / STEP;
            if (ridge_solve(&f->problem, kind, lambda, &now, e) < 0)
                return -1;
            if (!take_better(best, least, &now, f->r, helped ? 0 : STEP_LOSS * *least))
                break;
            helped = true;
        }
        if (helped)
            break;
    }
    return 0;
}

static int fit_alone(fit *f, error *e)
{
    double least, least_other;
    ridge_solution other;
    const double *trace = f->problem.trace;
    if (search(f, RIDGE_BALANCED, &f->best, &least, e) < 0)
        return -1;
    if (!can_choose(f->r) || trace[RIDGE_DISCRIMINANT] < 1e-9 * trace[RIDGE_BALANCED])
        return 0;
    if (search(f, RIDGE_DISCRIMINANT, &other, &least_other, e) < 0)
        return -1;
    take_better(&f->best, &least, &other, f->r, STEP_LOSS * least);
    return 0;
}

/* ---- beside base classes
 * ----------------------------------------------------------------------------------- */

static int fit_beside(algebra *a, fit *f, error *e)
{
    episodes_choice chosen;
    if (episodes_choose(a, f->r, &chosen, e) < 0)
        return -1;
    int status = ridge_solve(&f->problem, chosen.kind, chosen.lambda / f->shots, &f->best, e);
    for (size_t i = 0; status == 0 && i < f->r->rows; i++)
        status = rehearsal_judge_row(f->r, i, f->best.scores + i * f->r->classes, &chosen.rows, e);
    if (status == 0)
        status = rehearsal_judge(f->r, &chosen.rows, &f->found, e);
    contest_free(&chosen.rows);
    return status;
}

/* ---- what is kept
 * ---------------------------------------------------------------------------------------- */

/* Takes the classes' mean from each number in turn: it says nothing of the class, but would drown
 * what the height of the best score says of whether the row is of any class. */
static void centre(float *numbers, size_t classes, size_t width)
{
    for (size_t d = 0; d < width; d++) {
        double mean = 0;
        for (size_t c = 0; c < classes; c++)
            mean += numbers[c * width + d];
        mean /= (double)classes;
        for (size_t c = 0; c < classes; c++)
            numbers[c * width + d] -= (float)mean;
    }
}

/* Where no row can be left out, what a class's mean scores above the others by is taken for the
 * logarithm of a few times as many odds as there are classes, which promises too little more often
 * than too much. */
static double scale_of_shots(const fit *f)
{
    double length = 0, classes = (double)f->problem.classes;
    for (size_t c = 0; c < f->problem.classes; c++)
        length += f->best.length[c] / (classes - 1);
    return length > 0 ? ONE_SHOT * (1 + log(classes)) / length : 1;
}

/* That of the rows that were left out. Beside base classes these are mostly base rows, and many.
 * Else a row left out is scored by the mean of n - 1 rows where a new one is by that of n, which is
 * surer by about sqrt(n / (n - 1)); and few rows are outweighed by what is expected of any
 * (examples/low-shot/peers.py prints the calibration error). */
static double scale_of(const fit *f)
{
    double rows = 0, usual = scale_of_shots(f), n = f->shots > 2 ? f->shots : 2;
    if (!can_choose(f->r))
        return usual;
    double found = scale_fit(f->r, f->best.scores, NULL);
    if (f->r->base_classes > 0 && f->r->base_classes < f->r->classes)
        return found;
    for (size_t i = 0; i < f->r->rows; i++)
        rows += rehearsal_leaves_out(f->r, i);
    found = fmax(found * sqrt(n / (n - 1)), usual / 3);
    return exp((rows * log(found) + USUAL_ROWS * log(usual)) / (rows + USUAL_ROWS));
}

static int store(const fit *f, double bias, error *e)
{
    tensor *weight, *offset;
    model *m = f->m;
    const ridge_problem *p = &f->problem;
    const ridge_solution *s = &f->best;
    for (size_t i = 0; i < f->r->rows * p->classes; i++)
        if (!f->r->is_base[i % p->classes])
            s->scores[i] += (float)bias;
    double scale = scale_of(f);
    if (known_put(m, f->r, s->scores, scale, true, e) < 0 ||
        model_put(m, "ridge/weight", TYPE_F32, 2, (size_t[]){p->classes, p->width}, &weight, e) <
            0 ||
        model_put(m, "head/bias", TYPE_F32, 1, &p->classes, &offset, e) < 0)
        return -1;
    float *w = model_find(m, "ridge/weight")->data, *o = offset->data;
    for (size_t k = 0; k < p->classes; k++) {
        double at_centre = 0;
        for (size_t d = 0; d < p->width; d++) {
            at_centre += p->centre[d] * s->weight[k * p->width + d];
            w[k * p->width + d] = (float)(scale * s->weight[k * p->width + d]);
        }
        double half = s->kind == RIDGE_DISCRIMINANT ? s->length[k] / 2 : 0;
        o[k] = (float)(scale * ((f->r->is_base[k] ? 0 : bias) - half - at_centre));
    }
    centre(w, p->classes, p->width);
    centre(o, p->classes, 1);
    if (model_note_text(m, "made/kind", ridge_kind_name(s->kind)) < 0 ||
        model_note_number(m, "made/lambda", s->lambda * (double)p->width) < 0 ||
        model_note_number(m, "made/bias", scale * bias) < 0 ||
        model_note_number(m, "made/scale", scale) < 0)
        return error_set(e, "out of memory");
    return 0;
}

/* The share of rows left out that their own class scores highest, every class as often; -1 for
 * none. */
static int find_accuracy(const rehearsal *r, const float *scores, double *out, error *e)
{
    double *right = calloc(r->classes, sizeof *right), *rows = calloc(r->classes, sizeof *rows);
    double sum = 0, classes = 0;
    int status = right && rows ? 0 : error_set(e, "out of memory");
    for (size_t i = 0; status == 0 && i < r->rows; i++) {
        size_t own = r->class_of[i], best = 0;
        if (!rehearsal_leaves_out(r, i))
            continue;
        for (size_t c = 1; c < r->classes; c++)
            best = scores[i * r->classes + c] > scores[i * r->classes + best] ? c : best;
        right[own] += best == own;
        rows[own] += 1;
    }
    for (size_t c = 0; status == 0 && c < r->classes; c++) {
        sum += rows[c] > 0 ? right[c] / rows[c] : 0;
        classes += rows[c] > 0;
    }
    *out = classes > 0 ? sum / classes : -1;
    free(right);
    free(rows);
    return status;
}

int ridge_make(algebra *a, model *m, double lambda, bool calibrate, const rehearsal *r,
               outcome *found, error *e)
{
    fit f = {0};
    if (r->classes < 2)
        return error_set(
            e, "ridge tells classes from each other, and needs two classes; take --method mean");
    int status = fit_new(a, m, r, &f, e);
    if (status == 0 && lambda > 0)
        status =
            ridge_solve(&f.problem, RIDGE_BALANCED, lambda / (double)f.problem.width, &f.best, e);
    else if (status == 0)
        status = r->base_classes > 0 && r->base_classes < r->classes ? fit_beside(a, &f, e)
                                                                     : fit_alone(&f, e);
    if (status == 0)
        status = store(&f, calibrate ? f.found.bias : 0, e);
    if (status == 0 && f.found.base < 0)
        status = find_accuracy(r, f.best.scores, &f.found.novel, e);
    *found = f.found;
    fit_free(&f);
    return status;
}
