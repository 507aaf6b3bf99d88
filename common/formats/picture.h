/* picture.h: JPEG, PNG, WebP and PNM files to pixels of the size that is wanted.
 *
 * Pixels come out as uint8 [height][width][channels], 3 (red, green, blue) or 1 (grey, by ITU-R
 * 601-2 luma). Palettes, CMYK and 16-bit samples become 8-bit RGB; transparency is left out, as
 * PIL's convert("RGB") leaves it out; a picture is turned as its EXIF orientation says. Rows are
 * resized as they are decoded, so that a large picture takes little memory (not so progressive
 * JPEGs, interlaced PNGs and WebP). */
#ifndef COMMON_FORMATS_PICTURE_H
#define COMMON_FORMATS_PICTURE_H

#include "resample.h"

/* Where a picture's shape is not the one wanted: */
typedef enum {
    FIT_CROP,   /* fill it, and cut off what stands over at both ends */
    FIT_PAD,    /* stay within, with black at both ends */
    FIT_STRETCH /* give up the shape */
} picture_fit;

typedef struct {
    extent size; /* height 0: as large as the picture is; channels 1 or 3 */
    size_t edge; /* FIT_CROP: how long the shorter edge is made; 0: as long as the crop needs */
    picture_fit fit;
    resample_filter filter;
    bool exact; /* nothing is resized: a picture of another size is an error */
    bool fast;  /* JPEG: decode no finer than twice what is needed */
} picture_recipe;

/* Height and width that a recipe without a size gives. Reads the file's head alone. */
int picture_extent(const void *data, size_t bytes, extent *size, error *e);

/* Decodes a file's bytes. out has size.height x size.width x channels bytes. */
int picture_decode(const void *data, size_t bytes, const picture_recipe *recipe, uint8_t *out,
                   error *e);

#endif
