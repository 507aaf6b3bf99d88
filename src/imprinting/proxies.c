#include "proxies.h"

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
    double *nearest = malloc(rows * sizeof *nearest),
           *sums = malloc(count * dimension * sizeof *sums);
    uint32_t *group = calloc(rows, sizeof *group), *before = calloc(rows, sizeof *before);
    float *likeness = malloc(rows * sizeof *likeness);
    int status = 0;
    if (!nearest || !sums || !group || !before || !likeness)
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
    free(nearest);
    free(sums);
    free(group);
    free(before);
    free(likeness);
    return status;
}

/* ---- in a model ---- */

static void repeat_weight(const model *m, size_t class_index, size_t count, float *to)
{
    size_t n = m->net.dimension;
    const float *weight = (const float *)model_find(m, "head/weight")->data + class_index * n;
    for (size_t k = 0; k < count; k++)
        memcpy(to + k * n, weight, n * sizeof *to);
}

static int make_class(algebra *a, const model *m, size_t class_index, size_t count, uint64_t seed,
                      float *to, error *e)
{
    const tensor *sample = model_find(m, "imprint/sample");
    size_t n = m->net.dimension, rows = class_sample_rows(sample, class_index);
    if (rows < count)
        return error_set(e, "class %s: has %zu different rows, too few for %zu proxies",
                         m->classes.names[class_index], rows, count);
    float *unit = malloc(rows * n * sizeof *unit);
    if (!unit)
        return error_set(e, "out of memory for the proxies of %zu rows", rows);
    memcpy(unit, (const float *)sample->data + class_index * sample->shape[1] * n,
           rows * n * sizeof *unit);
    int status = a->normalise(a, unit, rows, n, e);
    if (status == 0)
        status = proxies_of_rows(a, unit, rows, n, count, seed, to, e);
    double length = weighting_of(m).length;
    for (size_t i = 0; status == 0 && i < count * n; i++)
        to[i] *= (float)length;
    free(unit);
    return status;
}

int proxies_make(algebra *a, model *m, error *e)
{
    tensor *t;
    double count = 0, seed = 0;
    model_get_number(m, "proxies/count", &count);
    model_get_number(m, "proxies/seed", &seed);
    if (!(count >= 1 && count <= PROXIES_MOST && seed >= 0 && seed <= 0x1p53))
        return error_set(e, "the model does not say how many proxies its classes have");
    size_t n = m->net.dimension, k = (size_t)count, shape[3] = {m->classes.count, k, n};
    if (model_put(m, "proxies/weight", TYPE_F32, 3, shape, &t, e) < 0)
        return -1;
    const tensor *shots = model_find(m, "imprint/count");
    for (size_t c = 0; c < m->classes.count; c++) {
        float *to = (float *)t->data + c * k * n;
        if (!shots || ((const double *)shots->data)[c] == 0)
            repeat_weight(m, c, k, to);
        else if (make_class(a, m, c, k, (uint64_t)seed, to, e) < 0)
            return -1;
    }
    return 0;
}
