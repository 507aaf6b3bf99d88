/* encode.c: see encode.h. */
#include "encode.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <jpeglib.h>
#include <png.h>

int encode_format_named(const char *name)
{
    const char *dot = strrchr(name, '.');
    if (dot && strcasecmp(dot, ".png") == 0)
        return ENCODE_PNG;
    if (dot && (strcasecmp(dot, ".jpg") == 0 || strcasecmp(dot, ".jpeg") == 0))
        return ENCODE_JPEG;
    return -1;
}

static int encode_png(const uint8_t *pixels, extent x, uint8_t **out, size_t *bytes, error *e)
{
    png_image image = {.version = PNG_IMAGE_VERSION,
                       .width = (png_uint_32)x.width,
                       .height = (png_uint_32)x.height,
                       .format = x.channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB};
    png_alloc_size_t room = PNG_IMAGE_PNG_SIZE_MAX(image);
    uint8_t *file = malloc(room);
    if (!file)
        return error_set(e, "out of memory for a PNG of %zu x %zu", x.height, x.width);
    if (!png_image_write_to_memory(&image, file, &room, 0, pixels, 0, NULL)) {
        free(file);
        return error_set(e, "a PNG of %zu x %zu cannot be written: %s", x.height, x.width,
                         image.message);
    }
    *out = file;
    *bytes = room;
    return 0;
}

typedef struct {
    struct jpeg_error_mgr base;
    jmp_buf back;
    char text[JMSG_LENGTH_MAX];
    unsigned char *file; /* jpeg_mem_dest puts a larger one in its place as the picture grows */
    unsigned long size;
} jpeg_trouble;

static _Noreturn void jpeg_stop(j_common_ptr j)
{
    jpeg_trouble *t = (jpeg_trouble *)j->err;
    t->base.format_message(j, t->text);
    longjmp(t->back, 1);
}

static int encode_jpeg(const uint8_t *pixels, extent x, int quality, uint8_t **out, size_t *bytes,
                       error *e)
{
    struct jpeg_compress_struct j = {0};
    jpeg_trouble trouble = {0};
    j.err = jpeg_std_error(&trouble.base);
    trouble.base.error_exit = jpeg_stop;
    if (setjmp(trouble.back)) {
        if (j.next_scanline == 0) /* later the pointer is an old one until the end */
            free(trouble.file);
        jpeg_destroy_compress(&j);
        return error_set(e, "a JPEG of %zu x %zu cannot be written: %s", x.height, x.width,
                         trouble.text);
    }
    jpeg_create_compress(&j);
    jpeg_mem_dest(&j, &trouble.file, &trouble.size);
    j.image_width = (JDIMENSION)x.width;
    j.image_height = (JDIMENSION)x.height;
    j.input_components = (int)x.channels;
    j.in_color_space = x.channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_set_defaults(&j);
    jpeg_set_quality(&j, quality, TRUE);
    if (quality >= 90)
        j.comp_info[0].h_samp_factor = j.comp_info[0].v_samp_factor = 1;
    jpeg_start_compress(&j, TRUE);
    while (j.next_scanline < j.image_height) {
        JSAMPROW row = (JSAMPROW)(uintptr_t)(pixels + j.next_scanline * x.width * x.channels);
        jpeg_write_scanlines(&j, &row, 1);
    }
    jpeg_finish_compress(&j);
    jpeg_destroy_compress(&j);
    *out = trouble.file;
    *bytes = trouble.size;
    return 0;
}

int encode_picture(encode_format format, const uint8_t *pixels, extent picture, int quality,
                   uint8_t **out, size_t *bytes, error *e)
{
    if (picture.channels != 1 && picture.channels != 3)
        return error_set(e, "pictures of %zu channels; PNG and JPEG files have 1 or 3",
                         picture.channels);
    return format == ENCODE_PNG ? encode_png(pixels, picture, out, bytes, e)
                                : encode_jpeg(pixels, picture, quality, out, bytes, e);
}
