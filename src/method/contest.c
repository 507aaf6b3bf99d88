#include "contest.h"

#include <math.h>
#include <stdlib.h>

#define SAME_MERIT 0.003 /* harmonic means this close are taken as equal, and the middle of them is taken, */
#define VALLEY 0.02       /* unless it is worse than the best by more than this */

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

static int compare_differences(const void *a, const void *b)
{
    double x = ((const contestant *)a)->difference, y = ((const contestant *)b)->difference;
    return (x > y) - (x < y);
}

/* What one row of each kind weighs: [novel][played]; each kind's rows weigh 1 together. */
static bool weigh(const contest *c, double weight[2][2])
{
    double count[2][2] = {{0}};
    for (size_t i = 0; i < c->count; i++)
        count[c->rows[i].novel][c->rows[i].played] += 1;
    for (int novel = 0; novel < 2; novel++)
        if (count[novel][0] + count[novel][1] == 0)
            return false;
    bool real = count[1][0] > 0 && count[0][0] > 0, played = count[1][1] > 0 && count[0][1] > 0;
    double share = !played ? 1 : !real ? 0 : count[1][0] / (count[1][0] + CONTEST_PLAYED);
    for (int novel = 0; novel < 2; novel++) {
        weight[novel][0] = count[novel][0] > 0 ? share / count[novel][0] : 0;
        weight[novel][1] = count[novel][1] > 0 ? (1 - share) / count[novel][1] : 0;
    }
    return true;
}

static double harmonic_mean(double a, double b)
{
    return a > 0 && b > 0 ? 2 * a * b / (a + b) : 0;
}

/* Whether a bias can lie between rows i - 1 and i. */
static bool apart(const contest *c, size_t i)
{
    return i == 0 || i == c->count || c->rows[i - 1].difference < c->rows[i].difference;
}

/* merit[i] at a bias between rows i - 1 and i, for i = 0 to count, and 0 where there is none; rows are sorted. */
static void sweep(const contest *c, double weight[2][2], double *merit)
{
    double base = 0, novel = 0;
    for (size_t i = 0; i < c->count; i++)
        if (!c->rows[i].novel && c->rows[i].right)
            base += weight[0][c->rows[i].played];
    for (size_t i = 0; i <= c->count; i++) {
        merit[i] = apart(c, i) ? harmonic_mean(base, novel) : 0;
        if (i == c->count || !c->rows[i].right)
            continue;
        if (c->rows[i].novel)
            novel += weight[1][c->rows[i].played];
        else
            base -= weight[0][c->rows[i].played];
    }
}

/* A bias between rows i - 1 and i. */
static double between(const contest *c, size_t i)
{
    double low = c->rows[i ? i - 1 : 0].difference;
    double high = c->rows[i < c->count ? i : c->count - 1].difference;
    return (low + high) / 2;
}

/* The merit at any bias. */
static double merit_of(const contest *c, const double *merit, double bias)
{
    size_t i = 0;
    while (i < c->count && c->rows[i].difference < bias)
        i++;
    return merit[i];
}

/* The middle of the biases that are about as good as the best, merit[best]; where it lies in a valley between
 * two heights, the middle of the height of the best alone. */
static double middle(const contest *c, const double *merit, size_t best)
{
    double enough = merit[best] - SAME_MERIT;
    size_t first = 0, last = c->count;
    while (merit[first] < enough)
        first++;
    while (merit[last] < enough)
        last--;
    double bias = (between(c, first) + between(c, last)) / 2;
    if (merit_of(c, merit, bias) >= merit[best] - VALLEY)
        return bias;
    for (first = best; first > 0 && (merit[first - 1] >= enough || !apart(c, first - 1));)
        first--;
    for (last = best; last < c->count && (merit[last + 1] >= enough || !apart(c, last + 1));)
        last++;
    return (between(c, first) + between(c, last)) / 2;
}

double contest_best(contest *c, double *bias)
{
    double weight[2][2];
    *bias = 0;
    if (!weigh(c, weight))
        return 0;
    double *merit = malloc((c->count + 1) * sizeof *merit);
    if (!merit)
        return 0;
    qsort(c->rows, c->count, sizeof *c->rows, compare_differences);
    sweep(c, weight, merit);
    size_t best = 0;
    for (size_t i = 1; i <= c->count; i++)
        best = merit[i] > merit[best] ? i : best;
    double most = merit[best];
    if (most > merit_of(c, merit, 0))
        *bias = middle(c, merit, best);
    free(merit);
    return most;
}
