/* picture_loader.h: decodes pictures in several threads, and keeps their order. */
#ifndef COMMON_FORMATS_PICTURE_LOADER_H
#define COMMON_FORMATS_PICTURE_LOADER_H

#include "picture.h"
#include "picture_source.h"

typedef struct picture_loader picture_loader;

/* The source is borrowed, and is asked by one thread at a time. The recipe has a size: all pictures
 * come out alike. */
int picture_loader_new(picture_source *source, const picture_recipe *recipe, size_t batch,
                       int threads, picture_loader **out, error *e);
void picture_loader_free(picture_loader *l); /* NULL is harmless; waits for pictures under way */

typedef struct {
    size_t count;
    uint8_t *images;           /* count x height x width x channels; what failed is undefined */
    const picture_item *items; /* count: what they are called; their bytes are gone */
    const error *failed; /* count: what went wrong with a picture; an empty text for nothing */
} loaded;

/* The next `batch` pictures, the last ones fewer; good until the next call. count 0 at the end. -1
 * where the source failed. */
int picture_loader_next(picture_loader *l, loaded *out, error *e);

/* A file's bytes; the caller frees them. At most 1 GiB. Errors name the file. */
int file_read(const char *path, uint8_t **data, size_t *bytes, error *e);

#endif
