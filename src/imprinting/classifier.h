/* classifier.h: scores of embeddings by a model's classes.
 *
 * The score of class c for an embedding f, f' = f/|f|:
 *
 *   cosine head    s * max over c's weights w of (w/|w|) . f'  + bias_c
 *   softmax head   max over c's weights w of w . f             + bias_c
 *   ridge          ridge/weight_c . x                         + bias_c
 *
 * x being the features (projection.h), in a model that has such weights; times the note made/scale,
 * 1 where there is none (ridge has it in its weights); where c's weights are its row of
 * head/weight, or, in a model that has proxies, its proxies, and bias is head/bias, zero where
 * there is none. */
#ifndef SRC_IMPRINTING_CLASSIFIER_H
#define SRC_IMPRINTING_CLASSIFIER_H

#include "../../common/model/model.h"
#include "../../kernels/algebra.h"
#include "projection.h"

typedef struct classifier classifier;

/* The numbers of the above, for who computes it elsewhere. */
typedef struct {
    size_t dimension, classes;
    bool normalised;      /* embeddings are to be normalised first; of ridge always */
    size_t proxies;       /* weights a class, 1 at least */
    const float *weights; /* [classes * proxies][dimension], s w/|w| in a cosine head; NULL for
                                  ridge */
    const float *ridge;   /* [classes][features->width], or NULL */
    const projection *features; /* of ridge */
    const float *bias;          /* [classes], or NULL for zeros */
    float factor;               /* what the sums are multiplied by */
} classifier_form;

/* Prepares the model's weights. Algebra and model are borrowed until classifier_free; without
 * algebra (NULL) it has its form alone. */
int classifier_new(algebra *a, const model *m, classifier **out, error *e);
void classifier_free(classifier *c);
const classifier_form *classifier_form_of(const classifier *c); /* borrowed */

/* scores [rows][classes] of embeddings [rows][dimension]. */
int classifier_scores(classifier *c, const float *embeddings, size_t rows, float *scores, error *e);

/* Fails if a stream's first header says that its embeddings are of another network
 * ("embedding-of") than the model's. The reader sees to it that later headers say the same. */
int classifier_check_origin(const stream_header *h, const model *m, error *e);

#endif
