#include "ridge.h"

#include "projection.h"
#include "scale.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Steps around RIDGE_SHOTS / n; the first is taken unless another does better by more than STEP_MERIT. */
static const double steps[] = {1, 0.1, 0.3, 3, 10};

#define STEPS (sizeof steps / sizeof *steps)
#define STEP_MERIT 0.01
#define LAMBDA_LEAST 0.003

/* Everything that does not depend on lambda. */
typedef struct {
    backend *b;
    model *m;
    const rehearsal *r;
    size_t classes, width, columns; /* columns: classes, plays, novel rows */
    double *count, *mean;           /* [classes], [classes][width] */
    double *covariance;             /* [width][width], its lower half */
    double level;                   /* its mean eigenvalue */
    float *features;                /* [r->rows][width] */
    double *right;                  /* [width][columns]: what is solved for */
} problem;

/* One lambda's solution. */
typedef struct {
    double *matrix, *solved; /* scratch [width][width]; [width][columns] */
    float *weight, *offset;  /* [classes + plays][width], [classes + plays] */
    float *scores, *played;  /* [rows][classes], [plays][base_rows] */
    double lambda;           /* whose solution it is; 0 before the first */
    outcome found;           /* how well it does, and the novel classes' best bias */
} solution;

bool ridge_possible(const model *m)
{
    return model_find(m, "statistics/gram") || model_find(m, "imprint/feature-gram");
}

static void problem_free(problem *p)
{
    free(p->count);
    free(p->mean);
    free(p->covariance);
    free(p->features);
    free(p->right);
}

static void solution_free(solution *s)
{
    free(s->matrix);
    free(s->solved);
    free(s->weight);
    free(s->offset);
    free(s->scores);
    free(s->played);
}

static const double *numbers(const model *m, const char *name)
{
    const tensor *t = model_find(m, name);
    return t ? t->data : NULL;
}

static double at(const double *numbers, size_t i)
{
    return numbers ? numbers[i] : 0;
}

/* The means from the sums of both groups. */
static int make_means(problem *p, error *e)
{
    const double *count = numbers(p->m, "statistics/count"), *sum = numbers(p->m, "statistics/sum");
    const double *added_sum = numbers(p->m, "imprint/feature-sum");
    const double *added = added_sum ? numbers(p->m, "imprint/count") : NULL;
    for (size_t c = 0; c < p->classes; c++) {
        double rows = p->count[c] = at(count, c) + at(added, c);
        if (rows == 0)
            return error_set(e,
                             "class %s has no sums of random features, which ridge needs; %s",
                             p->m->classes.names[c],
                             p->m->kinds[c] == CLASS_BASE ? "train with --statistics or give --base"
                                                          : "imprint it anew with --method ridge");
        for (size_t d = 0; d < p->width; d++) {
            size_t i = c * p->width + d;
            p->mean[i] = (at(sum, i) + at(added_sum, i)) / rows;
        }
    }
    return 0;
}

/* The covariance within classes: the Gram matrix less what the means make of it. */
static int make_covariance(problem *p, error *e)
{
    const double *gram = numbers(p->m, "statistics/gram"), *added = numbers(p->m, "imprint/feature-gram");
    double rows = 0, trace = 0;
    size_t n = p->width;
    for (size_t c = 0; c < p->classes; c++)
        rows += p->count[c];
    if (rows < (double)p->classes + 1)
        return error_set(e, "ridge needs more rows than classes; %.0f rows of %zu classes came", rows,
                         p->classes);
#pragma omp parallel for schedule(dynamic, 16)
    for (size_t i = 0; i < n; i++) {
        double *row = p->covariance + i * n;
        for (size_t j = 0; j <= i; j++)
            row[j] = at(gram, i * n + j) + at(added, i * n + j);
        for (size_t c = 0; c < p->classes; c++) {
            const double *mean = p->mean + c * n;
            double factor = p->count[c] * mean[i];
            for (size_t j = 0; j <= i; j++)
                row[j] -= factor * mean[j];
        }
        for (size_t j = 0; j <= i; j++)
            row[j] /= rows - (double)p->classes;
    }
    for (size_t i = 0; i < n; i++)
        trace += p->covariance[i * n + i];
    p->level = trace / (double)n;
    if (!(p->level > 1e-12))
        return error_set(e, "the rows of each class are all equal, so ridge finds no covariance within "
                            "classes; take --method mean");
    return 0;
}

static void put_column(problem *p, size_t column, const double *values)
{
    for (size_t d = 0; d < p->width; d++)
        p->right[d * p->columns + column] = values[d];
}

static int make_right(problem *p, error *e)
{
    double *values = malloc(p->width * sizeof *values);
    if (!values)
        return error_set(e, "out of memory");
    for (size_t c = 0; c < p->classes; c++)
        put_column(p, c, p->mean + c * p->width);
    for (size_t k = 0; k < p->r->play_count; k++) {
        rehearsal_play_mean(p->r, &p->r->plays[k], p->features, p->width, values);
        put_column(p, p->classes + k, values);
    }
    for (size_t i = p->r->base_rows; i < p->r->rows; i++) {
        for (size_t d = 0; d < p->width; d++)
            values[d] = p->features[i * p->width + d];
        put_column(p, p->classes + p->r->play_count + i - p->r->base_rows, values);
    }
    free(values);
    return 0;
}

static int problem_new(backend *b, model *m, const rehearsal *r, problem *p, error *e)
{
    projection projected;
    if (projection_of_model(m, &projected, e) < 0)
        return -1;
    size_t n = projected.count, classes = m->classes.count;
    *p = (problem){.b = b, .m = m, .r = r, .classes = classes, .width = n};
    p->columns = classes + r->play_count + r->rows - r->base_rows;
    p->count = calloc(classes, sizeof *p->count);
    p->mean = calloc(classes * n, sizeof *p->mean);
    p->covariance = calloc(n, n * sizeof *p->covariance);
    p->features = malloc((r->rows * n + 1) * sizeof *p->features);
    p->right = malloc(n * p->columns * sizeof *p->right);
    int status = 0;
    if (!p->count || !p->mean || !p->covariance || !p->features || !p->right)
        status = error_set(e, "out of memory for ridge with %zu features; take fewer", n);
    else if (make_means(p, e) < 0 || make_covariance(p, e) < 0 ||
             projection_features(&projected, b, r->embeddings, r->rows, p->features, e) < 0 ||
             make_right(p, e) < 0)
        status = -1;
    projection_free(&projected);
    if (status < 0)
        problem_free(p);
    return status;
}

static int solution_new(const problem *p, solution *s, error *e)
{
    size_t n = p->width, weights = p->classes + p->r->play_count;
    *s = (solution){.matrix = malloc(n * n * sizeof *s->matrix),
                    .solved = malloc(n * p->columns * sizeof *s->solved),
                    .weight = malloc(weights * n * sizeof *s->weight),
                    .offset = malloc(weights * sizeof *s->offset),
                    .scores = malloc((p->r->rows * p->classes + 1) * sizeof *s->scores),
                    .played = malloc((p->r->play_count * p->r->base_rows + 1) * sizeof *s->played)};
    if (s->matrix && s->solved && s->weight && s->offset && s->scores && s->played)
        return 0;
    solution_free(s);
    return error_set(e, "out of memory for ridge with %zu features; take fewer", n);
}

/* sum over d of a[d][i] b[d][j] of two arrays of columns. */
static double column_product(const problem *p, const double *a, size_t i, const double *b, size_t j)
{
    double sum = 0;
    for (size_t d = 0; d < p->width; d++)
        sum += a[d * p->columns + i] * b[d * p->columns + j];
    return sum;
}

/* The score of a novel row by its own class's weight without the row. */
static float score_without(const problem *p, const solution *s, size_t row)
{
    size_t own = p->r->class_of[row];
    size_t column = p->classes + p->r->play_count + row - p->r->base_rows;
    double n = p->count[own];
    double xw = column_product(p, p->right, column, s->solved, own);
    double xu = column_product(p, p->right, column, s->solved, column);
    double mw = column_product(p, p->right, own, s->solved, own);
    double score = (n * xw - xu) / (n - 1), length = (n * n * mw - 2 * n * xw + xu) / ((n - 1) * (n - 1));
    return (float)(score - length / 2);
}

static int score_rows(const problem *p, solution *s, error *e)
{
    const rehearsal *r = p->r;
    size_t n = p->width;
    if (p->b->scores(p->b, p->features, r->rows, n, s->weight, p->classes, s->scores, e) < 0 ||
        p->b->scores(p->b, s->weight + p->classes * n, r->play_count, n, p->features, r->base_rows, s->played,
                     e) < 0)
        return -1;
    for (size_t i = 0; i < r->rows * p->classes; i++)
        s->scores[i] += s->offset[i % p->classes];
    for (size_t i = 0; i < r->play_count * r->base_rows; i++)
        s->played[i] += s->offset[p->classes + i / r->base_rows];
#pragma omp parallel for schedule(static)
    for (size_t i = r->base_rows; i < r->rows; i++)
        if (p->count[r->class_of[i]] > 1)
            s->scores[i * p->classes + r->class_of[i]] = score_without(p, s, i);
    return 0;
}

static int judge(const problem *p, solution *s, error *e)
{
    s->found = (outcome){.plays = -1};
    if (p->r->base_classes == 0) {
        s->found.merit = rehearsal_accuracy(p->r, s->scores);
        return 0;
    }
    contest c = {0};
    int status = rehearsal_contest(p->r, s->scores, s->played, &c, e);
    if (status == 0)
        status = contest_judge(&c, &s->found, e);
    contest_free(&c);
    return status;
}

static int solve(const problem *p, double lambda, solution *s, error *e)
{
    size_t n = p->width;
    memcpy(s->matrix, p->covariance, n * n * sizeof *s->matrix);
    memcpy(s->solved, p->right, n * p->columns * sizeof *s->solved);
    if (p->b->solve(p->b, s->matrix, n, lambda * p->level, s->solved, p->columns, e) < 0)
        return -1;
    for (size_t k = 0; k < p->classes + p->r->play_count; k++) {
        for (size_t d = 0; d < n; d++)
            s->weight[k * n + d] = (float)s->solved[d * p->columns + k];
        s->offset[k] = (float)(-column_product(p, p->right, k, s->solved, k) / 2);
    }
    s->lambda = lambda;
    return score_rows(p, s, e) < 0 ? -1 : judge(p, s, e);
}

/* The harmonic mean of the classes' rows: of the novel classes, or of all where none is. */
static double shots_of(const problem *p)
{
    bool novel = p->r->base_classes < p->classes;
    double count = 0, sum = 0;
    for (size_t c = 0; c < p->classes; c++)
        if (!novel || !p->r->is_base[c]) {
            count += 1;
            sum += 1 / p->count[c];
        }
    return count / sum;
}

/* The usual one is tried last, so that its solution is there when it is taken. */
static int choose(const problem *p, solution *s, double *lambda, error *e)
{
    double usual = RIDGE_SHOTS / shots_of(p), merit[STEPS];
    *lambda = usual > LAMBDA_LEAST ? usual : LAMBDA_LEAST;
    if (p->r->rows == 0)
        return 0;
    for (size_t i = STEPS; i-- > 0;) {
        double tried = i > 0 ? steps[i] * usual : *lambda;
        merit[i] = -1;
        if (tried < LAMBDA_LEAST)
            continue;
        if (solve(p, tried, s, e) < 0)
            return -1;
        merit[i] = s->found.merit;
    }
    for (size_t i = 1, best = 0; i < STEPS; i++)
        if (merit[i] > merit[best] + STEP_MERIT) {
            best = i;
            *lambda = steps[i] * usual;
        }
    return 0;
}

static void add_bias(const problem *p, float *scores, double bias)
{
    for (size_t i = 0; i < p->r->rows * p->classes; i++)
        if (!p->r->is_base[i % p->classes])
            scores[i] += (float)bias;
}

/* Takes the classes' mean from each number in turn: it says nothing of the class, but would drown what the
 * height of the best score says of whether the row is of any class. */
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

static int store(const problem *p, const solution *s, double lambda, double bias, error *e)
{
    tensor *weight, *offset;
    model *m = p->m;
    if (model_put(m, "ridge/weight", TYPE_F32, 2, (size_t[]){p->classes, p->width}, &weight, e) < 0 ||
        model_put(m, "head/bias", TYPE_F32, 1, &p->classes, &offset, e) < 0)
        return -1;
    add_bias(p, s->scores, bias);
    double scale = scale_fit(p->r, s->scores);
    float *w = model_find(m, "ridge/weight")->data, *o = offset->data;
    for (size_t i = 0; i < p->classes * p->width; i++)
        w[i] = (float)(scale * s->weight[i]);
    centre(w, p->classes, p->width);
    for (size_t c = 0; c < p->classes; c++)
        o[c] = (float)(scale * (s->offset[c] + (p->r->is_base[c] ? 0 : bias)));
    centre(o, p->classes, 1);
    if (model_note_number(m, "made/lambda", lambda) < 0 || model_note_number(m, "made/bias", scale * bias) < 0)
        return error_set(e, "out of memory");
    return 0;
}

int ridge_make(backend *b, model *m, double lambda, bool calibrate, double least, const rehearsal *r, error *e)
{
    problem p;
    solution s;
    if (problem_new(b, m, r, &p, e) < 0)
        return -1;
    if (solution_new(&p, &s, e) < 0) {
        problem_free(&p);
        return -1;
    }
    int status = lambda > 0 ? 0 : choose(&p, &s, &lambda, e);
    if (status == 0 && s.lambda != lambda)
        status = solve(&p, lambda, &s, e);
    if (status == 0)
        status = s.found.plays < least ? 1 : store(&p, &s, lambda, calibrate ? s.found.bias : 0, e);
    solution_free(&s);
    problem_free(&p);
    return status;
}
