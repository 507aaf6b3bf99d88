/* decode.h: what the decoders of picture.c share. */
#ifndef COMMON_FORMATS_DECODE_H
#define COMMON_FORMATS_DECODE_H

#include "picture.h"

/* More pixels than this are refused, and where all of a picture must be in memory at once, more
 * than PIXELS_WHOLE. */
#define PIXELS_MOST ((uint64_t)1 << 30)
#define PIXELS_WHOLE ((uint64_t)1 << 27)

/* Takes a picture row by row: begin is told the size as it is stored and the EXIF orientation (1 to
 * 8), then row gets all RGB rows from the top. */
typedef struct sink sink;
struct sink {
    int (*begin)(sink *s, size_t height, size_t width, int orientation, error *e);
    void (*row)(sink *s, const uint8_t *rgb);
    /* The size, as it is stored, that a picture of that size may be decoded at, at least. */
    void (*enough)(const sink *s, size_t height, size_t width, int orientation,
                   size_t *least_height, size_t *least_width);
};

/* Each decodes one format. With s NULL only the size is found: *size, turned as the orientation
 * says. */
int decode_jpeg(const uint8_t *data, size_t bytes, sink *s, extent *size, error *e);
int decode_png(const uint8_t *data, size_t bytes, sink *s, extent *size, error *e);
int decode_webp(const uint8_t *data, size_t bytes, sink *s, extent *size, error *e);
int decode_pnm(const uint8_t *data, size_t bytes, sink *s, extent *size, error *e);

/* The orientation that EXIF data (from its TIFF head on) tells; 1 where it tells none. */
int exif_orientation(const uint8_t *tiff, size_t bytes);

/* Fails for a size of none or of too many pixels, else sets *size as the orientation turns it. */
int decode_size(size_t height, size_t width, int orientation, bool whole, extent *size, error *e);

#endif
