/* page.h: pictures with captions on one page, as a PNG file: drawn by cairo, its texts set by
 * pango, in any script that the machine has a font for. */
#ifndef COMMON_FORMATS_PAGE_H
#define COMMON_FORMATS_PAGE_H

#include "../base/error.h"
#include "../base/output.h"
#include "../stream/tensor.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PAGE_LINES_MAX = 8 }; /* of a caption */

typedef enum { INK_BLACK, INK_GREY, INK_RIGHT, INK_WRONG } page_ink;

typedef struct {
    const char *text; /* UTF-8 */
    page_ink ink;
    bool keep_end; /* a line too long loses its beginning, not its middle */
} page_line;

typedef struct page page;

/* A page of at most rows x columns places of size x size pixels, each above `lines` lines. */
int page_new(size_t rows, size_t columns, size_t size, size_t lines, page **out, error *e);
void page_free(page *p); /* NULL is harmless */
bool page_full(const page *p);

/* The next place gets a picture of 1 or 3 channels, whole: smaller ones in whole multiples of their
 * pixels where that fits twice, larger ones reduced; within a frame of that ink, none for
 * INK_BLACK. */
int page_add(page *p, const uint8_t *pixels, extent picture, const page_line *lines, page_ink frame,
             error *e);

/* As many rows and columns as there are pictures for. */
int page_write(const page *p, output *out, error *e);

#endif
