/* jpeg.c: JPEG files by libjpeg; see decode.h. */
#include "decode.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jerror.h>
#include <jpeglib.h>

typedef struct {
    struct jpeg_decompress_struct jpeg; /* first: libjpeg's callbacks get its address */
    struct jpeg_error_mgr manager;
    jmp_buf failed;
    error *e;
    uint8_t *row; /* as libjpeg leaves it, and then as RGB */
} decoding;

static void complain(j_common_ptr c)
{
    decoding *d = (decoding *)c;
    char text[JMSG_LENGTH_MAX];
    d->manager.format_message(c, text);
    error_set(d->e, "a damaged JPEG: %s", text);
    longjmp(d->failed, 1);
}

/* libjpeg goes on after damage, with grey where pixels are missing. Here damage is an error, but
 * for what harms no pixel. */
static void warn(j_common_ptr c, int level)
{
    static const int harmless[] = {JWRN_ADOBE_XFORM, JWRN_EXTRANEOUS_DATA, JWRN_JFIF_MAJOR,
                                   JWRN_BOGUS_ICC};
    if (level >= 0)
        return;
    for (size_t i = 0; i < sizeof harmless / sizeof *harmless; i++)
        if (c->err->msg_code == harmless[i])
            return;
    complain(c);
}

static int find_orientation(const struct jpeg_decompress_struct *jpeg)
{
    for (jpeg_saved_marker_ptr m = jpeg->marker_list; m; m = m->next)
        if (m->data_length > 6 && memcmp(m->data, "Exif\0\0", 6) == 0)
            return exif_orientation(m->data + 6, m->data_length - 6);
    return 1;
}

/* Decodes at a half, a quarter or an eighth, where that is enough: what lies between is slower than
 * the whole, as libjpeg-turbo has no vectors for it. */
static void choose_scale(struct jpeg_decompress_struct *jpeg, const sink *s, int orientation)
{
    size_t height, width;
    s->enough(s, jpeg->image_height, jpeg->image_width, orientation, &height, &width);
    for (jpeg->scale_num = 1, jpeg->scale_denom = 8; jpeg->scale_num < 8; jpeg->scale_num *= 2) {
        jpeg_calc_output_dimensions(jpeg);
        if (jpeg->output_height >= height && jpeg->output_width >= width)
            return;
    }
}

/* Four inks to three lights; Adobe's programs store the inks inverted. */
static void from_cmyk(uint8_t *row, size_t width, bool inverted)
{
    uint8_t *rgb = row;
    for (size_t x = 0; x < width; x++, row += 4)
        for (size_t c = 0; c < 3; c++) {
            unsigned light = inverted ? row[c] : 255u - row[c];
            unsigned white = inverted ? row[3] : 255u - row[3];
            *rgb++ = (uint8_t)((light * white + 127) / 255);
        }
}

static int decode_rows(decoding *d, sink *s, int orientation)
{
    struct jpeg_decompress_struct *jpeg = &d->jpeg;
    bool inks = jpeg->jpeg_color_space == JCS_CMYK || jpeg->jpeg_color_space == JCS_YCCK;
    jpeg->out_color_space = inks ? JCS_CMYK : JCS_RGB;
    choose_scale(jpeg, s, orientation);
    jpeg_start_decompress(jpeg);
    d->row = malloc((size_t)jpeg->output_width * 4);
    if (!d->row)
        return error_set(d->e, "out of memory for a picture");
    if (s->begin(s, jpeg->output_height, jpeg->output_width, orientation, d->e) < 0)
        return -1;
    while (jpeg->output_scanline < jpeg->output_height) {
        JSAMPROW row = d->row;
        jpeg_read_scanlines(jpeg, &row, 1);
        if (inks)
            from_cmyk(d->row, jpeg->output_width, jpeg->saw_Adobe_marker);
        s->row(s, d->row);
    }
    jpeg_finish_decompress(jpeg);
    return 0;
}

static int decode(decoding *d, const uint8_t *data, size_t bytes, sink *s, extent *size)
{
    struct jpeg_decompress_struct *jpeg = &d->jpeg;
    if (setjmp(d->failed))
        return -1;
    jpeg_create_decompress(jpeg);
    jpeg_mem_src(jpeg, data, bytes);
    jpeg_save_markers(jpeg, JPEG_APP0 + 1, 0xFFFF);
    jpeg_read_header(jpeg, TRUE);
    int orientation = find_orientation(jpeg);
    if (decode_size(jpeg->image_height, jpeg->image_width, orientation,
                    jpeg_has_multiple_scans(jpeg), size, d->e) < 0)
        return -1;
    return s ? decode_rows(d, s, orientation) : 0;
}

int decode_jpeg(const uint8_t *data, size_t bytes, sink *s, extent *size, error *e)
{
    decoding *d = calloc(1, sizeof *d);
    if (!d)
        return error_set(e, "out of memory for a picture");
    d->e = e;
    d->jpeg.err = jpeg_std_error(&d->manager);
    d->manager.error_exit = complain;
    d->manager.emit_message = warn;
    int status = decode(d, data, bytes, s, size);
    jpeg_destroy_decompress(&d->jpeg);
    free(d->row);
    free(d);
    return status;
}
