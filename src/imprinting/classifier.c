#include "classifier.h"

#include "../../common/base/memory.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct classifier {
    algebra *a;
    const model *m;
    classifier_form form;
    float *weights;    /* the form's */
    float *embeddings; /* scratch: a normalised copy */
    float *products;   /* scratch: rows x classes * proxies, where proxies > 1 */
    size_t room;       /* rows that the scratch holds */
    memory scratch;
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
    classifier_form *f = &c->form;
    const float *proxies = model_part(c->m, PART_PROXIES_WEIGHT);
    f->normalised = c->m->net.head == HEAD_COSINE;
    f->proxies = proxies ? model_part_size(c->m, PART_PROXIES_WEIGHT) : 1;
    size_t count = f->classes * f->proxies;
    f->weights = c->weights = malloc(count * f->dimension * sizeof(float) + 1);
    if (!c->weights)
        return error_set(e, "out of memory for %zu weights", count);
    memcpy(c->weights, proxies ? proxies : model_part(c->m, PART_HEAD_WEIGHT),
           count * f->dimension * sizeof(float));
    if (f->normalised)
        scale_weights(c->weights, count, f->dimension,
                      *(const float *)model_part(c->m, PART_HEAD_SCALE));
    return 0;
}

static int prepare_ridge(classifier *c, error *e)
{
    c->form.normalised = true;
    c->form.features = &c->features;
    return projection_of_model(c->m, &c->features, e);
}

int classifier_new(algebra *a, const model *m, classifier **out, error *e)
{
    classifier *c = calloc(1, sizeof *c);
    if (!c)
        return error_set(e, "out of memory");
    double factor = fit_report_of(m).scale;
    const float *ridge = model_part(m, PART_RIDGE_WEIGHT);
    c->a = a;
    c->m = m;
    c->form = (classifier_form){.dimension = m->net.dimension,
                                .classes = m->net.class_count,
                                .proxies = 1,
                                .ridge = ridge,
                                .bias = model_part(m, PART_HEAD_BIAS),
                                .factor = !ridge && factor > 0 ? (float)factor : 1};
    if ((ridge ? prepare_ridge : prepare_head)(c, e) < 0) {
        classifier_free(c);
        return -1;
    }
    *out = c;
    return 0;
}

const classifier_form *classifier_form_of(const classifier *c)
{
    return &c->form;
}

void classifier_free(classifier *c)
{
    if (!c)
        return;
    free(c->weights);
    memory_free(&c->scratch);
    projection_free(&c->features);
    free(c);
}

static int make_room(classifier *c, size_t rows, error *e)
{
    if (rows <= c->room)
        return 0;
    memory_free(&c->scratch);
    c->room = 0;
    c->projected = memory_take(&c->scratch, rows * c->features.width + 1, sizeof(float));
    c->embeddings = memory_take(&c->scratch, rows * c->form.dimension, sizeof(float));
    c->products = memory_take(&c->scratch, rows * c->form.classes * c->form.proxies, sizeof(float));
    if (c->scratch.failed)
        return error_set(e, "out of memory for the scores of %zu rows", rows);
    c->room = rows;
    return 0;
}

static void take_best_proxy(const classifier *c, size_t rows, float *scores)
{
    for (size_t i = 0; i < rows * c->form.classes; i++) {
        const float *p = c->products + i * c->form.proxies;
        float best = p[0];
        for (size_t k = 1; k < c->form.proxies; k++)
            best = p[k] > best ? p[k] : best;
        scores[i] = best;
    }
}

static int ridge_scores(classifier *c, const float *embeddings, size_t rows, float *scores,
                        error *e)
{
    if (projection_features(&c->features, c->a, embeddings, rows, c->projected, e) < 0)
        return -1;
    return c->a->scores(c->a, c->projected, rows, c->features.width, c->form.ridge, c->form.classes,
                        scores, e);
}

static int head_scores(classifier *c, const float *embeddings, size_t rows, float *scores, error *e)
{
    if (c->form.normalised) {
        memcpy(c->embeddings, embeddings, rows * c->form.dimension * sizeof(float));
        if (c->a->normalise(c->a, c->embeddings, rows, c->form.dimension, e) < 0)
            return -1;
        embeddings = c->embeddings;
    }
    float *products = c->form.proxies > 1 ? c->products : scores;
    if (c->a->scores(c->a, embeddings, rows, c->form.dimension, c->weights,
                     c->form.classes * c->form.proxies, products, e) < 0)
        return -1;
    if (c->form.proxies > 1)
        take_best_proxy(c, rows, scores);
    return 0;
}

int classifier_scores(classifier *c, const float *embeddings, size_t rows, float *scores, error *e)
{
    if (make_room(c, rows, e) < 0)
        return -1;
    if ((c->form.ridge ? ridge_scores : head_scores)(c, embeddings, rows, scores, e) < 0)
        return -1;
    for (size_t i = 0; c->form.bias && i < rows * c->form.classes; i++)
        scores[i] += c->form.bias[i % c->form.classes];
    for (size_t i = 0; c->form.factor != 1 && i < rows * c->form.classes; i++)
        scores[i] *= c->form.factor;
    return 0;
}

int classifier_check_origin(const stream_header *h, const model *m, error *e)
{
    size_t bytes;
    if (!*m->net.text || !stream_header_get_encoded(h, "embedding-of", &bytes))
        return 0;
    char *origin = stream_header_get_text(h, "embedding-of");
    if (!origin)
        return error_set(e, "the key embedding-of of its header is no text, or memory is out");
    bool same = model_is_named(m, origin);
    free(origin);
    if (!same)
        return error_set(e, "these embeddings are of another network than the model's; embed the "
                            "pictures with the same model");
    return 0;
}
