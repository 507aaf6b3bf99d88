/* png.c: PNG files by libpng; see decode.h. */
#include "decode.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

enum { MEMORY_MOST = 1 << 28 }; /* of one piece of libpng's own: a row, EXIF, a profile */

typedef struct {
    png_structp png;
    png_infop info;
    const uint8_t *data;
    size_t bytes, at;
    uint8_t *pixels; /* a row, or all of an interlaced picture */
    error *e;
} decoding;

static void complain(png_structp png, png_const_charp text)
{
    decoding *d = png_get_error_ptr(png);
    error_set(d->e, "a damaged PNG: %s", text);
    png_longjmp(png, 1);
}

/* What libpng warns of (an odd colour profile, a text too long) harms no pixel. */
static void ignore(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text;
}

/* libpng takes a chunk's word for its length, and the memory with it. */
static png_voidp allocate(png_structp png, png_alloc_size_t bytes)
{
    (void)png;
    return bytes > MEMORY_MOST ? NULL : malloc(bytes);
}

static void release(png_structp png, png_voidp memory)
{
    (void)png;
    free(memory);
}

static void read_bytes(png_structp png, png_bytep to, size_t count)
{
    decoding *d = png_get_io_ptr(png);
    if (count > d->bytes - d->at)
        png_error(png, "the file ends too early");
    memcpy(to, d->data + d->at, count);
    d->at += count;
}

/* The chunk may stand before the pixels; one after them comes too late to turn by. */
static int find_orientation(decoding *d)
{
    png_bytep exif;
    png_uint_32 bytes;
    return png_get_eXIf_1(d->png, d->info, &bytes, &exif) ? exif_orientation(exif, bytes) : 1;
}

/* Every kind of sample to 8-bit RGB without alpha. */
static void ask_for_rgb(decoding *d)
{
    png_set_expand(d->png);
    png_set_scale_16(d->png);
    png_set_strip_alpha(d->png);
    png_set_gray_to_rgb(d->png);
}

static int decode_rows(decoding *d, sink *s, size_t height, size_t width, int orientation)
{
    ask_for_rgb(d);
    int passes = png_set_interlace_handling(d->png);
    png_read_update_info(d->png, d->info);
    size_t row_bytes = png_get_rowbytes(d->png, d->info);
    if (row_bytes != width * 3)
        return error_set(d->e, "a PNG of %zu bytes a row of %zu pixels", row_bytes, width);
    d->pixels = malloc(row_bytes * (passes > 1 ? height : 1));
    if (!d->pixels)
        return error_set(d->e, "out of memory for a picture");
    if (s->begin(s, height, width, orientation, d->e) < 0)
        return -1;
    for (int pass = 0; pass < passes; pass++)
        for (size_t y = 0; y < height; y++) {
            uint8_t *row = d->pixels + (passes > 1 ? y * row_bytes : 0);
            png_read_row(d->png, row, NULL);
            if (pass == passes - 1)
                s->row(s, row);
        }
    png_read_end(d->png, NULL);
    return 0;
}

static int decode(decoding *d, sink *s, extent *size)
{
    if (setjmp(png_jmpbuf(d->png)))
        return -1;
    png_set_read_fn(d->png, d, read_bytes);
    png_set_user_limits(d->png, 0x7fffffff, 0x7fffffff);
    png_read_info(d->png, d->info);
    size_t height = png_get_image_height(d->png, d->info);
    size_t width = png_get_image_width(d->png, d->info);
    int orientation = find_orientation(d);
    bool whole = png_get_interlace_type(d->png, d->info) != PNG_INTERLACE_NONE;
    if (decode_size(height, width, orientation, whole, size, d->e) < 0)
        return -1;
    return s ? decode_rows(d, s, height, width, orientation) : 0;
}

int decode_png(const uint8_t *data, size_t bytes, sink *s, extent *size, error *e)
{
    decoding d = {.data = data, .bytes = bytes, .e = e};
    d.png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, &d, complain, ignore, NULL, allocate,
                                     release);
    d.info = d.png ? png_create_info_struct(d.png) : NULL;
    int status = d.info ? decode(&d, s, size) : error_set(e, "out of memory for a picture");
    png_destroy_read_struct(&d.png, &d.info, NULL);
    free(d.pixels);
    return status;
}
