/* pictures.c: see pictures.h. */
#include "pictures.h"

#include <stdlib.h>
#include <string.h>

enum { CHANNELS_MOST = 4 };

/* Colours of one kind stand together before, colours of one pixel after. */
static int put_channels_last(tensor *t, error *e)
{
    size_t channels = t->shape[1], pixels = t->shape[2] * t->shape[3], size = channels * pixels;
    uint8_t *one = malloc(size ? size : 1), *picture = t->data;
    if (!one)
        return error_set(e, "out of memory for a picture of %zu bytes", size);
    for (size_t row = 0; row < t->shape[0]; row++, picture += size) {
        memcpy(one, picture, size);
        for (size_t c = 0; c < channels; c++)
            for (size_t i = 0; i < pixels; i++)
                picture[i * channels + c] = one[c * pixels + i];
    }
    free(one);
    t->shape[1] = t->shape[2];
    t->shape[2] = t->shape[3];
    t->shape[3] = channels;
    return 0;
}

int batch_pictures(batch *b, picture_layout layout, tensor **out, error *e)
{
    tensor *t;
    if (batch_require(b, "image", TYPE_U8, 4, &t, e) < 0)
        return -1;
    *out = t;
    if (layout == LAYOUT_CHW)
        return put_channels_last(t, e);
    if (layout == LAYOUT_UNSAID && t->shape[3] > CHANNELS_MOST)
        return error_set(e,
                         "pictures of %zu x %zu x %zu, which would be %zu channels; channels come "
                         "last: --layout chw puts the first ones there, --layout hwc takes them as "
                         "they are",
                         t->shape[1], t->shape[2], t->shape[3], t->shape[3]);
    return 0;
}
