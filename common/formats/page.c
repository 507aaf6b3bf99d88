/* page.c: see page.h. */
#include "page.h"
#include "../base/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <pango/pangocairo.h>

enum {
    GAP = 10,         /* pixels around each place */
    FRAME = 3,        /* a frame's width, outside the picture */
    LINE = 16,        /* a caption's line, from one to the next */
    FONT = 12,        /* its letters' height */
    SIDE_MOST = 32000 /* of a page: cairo's own limit is 32,767 */
};

struct page {
    size_t rows, columns, size, lines, filled;
    cairo_surface_t *surface; /* of the whole page; grows by rows */
    size_t drawn_rows;
};

static const double inks[][3] = {[INK_BLACK] = {0, 0, 0},
                                 [INK_GREY] = {0.4, 0.4, 0.4},
                                 [INK_RIGHT] = {0.05, 0.45, 0.2},
                                 [INK_WRONG] = {0.78, 0.1, 0.1}};

static size_t place_width(const page *p)
{
    return p->size + 2 * FRAME + GAP;
}

static size_t place_height(const page *p)
{
    return p->size + 2 * FRAME + p->lines * LINE + GAP;
}

static size_t page_height(const page *p, size_t rows)
{
    return rows * place_height(p) + GAP;
}

static int cairo_failed(cairo_status_t status, error *e)
{
    return error_set(e, "the page cannot be drawn: %s", cairo_status_to_string(status));
}

int page_new(size_t rows, size_t columns, size_t size, size_t lines, page **out, error *e)
{
    page made = {.rows = rows, .columns = columns, .size = size, .lines = lines};
    size_t width = columns * place_width(&made) + GAP, height = page_height(&made, rows);
    if (width > SIDE_MOST || height > SIDE_MOST)
        return error_set(e,
                         "%zu rows and %zu columns of pictures of %zu pixels make a page of %zu x "
                         "%zu; %d a side are possible",
                         rows, columns, size, width, height, SIDE_MOST);
    page *p = malloc(sizeof *p);
    if (!p)
        return error_set(e, "out of memory for the page");
    *p = made;
    *out = p;
    return 0;
}

void page_free(page *p)
{
    if (p && p->surface)
        cairo_surface_destroy(p->surface);
    free(p);
}

bool page_full(const page *p)
{
    return p->filled == p->rows * p->columns;
}

/* ---- drawing ---- */

/* White paper of so many pixels, with what is on `old`, if any, at its top. */
static int new_paper(int width, int height, cairo_surface_t *old, cairo_surface_t **out, error *e)
{
    cairo_surface_t *made = cairo_image_surface_create(CAIRO_FORMAT_RGB24, width, height);
    cairo_t *c = cairo_create(made);
    cairo_set_source_rgb(c, 1, 1, 1);
    cairo_paint(c);
    if (old) {
        cairo_set_source_surface(c, old, 0, 0);
        cairo_rectangle(c, 0, 0, width, cairo_image_surface_get_height(old));
        cairo_fill(c);
    }
    cairo_status_t status = cairo_status(c);
    cairo_destroy(c);
    if (status == CAIRO_STATUS_SUCCESS) {
        *out = made;
        return 0;
    }
    cairo_surface_destroy(made);
    return cairo_failed(status, e);
}

/* Rows come as pictures do, twice as many each time, so that nothing is taken for what was only
 * allowed. */
static int make_rows(page *p, size_t rows, error *e)
{
    if (rows <= p->drawn_rows)
        return 0;
    size_t more = 2 * p->drawn_rows > rows ? 2 * p->drawn_rows : rows;
    more = more > p->rows ? p->rows : more;
    cairo_surface_t *paper = NULL;
    if (new_paper((int)(p->columns * place_width(p) + GAP), (int)page_height(p, more), p->surface,
                  &paper, e) < 0)
        return -1;
    if (p->surface)
        cairo_surface_destroy(p->surface);
    p->surface = paper;
    p->drawn_rows = more;
    return 0;
}

/* The picture as cairo has it, 32 bits a pixel. NULL without memory. */
static cairo_surface_t *picture_surface(const uint8_t *pixels, extent x)
{
    cairo_surface_t *s =
        cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)x.width, (int)x.height);
    if (cairo_surface_status(s) != CAIRO_STATUS_SUCCESS) {
        cairo_surface_destroy(s);
        return NULL;
    }
    size_t stride = (size_t)cairo_image_surface_get_stride(s);
    uint8_t *to = cairo_image_surface_get_data(s);
    for (size_t i = 0; i < x.height; i++, to += stride)
        for (size_t j = 0; j < x.width; j++, pixels += x.channels) {
            size_t green = x.channels == 3 ? 1 : 0, blue = x.channels == 3 ? 2 : 0;
            uint32_t colour =
                (uint32_t)pixels[0] << 16 | (uint32_t)pixels[green] << 8 | pixels[blue];
            memcpy(to + 4 * j, &colour, sizeof colour);
        }
    cairo_surface_mark_dirty(s);
    return s;
}

/* Centred in the square of p->size at (left, top). */
static int draw_picture(const page *p, cairo_t *c, double left, double top, const uint8_t *pixels,
                        extent x, page_ink frame, error *e)
{
    cairo_surface_t *s = picture_surface(pixels, x);
    if (!s)
        return error_set(e, "out of memory for a picture of %zu x %zu", x.height, x.width);
    double longer = (double)(x.height > x.width ? x.height : x.width);
    double scale = (double)p->size / longer;
    scale = scale >= 2 ? floor(scale) : scale;
    double width = fmax(1, round((double)x.width * scale));
    double height = fmax(1, round((double)x.height * scale));
    left += floor(((double)p->size - width) / 2);
    top += floor(((double)p->size - height) / 2);
    if (frame != INK_BLACK) {
        cairo_set_source_rgb(c, inks[frame][0], inks[frame][1], inks[frame][2]);
        cairo_rectangle(c, left - FRAME, top - FRAME, width + 2 * FRAME, height + 2 * FRAME);
        cairo_fill(c);
    }
    cairo_save(c);
    cairo_translate(c, left, top);
    cairo_rectangle(c, 0, 0, width, height);
    cairo_clip(c);
    cairo_scale(c, width / (double)x.width, height / (double)x.height);
    cairo_set_source_surface(c, s, 0, 0);
    cairo_pattern_set_filter(cairo_get_source(c),
                             scale >= 2 ? CAIRO_FILTER_NEAREST : CAIRO_FILTER_GOOD);
    cairo_pattern_set_extend(cairo_get_source(c), CAIRO_EXTEND_PAD);
    cairo_paint(c);
    cairo_restore(c);
    cairo_surface_destroy(s);
    return 0;
}

static void draw_line(const page *p, cairo_t *c, double left, double top, const page_line *line)
{
    PangoLayout *layout = pango_cairo_create_layout(c);
    PangoFontDescription *font = pango_font_description_from_string("Sans");
    pango_font_description_set_absolute_size(font, FONT * PANGO_SCALE);
    pango_layout_set_font_description(layout, font);
    pango_layout_set_single_paragraph_mode(layout, TRUE);
    pango_layout_set_width(layout, (int)(p->size + 2 * FRAME) * PANGO_SCALE);
    pango_layout_set_ellipsize(layout,
                               line->keep_end ? PANGO_ELLIPSIZE_START : PANGO_ELLIPSIZE_MIDDLE);
    pango_layout_set_alignment(layout, PANGO_ALIGN_CENTER);
    size_t whole = utf8_right(line->text, strlen(line->text)); /* it may be cut within a letter */
    pango_layout_set_text(layout, line->text, (int)whole);
    cairo_set_source_rgb(c, inks[line->ink][0], inks[line->ink][1], inks[line->ink][2]);
    /* Scripts differ in height; their letters stand on one line. */
    cairo_move_to(c, left, top + FONT - pango_layout_get_baseline(layout) / (double)PANGO_SCALE);
    pango_cairo_show_layout(c, layout);
    pango_font_description_free(font);
    g_object_unref(layout);
}

int page_add(page *p, const uint8_t *pixels, extent picture, const page_line *lines, page_ink frame,
             error *e)
{
    if (picture.channels != 1 && picture.channels != 3)
        return error_set(e, "pictures of %zu channels; 1 or 3 can be shown", picture.channels);
    if (picture.height > SIDE_MOST || picture.width > SIDE_MOST)
        return error_set(e, "a picture of %zu x %zu; %d a side can be shown", picture.height,
                         picture.width, SIDE_MOST);
    size_t row = p->filled / p->columns, column = p->filled % p->columns;
    if (make_rows(p, row + 1, e) < 0)
        return -1;
    double left = (double)(GAP + column * place_width(p));
    double top = (double)(GAP + row * place_height(p));
    cairo_t *c = cairo_create(p->surface);
    int status = draw_picture(p, c, left + FRAME, top + FRAME, pixels, picture, frame, e);
    for (size_t i = 0; status == 0 && i < p->lines; i++)
        if (lines[i].text)
            draw_line(p, c, left, top + (double)(p->size + 2 * FRAME + 3 + i * LINE), &lines[i]);
    if (status == 0 && cairo_status(c) != CAIRO_STATUS_SUCCESS)
        status = cairo_failed(cairo_status(c), e);
    cairo_destroy(c);
    p->filled += status == 0;
    return status;
}

/* ---- writing ---- */

typedef struct {
    output *out;
    error *e;
    bool failed;
} sink;

static cairo_status_t write_bytes(void *to, const unsigned char *data, unsigned bytes)
{
    sink *s = to;
    s->failed = output_write(s->out, data, bytes, s->e) < 0;
    return s->failed ? CAIRO_STATUS_WRITE_ERROR : CAIRO_STATUS_SUCCESS;
}

int page_write(const page *p, output *out, error *e)
{
    size_t rows = (p->filled + p->columns - 1) / p->columns;
    size_t columns = p->filled < p->columns ? p->filled : p->columns;
    cairo_surface_t *paper = NULL;
    if (new_paper((int)(columns * place_width(p) + GAP), (int)page_height(p, rows), NULL, &paper,
                  e) < 0)
        return -1;
    cairo_t *c = cairo_create(paper);
    cairo_set_source_surface(c, p->surface, 0, 0);
    cairo_paint(c);
    cairo_destroy(c);
    sink to = {out, e, false};
    cairo_status_t status = cairo_surface_write_to_png_stream(paper, write_bytes, &to);
    cairo_surface_destroy(paper);
    return status == CAIRO_STATUS_SUCCESS ? 0 : to.failed ? -1 : cairo_failed(status, e);
}
