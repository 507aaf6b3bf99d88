#include "sheet.h"

#include "../base/output.h"

#include <stdlib.h>
#include <string.h>

#define SHEET_BYTES_MAX ((size_t)1 << 30)

static size_t span(size_t count, size_t pixels, size_t zoom, size_t gap)
{
    return count * (pixels * zoom + gap) + gap;
}

size_t sheet_height(const sheet *s)
{
    return span(s->rows, s->picture.height, s->zoom, s->gap);
}

size_t sheet_width(const sheet *s)
{
    return span(s->columns, s->picture.width, s->zoom, s->gap);
}

int sheet_new(size_t rows, size_t columns, size_t zoom, size_t gap, extent picture, sheet *s,
              error *e)
{
    if (picture.channels != 1 && picture.channels != 3)
        return error_set(e,
                         "pictures of %zu channels; a sheet takes 1 (grey) or 3 (red, green, blue)",
                         picture.channels);
    sheet made = {rows, columns, zoom, gap, picture, 0, NULL};
    /* In floating point first: the product may not fit a size_t. */
    double bytes = (double)rows * ((double)picture.height * (double)zoom + (double)gap) *
                   (double)columns * ((double)picture.width * (double)zoom + (double)gap) * 3;
    size_t size = bytes < (double)SHEET_BYTES_MAX
                      ? sheet_height(&made) * sheet_width(&made) * picture.channels
                      : SIZE_MAX;
    if (size > SHEET_BYTES_MAX)
        return error_set(
            e, "a sheet of %zu x %zu pictures is over 1 GiB; take fewer, or a smaller --zoom", rows,
            columns);
    made.pixels = malloc(size);
    if (!made.pixels)
        return error_set(e, "out of memory for a sheet of %zu bytes", size);
    memset(made.pixels, 255, size);
    *s = made;
    return 0;
}

void sheet_free(sheet *s)
{
    free(s->pixels);
    *s = (sheet){0};
}

bool sheet_place(sheet *s, const uint8_t *picture)
{
    if (s->filled == s->rows * s->columns)
        return false;
    size_t top = span(s->filled / s->columns, s->picture.height, s->zoom, s->gap);
    size_t left = span(s->filled % s->columns, s->picture.width, s->zoom, s->gap);
    size_t channels = s->picture.channels, width = sheet_width(s);
    for (size_t y = 0; y < s->picture.height * s->zoom; y++) {
        uint8_t *to = s->pixels + ((top + y) * width + left) * channels;
        const uint8_t *line = picture + y / s->zoom * s->picture.width * channels;
        for (size_t x = 0; x < s->picture.width * s->zoom; x++, to += channels)
            memcpy(to, line + x / s->zoom * channels, channels);
    }
    s->filled++;
    return true;
}

int sheet_write(const sheet *s, output *out, error *e)
{
    size_t height = sheet_height(s), width = sheet_width(s);
    if (output_printf(out, e, "P%d\n%zu %zu\n255\n", s->picture.channels == 1 ? 5 : 6, width,
                      height) < 0)
        return -1;
    return output_write(out, s->pixels, height * width * s->picture.channels, e);
}
