/* picture_loader.h: decodes a list of pictures in several threads, and keeps their order. */
#ifndef COMMON_FORMATS_PICTURE_LOADER_H
#define COMMON_FORMATS_PICTURE_LOADER_H

#include "picture.h"
#include "picture_list.h"

typedef struct picture_loader picture_loader;

/* The list is borrowed. The recipe has a size: all pictures come out alike. */
int picture_loader_new(const picture_list *list, const picture_recipe *recipe, size_t batch,
                       int threads, picture_loader **out, error *e);
void picture_loader_free(picture_loader *l); /* NULL is harmless; waits for pictures under way */

typedef struct {
    size_t first, count; /* files of the list */
    uint8_t *images;     /* count x height x width x channels; what failed is undefined */
    const error *failed; /* count: what went wrong with a file; an empty text for nothing */
} loaded;

/* The next `batch` files, the last ones fewer; good until the next call. count 0 at the end. */
void picture_loader_next(picture_loader *l, loaded *out);

/* A file's bytes; the caller frees them. At most 1 GiB. Errors name the file. */
int file_read(const char *path, uint8_t **data, size_t *bytes, error *e);

#endif
