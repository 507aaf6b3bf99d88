/* projection.h: the random projection that ridge's features are made with.
 *
 * The features of an embedding e are relu(P f), f = e/|e| (McDonnell et al.: RanPAC: Random Projections
 * and Pre-trained Models for Continual Learning, NeurIPS 2023). P is never stored: its entries are
 * standard normal numbers, functions of the seed and the place (common/random.h), the same everywhere. */
#ifndef METHOD_PROJECTION_H
#define METHOD_PROJECTION_H

#include "../../common/error.h"
#include "../../common/model.h"
#include "../../kernels/backend.h"

#define PROJECTION_FEATURES 2000
#define PROJECTION_FEATURES_MOST 11585 /* of more the Gram matrix would not fit a tensor's 1 GiB */
#define PROJECTION_SEED 1

typedef struct {
    size_t count, dimension;
    float *weight; /* [count][dimension], owned */
} projection;

/* 1 <= count, dimension. The caller frees it with projection_free (harmless on a zeroed one). */
int projection_new(uint64_t seed, size_t count, size_t dimension, projection *out, error *e);
void projection_free(projection *p);

/* The one that the model's notes ridge/features and ridge/seed name, of its dimension. */
int projection_of_model(const model *m, projection *out, error *e);

/* features [rows][count] of embeddings [rows][dimension], which need not be normalised. */
int projection_features(const projection *p, backend *b, const float *embeddings, size_t rows,
                        float *features, error *e);

#endif
