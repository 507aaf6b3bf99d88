/* projection.h: the features that embeddings are classified by in closed form.
 *
 * With f = e/|e| they are f itself and, where the embedding is short enough for it to pay, M random
 * features relu(P f) / sqrt(M) beside it (McDonnell et al.: RanPAC: Random Projections and
 * Pre-trained Models for Continual Learning, NeurIPS 2023), which let a linear classifier bend. P
 * is never stored: its entries are standard normal numbers, functions of the seed and the place
 * (common/base/random.h), the same everywhere.
 *
 * Models of before have relu(P f) alone, not divided by anything: `plain` false. */
#ifndef SRC_IMPRINTING_PROJECTION_H
#define SRC_IMPRINTING_PROJECTION_H

#include "../../common/base/error.h"
#include "../../common/model/model.h"
#include "../../kernels/algebra.h"

#define PROJECTION_FEATURES_MOST 11585 /* of more the Gram matrix would not fit a tensor's 1 GiB */
#define PROJECTION_SEED 1

typedef struct {
    size_t count, dimension; /* M and the embedding's */
    bool plain;              /* f itself stands before the random features */
    size_t width;            /* of all features */
    float *weight;           /* [count][dimension], owned; divided by sqrt(count) where plain */
} projection;

/* How many random features an embedding of that dimension is given: 16 a dimension, 2,000 at most;
 * none from 1,000 dimensions on, where they were found to add nothing (examples/low-shot), nor
 * beside more than 1,000 classes, whose sums would be mostly of them. */
size_t projection_default(size_t dimension, size_t classes);

/* 1 <= dimension; count may be 0 where plain. The caller frees it with projection_free (harmless on
 * a zeroed one). */
int projection_new(uint64_t seed, size_t count, size_t dimension, bool plain, projection *out,
                   error *e);
void projection_free(projection *p);

/* The one that the model's notes ridge/features, ridge/plain and ridge/seed name, of its dimension.
 * */
int projection_of_model(const model *m, projection *out, error *e);
/* Sets those notes; of p only count and plain are read. */
int projection_note(model *m, const projection *p, uint64_t seed, error *e);

/* features [rows][width] of embeddings [rows][dimension], which need not be normalised. */
int projection_features(const projection *p, algebra *a, const float *embeddings, size_t rows,
                        float *features, error *e);

#endif
