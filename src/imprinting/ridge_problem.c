#include "ridge_problem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NO_VARIANCE                                                                                \
    1e-9 /* of rows of length 1: less is rounding, as where all rows of a class are equal */

const char *ridge_kind_name(ridge_kind kind)
{
    return kind == RIDGE_BALANCED ? "balanced" : "discriminant";
}

static int out_of_memory(size_t width, error *e)
{
    return error_set(e, "out of memory for ridge with %zu features; take fewer", width);
}

/* ---- sums ---- */

static int sums_new(size_t classes, size_t width, ridge_sums *out, error *e)
{
    *out = (ridge_sums){.classes = classes, .width = width};
    out->count = memory_take(&out->held, classes, sizeof *out->count);
    out->sum = memory_take(&out->held, classes * width, sizeof *out->sum);
    out->gram = memory_take(&out->held, width * width, sizeof *out->gram);
    if (!out->held.failed)
        return 0;
    memory_free(&out->held);
    return out_of_memory(width, e);
}

static void add_numbers(double *to, const double *from, size_t count)
{
    for (size_t i = 0; from && i < count; i++)
        to[i] += from[i];
}

int ridge_sums_of_model(const model *m, ridge_sums *out, error *e)
{
    const class_sums groups[] = {sums_of(m, SUMS_BASE), sums_of(m, SUMS_IMPRINT)};
    size_t classes = m->classes.count, n = groups[0].gram ? groups[0].features : groups[1].features;
    if (n == 0)
        return error_set(e, "the model has no sums of features, which ridge needs");
    if (sums_new(classes, n, out, e) < 0)
        return -1;
    for (size_t g = 0; g < 2; g++) {
        if (!groups[g].gram)
            continue;
        add_numbers(out->count, groups[g].count, classes);
        add_numbers(out->sum, groups[g].feature_sum, classes * n);
        add_numbers(out->gram, groups[g].gram, n * n);
    }
    for (size_t c = 0; c < classes; c++) {
        if (out->count[c] > 0)
            continue;
        memory_free(&out->held);
        return error_set(e, "class %s has no sums of features, which ridge needs; %s",
                         m->classes.names[c],
                         m->kinds[c] == CLASS_BASE ? "train with --statistics or give --base"
                                                   : "imprint it anew with --method ridge");
    }
    return 0;
}

int ridge_sums_of_rows(algebra *a, const float *x, const int32_t *labels, size_t rows,
                       size_t classes, size_t width, ridge_sums *out, error *e)
{
    moments *running = NULL;
    if (sums_new(classes, width, out, e) < 0)
        return -1;
    int status = a->moments_new(a, width, classes, true, &running, e);
    if (status == 0)
        status = a->moments_add(a, running, x, labels, rows, e);
    if (status == 0)
        status = a->moments_get(a, running, out->sum, out->count, out->gram, e);
    if (running)
        a->moments_free(a, running);
    if (status < 0)
        memory_free(&out->held);
    return status;
}

/* ---- the problem ---- */

/* The sums become means. */
static void make_means(ridge_problem *p)
{
    for (size_t c = 0; c < p->classes; c++) {
        p->all_rows += p->count[c];
        for (size_t d = 0; d < p->width; d++) {
            p->mean[c * p->width + d] /= p->count[c];
            p->centre[d] += p->mean[c * p->width + d] / (double)p->classes;
        }
    }
}

/* W, in place of the Gram matrix, less what the means make of it; and W + B. The means are then
 * less the centre. */
static void make_matrices(ridge_problem *p)
{
    size_t n = p->width;
#pragma omp parallel for schedule(dynamic, 16)
    for (size_t i = 0; i < n; i++) {
        double *within = p->matrix[RIDGE_DISCRIMINANT] + i * n,
               *total = p->matrix[RIDGE_BALANCED] + i * n;
        for (size_t c = 0; c < p->classes; c++) {
            const double *mean = p->mean + c * n;
            double own = p->count[c] * mean[i],
                   between = (mean[i] - p->centre[i]) / (double)p->classes;
            for (size_t j = 0; j <= i; j++) {
                within[j] -= own * mean[j];
                total[j] += between * (mean[j] - p->centre[j]);
            }
        }
        for (size_t j = 0; j <= i; j++)
            within[j] /= p->all_rows;
        within[i] = within[i] > 0 ? within[i] : 0; /* but for rounding */
        for (size_t j = 0; j <= i; j++)
            total[j] += within[j];
    }
    for (size_t i = 0; i < n; i++)
        for (int k = 0; k < 2; k++)
            p->trace[k] += p->matrix[k][i * n + i];
    for (size_t c = 0; c < p->classes; c++)
        for (size_t d = 0; d < n; d++)
            p->mean[c * n + d] -= p->centre[d];
}

static void find_owners(ridge_problem *p)
{
    for (size_t c = 0; c < p->classes; c++)
        p->owner[c] = SIZE_MAX;
    for (size_t i = p->judged.first_exact; i < p->judged.rows; i++)
        p->owner[p->judged.class_of[i]] = 0;
    for (size_t c = 0; c < p->classes; c++)
        if (p->owner[c] == 0) {
            p->class_of_owner[p->owners] = c;
            p->owner[c] = p->owners++;
        }
}

/* What solutions are multiplied with: owners' means and rows. */
static void make_left(ridge_problem *p)
{
    size_t n = p->width;
    for (size_t o = 0; o < p->owners; o++)
        for (size_t d = 0; d < n; d++)
            p->left[o * n + d] = (float)p->mean[p->class_of_owner[o] * n + d];
    float *rows = p->left + p->owners * n;
    for (size_t i = 0; i < p->judged.rows; i++)
        for (size_t d = 0; d < n; d++)
            rows[i * n + d] = (float)(p->judged.x[i * n + d] - p->centre[d]);
}

int ridge_problem_new(algebra *a, ridge_sums *sums, const ridge_rows *judged, ridge_problem *out,
                      error *e)
{
    size_t n = sums->width, classes = sums->classes;
    ridge_problem p = {.a = a,
                       .classes = classes,
                       .width = n,
                       .count = sums->count,
                       .mean = sums->sum,
                       .matrix = {[RIDGE_DISCRIMINANT] = sums->gram},
                       .judged = *judged,
                       .held = sums->held};
    *sums = (ridge_sums){0};
    p.centre = memory_take(&p.held, n, sizeof *p.centre);
    p.matrix[RIDGE_BALANCED] = memory_take(&p.held, n * n, sizeof **p.matrix);
    p.owner = memory_take(&p.held, classes, sizeof *p.owner);
    p.class_of_owner = memory_take(&p.held, classes, sizeof *p.class_of_owner);
    if (!p.held.failed)
        find_owners(&p);
    p.left = memory_take(&p.held, (p.owners + judged->rows) * n + 1, sizeof *p.left);
    if (p.held.failed) {
        memory_free(&p.held);
        return out_of_memory(n, e);
    }
    make_means(&p);
    make_matrices(&p);
    make_left(&p);
    p.judged.x = NULL;
    *out = p;
    return 0;
}

/* ---- rows left out ---- */

enum { PARTS = 2 }; /* the row and its class's mean */

/* A symmetric change Q of the matrix in the span of the row and its class's mean. */
typedef struct {
    size_t mean;                 /* its place in `left` */
    double change[PARTS][PARTS]; /* Q, with respect to these two parts */
    double inner[PARTS][PARTS];  /* G: their products by the solution */
    double along[PARTS];         /* their products with the row */
    double apply[PARTS][PARTS];  /* (I + Q G)^-1 Q */
    double extra[PARTS];         /* what the row less the centre has become beside itself */
    double own[PARTS];           /* the class's mean without the row */
    double weigh[PARTS];         /* score of b = product(row, b) + weigh . products(parts, b) */
} change;

/* Q += factor v v^T, v = x row + y mean. */
static void add_outer(change *u, double factor, double x, double y)
{
    u->change[0][0] += factor * x * x;
    u->change[0][1] += factor * x * y;
    u->change[1][0] += factor * x * y;
    u->change[1][1] += factor * y * y;
}

/* apply = (I + Q G)^-1 Q, of two by two. */
static void solve_change(change *u)
{
    double a[PARTS][PARTS];
    for (size_t i = 0; i < PARTS; i++)
        for (size_t j = 0; j < PARTS; j++)
            a[i][j] =
                (i == j) + u->change[i][0] * u->inner[0][j] + u->change[i][1] * u->inner[1][j];
    double determinant = a[0][0] * a[1][1] - a[0][1] * a[1][0];
    /* It is the share that is left of A's determinant, which rounding can take to zero but no row
     * can. */
    determinant = determinant > 1e-6 ? determinant : 1e-6;
    for (size_t j = 0; j < PARTS; j++) {
        u->apply[0][j] = (a[1][1] * u->change[0][j] - a[0][1] * u->change[1][j]) / determinant;
        u->apply[1][j] = (a[0][0] * u->change[1][j] - a[1][0] * u->change[0][j]) / determinant;
    }
}

/* The row is taken out of its class's mean, and so out of W and B. */
static void leave_out(const ridge_solution *s, size_t row, change *u)
{
    const ridge_problem *p = s->p;
    size_t own = p->judged.class_of[row];
    const float *mean = s->product + p->owner[own] * p->classes,
                *x = s->product + (p->owners + row) * p->classes;
    double k = p->count[own], all = (double)p->classes, step = 1 / (k - 1);
    *u = (change){.mean = p->owner[own], .own = {-step, 1 + step}};
    add_outer(u, -k / (k - 1) / p->all_rows, 1, -1);
    if (s->kind == RIDGE_BALANCED) {
        add_outer(u, 1 / all, -step, 1 + step);
        add_outer(u, -1 / all, 0, 1);
        add_outer(u, -1, step / all, -step / all); /* the centre moves, too */
        u->extra[0] = step / all;
        u->extra[1] = -step / all;
    }
    u->along[0] = u->inner[0][0] = s->square[row];
    u->along[1] = u->inner[0][1] = u->inner[1][0] = x[own];
    u->inner[1][1] = mean[own];
    solve_change(u);
    double moved[PARTS];
    for (size_t a = 0; a < PARTS; a++)
        moved[a] = u->along[a] + u->inner[a][0] * u->extra[0] + u->inner[a][1] * u->extra[1];
    for (size_t a = 0; a < PARTS; a++)
        u->weigh[a] = u->extra[a] - u->apply[a][0] * moved[0] - u->apply[a][1] * moved[1];
}

/* v . apply . v */
static double apply_twice(const change *u, const double *v)
{
    double sum = 0;
    for (size_t a = 0; a < PARTS; a++)
        for (size_t b = 0; b < PARTS; b++)
            sum += v[a] * u->apply[a][b] * v[b];
    return sum;
}

/* The row's score by a vector of the two parts. */
static double score_along(const change *u, const double *v)
{
    double sum = 0;
    for (size_t a = 0; a < PARTS; a++)
        sum += (u->along[a] + u->inner[a][0] * u->weigh[0] + u->inner[a][1] * u->weigh[1]) * v[a];
    return sum;
}

/* The score of its own class, whose mean is without the row. A mean of fewer rows lies farther from
 * the centre by chance, for which its own part of A lowers all its scores: of that they have no
 * more here than by the whole class's mean. A = rest + M M^T / (classes - 1), so that score and
 * length by A are those by the rest times 1 - length / (classes - 1). Of the discriminant, where A
 * has no part of M, the length itself is taken halfway: the whole class's has a part of the row. */
static float own_score(const ridge_solution *s, size_t row, const change *u)
{
    double mean[PARTS], products[PARTS], length = 0, whole = s->length[s->p->judged.class_of[row]],
                                         others = (double)s->p->classes - 1;
    for (size_t a = 0; a < PARTS; a++)
        mean[a] = u->own[a] + u->extra[a];
    for (size_t a = 0; a < PARTS; a++) {
        products[a] = u->inner[a][0] * mean[0] + u->inner[a][1] * mean[1];
        length += products[a] * mean[a];
    }
    length -= apply_twice(u, products);
    if (s->kind == RIDGE_DISCRIMINANT)
        return (float)(score_along(u, mean) - (length + whole) / 4);
    double raise = fmax(1 - whole / others, 1e-6) / fmax(1 - length / others, 1e-6);
    return (float)(raise * score_along(u, mean) - score_along(u, u->extra));
}

static void score_without(const ridge_solution *s, size_t row, float *scores)
{
    const ridge_problem *p = s->p;
    change u;
    leave_out(s, row, &u);
    const float *mean = s->product + u.mean * p->classes,
                *x = s->product + (p->owners + row) * p->classes;
    for (size_t c = 0; c < p->classes; c++) {
        double products[PARTS] = {x[c], mean[c]},
               score = x[c] + u.weigh[0] * x[c] + u.weigh[1] * mean[c];
        if (s->kind == RIDGE_DISCRIMINANT)
            score -= (s->length[c] - apply_twice(&u, products)) / 2;
        scores[c] = (float)score;
    }
    scores[p->judged.class_of[row]] = own_score(s, row, &u);
}

static void score_row(const ridge_solution *s, size_t row, float *scores)
{
    const ridge_problem *p = s->p;
    if (row >= p->judged.first_exact && p->count[p->judged.class_of[row]] > 1) {
        score_without(s, row, scores);
        return;
    }
    const float *x = s->product + (p->owners + row) * p->classes;
    for (size_t c = 0; c < p->classes; c++)
        scores[c] = x[c] - (s->kind == RIDGE_DISCRIMINANT ? (float)(s->length[c] / 2) : 0);
}

/* ---- solving ---- */

/* Classes' means and the rows that are left out, as columns. */
static void make_right(const ridge_problem *p, size_t exact, double *right)
{
    size_t n = p->width, all = p->classes + exact;
    const float *rows = p->left + (p->owners + p->judged.first_exact) * n;
    for (size_t d = 0; d < n; d++) {
        double *to = right + d * all;
        for (size_t c = 0; c < p->classes; c++)
            to[c] = p->mean[c * n + d];
        for (size_t i = 0; i < exact; i++)
            to[p->classes + i] = rows[i * n + d];
    }
}

static void take_solved(ridge_solution *s, const double *solved, size_t exact)
{
    const ridge_problem *p = s->p;
    size_t n = p->width, all = p->classes + exact;
    const float *rows = p->left + (p->owners + p->judged.first_exact) * n;
#pragma omp parallel for schedule(static)
    for (size_t c = 0; c < p->classes; c++)
        for (size_t d = 0; d < n; d++) {
            s->weight[c * n + d] = (float)solved[d * all + c];
            s->length[c] += solved[d * all + c] * p->mean[c * n + d];
        }
    for (size_t d = 0; d < n; d++)
        for (size_t i = 0; i < exact; i++)
            s->square[p->judged.first_exact + i] +=
                solved[d * all + p->classes + i] * rows[i * n + d];
}

int ridge_solve(const ridge_problem *p, ridge_kind kind, double lambda, ridge_solution *out,
                error *e)
{
    size_t n = p->width, rows = p->judged.rows, exact = rows - p->judged.first_exact,
           left = p->owners + rows;
    ridge_solution s = {.p = p, .kind = kind, .lambda = lambda};
    memory scratch = {0};
    double *matrix = memory_take(&scratch, n * n, sizeof *matrix),
           *right = memory_take(&scratch, n * (p->classes + exact) + 1, sizeof *right);
    s.weight = memory_take(&s.held, p->classes * n + 1, sizeof *s.weight);
    s.length = memory_take(&s.held, p->classes + 1, sizeof *s.length);
    s.square = memory_take(&s.held, rows + 1, sizeof *s.square);
    s.product = memory_take(&s.held, left * p->classes + 1, sizeof *s.product);
    s.scores = memory_take(&s.held, rows * p->classes + 1, sizeof *s.scores);
    int status = scratch.failed || s.held.failed ? out_of_memory(n, e) : 0;
    if (status == 0) {
        make_right(p, exact, right);
        memcpy(matrix, p->matrix[kind], n * n * sizeof *matrix);
        status = p->a->solve(p->a, matrix, n, lambda * fmax(p->trace[kind], NO_VARIANCE), right,
                             p->classes + exact, e);
    }
    if (status == 0) {
        take_solved(&s, right, exact);
        status =
            left ? p->a->scores(p->a, p->left, left, n, s.weight, p->classes, s.product, e) : 0;
    }
    memory_free(&scratch);
    if (status < 0) {
        memory_free(&s.held);
        return -1;
    }
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < rows; i++)
        score_row(&s, i, s.scores + i * p->classes);
    *out = s;
    return 0;
}
