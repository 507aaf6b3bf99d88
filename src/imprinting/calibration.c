#include "calibration.h"

#include <math.h>
#include <stdlib.h>

/* Figures this close are taken as equal, and the middle of the flat stretch of the curve is taken:
 * draws differ by 0.01 and more (examples/low-shot/results). Not where it is worse than the best by
 * more than FLAT_LOSS, as between two heights: a run in twenty of unit/episodes' rows has such. */
#define FLAT 0.003
#define FLAT_LOSS 0.02

int calibration_add(calibration *c, calibration_row row, error *e)
{
    if (c->count == c->room) {
        size_t room = c->room ? 2 * c->room : 1024;
        calibration_row *rows = realloc(c->rows, room * sizeof *rows);
        if (!rows)
            return error_set(e, "out of memory for a calibration of %zu rows", room);
        c->rows = rows;
        c->room = room;
    }
    c->rows[c->count++] = row;
    return 0;
}

void calibration_free(calibration *c)
{
    free(c->rows);
    *c = (calibration){0};
}

int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* ---- the curve ---- */

/* Episode by episode, each one's rows by ascending margin; of equal ones base rows first: a bias
 * that makes a novel row right is above them. */
static int compare_rows(const void *a, const void *b)
{
    const calibration_row *x = a, *y = b;
    if (x->episode != y->episode)
        return x->episode < y->episode ? -1 : 1;
    if (x->margin != y->margin)
        return x->margin < y->margin ? -1 : 1;
    return (int)x->novel - (int)y->novel;
}

/* The seen-unseen curve: the sources' novel accuracy at each of the shares 0, 1 / steps, ... 1, and
 * the base accuracy at 0. */
typedef struct {
    size_t steps;                   /* the real base rows that are right */
    double base, base_rows;         /* their share of the real base rows, and the number of these */
    double *real, *episodes;        /* [steps + 1]: novel rows that are right, */
    double real_rows, episode_rows; /* of so many */
    balance how;
    double class_share[2]; /* of base and of novel classes among all */
    double prior_right;    /* of novel rows, told from the other novel classes */
    bool *open;            /* [steps + 1]: a bias comes to it; none parts rows of equal margins */
} curve;

/* Counts one episode, rows [first, last). A novel row is right from the share on that its place
 * among its episode's base rows gives. */
static void count_episode(const calibration *c, size_t first, size_t last, curve *k)
{
    bool real = c->rows[first].episode == 0;
    double right = 0, below = 0;
    for (size_t i = first; i < last; i++)
        right += !c->rows[i].novel && c->rows[i].right;
    for (size_t i = first; i < last && right > 0; i++) {
        const calibration_row *row = &c->rows[i];
        if (!row->novel) {
            below += row->right;
            continue;
        }
        *(real ? &k->real_rows : &k->episode_rows) += 1;
        size_t step = (size_t)ceil(below / right * (double)k->steps - 1e-9);
        (real ? k->real : k->episodes)[step] += row->right;
    }
}

static void count_rows(const calibration *c, curve *k)
{
    for (size_t first = 0, last; first < c->count; first = last) {
        for (last = first; last < c->count && c->rows[last].episode == c->rows[first].episode;)
            last++;
        count_episode(c, first, last, k);
    }
    for (size_t i = 1; i <= k->steps; i++) {
        k->real[i] += k->real[i - 1];
        k->episodes[i] += k->episodes[i - 1];
    }
}

double harmonic_mean(double a, double b)
{
    return a > 0 && b > 0 ? 2 * a * b / (a + b) : 0;
}

static double share_at(const curve *k, size_t step)
{
    return (double)step / (double)k->steps;
}

/* Of `classes` novel ones; 1 of a single one. */
static double prior_right(size_t classes)
{
    double odds = CALIBRATION_PRIOR_RIGHT / (1 - CALIBRATION_PRIOR_RIGHT);
    return classes > 1 ? odds / (odds + sqrt((double)classes - 1)) : 1;
}

/* The novel accuracy expected at a step. */
static double novel_at(const curve *k, size_t step)
{
    double share = share_at(k, step), episodes = k->episode_rows > 0 ? CALIBRATION_EPISODE_ROWS : 0;
    double spread = fmin(1, CALIBRATION_PRIOR_SPREAD * (1 - k->base) + 1e-9);
    double expected = k->prior_right * fmin(1, share / spread);
    double right = CALIBRATION_PRIOR_ROWS * expected + k->real[step];
    if (episodes > 0)
        right += episodes * k->episodes[step] / k->episode_rows;
    return right / (CALIBRATION_PRIOR_ROWS + episodes + k->real_rows);
}

static double figure_at(const curve *k, size_t step)
{
    if (!k->open[step])
        return 0;
    double base = k->base * (1 - share_at(k, step)), novel = novel_at(k, step);
    if (k->how.kind == BALANCE_ALL)
        return k->class_share[0] * base + k->class_share[1] * novel;
    /* Of equal novel accuracies the one that costs less. */
    if (k->how.kind == BALANCE_BASE)
        return share_at(k, step) <= k->how.share + 1e-12 ? novel + 1e-6 * base : 0;
    return harmonic_mean(base, novel);
}

static double best_of_episodes(const curve *k)
{
    double best = -1;
    for (size_t i = 0; k->episode_rows > 0 && i <= k->steps; i++)
        best = fmax(
            best, harmonic_mean(k->base * (1 - share_at(k, i)), k->episodes[i] / k->episode_rows));
    return best;
}

/* ---- the bias ---- */

static bool is_right_base(const calibration_row *row)
{
    return row->episode == 0 && !row->novel && row->right;
}

/* Which steps a bias comes to: between each two right base rows of different margins, and beyond
 * all. */
static void find_open(const calibration *c, curve *k)
{
    double last = -INFINITY;
    size_t step = 0;
    for (size_t i = 0; i < c->count; i++) {
        if (!is_right_base(&c->rows[i]))
            continue;
        k->open[step++] = c->rows[i].margin > last;
        last = c->rows[i].margin;
    }
    k->open[step] = true;
}

/* The step that a bias comes to: real base rows that are right and not above it. */
static size_t step_of(const calibration *c, double bias)
{
    size_t step = 0;
    for (size_t i = 0; i < c->count && c->rows[i].episode == 0 && c->rows[i].margin <= bias; i++)
        step += is_right_base(&c->rows[i]);
    return step;
}

/* The bias of an open step: over so many real base rows that are right and all rows under the next
 * of these, halfway to it. */
static double bias_of(const calibration *c, size_t step)
{
    double low = -INFINITY, high = INFINITY;
    for (size_t i = 0, base = 0; i < c->count && c->rows[i].episode == 0; i++)
        if (is_right_base(&c->rows[i]) && base++ == step)
            high = c->rows[i].margin;
    for (size_t i = 0; i < c->count && c->rows[i].episode == 0 && c->rows[i].margin < high; i++)
        low = c->rows[i].margin;
    if (isinf(low))
        return high - 1e-6 * (1 + fabs(high));
    return isinf(high) ? low + 1e-6 * (1 + fabs(low)) : (low + high) / 2;
}

/* The middle of the flat stretch: of the steps that are about as good as the best. */
static size_t flat_middle(const curve *k, size_t best)
{
    double sum = 0, count = 0;
    for (size_t i = 0; i <= k->steps; i++)
        if (figure_at(k, i) >= figure_at(k, best) - FLAT) {
            sum += (double)i;
            count += 1;
        }
    size_t step = (size_t)(sum / count + 0.5);
    return figure_at(k, step) >= figure_at(k, best) - FLAT_LOSS ? step : best;
}

/* Of the biases from none to the best one, or from the best one on where that is below none: the
 * first that is about as good. It takes the least from base classes. */
static size_t flat_begin(const curve *k, size_t none, size_t best)
{
    size_t step = none < best ? none : best;
    while (figure_at(k, step) < figure_at(k, best) - FLAT)
        step++;
    return step;
}

static void choose_bias(const calibration *c, const curve *k, calibration_result *out)
{
    size_t best = 0, step = step_of(c, 0);
    for (size_t i = 1; i <= k->steps; i++)
        best = figure_at(k, i) > figure_at(k, best) ? i : best;
    out->best = figure_at(k, best);
    out->episodes = best_of_episodes(k);
    if (out->best > figure_at(k, step) + FLAT) {
        step = k->how.kind == BALANCE_BASE  ? best
               : k->how.kind == BALANCE_ALL ? flat_begin(k, step, best)
                                            : flat_middle(k, best);
        out->bias = bias_of(c, step);
    }
    out->base = k->base * (1 - share_at(k, step));
    out->novel = novel_at(k, step);
    out->alone = k->base;
}

int calibration_choose_bias(calibration *c, balance how, const size_t classes[2],
                            calibration_result *out, error *e)
{
    double all = (double)(classes[0] + classes[1]);
    curve k = {.how = how,
               .class_share = {(double)classes[0] / all, (double)classes[1] / all},
               .prior_right = prior_right(classes[1])};
    bool novel = false;
    *out = CALIBRATION_UNKNOWN;
    for (size_t i = 0; i < c->count; i++) {
        const calibration_row *row = &c->rows[i];
        novel = novel || row->novel;
        k.base_rows += row->episode == 0 && !row->novel;
        k.steps += is_right_base(row);
    }
    if (k.steps == 0 || !novel)
        return 0;
    k.base = (double)k.steps / k.base_rows;
    k.real = calloc(k.steps + 1, sizeof *k.real);
    k.episodes = calloc(k.steps + 1, sizeof *k.episodes);
    k.open = calloc(k.steps + 1, sizeof *k.open);
    int status = 0;
    if (!k.real || !k.episodes || !k.open) {
        status = error_set(e, "out of memory for a calibration of %zu rows", c->count);
    } else {
        qsort(c->rows, c->count, sizeof *c->rows, compare_rows);
        count_rows(c, &k);
        find_open(c, &k);
        choose_bias(c, &k, out);
    }
    free(k.real);
    free(k.episodes);
    free(k.open);
    return status;
}
