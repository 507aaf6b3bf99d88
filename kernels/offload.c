#include "offload.h"

#include "../common/base/threads.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct offload {
    algebra algebra;
    backend *cpu, *device; /* device NULL while it sleeps, and where there is none */
    char *name;
    backend_options options;
    offload_costs costs;
    bool asked; /* for the device */
    double gained;
    offload_told told;
    void *context;
};

/* Those of the CPU, and those of the device from when it took part. */
struct moments {
    size_t dimension, classes;
    bool gram, refused; /* refused: the device has no room for it */
    moments *own, *moved;
};

offload_costs offload_costs_of(int threads)
{
    /* tests/gpu/run measures them (tests/gpu/RESULTS.md: waking, and the line between CPU and GPU).
     * Waking took 0.3 s, and 0.9 s the first time; of scores, 16 threads made 7e10 operations a
     * second each and 2 threads 1.8e11; of sums in double, 1.1e11 and 7.6e10 together. Copies from
     * memory that is not page-locked are those measured, and the device is a Tesla T4: an H100
     * makes 2e12 operations a second in double, and is woken late rather than a T4 too soon. */
    double cores = threads_usable(threads);
    return (offload_costs){.start = 0.5,
                           .cpu = 6e10 * cores,
                           .cpu_double = 3e10 * sqrt(cores),
                           .device = 8e12,
                           .device_double = 2.5e11,
                           .link = 6e9};
}

static algebra *cpu_of(algebra *a)
{
    return &((offload *)a->own)->cpu->algebra;
}

/* ---- the choice ---- */

static void tell(offload *d, const char *why)
{
    if (d->told)
        d->told(d->context, why ? NULL : d->device, why);
}

static void wake(offload *d)
{
    error e = {""};
    backend_options options = d->options;
    options.device = d->name;
    d->asked = true;
    if (backend_open(&options, &d->device, NULL, &e) < 0)
        d->device = NULL;
    tell(d, d->device ? NULL : e.text);
}

/* Where a call of so many operations in float and in double is done, that copies so many bytes. */
static algebra *choose(offload *d, double singles, double doubles, double bytes)
{
    const offload_costs *c = &d->costs;
    double gain = singles / c->cpu + doubles / c->cpu_double - singles / c->device -
                  doubles / c->device_double - bytes / c->link;
    if (gain <= 0)
        return &d->cpu->algebra;
    d->gained += gain;
    if (!d->asked && d->gained > c->start)
        wake(d);
    return d->device ? &d->device->algebra : &d->cpu->algebra;
}

/* The same of [rows][dimension] by [count][dimension], in float. */
static algebra *choose_product(offload *d, size_t rows, size_t dimension, size_t count,
                               double results)
{
    double r = (double)rows, n = (double)dimension, k = (double)count;
    return choose(d, 2 * r * n * k, 0, 4 * (r * n + n * k + results));
}

/* ---- functions on embeddings ---- */

static int offload_scores(algebra *a, const float *embeddings, size_t rows, size_t dimension,
                          const float *weights, size_t classes, float *scores, error *e)
{
    algebra *on = choose_product(a->own, rows, dimension, classes, (double)rows * (double)classes);
    return on->scores(on, embeddings, rows, dimension, weights, classes, scores, e);
}

static int offload_features(algebra *a, const float *embeddings, size_t rows, size_t dimension,
                            const float *projection, size_t count, float *features, error *e)
{
    algebra *on = choose_product(a->own, rows, dimension, count, (double)rows * (double)count);
    return on->features(on, embeddings, rows, dimension, projection, count, features, e);
}

static int offload_assign(algebra *a, const float *embeddings, size_t rows, size_t dimension,
                          const float *centres, size_t count, uint32_t *nearest, float *similarity,
                          error *e)
{
    algebra *on = choose_product(a->own, rows, dimension, count, 2 * (double)rows);
    return on->assign(on, embeddings, rows, dimension, centres, count, nearest, similarity, e);
}

/* These read each number about once, and copying it takes as long. */
static int offload_top_k(algebra *a, const float *scores, size_t rows, size_t classes, size_t k,
                         uint32_t *index, float *value, error *e)
{
    algebra *on = cpu_of(a);
    return on->top_k(on, scores, rows, classes, k, index, value, e);
}
static int offload_normalise(algebra *a, float *embeddings, size_t rows, size_t dimension, error *e)
{
    algebra *on = cpu_of(a);
    return on->normalise(on, embeddings, rows, dimension, e);
}

static int offload_solve(algebra *a, double *matrix, size_t n, double ridge, double *right,
                         size_t columns, error *e)
{
    double side = (double)n, wide = (double)columns;
    algebra *on = choose(a->own, 0, side * side * side / 3 + 2 * side * side * wide,
                         8 * (side * side + 2 * side * wide));
    return on->solve(on, matrix, n, ridge, right, columns, e);
}

static int offload_eigen(algebra *a, double *matrix, size_t n, double *values, error *e)
{
    double side = (double)n;
    algebra *on = choose(a->own, 0, 9 * side * side * side, 16 * side * side);
    return on->eigen(on, matrix, n, values, e);
}

/* ---- sums ---- */

static void offload_moments_free(algebra *a, moments *m)
{
    offload *d = a->own;
    if (!m)
        return;
    if (m->own)
        cpu_of(a)->moments_free(cpu_of(a), m->own);
    if (m->moved)
        d->device->algebra.moments_free(&d->device->algebra, m->moved);
    free(m);
}

static int offload_moments_new(algebra *a, size_t dimension, size_t classes, bool gram,
                               moments **out, error *e)
{
    algebra *on = cpu_of(a);
    moments *m = calloc(1, sizeof *m);
    if (!m)
        return error_set(e, "out of memory for sums of embeddings");
    m->dimension = dimension;
    m->classes = classes;
    m->gram = gram;
    if (on->moments_new(on, dimension, classes, gram, &m->own, e) < 0) {
        m->own = NULL;
        offload_moments_free(a, m);
        return -1;
    }
    *out = m;
    return 0;
}

/* Begins the device's part, or finds that there is no room for it. */
static bool moved(offload *d, moments *m)
{
    error e = {""};
    algebra *on = &d->device->algebra;
    if (m->moved || m->refused)
        return m->moved != NULL;
    if (on->moments_new(on, m->dimension, m->classes, m->gram, &m->moved, &e) == 0)
        return true;
    m->moved = NULL;
    m->refused = true;
    tell(d, e.text);
    return false;
}

static int offload_moments_add(algebra *a, moments *m, const float *embeddings,
                               const int32_t *labels, size_t rows, error *e)
{
    offload *d = a->own;
    double r = (double)rows, n = (double)m->dimension;
    algebra *on = choose(d, 0, r * n + (m->gram ? r * n * n : 0), 4 * r * n);
    if (on == cpu_of(a) || !moved(d, m))
        return cpu_of(a)->moments_add(cpu_of(a), m->own, embeddings, labels, rows, e);
    return on->moments_add(on, m->moved, embeddings, labels, rows, e);
}

static void add_to(double *sums, const double *more, size_t count)
{
    for (size_t i = 0; i < count; i++)
        sums[i] += more[i];
}

static int offload_moments_get(algebra *a, moments *m, double *sums, double *counts, double *gram,
                               error *e)
{
    offload *d = a->own;
    size_t n = m->dimension, all = m->classes * n, square = gram && m->gram ? n * n : 0;
    if (cpu_of(a)->moments_get(cpu_of(a), m->own, sums, counts, gram, e) < 0)
        return -1;
    if (!m->moved)
        return 0;
    double *more = malloc((all + m->classes + square + 1) * sizeof *more);
    if (!more)
        return error_set(e, "out of memory for sums of embeddings");
    double *more_counts = more + all, *more_gram = more_counts + m->classes;
    int status = d->device->algebra.moments_get(&d->device->algebra, m->moved, more, more_counts,
                                                square ? more_gram : NULL, e);
    if (status == 0) {
        add_to(sums, more, all);
        add_to(counts, more_counts, m->classes);
        add_to(gram, more_gram, square);
    }
    free(more);
    return status;
}

/* ---- opening ---- */

algebra *offload_algebra(offload *o)
{
    return &o->algebra;
}

const backend *offload_cpu(const offload *o)
{
    return o->cpu;
}

void offload_close(offload *o)
{
    if (o->device)
        o->device->close(o->device);
    if (o->cpu)
        o->cpu->close(o->cpu);
    free(o->name);
    free(o);
}

static const algebra functions = {
    .scores = offload_scores,
    .top_k = offload_top_k,
    .normalise = offload_normalise,
    .features = offload_features,
    .assign = offload_assign,
    .moments_new = offload_moments_new,
    .moments_add = offload_moments_add,
    .moments_get = offload_moments_get,
    .moments_free = offload_moments_free,
    .solve = offload_solve,
    .eigen = offload_eigen,
};

int offload_open(const backend_options *options, const char *device, const offload_costs *costs,
                 offload_told told, void *context, offload **out, error *e)
{
    offload *o = calloc(1, sizeof *o);
    if (!o || !(o->name = strdup(device))) {
        free(o);
        return error_set(e, "out of memory");
    }
    o->algebra = functions;
    o->algebra.own = o;
    o->options = *options;
    o->options.precision = PRECISION_FP32; /* of embeddings always */
    o->options.device = "cpu";
    o->costs = *costs;
    o->told = told;
    o->context = context;
    if (backend_open(&o->options, &o->cpu, NULL, e) < 0) {
        o->cpu = NULL;
        offload_close(o);
        return -1;
    }
    *out = o;
    return 0;
}
