/* sheet.h: pictures side by side on one sheet, as a PNM file. */
#ifndef COMMON_FORMATS_SHEET_H
#define COMMON_FORMATS_SHEET_H

#include "../base/error.h"
#include "../base/output.h"
#include "../stream/tensor.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    size_t rows, columns; /* pictures */
    size_t zoom;          /* each pixel becomes zoom x zoom */
    size_t gap;           /* pixels of the sheet between pictures and around them, white */
    extent picture;       /* channels: 1 grey, 3 red, green, blue */
    size_t filled;        /* pictures placed so far */
    uint8_t *pixels;      /* height x width x channels of the sheet; owned */
} sheet;

/* White paper for those pictures; fails for other channels than 1 or 3, or more than 1 GiB. */
int sheet_new(size_t rows, size_t columns, size_t zoom, size_t gap, extent picture, sheet *s,
              error *e);
void sheet_free(sheet *s);

size_t sheet_height(const sheet *s); /* pixels */
size_t sheet_width(const sheet *s);

/* Puts a picture in the next place, left to right and then down; false if the sheet is full. */
bool sheet_place(sheet *s, const uint8_t *picture);

/* Writes it as a binary PGM (P5) or PPM (P6). */
int sheet_write(const sheet *s, output *out, error *e);

#endif
