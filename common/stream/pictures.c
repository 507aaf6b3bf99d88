/* pictures.c: see pictures.h. */
#include "pictures.h"

#include "../base/tool.h"

#include <inttypes.h>
#include <math.h>
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

void picture_form_range(picture_form *form, const char *word)
{
    char *colon, *end = NULL;
    form->low = strtod(word, &colon);
    if (*colon == ':')
        form->high = strtod(colon + 1, &end);
    if (colon == word || !end || end == colon + 1 || *end || !isfinite(form->low) ||
        !isfinite(form->high) || form->low >= form->high)
        tool_usage("--range %s: takes two numbers, the smaller first, as 0:1", word);
}

/* Its numbers to uint8, in place: none of them is narrower. What lies outside by no more than
 * rounding does is cut off. */
static int to_bytes(const batch *b, tensor *t, const picture_form *form, error *e)
{
    static bool said;
    size_t count = tensor_rows(t) * tensor_row_size(t);
    uint8_t *bytes = t->data;
    double factor = 255 / (form->high - form->low);
    if (t->type == TYPE_TEXT)
        return error_set(e, "field 'image' is a column of texts, no pictures");
    for (size_t i = 0; i < count; i++) {
        double value = tensor_number(t, i), byte = (value - form->low) * factor;
        if (!(byte > -0.5 && byte < 255.5))
            return error_set(e, "row %" PRIu64 ": a picture has %g, outside --range %g:%g",
                             b->first_row + i / tensor_row_size(t), value, form->low, form->high);
        bytes[i] = (uint8_t)lrint(byte);
    }
    if (!said)
        tool_say("note: pictures are %s from %g to %g, and become uint8", type_name(t->type),
                 form->low, form->high);
    said = true;
    t->type = TYPE_U8;
    return 0;
}

int batch_pictures(batch *b, const picture_form *form, tensor **out, error *e)
{
    tensor *t = batch_find(b, "image");
    bool as_it_is = !t || form->low == form->high ||
                    (t->type == TYPE_U8 && form->low == 0 && form->high == 255);
    if ((!as_it_is && to_bytes(b, t, form, e) < 0) ||
        batch_require(b, "image", TYPE_U8, 4, &t, e) < 0)
        return -1;
    *out = t;
    if (form->layout == LAYOUT_CHW)
        return put_channels_last(t, e);
    if (form->layout == LAYOUT_UNSAID && t->shape[3] > CHANNELS_MOST)
        return error_set(e,
                         "pictures of %zu x %zu x %zu, which would be %zu channels; channels come "
                         "last: --layout chw puts the first ones there, --layout hwc takes them as "
                         "they are",
                         t->shape[1], t->shape[2], t->shape[3], t->shape[3]);
    return 0;
}
