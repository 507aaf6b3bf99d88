/* input.c: from a picture's bytes to the network's input. */
#include "reference.h"

static bool within(long at, long first, long count)
{
    return at >= first && at < first + count;
}

/* The pixel of the picture that is seen at (y, x): cut out, moved, mirrored, in the reverse of the
 * order in which they are done. NULL where nothing is. */
static const uint8_t *pixel_seen(const uint8_t *image, extent e, random_view view, int cutout,
                                 long y, long x)
{
    long height = (long)e.height, width = (long)e.width;
    if (cutout && within(y, view.cy - cutout / 2, cutout) &&
        within(x, view.cx - cutout / 2, cutout))
        return NULL;
    y -= view.dy;
    x -= view.dx;
    if (!within(y, 0, height) || !within(x, 0, width))
        return NULL;
    if (view.flip)
        x = width - 1 - x;
    return image + (size_t)(y * width + x) * e.channels;
}

void reference_picture(const uint8_t *image, extent e, random_view view, int cutout, double *out)
{
    for (long y = 0; y < (long)e.height; y++) {
        for (long x = 0; x < (long)e.width; x++) {
            const uint8_t *pixel = pixel_seen(image, e, view, cutout, y, x);
            for (size_t c = 0; c < e.channels; c++)
                *out++ = pixel ? pixel[c] / 255.0 : 0.0;
        }
    }
}
