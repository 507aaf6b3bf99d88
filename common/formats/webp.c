/* webp.c: WebP files by libwebp; see decode.h. */
#include "decode.h"

#include <stdlib.h>
#include <string.h>

#include <webp/decode.h>

/* The EXIF chunk's orientation; chunks are a name, a size in four bytes, and data of even length.
 * */
static int find_orientation(const uint8_t *data, size_t bytes)
{
    for (size_t at = 12; at + 8 <= bytes;) {
        size_t length = (size_t)data[at + 4] | (size_t)data[at + 5] << 8 |
                        (size_t)data[at + 6] << 16 | (size_t)data[at + 7] << 24;
        if (length > bytes - at - 8)
            return 1;
        const uint8_t *chunk = data + at + 8;
        if (memcmp(data + at, "EXIF", 4) == 0) {
            size_t skip = length > 6 && memcmp(chunk, "Exif\0\0", 6) == 0 ? 6 : 0;
            return exif_orientation(chunk + skip, length - skip);
        }
        at += 8 + length + length % 2;
    }
    return 1;
}

int decode_webp(const uint8_t *data, size_t bytes, sink *s, extent *size, error *e)
{
    WebPBitstreamFeatures head;
    if (WebPGetFeatures(data, bytes, &head) != VP8_STATUS_OK)
        return error_set(e, "a damaged WebP: its head cannot be read");
    if (head.has_animation)
        return error_set(e, "an animated WebP; take one picture of it first");
    int orientation = find_orientation(data, bytes);
    size_t height = (size_t)head.height, width = (size_t)head.width;
    if (decode_size(height, width, orientation, true, size, e) < 0)
        return -1;
    if (!s)
        return 0;
    uint8_t *pixels = malloc(height * width * 3);
    if (!pixels)
        return error_set(e, "out of memory for a picture");
    int status = -1;
    if (!WebPDecodeRGBInto(data, bytes, pixels, height * width * 3, (int)width * 3))
        error_set(e, "a damaged WebP: its pixels cannot be read");
    else if (s->begin(s, height, width, orientation, e) == 0)
        status = 0;
    for (size_t y = 0; status == 0 && y < height; y++)
        s->row(s, pixels + y * width * 3);
    free(pixels);
    return status;
}
