#include "contest.h"

#include <math.h>
#include <stdlib.h>

#define SAME_MERIT 0.003 /* harmonic means this close are taken as equal, and the middle of them is taken */

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

/* merit[i] at a bias between rows i - 1 and i, for i = 0 to count; rows are sorted. */
static void sweep(const contest *c, double weight[2][2], double *merit)
{
    double base = 0, novel = 0;
    for (size_t i = 0; i < c->count; i++)
        if (!c->rows[i].novel && c->rows[i].right)
            base += weight[0][c->rows[i].played];
    for (size_t i = 0; i <= c->count; i++) {
        merit[i] = harmonic_mean(base, novel);
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

static double merit_without(const contest *c, const double *merit)
{
    size_t i = 0;
    while (i < c->count && c->rows[i].difference < 0)
        i++;
    return merit[i];
}

double contest_best(contest *c, double *bias)
{
    double weight[2][2];
    *bias = 0;
    if (!weigh(c, weight))
        return 0;
    double *merit = malloc((c->count + 1) * sizeof *merit), most = 0;
    if (!merit)
        return 0;
    qsort(c->rows, c->count, sizeof *c->rows, compare_differences);
    sweep(c, weight, merit);
    for (size_t i = 0; i <= c->count; i++)
        most = merit[i] > most ? merit[i] : most;
    size_t first = 0, last = c->count;
    while (first < c->count && merit[first] < most - SAME_MERIT)
        first++;
    while (last > first && merit[last] < most - SAME_MERIT)
        last--;
    if (most > merit_without(c, merit))
        *bias = (between(c, first) + between(c, last)) / 2;
    free(merit);
    return most;
}
