#include "backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "shift:4" for name "shift": 1 and its number; 0 for another word; -1 for a bad number. */
static int parse_pixels(const char *word, size_t length, const char *name, int *pixels)
{
    size_t prefix = strlen(name);
    if (length <= prefix || strncmp(word, name, prefix) != 0 || word[prefix] != ':')
        return 0;
    const char *digits = word + prefix + 1;
    size_t count = length - prefix - 1;
    if (count < 1 || count > 4 || strspn(digits, "0123456789") < count)
        return -1;
    *pixels = atoi(digits);
    return *pixels >= 1 ? 1 : -1;
}

int augmentation_parse(const char *words, augmentation *out, error *e)
{
    augmentation made = {0};
    for (const char *at = words;; at += strcspn(at, ",") + 1) {
        size_t length = strcspn(at, ",");
        int known = length == 4 && strncmp(at, "flip", 4) == 0;
        if (known)
            made.flip = true;
        else if ((known = parse_pixels(at, length, "shift", &made.shift)) == 0)
            known = parse_pixels(at, length, "cutout", &made.cutout);
        if (known != 1)
            return error_set(e,
                             "augmentation '%.*s' is none of flip, shift:PIXELS, cutout:PIXELS "
                             "(1 to 9999)",
                             (int)length, at);
        if (!at[length])
            break;
    }
    *out = made;
    return 0;
}

int augmentation_check(const augmentation *augment, extent picture, error *e)
{
    size_t least = picture.height < picture.width ? picture.height : picture.width;
    if ((size_t)augment->shift < least && (size_t)augment->cutout < least)
        return 0;
    return error_set(e, "augmentation %s:%d leaves nothing of pictures of %zu x %zu",
                     (size_t)augment->shift < least ? "cutout" : "shift",
                     (size_t)augment->shift < least ? augment->cutout : augment->shift,
                     picture.height, picture.width);
}

char *augmentation_text(const augmentation *augment, char *text, size_t size)
{
    char shift[16] = "", cutout[20] = "";
    if (augment->shift)
        snprintf(shift, sizeof shift, ",shift:%d", augment->shift);
    if (augment->cutout)
        snprintf(cutout, sizeof cutout, ",cutout:%d", augment->cutout);
    snprintf(text, size, "%s%s%s", augment->flip ? ",flip" : "", shift, cutout);
    if (text[0])
        memmove(text, text + 1, strlen(text));
    return text;
}
