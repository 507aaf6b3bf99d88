#include "projection.h"

#include "../../common/base/random.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Two normal numbers from two words (Box, Muller: A note on the generation of random normal
 * deviates, 1958). The first is in (0, 1]. */
static void normal_pair(uint32_t first, uint32_t second, float *out)
{
    double length = sqrt(-2 * log(((double)first + 1) / 4294967296.0));
    double angle = 2 * 3.14159265358979323846 * ((double)second / 4294967296.0);
    out[0] = (float)(length * cos(angle));
    out[1] = (float)(length * sin(angle));
}

size_t projection_default(size_t dimension, size_t classes)
{
    if (dimension >= 1000 || classes > 1000)
        return 0;
    return 16 * dimension < 2000 ? 16 * dimension : 2000;
}

int projection_choose(const model *m, size_t features, uint64_t seed, feature_settings *out,
                      error *e)
{
    feature_settings own;
    size_t usual = projection_default(m->net.dimension, m->classes.count);
    *out = (feature_settings){.plain = true, .random = features ? features : usual, .seed = seed};
    if (!model_part(m, PART_IMPRINT_FEATURE_SUM) || !feature_settings_of(m, &own))
        return 0;
    if (features && features != own.random)
        return error_set(e, "--features %zu: the sums of the model's imprinted classes are of %zu",
                         features, own.random);
    *out = own;
    return 0;
}

int projection_new(uint64_t seed, size_t count, size_t dimension, bool plain, projection *out,
                   error *e)
{
    size_t total = count * dimension;
    float *weight = malloc((total + 4) * sizeof *weight),
          factor = plain ? 1 / sqrtf((float)count) : 1;
    if (!weight)
        return error_set(e, "out of memory for %zu random features; take fewer", count);
    for (size_t i = 0; i < total; i += 4) {
        random_block block = random_philox(seed, i / 4, random_stream(RANDOM_PROJECTION, 0, 0));
        normal_pair(block.v[0], block.v[1], weight + i);
        normal_pair(block.v[2], block.v[3], weight + i + 2);
    }
    for (size_t i = 0; i < total; i++)
        weight[i] *= factor;
    *out = (projection){count, dimension, plain, count + (plain ? dimension : 0), weight};
    return 0;
}

void projection_free(projection *p)
{
    free(p->weight);
    *p = (projection){0};
}

int projection_of_model(const model *m, projection *out, error *e)
{
    feature_settings s;
    if (!feature_settings_of(m, &s))
        return error_set(e, "the model does not say which random features its sums are of");
    return projection_new(s.seed, s.random, m->net.dimension, s.plain, out, e);
}

/* Rows of f and of relu(P f), side by side. */
static void join(const projection *p, const float *unit, const float *random, size_t rows,
                 float *features)
{
    for (size_t r = 0; r < rows; r++) {
        memcpy(features + r * p->width, unit + r * p->dimension, p->dimension * sizeof *features);
        memcpy(features + r * p->width + p->dimension, random + r * p->count,
               p->count * sizeof *features);
    }
}

int projection_features(const projection *p, algebra *a, const float *embeddings, size_t rows,
                        float *features, error *e)
{
    float *unit = malloc((rows * p->dimension + 1) * sizeof *unit);
    float *random = p->plain ? malloc((rows * p->count + 1) * sizeof *random) : features;
    int status =
        unit && random ? 0 : error_set(e, "out of memory for the features of %zu rows", rows);
    if (status == 0) {
        memcpy(unit, embeddings, rows * p->dimension * sizeof *unit);
        status = a->normalise(a, unit, rows, p->dimension, e);
    }
    if (status == 0 && p->count > 0)
        status = a->features(a, unit, rows, p->dimension, p->weight, p->count, random, e);
    if (status == 0 && p->plain)
        join(p, unit, random, rows, features);
    free(unit);
    if (random != features)
        free(random);
    return status;
}

int projection_add(const projection *p, algebra *a, moments *sums, const float *embeddings,
                   const int32_t *labels, size_t rows, error *e)
{
    float *features = malloc((rows * p->width + 1) * sizeof *features);
    int status = features ? projection_features(p, a, embeddings, rows, features, e)
                          : error_set(e, "out of memory for the features of %zu rows", rows);
    if (status == 0)
        status = a->moments_add(a, sums, features, labels, rows, e);
    free(features);
    return status;
}
