/* exemplars.h: a few rows of every class, whichever order and parts they come in.
 *
 * Of each class the `room` rows of smallest hash are kept (a bottom-k sketch: Cohen, Kaplan:
 * Summarizing data using bottom-k sketches, PODC 2007), equal rows once. So the sample of all rows
 * is the sample of the samples of their parts, and merging models loses nothing. In a model it is a
 * tensor [classes][room] [dimension], rows by ascending hash, unused ones zeros; a row of zeros is
 * never kept. */
#ifndef SRC_IMPRINTING_EXEMPLARS_H
#define SRC_IMPRINTING_EXEMPLARS_H

#include "../../common/base/error.h"
#include "../../common/stream/tensor.h"

#include <stdbool.h>

/* Such a row has no direction. */
static inline bool row_is_zero(const float *row, size_t dimension)
{
    for (size_t d = 0; d < dimension; d++)
        if (row[d] != 0)
            return false;
    return true;
}

typedef struct {
    size_t classes, room, dimension;
    float *rows;    /* [classes][room][dimension] */
    uint64_t *hash; /* [classes][room] */
    size_t *count;  /* [classes] */
} class_sample;

/* An empty one; classes may be 0. The caller frees it with class_sample_free (harmless on a zeroed
 * one). */
int class_sample_new(size_t classes, size_t room, size_t dimension, class_sample *out, error *e);
void class_sample_free(class_sample *s);
int class_sample_grow(class_sample *s, size_t classes, error *e);

/* Offers one row of that class. */
void class_sample_offer(class_sample *s, size_t class_index, const float *row);
/* Offers all rows that row `from_class` of such a tensor holds. */
void class_sample_offer_tensor(class_sample *s, size_t class_index, const tensor *t,
                               size_t from_class);

/* How many rows of a class such a tensor holds. */
size_t class_sample_rows(const tensor *t, size_t class_index);
/* How many rows of b's class k are a's class i's too, but not those of x's class c (x NULL: no
 * such). */
size_t class_sample_shared(const tensor *a, size_t i, const tensor *b, size_t k, const tensor *x,
                           size_t c);
/* Whether the rows of `part`'s class k can be among those that `whole`'s class i was drawn from. */
bool class_sample_contains(const tensor *whole, size_t i, const tensor *part, size_t k);
/* Writes one class's rows into row `to_class` of such a tensor of the same room and dimension. */
void class_sample_store(const class_sample *s, size_t class_index, tensor *t, size_t to_class);

#endif
