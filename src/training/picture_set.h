/* picture_set.h: labelled pictures in memory, for training: one array of uint8 pictures, one of
 * int32 labels, both growing in place (the kernel moves pages, nothing is copied and nothing
 * doubled), so that a set takes its own bytes and no more. */
#ifndef SRC_TRAINING_PICTURE_SET_H
#define SRC_TRAINING_PICTURE_SET_H

#include "../../common/base/error.h"
#include "../../common/model/network.h"
#include "../../common/stream/batch.h"
#include "../../common/stream/pictures.h"

#include <stddef.h>
#include <stdint.h>

typedef struct {
    extent picture;    /* of every row; the first one's */
    picture_form form; /* of the batches' pictures */
    size_t rows;
    uint8_t *images;               /* rows x height x width x channels */
    int32_t *labels;               /* rows: indices into the class list given with them */
    size_t image_room, label_room; /* bytes reserved */
} picture_set;                     /* all zero: an empty one */

/* Appends a batch's `image` and `label`. Fails where one is missing or of the wrong type, a label
 * is outside the list, or a picture has another size than the ones before; the text has no row
 * number (that is the reader's to know). */
int picture_set_add(picture_set *set, batch *b, const class_list *classes, error *e);
void picture_set_free(picture_set *set);

/* A 64-bit number that names what rows [first, first + rows) hold, pictures and labels. */
uint64_t picture_set_digest(const picture_set *set, size_t first, size_t rows);

#endif
