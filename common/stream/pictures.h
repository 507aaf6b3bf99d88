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

/* The field `image`, uint8, rows x height x width x channels; of LAYOUT_CHW put in that order, in
 * place. */
int batch_pictures(batch *b, picture_layout layout, tensor **out, error *e);

#endif
