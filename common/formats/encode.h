/* encode.h: pictures as PNG and JPEG files, by libpng and libjpeg. */
#ifndef COMMON_FORMATS_ENCODE_H
#define COMMON_FORMATS_ENCODE_H

#include "../base/error.h"
#include "../stream/tensor.h"

#include <stddef.h>
#include <stdint.h>

typedef enum { ENCODE_PNG, ENCODE_JPEG } encode_format;

/* The format that a file's name ends with, in either case (.png, .jpg, .jpeg); -1 for another. */
int encode_format_named(const char *name);

/* A picture of 1 or 3 channels as a whole file in memory: *out, the caller's to free. `quality` is
 * JPEG's, 1 to 100; colour is not halved from 90 on. */
int encode_picture(encode_format format, const uint8_t *pixels, extent picture, int quality,
                   uint8_t **out, size_t *bytes, error *e);

#endif
