/* picture_source.h: where pictures come from, one after the other: files of a list, a tar. */
#ifndef COMMON_FORMATS_PICTURE_SOURCE_H
#define COMMON_FORMATS_PICTURE_SOURCE_H

#include "../base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    char *path;       /* what it is called */
    char *class_name; /* its class, or NULL */
    uint8_t *data;    /* its file's bytes, owned; NULL: they are in the file of that path */
    size_t bytes;
    bool owned; /* path and class_name are the item's own */
} picture_item;

void picture_item_free(picture_item *item); /* what it owns; the item is empty then */

/* next: 1 and the next picture, the caller's to free; 0 at the end, then always; -1. */
typedef struct picture_source picture_source;
struct picture_source {
    int (*next)(picture_source *s, picture_item *out, error *e);
};

#endif
