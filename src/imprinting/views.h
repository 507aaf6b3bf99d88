/* views.h: the rows of a picture's views, one after the other, to one row a picture.
 *
 * embed --views numbers a picture's rows 0, 1, ... in the field `view`. For imprinting they are one
 * shot: their mean is what enters, as from embed --average, and the plain view, number 0, is what
 * is calibrated by. */
#ifndef SRC_IMPRINTING_VIEWS_H
#define SRC_IMPRINTING_VIEWS_H

#include "../../common/base/error.h"

#include <stddef.h>
#include <stdint.h>

/* Pictures that are complete, and the one that more views may come of. */
typedef struct {
    size_t dimension, count, room;
    float *mean, *plain; /* [count][dimension] and the open one behind them */
    int32_t *labels;     /* likewise */
    size_t open;         /* views that the open one has so far */
} views;

/* Begun as zeros but for the dimension, and freed with this. */
void views_free(views *v);

/* Forgets the pictures that are complete, then takes in rows: embeddings [rows][dimension], number
 * [rows], the field `view`, and labels. A view 0 begins a picture; fails where another number comes
 * than the next one, or another label than the picture's. */
int views_add(views *v, const float *embeddings, const uint16_t *number, const int32_t *labels,
              size_t rows, error *e);

/* Forgets the pictures that are complete; the open one, if there is one, then is. */
void views_end(views *v);

#endif
