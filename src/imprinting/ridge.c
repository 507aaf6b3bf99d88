#include "ridge.h"

#include "projection.h"
#include "ridge_problem.h"
#include "selection.h"
#include "temperature.h"
#include "threshold.h"

#include <math.h>
#include <stdlib.h>

/* lambda: found with RIDGE_USUAL, as ridge.h says. */
#define STEP 3.1622776601683795 /* between lambdas that are tried, */
#define STEPS_UP 2              /* at most so many times above the usual one */
#define STEPS_DOWN 5            /* and below it */
#define STEP_LOSS 0.005         /* another is taken for a loss better by this share of it */
/* The temperature: found by the calibration error that examples/low-shot's ./peers.py prints: 0.048
 * on average from five shots on, 0.105 at most. At one shot nothing can be left out, and there is
 * only the spread to go by (see factor_of_shots): by ./spread.py on 13 sets its root gave 0.08 nats
 * less than a constant, each set with what the others chose; errors are 0.04 to 0.4 there. */
#define ONE_SHOT 0.75
#define USUAL_SPREAD 16    /* where ONE_SHOT holds; weighs as much as one pair of classes */
#define SPREAD_CLASSES 256 /* at most, from which the spread is found */
#define USUAL_ROWS 4       /* which weighs as much as so many rows left out */
/* Base rows are scored without themselves where there are fewer than so many times the features: of
 * more one hardly changes the solution. */
#define EXACT_ROWS 8

/* The problem of a model, its rows and episodes, and what it came to. */
typedef struct {
    model *m;
    const episodes *set;
    ridge_problem problem;
    double
        shots; /* the harmonic mean of the rows of novel classes, or of all where none is novel */
    ridge_solution best;
    calibration_result found; /* with base classes */
} fitting;

static void fitting_free(fitting *f)
{
    memory_free(&f->best.held);
    memory_free(&f->problem.held);
}

static double shots_of(const episodes *set, const double *count)
{
    double classes = 0, sum = 0;
    for (size_t c = 0; c < set->classes; c++)
        if (set->base_classes == set->classes || !set->is_base[c]) {
            classes += 1;
            sum += 1 / count[c];
        }
    return classes / sum;
}

static int fitting_new(algebra *a, model *m, const episodes *set, fitting *out, error *e)
{
    projection projected;
    ridge_sums sums;
    if (projection_of_model(m, &projected, e) < 0)
        return -1;
    float *x = malloc((set->rows * projected.width + 1) * sizeof *x);
    int status = x ? 0 : error_set(e, "out of memory for the features of %zu rows", set->rows);
    *out = (fitting){.m = m, .set = set, .found = CALIBRATION_UNKNOWN};
    if (status == 0 && (projection_features(&projected, a, set->embeddings, set->rows, x, e) < 0 ||
                        ridge_sums_of_model(m, &sums, e) < 0))
        status = -1;
    if (status == 0) {
        double rows = 0;
        for (size_t c = 0; c < sums.classes; c++)
            rows += sums.count[c];
        bool many = rows >= EXACT_ROWS * (double)sums.width;
        ridge_rows judged = {set->rows, many ? set->base_rows : 0, x, set->class_of};
        status = ridge_problem_new(a, &sums, &judged, &out->problem, e);
    }
    if (status == 0)
        out->shots = shots_of(set, out->problem.count);
    projection_free(&projected);
    free(x);
    return status;
}

/* ---- without base classes ---- */

/* Whether some row can be left out. */
static bool can_choose(const episodes *set)
{
    for (size_t i = 0; i < set->rows; i++)
        if (episodes_can_leave_out(set, i))
            return true;
    return false;
}

/* Takes `now` for `best` where its loss is less by enough; frees the other. */
static bool take_better(ridge_solution *best, double *least, ridge_solution *now,
                        const episodes *set, double by)
{
    double loss;
    temperature_factor(set, now->scores, WEIGHTS_KINDS, &loss);
    bool better = loss < *least - by;
    if (better) {
        memory_free(&best->held);
        *best = *now;
        *least = loss;
    } else {
        memory_free(&now->held);
    }
    return better;
}

/* From the usual lambda up while it helps, else down. */
static int search(const fitting *f, ridge_kind kind, ridge_solution *best, double *least, error *e)
{
    double usual = RIDGE_USUAL / f->shots;
    if (ridge_solve(&f->problem, kind, usual, best, e) < 0)
        return -1;
    temperature_factor(f->set, best->scores, WEIGHTS_KINDS, least);
    for (int way = 1; way >= -1 && can_choose(f->set); way -= 2) {
        bool helped = false;
        double lambda = usual;
        for (int step = 0; step < (way > 0 ? STEPS_UP : STEPS_DOWN); step++) {
            ridge_solution now;
            lambda *= way > 0 ? STEP : 1 / STEP;
            if (ridge_solve(&f->problem, kind, lambda, &now, e) < 0)
                return -1;
            if (!take_better(best, least, &now, f->set, helped ? 0 : STEP_LOSS * *least))
                break;
            helped = true;
        }
        if (helped)
            break;
    }
    return 0;
}

static int fit_alone(fitting *f, error *e)
{
    double least, least_other;
    ridge_solution other;
    const double *trace = f->problem.trace;
    if (search(f, RIDGE_BALANCED, &f->best, &least, e) < 0)
        return -1;
    if (!can_choose(f->set) || trace[RIDGE_DISCRIMINANT] < 1e-9 * trace[RIDGE_BALANCED])
        return 0;
    if (search(f, RIDGE_DISCRIMINANT, &other, &least_other, e) < 0)
        return -1;
    take_better(&f->best, &least, &other, f->set, STEP_LOSS * least);
    return 0;
}

/* ---- beside base classes ---- */

static int fit_beside(algebra *a, fitting *f, error *e)
{
    selection chosen;
    if (selection_make(a, f->set, &chosen, e) < 0)
        return -1;
    int status = ridge_solve(&f->problem, chosen.kind, chosen.lambda / f->shots, &f->best, e);
    for (size_t i = 0; status == 0 && i < f->set->rows; i++)
        status = episodes_add_row(f->set, i, f->best.scores + i * f->set->classes, &chosen.rows, e);
    if (status == 0)
        status = episodes_calibrate(f->set, &chosen.rows, &f->found, e);
    calibration_free(&chosen.rows);
    return status;
}

/* ---- what is kept ---- */

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

static double product_of(const double *a, const double *b, size_t width)
{
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t d = 0; d < width; d++)
        sum += a[d] * b[d];
    return sum;
}

/* Over how many dimensions class means are spread: the products of independent directions in D
 * dimensions have 1 / D of the square of their lengths, beside what centring leaves. */
static double spread_of(const ridge_problem *p)
{
    size_t step = (p->classes + SPREAD_CLASSES - 1) / SPREAD_CLASSES;
    double squares = 0, lengths = 0, taken = 0, rest = 1 / ((double)p->classes - 1);
    for (size_t a = 0; a < p->classes; a += step, taken += 1)
        for (size_t b = 0; b <= a; b += step) {
            double g = product_of(p->mean + a * p->width, p->mean + b * p->width, p->width);
            squares += (a == b ? 1 : 2) * g * g;
            lengths += a == b ? g : 0;
        }
    if (!(lengths > 0))
        return USUAL_SPREAD;
    double pairs = taken * (taken - 1) / 2;
    double off = squares / (lengths * lengths) - 1 / taken - (1 - 1 / taken) * rest * rest;
    return (pairs + 1) / (pairs * fmax(off, 0) + 1.0 / USUAL_SPREAD);
}

/* Where no row can be left out, what a class's mean scores above the others by is taken for the
 * logarithm of a few times as many odds as there are classes. A new row's chance likeness to the
 * other classes is the less the more dimensions there are, by the root of their number. */
static double factor_of_shots(const fitting *f)
{
    double length = 0, classes = (double)f->problem.classes;
    for (size_t c = 0; c < f->problem.classes; c++)
        length += f->best.length[c] / (classes - 1);
    double odds = ONE_SHOT * (1 + log(classes)) * sqrt(spread_of(&f->problem) / USUAL_SPREAD);
    return length > 0 ? odds / length : 1;
}

/* That of the rows that were left out. Beside base classes these are mostly base rows, and many;
 * else few rows are outweighed by what is expected of any (examples/low-shot/peers.py prints the
 * calibration error). */
static double factor_of(const fitting *f)
{
    if (!can_choose(f->set))
        return factor_of_shots(f);
    double found = temperature_factor(f->set, f->best.scores, WEIGHTS_CLASSES, NULL);
    if (f->set->base_classes > 0 && f->set->base_classes < f->set->classes)
        return found;
    double rows = 0, usual = factor_of_shots(f);
    for (size_t i = 0; i < f->set->rows; i++)
        rows += episodes_can_leave_out(f->set, i);
    found = fmax(found, usual / 3);
    return exp((rows * log(found) + USUAL_ROWS * log(usual)) / (rows + USUAL_ROWS));
}

static int store(const fitting *f, double bias, fit_report *out, error *e)
{
    model *m = f->m;
    const ridge_problem *p = &f->problem;
    const ridge_solution *s = &f->best;
    for (size_t i = 0; i < f->set->rows * p->classes; i++)
        if (!f->set->is_base[i % p->classes])
            s->scores[i] += (float)bias;
    double factor = factor_of(f);
    float *w = model_part_put(m, PART_RIDGE_WEIGHT, p->width, e),
          *o = w ? model_part_put(m, PART_HEAD_BIAS, 0, e) : NULL;
    if (!o || known_scores_put(m, f->set, s->scores, factor, true, e) < 0)
        return -1;
    for (size_t k = 0; k < p->classes; k++) {
        double at_centre = 0;
        for (size_t d = 0; d < p->width; d++) {
            at_centre += p->centre[d] * s->weight[k * p->width + d];
            w[k * p->width + d] = (float)(factor * s->weight[k * p->width + d]);
        }
        double half = s->kind == RIDGE_DISCRIMINANT ? s->length[k] / 2 : 0;
        o[k] = (float)(factor * ((f->set->is_base[k] ? 0 : bias) - half - at_centre));
    }
    centre(w, p->classes, p->width);
    centre(o, p->classes, 1);
    *out = (fit_report){.method = METHOD_RIDGE,
                        .kind = ridge_kind_name(s->kind),
                        .lambda = s->lambda * (double)p->width,
                        .scale = factor,
                        .bias = factor * bias,
                        .base = f->found.base,
                        .novel = f->found.novel,
                        .alone = f->found.alone};
    return 0;
}

/* The share of rows left out that their own class scores highest, every class as often; -1 for
 * none. */
static int find_accuracy(const episodes *set, const float *scores, double *out, error *e)
{
    memory held = {0};
    double *right = memory_take(&held, set->classes, sizeof *right),
           *rows = memory_take(&held, set->classes, sizeof *rows);
    double sum = 0, classes = 0;
    int status = held.failed ? error_set(e, "out of memory") : 0;
    for (size_t i = 0; status == 0 && i < set->rows; i++) {
        size_t own = set->class_of[i], best = 0;
        if (!episodes_can_leave_out(set, i))
            continue;
        for (size_t c = 1; c < set->classes; c++)
            best = scores[i * set->classes + c] > scores[i * set->classes + best] ? c : best;
        right[own] += best == own;
        rows[own] += 1;
    }
    for (size_t c = 0; status == 0 && c < set->classes; c++) {
        sum += rows[c] > 0 ? right[c] / rows[c] : 0;
        classes += rows[c] > 0;
    }
    *out = classes > 0 ? sum / classes : -1;
    memory_free(&held);
    return status;
}

int ridge_make(algebra *a, model *m, const fit_settings *how, const episodes *set, fit_report *out,
               error *e)
{
    fitting f = {0};
    if (set->classes < 2)
        return error_set(
            e, "ridge tells classes from each other, and needs two classes; take --method mean");
    int status = fitting_new(a, m, set, &f, e);
    if (status == 0 && how->lambda > 0)
        status = ridge_solve(&f.problem, RIDGE_BALANCED, how->lambda / (double)f.problem.width,
                             &f.best, e);
    else if (status == 0)
        status = set->base_classes > 0 && set->base_classes < set->classes ? fit_beside(a, &f, e)
                                                                           : fit_alone(&f, e);
    if (status == 0)
        status = store(&f, how->calibrate > 0 ? f.found.bias : 0, out, e);
    if (status == 0 && out->base < 0)
        status = find_accuracy(set, f.best.scores, &out->novel, e);
    fitting_free(&f);
    return status;
}
