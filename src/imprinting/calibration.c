#include "calibration.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SAME_MERIT                                                                                 \
    0.003 /* harmonic means this close are taken as equal, and the middle of them is taken, */
#define VALLEY 0.02 /* unless it is worse than the best by more than this */

int balance_parse(const char *word, balance *out)
{
    char *end;
    *out = (balance){strcmp(word, "all") == 0 ? BALANCE_ALL : BALANCE_HARMONIC, 0};
    if (strncmp(word, "base:", 5) == 0) {
        *out = (balance){BALANCE_BASE, strtod(word + 5, &end)};
        return word[5] && !*end && out->share >= 0 && out->share <= 1 ? 0 : -1;
    }
    return out->kind == BALANCE_ALL || strcmp(word, "harmonic") == 0 ? 0 : -1;
}

int contest_add(contest *c, contestant row, error *e)
{
    if (c->count == c->room) {
        size_t room = c->room ? 2 * c->room : 1024;
        contestant *rows = realloc(c->rows, room * sizeof *rows);
        if (!rows)
            return error_set(e, "out of memory for a calibration of %zu rows", room);
        c->rows = rows;
        c->room = room;
    }
    c->rows[c->count++] = row;
    return 0;
}

void contest_free(contest *c)
{
    free(c->rows);
    *c = (contest){0};
}

/* ---- shares ---- */

/* Plays in turn, each one's rows by ascending difference; of equal ones base rows first: a bias
 * that makes a novel row right is above them. */
static int compare_rows(const void *a, const void *b)
{
    const contestant *x = a, *y = b;
    if (x->play != y->play)
        return x->play < y->play ? -1 : 1;
    if (x->difference != y->difference)
        return x->difference < y->difference ? -1 : 1;
    return (int)x->novel - (int)y->novel;
}

/* The sources' novel accuracy at each of the shares 0, 1 / steps, ... 1, and the base accuracy at
 * 0. */
typedef struct {
    size_t steps;                /* the real base rows that are right */
    double base, base_rows;      /* their share of the real base rows, and the number of these */
    double *real, *played;       /* [steps + 1]: novel rows that are right, */
    double real_rows, play_rows; /* of so many */
    balance how;
    double class_share[2]; /* of base and of novel classes among all */
    bool *open; /* [steps + 1]: a bias comes to it; none parts rows of equal differences */
} curves;

/* Counts the rows of one play, rows [first, last). A novel row is right from the share on that its
 * place among its play's base rows gives. */
static void count_play(const contest *c, size_t first, size_t last, curves *k)
{
    bool real = c->rows[first].play == 0;
    double right = 0, below = 0;
    for (size_t i = first; i < last; i++)
        right += !c->rows[i].novel && c->rows[i].right;
    for (size_t i = first; i < last && right > 0; i++) {
        const contestant *row = &c->rows[i];
        if (!row->novel) {
            below += row->right;
            continue;
        }
        *(real ? &k->real_rows : &k->play_rows) += 1;
        size_t step = (size_t)ceil(below / right * (double)k->steps - 1e-9);
        (real ? k->real : k->played)[step] += row->right;
    }
}

static void count_rows(const contest *c, curves *k)
{
    for (size_t first = 0, last; first < c->count; first = last) {
        for (last = first; last < c->count && c->rows[last].play == c->rows[first].play;)
            last++;
        count_play(c, first, last, k);
    }
    for (size_t i = 1; i <= k->steps; i++) {
        k->real[i] += k->real[i - 1];
        k->played[i] += k->played[i - 1];
    }
}

static double harmonic_mean(double a, double b)
{
    return a > 0 && b > 0 ? 2 * a * b / (a + b) : 0;
}

static double share_at(const curves *k, size_t step)
{
    return (double)step / (double)k->steps;
}

/* The novel accuracy expected at a step. */
static double novel_at(const curves *k, size_t step)
{
    double share = share_at(k, step), plays = k->play_rows > 0 ? CONTEST_PLAYED : 0;
    double spread = fmin(1, CONTEST_SPREAD * (1 - k->base) + 1e-9);
    double expected = CONTEST_RIGHT * fmin(1, share / spread);
    double right = CONTEST_PRIOR * expected + k->real[step];
    if (plays > 0)
        right += plays * k->played[step] / k->play_rows;
    return right / (CONTEST_PRIOR + plays + k->real_rows);
}

static double merit_at(const curves *k, size_t step)
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

static double merit_of_plays(const curves *k)
{
    double best = -1;
    for (size_t i = 0; k->play_rows > 0 && i <= k->steps; i++)
        best =
            fmax(best, harmonic_mean(k->base * (1 - share_at(k, i)), k->played[i] / k->play_rows));
    return best;
}

/* ---- the bias ---- */

static bool is_right_base(const contestant *row)
{
    return row->play == 0 && !row->novel && row->right;
}

/* Which steps a bias comes to: between each two right base rows of different differences, and
 * beyond all. */
static void find_open(const contest *c, curves *k)
{
    double last = -INFINITY;
    size_t step = 0;
    for (size_t i = 0; i < c->count; i++) {
        if (!is_right_base(&c->rows[i]))
            continue;
        k->open[step++] = c->rows[i].difference > last;
        last = c->rows[i].difference;
    }
    k->open[step] = true;
}

/* The step that a bias comes to: real base rows that are right and not above it. */
static size_t step_of(const contest *c, double bias)
{
    size_t step = 0;
    for (size_t i = 0; i < c->count && c->rows[i].play == 0 && c->rows[i].difference <= bias; i++)
        step += is_right_base(&c->rows[i]);
    return step;
}

/* The bias of an open step: over so many real base rows that are right and all rows under the next
 * of these, halfway to it. */
static double bias_of(const contest *c, size_t step)
{
    double low = -INFINITY, high = INFINITY;
    for (size_t i = 0, base = 0; i < c->count && c->rows[i].play == 0; i++)
        if (is_right_base(&c->rows[i]) && base++ == step)
            high = c->rows[i].difference;
    for (size_t i = 0; i < c->count && c->rows[i].play == 0 && c->rows[i].difference < high; i++)
        low = c->rows[i].difference;
    if (isinf(low))
        return high - 1e-6 * (1 + fabs(high));
    return isinf(high) ? low + 1e-6 * (1 + fabs(low)) : (low + high) / 2;
}

/* The middle of the steps that are about as good as the best. */
static size_t middle(const curves *k, size_t best)
{
    double sum = 0, count = 0;
    for (size_t i = 0; i <= k->steps; i++)
        if (merit_at(k, i) >= merit_at(k, best) - SAME_MERIT) {
            sum += (double)i;
            count += 1;
        }
    size_t step = (size_t)(sum / count + 0.5);
    return merit_at(k, step) >= merit_at(k, best) - VALLEY ? step : best;
}

static void choose_bias(const contest *c, const curves *k, outcome *out)
{
    size_t best = 0, step = step_of(c, 0);
    for (size_t i = 1; i <= k->steps; i++)
        best = merit_at(k, i) > merit_at(k, best) ? i : best;
    out->merit = merit_at(k, best);
    out->plays = merit_of_plays(k);
    if (out->merit > merit_at(k, step) + SAME_MERIT) {
        step = k->how.kind == BALANCE_BASE ? best : middle(k, best);
        out->bias = bias_of(c, step);
    }
    out->base = k->base * (1 - share_at(k, step));
    out->novel = novel_at(k, step);
}

int contest_judge(contest *c, balance how, const size_t classes[2], outcome *out, error *e)
{
    double all = (double)(classes[0] + classes[1]);
    curves k = {.how = how, .class_share = {(double)classes[0] / all, (double)classes[1] / all}};
    bool novel = false;
    *out = (outcome){.plays = -1, .base = -1, .novel = -1};
    for (size_t i = 0; i < c->count; i++) {
        const contestant *row = &c->rows[i];
        novel = novel || row->novel;
        k.base_rows += row->play == 0 && !row->novel;
        k.steps += is_right_base(row);
    }
    if (k.steps == 0 || !novel)
        return 0;
    k.base = (double)k.steps / k.base_rows;
    k.real = calloc(k.steps + 1, sizeof *k.real);
    k.played = calloc(k.steps + 1, sizeof *k.played);
    k.open = calloc(k.steps + 1, sizeof *k.open);
    int status = 0;
    if (!k.real || !k.played || !k.open) {
        status = error_set(e, "out of memory for a calibration of %zu rows", c->count);
    } else {
        qsort(c->rows, c->count, sizeof *c->rows, compare_rows);
        count_rows(c, &k);
        find_open(c, &k);
        choose_bias(c, &k, out);
    }
    free(k.real);
    free(k.played);
    free(k.open);
    return status;
}
