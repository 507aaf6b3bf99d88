/* base_statistics.h: what a model keeps of its base classes' training rows, for ridge and
 * calibration.
 *
 * Of the features (projection.h) class sums, counts and the Gram matrix (statistics/sum, count,
 * gram; notes ridge/features, ridge/plain, ridge/seed); and of the embeddings as they came a few of
 * each class (statistics/sample). All are sums or samples over rows: their order does not matter.
 * */
#ifndef SRC_IMPRINTING_BASE_STATISTICS_H
#define SRC_IMPRINTING_BASE_STATISTICS_H

#include "../../common/base/error.h"
#include "../../common/model/model.h"
#include "../../kernels/algebra.h"

typedef struct statistics statistics;

typedef struct {
    bool sums;       /* keep class sums and the Gram matrix: F^2 doubles */
    size_t features; /* random ones; 0 for none */
    bool plain;      /* the embedding itself stands before them (projection.h) */
    uint64_t seed;   /* of the projection */
} statistics_options;

/* Sums over so many random features (0: the usual) of that seed; where imprinted classes of the
 * model have sums of features already, of those, and it fails if `features` is another number. */
int statistics_choose(const model *m, size_t features, uint64_t seed, statistics_options *out,
                      error *e);

/* Rows of each class that samples keep, for a model of that many classes. */
size_t statistics_sample_room(size_t classes);

/* Begins on a model. Backend and model are borrowed. */
int statistics_new(algebra *a, model *m, const statistics_options *o, statistics **out, error *e);
void statistics_free(statistics *s);

/* Adds rows: embeddings [rows][dimension], labels indices into the model's classes. Rows of novel
 * classes (and of label -1) are left out. */
int statistics_add(statistics *s, const float *embeddings, const int32_t *labels, size_t rows,
                   error *e);

/* Puts them into the model, in place of what it had. Fails if no base class had rows. */
int statistics_finish(statistics *s, error *e);

#endif
