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
    double count, seed, plain = 0;
    model_get_number(m, "ridge/plain", &plain);
    if (!model_get_number(m, "ridge/features", &count) ||
        !model_get_number(m, "ridge/seed", &seed) ||
        !(count >= (plain != 0 ? 0 : 1) && count <= 1e6) ||
        !(seed >= 0 && seed < 18446744073709551616.0))
        return error_set(e, "the model does not say which random features its sums are of");
    return projection_new((uint64_t)seed, (size_t)count, m->net.dimension, plain != 0, out, e);
}

int projection_note(model *m, const projection *p, uint64_t seed, error *e)
{
    model_note_drop(m, "ridge/plain");
    if (model_note_number(m, "ridge/features", (double)p->count) < 0 ||
        (p->plain && model_note_number(m, "ridge/plain", 1) < 0) ||
        model_note_number(m, "ridge/seed", (double)seed) < 0)
        return error_set(e, "out of memory");
    return 0;
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
