#include "proxies.h"

#include "../../common/base/memory.h"
#include "../../common/base/random.h"
#include "class_weight.h"
#include "exemplars.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TURNS 50 /* at most; most end sooner, with no row changing its group */

typedef struct {
    uint64_t seed, next;
} draws;

static double draw_unit(draws *d)
{
    random_block block = random_philox(d->seed, d->next++, random_stream(RANDOM_KMEANS, 0, 0));
    return (double)block.v[0] / 4294967296.0;
}

/* ---- k-means++ ---- */

/* A row drawn with a chance in proportion to its weight; the last of them where all are zero. */
static size_t draw_row(draws *d, const double *weight, size_t rows)
{
    double total = 0;
    for (size_t i = 0; i < rows; i++)
        total += weight[i];
    double left = draw_unit(d) * total;
    for (size_t i = 0; i + 1 < rows; i++) {
        left -= weight[i];
        if (left < 0)
            return i;
    }
    return rows - 1;
}

/* The squared distance of unit vectors: 2 - 2 cos. */
static double distance(const float *a, const float *b, size_t dimension)
{
    double product = 0;
    for (size_t d = 0; d < dimension; d++)
        product += (double)a[d] * b[d];
    return product < 1 ? 2 - 2 * product : 0;
}

static void draw_centres(draws *d, const float *unit, size_t rows, size_t dimension, size_t count,
                         double *nearest, float *centres)
{
    for (size_t i = 0; i < rows; i++)
        nearest[i] = 1;
    for (size_t k = 0; k < count; k++) {
        size_t chosen = draw_row(d, nearest, rows);
        memcpy(centres + k * dimension, unit + chosen * dimension, dimension * sizeof *centres);
        for (size_t i = 0; i < rows; i++) {
            double now = distance(unit + i * dimension, centres + k * dimension, dimension);
            if (k == 0 || now < nearest[i])
                nearest[i] = now;
        }
    }
}

/* ---- k-means ---- */

/* Each group's mean, normalised; a group without rows, or whose mean has no direction, keeps its
 * centre. */
static void move_centres(const float *unit, size_t rows, size_t dimension, const uint32_t *group,
                         size_t count, double *sums, float *centres)
{
    memset(sums, 0, count * dimension * sizeof *sums);
    for (size_t i = 0; i < rows; i++)
        for (size_t d = 0; d < dimension; d++)
            sums[group[i] * dimension + d] += unit[i * dimension + d];
    for (size_t k = 0; k < count; k++) {
        double square = 0, *sum = sums + k * dimension;
        for (size_t d = 0; d < dimension; d++)
            square += sum[d] * sum[d];
        for (size_t d = 0; square > 1e-18 && d < dimension; d++)
            centres[k * dimension + d] = (float)(sum[d] / sqrt(square));
    }
}

int proxies_of_rows(algebra *a, const float *unit, size_t rows, size_t dimension, size_t count,
                    uint64_t seed, float *out, error *e)
{
    draws d = {.seed = seed};
    memory held = {0};
    double *nearest = memory_take(&held, rows, sizeof *nearest),
           *sums = memory_take(&held, count * dimension, sizeof *sums);
    uint32_t *group = memory_take(&held, rows, sizeof *group),
             *before = memory_take(&held, rows, sizeof *before);
    float *likeness = memory_take(&held, rows, sizeof *likeness);
    int status = 0;
    if (held.failed)
        status = error_set(e, "out of memory for %zu proxies of %zu rows", count, rows);
    else
        draw_centres(&d, unit, rows, dimension, count, nearest, out);
    for (int turn = 0; status == 0 && turn < TURNS; turn++) {
        status = a->assign(a, unit, rows, dimension, out, count, group, likeness, e);
        if (status < 0 || (turn > 0 && memcmp(group, before, rows * sizeof *group) == 0))
            break;
        memcpy(before, group, rows * sizeof *group);
        move_centres(unit, rows, dimension, group, count, sums, out);
    }
    memory_free(&held);
    return status;
}

/* ---- in a model ---- */

static void repeat_weight(const float *weight, size_t n, size_t count, float *to)
{
    for (size_t k = 0; k < count; k++)
        memcpy(to + k * n, weight, n * sizeof *to);
}

static int make_class(algebra *a, const class_sums *sums, const char *name, size_t class_index,
                      const fit_settings *s, double length, float *to, error *e)
{
    size_t n = sums->dimension, rows = exemplars_count(sums, class_index);
    if (rows < s->proxies)
        return error_set(e, "class %s: has %zu different rows, too few for %zu proxies", name, rows,
                         s->proxies);
    float *unit = malloc(rows * n * sizeof *unit);
    if (!unit)
        return error_set(e, "out of memory for the proxies of %zu rows", rows);
    memcpy(unit, exemplars_row(sums, class_index, 0), rows * n * sizeof *unit);
    int status = a->normalise(a, unit, rows, n, e);
    if (status == 0)
        status = proxies_of_rows(a, unit, rows, n, s->proxies, (uint64_t)s->proxies_seed, to, e);
    for (size_t i = 0; status == 0 && i < s->proxies * n; i++)
        to[i] *= (float)length;
    free(unit);
    return status;
}

int proxies_make(algebra *a, model *m, const fit_settings *s, error *e)
{
    size_t n = m->net.dimension, k = s->proxies;
    float *proxies = model_part_put(m, PART_PROXIES_WEIGHT, k, e);
    if (!proxies)
        return -1;
    class_sums sums = sums_of(m, SUMS_IMPRINT);
    const float *weight = model_part(m, PART_HEAD_WEIGHT);
    double length = class_weight_rule_of(m).length;
    int status = 0;
    for (size_t c = 0; status == 0 && c < sums.classes; c++) {
        if (sums_count(&sums, c) == 0)
            repeat_weight(weight + c * n, n, k, proxies + c * k * n);
        else
            status =
                make_class(a, &sums, m->classes.names[c], c, s, length, proxies + c * k * n, e);
    }
    return status;
}
