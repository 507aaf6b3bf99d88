/* exemplars.h: a few rows of every class, whichever order and parts they come in.
 *
 * Of each class the `room` rows of smallest hash are kept (a bottom-k sketch: Cohen, Kaplan:
 * Summarizing data using bottom-k sketches, PODC 2007), equal rows once. So the exemplars of all
 * rows are those of their parts' exemplars, and merging models loses nothing. In a model
 * (class_sums) rows stand by ascending hash, then zeros; a row of zeros is never kept. */
#ifndef SRC_IMPRINTING_EXEMPLARS_H
#define SRC_IMPRINTING_EXEMPLARS_H

#include "../../common/model/sums.h"

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
} exemplars;

/* An empty one; classes may be 0. The caller frees it with exemplars_free (harmless on a zeroed
 * one). */
int exemplars_new(size_t classes, size_t room, size_t dimension, exemplars *out, error *e);
void exemplars_free(exemplars *s);
int exemplars_grow(exemplars *s, size_t classes, error *e);

/* Rows of each class to keep in a model of that many classes: about 4,096 of all together, 4 to
 * 100. A limit of size: what calibration takes of them is less (episodes.c). */
size_t exemplars_usual_room(size_t classes);

/* Offers one row of that class. */
void exemplars_offer(exemplars *s, size_t class_index, const float *row);
/* Offers all rows that the sums keep of that class. */
void exemplars_offer_kept(exemplars *s, size_t class_index, const class_sums *from,
                          size_t from_class);
/* Puts one class's rows in place of those of `to_class` in sums of the same room and dimension. */
void exemplars_store(const exemplars *s, size_t class_index, const class_sums *to, size_t to_class);

/* How many rows of a class the sums keep, and where one of them is. */
size_t exemplars_count(const class_sums *s, size_t class_index);
const float *exemplars_row(const class_sums *s, size_t class_index, size_t row);
/* How many rows of b's class k are a's class i's too, but not those of x's class c. */
size_t exemplars_shared(const class_sums *a, size_t i, const class_sums *b, size_t k,
                        const class_sums *x, size_t c);
/* Whether the rows of `part`'s class k can be among those that `whole`'s class i was drawn from. */
bool exemplars_contains(const class_sums *whole, size_t i, const class_sums *part, size_t k);

#endif
