#include "classifier.h"

#include "projection.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct classifier {
    algebra *a;
    const model *m;
    size_t dimension, classes;
    size_t proxies;    /* weights a class */
    bool normalised;   /* embeddings are to be normalised first */
    float *weights;    /* [classes * proxies][dimension], for cosine unit vectors times the scale */
    const float *bias; /* [classes], or NULL */
    float spread;      /* what scores are multiplied by */
    float *embeddings; /* scratch: a normalised copy */
    float *products;   /* scratch: rows x classes * proxies, where proxies > 1 */
    size_t room;       /* rows that the scratch holds */
    projection features; /* of ridge; else none */
    float *projected;    /* scratch: rows x features.width */
};

/* Unit vectors times the scale, so that a product with a unit embedding is the logit. */
static void scale_weights(float *weights, size_t rows, size_t dimension, float scale)
{
    for (size_t r = 0; r < rows; r++) {
        float *w = weights + r * dimension;
        double square = 0;
        for (size_t d = 0; d < dimension; d++)
            square += (double)w[d] * w[d];
        float factor = square > 0 ? (float)(scale / sqrt(square)) : 0;
        for (size_t d = 0; d < dimension; d++)
            w[d] *= factor;
    }
}

/* Weights of the head or of proxies, ready for products with embeddings. */
static int prepare_head(classifier *c, error *e)
{
    const tensor *weight = model_find(c->m, "head/weight"),
                 *proxies = model_find(c->m, "proxies/weight");
    const tensor *scale = model_find(c->m, "head/scale");
    c->normalised = c->m->net.head == HEAD_COSINE;
    c->proxies = proxies ? proxies->shape[1] : 1;
    size_t count = c->classes * c->proxies;
    c->weights = malloc(count * c->dimension * sizeof(float) + 1);
    if (!c->weights)
        return error_set(e, "out of memory for %zu weights", count);
    memcpy(c->weights, proxies ? proxies->data : weight->data,
           count * c->dimension * sizeof(float));
    if (c->normalised)
        scale_weights(c->weights, count, c->dimension, *(const float *)scale->data);
    return 0;
}

int classifier_new(algebra *a, const model *m, classifier **out, error *e)
{
    const tensor *bias = model_find(m, "head/bias");
    classifier *c = calloc(1, sizeof *c);
    if (!c)
        return error_set(e, "out of memory");
    c->a = a;
    c->m = m;
    c->dimension = m->net.dimension;
    c->classes = m->net.class_count;
    c->proxies = 1;
    c->bias = bias ? bias->data : NULL;
    double spread;
    c->spread = !model_find(m, "ridge/weight") && model_get_number(m, "made/scale", &spread)
                    ? (float)spread
                    : 1;
    bool ridge = model_find(m, "ridge/weight") != NULL;
    if ((ridge ? projection_of_model(m, &c->features, e) : prepare_head(c, e)) < 0) {
        classifier_free(c);
        return -1;
    }
    *out = c;
    return 0;
}

void classifier_free(classifier *c)
{
    if (!c)
        return;
    free(c->weights);
    free(c->embeddings);
    free(c->products);
    free(c->projected);
    projection_free(&c->features);
    free(c);
}

static int make_room(classifier *c, size_t rows, error *e)
{
    if (rows <= c->room)
        return 0;
    free(c->embeddings);
    free(c->products);
    free(c->projected);
    c->room = 0;
    c->projected = malloc((rows * c->features.width + 1) * sizeof(float));
    c->embeddings = malloc(rows * c->dimension * sizeof(float));
    c->products = malloc(rows * c->classes * c->proxies * sizeof(float));
    if (!c->embeddings || !c->products || !c->projected)
        return error_set(e, "out of memory for the scores of %zu rows", rows);
    c->room = rows;
    return 0;
}

static void take_best_proxy(const classifier *c, size_t rows, float *scores)
{
    for (size_t i = 0; i < rows * c->classes; i++) {
        const float *p = c->products + i * c->proxies;
        float best = p[0];
        for (size_t k = 1; k < c->proxies; k++)
            best = p[k] > best ? p[k] : best;
        scores[i] = best;
    }
}

static int ridge_scores(classifier *c, const float *embeddings, size_t rows, float *scores,
                        error *e)
{
    if (projection_features(&c->features, c->a, embeddings, rows, c->projected, e) < 0)
        return -1;
    return c->a->scores(c->a, c->projected, rows, c->features.width,
                        model_find(c->m, "ridge/weight")->data, c->classes, scores, e);
}

static int head_scores(classifier *c, const float *embeddings, size_t rows, float *scores, error *e)
{
    if (c->normalised) {
        memcpy(c->embeddings, embeddings, rows * c->dimension * sizeof(float));
        if (c->a->normalise(c->a, c->embeddings, rows, c->dimension, e) < 0)
            return -1;
        embeddings = c->embeddings;
    }
    float *products = c->proxies > 1 ? c->products : scores;
    if (c->a->scores(c->a, embeddings, rows, c->dimension, c->weights, c->classes * c->proxies,
                     products, e) < 0)
        return -1;
    if (c->proxies > 1)
        take_best_proxy(c, rows, scores);
    return 0;
}

int classifier_scores(classifier *c, const float *embeddings, size_t rows, float *scores, error *e)
{
    if (make_room(c, rows, e) < 0)
        return -1;
    if ((c->features.width ? ridge_scores : head_scores)(c, embeddings, rows, scores, e) < 0)
        return -1;
    for (size_t i = 0; c->bias && i < rows * c->classes; i++)
        scores[i] += c->bias[i % c->classes];
    for (size_t i = 0; c->spread != 1 && i < rows * c->classes; i++)
        scores[i] *= c->spread;
    return 0;
}

void classifier_probabilities(const float *scores, size_t classes, float *probabilities)
{
    float most = scores[0];
    for (size_t c = 1; c < classes; c++)
        most = scores[c] > most ? scores[c] : most;
    double sum = 0;
    for (size_t c = 0; c < classes; c++)
        sum += probabilities[c] = expf(scores[c] - most);
    for (size_t c = 0; c < classes; c++)
        probabilities[c] = (float)(probabilities[c] / sum);
}

int classifier_check_origin(const stream_header *h, uint64_t fingerprint, error *e)
{
    char *origin = fingerprint ? stream_header_get_text(h, "embedding-of") : NULL;
    char own[17];
    snprintf(own, sizeof own, "%016" PRIx64, fingerprint);
    bool same = !origin || strcmp(origin, own) == 0;
    free(origin);
    if (!same)
        return error_set(e, "these embeddings are of another network than the model's; embed the "
                            "pictures with the same model");
    return 0;
}
