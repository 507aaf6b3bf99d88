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

#include "../../common/model/settings.h"
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
 * none from 1,000 dimensions on, where they were found to add nothing, nor beside more than 1,000
 * classes, whose sums would be mostly of them. Found by examples/low-shot's `make embeddings`: on
 * raw digits 0.94 without, 0.99 with them at a hundred shots; 0.01 lost at most elsewhere. `make
 * features`: 6,000 bring 0.02 more of harmonic mean than 2,000 where they stand alone. */
size_t projection_default(size_t dimension, size_t classes);

/* Those for training rows: so many random ones (0: the usual) of that seed; where imprinted classes
 * of the model have sums of features already, of those, and it fails if `features` is another
 * number. */
int projection_choose(const model *m, size_t features, uint64_t seed, feature_settings *out,
                      error *e);

/* 1 <= dimension; count may be 0 where plain. The caller frees it with projection_free (harmless on
 * a zeroed one). */
int projection_new(uint64_t seed, size_t count, size_t dimension, bool plain, projection *out,
                   error *e);
void projection_free(projection *p);

/* The one that the model's feature settings name. */
int projection_of_model(const model *m, projection *out, error *e);

/* features [rows][width] of embeddings [rows][dimension], which need not be normalised. */
int projection_features(const projection *p, algebra *a, const float *embeddings, size_t rows,
                        float *features, error *e);
/* Adds those of rows of these classes to sums over them. */
int projection_add(const projection *p, algebra *a, moments *sums, const float *embeddings,
                   const int32_t *labels, size_t rows, error *e);

#endif
