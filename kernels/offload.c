#include "offload.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    backend *cpu, *device; /* device NULL while it sleeps, and where there is none */
    char *name;
    backend_options options;
    deferred_costs costs;
    bool asked; /* for the device */
    double gained;
    deferred_told told;
    void *context;
} deferred;

/* Those of the CPU, and those of the device from when it took part. */
struct moments {
    size_t dimension, count, classes;
    bool gram, refused; /* refused: the device has no room for it */
    float *projection;
    moments *own, *moved;
};

deferred_costs deferred_costs_of(int threads)
{
    /* Half a second for driver, context and libraries; between a core with vectors of 256 bits and
     * one of 512 (1e11 by tests/gpu/driver); the figures of a Tesla T4, and of copies from memory
     * that is not page-locked. */
    return (deferred_costs){.start = 0.5,
                            .cpu = 6e10 * backend_threads(threads),
                            .device = 8e12,
                            .device_double = 2.5e11,
                            .link = 6e9};
}

static deferred *of(backend *b)
{
    return b->own;
}

/* ---- the choice ---- */

static void tell(deferred *d, const char *why)
{
    if (d->told)
        d->told(d->context, why ? NULL : d->device, why);
}

static void wake(deferred *d)
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
static backend *choose(deferred *d, double singles, double doubles, double bytes)
{
    const deferred_costs *c = &d->costs;
    double gain = (singles + 2 * doubles) / c->cpu - singles / c->device -
                  doubles / c->device_double - bytes / c->link;
    if (gain <= 0)
        return d->cpu;
    d->gained += gain;
    if (!d->asked && d->gained > c->start)
        wake(d);
    return d->device ? d->device : d->cpu;
}

/* The same of [rows][dimension] by [count][dimension], in float. */
static backend *choose_product(deferred *d, size_t rows, size_t dimension, size_t count,
                               double results)
{
    double r = (double)rows, n = (double)dimension, k = (double)count;
    return choose(d, 2 * r * n * k, 0, 4 * (r * n + n * k + results));
}

/* ---- functions on embeddings ---- */

static int deferred_scores(backend *b, const float *embeddings, size_t rows, size_t dimension,
                           const float *weights, size_t classes, float *scores, error *e)
{
    backend *on = choose_product(of(b), rows, dimension, classes, (double)rows * (double)classes);
    return on->scores(on, embeddings, rows, dimension, weights, classes, scores, e);
}

static int deferred_features(backend *b, const float *embeddings, size_t rows, size_t dimension,
                             const float *projection, size_t count, float *features, error *e)
{
    backend *on = choose_product(of(b), rows, dimension, count, (double)rows * (double)count);
    return on->features(on, embeddings, rows, dimension, projection, count, features, e);
}

static int deferred_assign(backend *b, const float *embeddings, size_t rows, size_t dimension,
                           const float *centres, size_t count, uint32_t *nearest, float *similarity,
                           error *e)
{
    backend *on = choose_product(of(b), rows, dimension, count, 2 * (double)rows);
    return on->assign(on, embeddings, rows, dimension, centres, count, nearest, similarity, e);
}

/* These read each number about once, and copying it takes as long. */
static int deferred_top_k(backend *b, const float *scores, size_t rows, size_t classes, size_t k,
                          uint32_t *index, float *value, error *e)
{
    backend *on = of(b)->cpu;
    return on->top_k(on, scores, rows, classes, k, index, value, e);
}
static int deferred_normalise(backend *b, float *embeddings, size_t rows, size_t dimension,
                              error *e)
{
    backend *on = of(b)->cpu;
    return on->normalise(on, embeddings, rows, dimension, e);
}

static int deferred_solve(backend *b, double *matrix, size_t n, double ridge, double *right,
                          size_t columns, error *e)
{
    double side = (double)n, wide = (double)columns;
    backend *on = choose(of(b), 0, side * side * side / 3 + 2 * side * side * wide,
                         8 * (side * side + 2 * side * wide));
    return on->solve(on, matrix, n, ridge, right, columns, e);
}

static int deferred_eigen(backend *b, double *matrix, size_t n, double *values, error *e)
{
    double side = (double)n;
    backend *on = choose(of(b), 0, 9 * side * side * side, 16 * side * side);
    return on->eigen(on, matrix, n, values, e);
}

/* ---- sums ---- */

static void deferred_moments_free(backend *b, moments *m)
{
    deferred *d = of(b);
    if (!m)
        return;
    if (m->own)
        d->cpu->moments_free(d->cpu, m->own);
    if (m->moved)
        d->device->moments_free(d->device, m->moved);
    free(m->projection);
    free(m);
}

static int deferred_moments_new(backend *b, size_t dimension, const float *projection, size_t count,
                                size_t classes, bool gram, moments **out, error *e)
{
    backend *on = of(b)->cpu;
    moments *m = calloc(1, sizeof *m);
    size_t bytes = projection ? count * dimension * sizeof *projection : 0;
    if (!m || (bytes && !(m->projection = malloc(bytes)))) {
        free(m);
        return error_set(e, "out of memory for sums of embeddings");
    }
    if (bytes)
        memcpy(m->projection, projection, bytes);
    m->dimension = dimension;
    m->count = projection ? count : dimension;
    m->classes = classes;
    m->gram = gram;
    if (on->moments_new(on, dimension, projection, count, classes, gram, &m->own, e) < 0) {
        m->own = NULL;
        deferred_moments_free(b, m);
        return -1;
    }
    *out = m;
    return 0;
}

/* Begins the device's part, or finds that there is no room for it. */
static bool moved(deferred *d, moments *m)
{
    error e = {""};
    backend *on = d->device;
    if (m->moved || m->refused)
        return m->moved != NULL;
    if (on->moments_new(on, m->dimension, m->projection, m->count, m->classes, m->gram, &m->moved,
                        &e) == 0)
        return true;
    m->moved = NULL;
    m->refused = true;
    tell(d, e.text);
    return false;
}

static int deferred_moments_add(backend *b, moments *m, const float *embeddings,
                                const int32_t *labels, size_t rows, error *e)
{
    deferred *d = of(b);
    double r = (double)rows, n = (double)m->dimension, k = (double)m->count;
    backend *on =
        choose(d, m->projection ? 2 * r * n * k : 0, r * k + (m->gram ? r * k * k : 0), 4 * r * n);
    if (on == d->cpu || !moved(d, m))
        return d->cpu->moments_add(d->cpu, m->own, embeddings, labels, rows, e);
    return on->moments_add(on, m->moved, embeddings, labels, rows, e);
}

static void add_to(double *sums, const double *more, size_t count)
{
    for (size_t i = 0; i < count; i++)
        sums[i] += more[i];
}

static int deferred_moments_get(backend *b, moments *m, double *sums, double *counts, double *gram,
                                error *e)
{
    deferred *d = of(b);
    size_t k = m->count, all = m->classes * k, square = gram && m->gram ? k * k : 0;
    if (d->cpu->moments_get(d->cpu, m->own, sums, counts, gram, e) < 0)
        return -1;
    if (!m->moved)
        return 0;
    double *more = malloc((all + m->classes + square + 1) * sizeof *more);
    if (!more)
        return error_set(e, "out of memory for sums of embeddings");
    double *more_counts = more + all, *more_gram = more_counts + m->classes;
    int status = d->device->moments_get(d->device, m->moved, more, more_counts,
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

static void deferred_close(backend *b)
{
    deferred *d = of(b);
    if (d->device)
        d->device->close(d->device);
    if (d->cpu)
        d->cpu->close(d->cpu);
    free(d->name);
    free(d);
    free(b);
}

static const backend functions = {
    .close = deferred_close,
    .scores = deferred_scores,
    .top_k = deferred_top_k,
    .normalise = deferred_normalise,
    .features = deferred_features,
    .assign = deferred_assign,
    .moments_new = deferred_moments_new,
    .moments_add = deferred_moments_add,
    .moments_get = deferred_moments_get,
    .moments_free = deferred_moments_free,
    .solve = deferred_solve,
    .eigen = deferred_eigen,
};

int deferred_open(const backend_options *options, const char *device, const deferred_costs *costs,
                  deferred_told told, void *context, backend **out, error *e)
{
    backend *b = malloc(sizeof *b);
    deferred *d = calloc(1, sizeof *d);
    if (!b || !d || !(d->name = strdup(device))) {
        free(b);
        free(d);
        return error_set(e, "out of memory");
    }
    *b = functions;
    b->own = d;
    d->options = *options;
    d->options.precision = PRECISION_FP32; /* of embeddings always */
    d->options.device = "cpu";
    d->costs = *costs;
    d->told = told;
    d->context = context;
    if (backend_open(&d->options, &d->cpu, NULL, e) < 0) {
        d->cpu = NULL;
        deferred_close(b);
        return -1;
    }
    b->name = d->cpu->name;
    b->precision = d->cpu->precision;
    memcpy(b->device, d->cpu->device, sizeof b->device);
    *out = b;
    return 0;
}
