/* row_buffer.h: rows of a stream kept past the next read: gathered from small batches or cut from
 * big ones, so that work goes in pieces of the size that suits it. */
#ifndef COMMON_STREAM_ROW_BUFFER_H
#define COMMON_STREAM_ROW_BUFFER_H

#include "../base/error.h"
#include "batch.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct {
    batch held;                      /* the rows; their memory is the buffer's */
    size_t bytes[STREAM_FIELDS_MAX]; /* allocated for each field */
} row_buffer;                        /* all zero: an empty one */

/* Whether rows of that batch have the same fields (names, order, types, shapes) as those held, or
 * none are held. */
bool row_buffer_fits(const row_buffer *to, const batch *from);

/* Appends `count` rows of a batch that fits, from row `first` on, in every field. */
int row_buffer_append(row_buffer *to, const batch *from, size_t first, size_t count, error *e);

/* Replaces every row by `times` copies of it, one after the other. */
int row_buffer_repeat(row_buffer *rows, size_t times, error *e);

void row_buffer_clear(row_buffer *rows); /* holds none; keeps the memory */
void row_buffer_free(row_buffer *rows);

#endif
