/* pictures.h: a batch's pictures, in the order of numbers that everything here counts on. */
#ifndef COMMON_STREAM_PICTURES_H
#define COMMON_STREAM_PICTURES_H

#include "batch.h"

/* Of one picture's numbers: height x width x channels, as numpy, PIL and Keras hold them; channels
 * x height x width, as PyTorch does; or not said, and then it must be the first by its look: up to
 * four channels. The two words of an option come first. */
typedef enum { LAYOUT_HWC, LAYOUT_CHW, LAYOUT_UNSAID } picture_layout;
#define LAYOUT_WORDS "hwc|chw"
#define LAYOUT_HELP                                                                                \
    "the order of a picture's numbers: height, width, channels (default, of up to 4 channels), "   \
    "or channels first, which are put last"

/* How pictures come. Where a range is told, low < high, numbers of any type are taken, low for
 * black and high for white, and become uint8; else they are uint8 already. */
typedef struct {
    int layout; /* a picture_layout */
    double low, high;
} picture_form;
#define RANGE_WORDS "LOW:HIGH"
#define RANGE_HELP                                                                                 \
    "what black and white are in pictures of other numbers than uint8's 0 to 255, as in 0:1; "     \
    "they become uint8"
/* Of the option --range, into the form; ends the tool where the word is none. */
void picture_form_range(picture_form *form, const char *word);

/* The field `image`, uint8, rows x height x width x channels; of LAYOUT_CHW put in that order; all
 * in place. */
int batch_pictures(batch *b, const picture_form *form, tensor **out, error *e);

#endif
