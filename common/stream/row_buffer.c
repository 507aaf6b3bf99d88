#include "row_buffer.h"
#include "../base/memory.h"

#include <stdlib.h>
#include <string.h>

/* A column of texts is kept at the width that it came with. */
static bool same_row(const field *a, const field *b)
{
    return field_alike(a, b) && tensor_row_bytes(&a->value) == tensor_row_bytes(&b->value);
}

bool row_buffer_fits(const row_buffer *to, const batch *from)
{
    if (to->held.rows == 0)
        return true;
    if (to->held.field_count != from->field_count)
        return false;
    for (size_t i = 0; i < from->field_count; i++)
        if (!same_row(&to->held.fields[i], &from->fields[i]))
            return false;
    return true;
}

/* Makes room for rows of field i. */
static int reserve(row_buffer *to, size_t i, size_t rows, error *e)
{
    tensor *t = &to->held.fields[i].value;
    size_t bytes = rows * tensor_row_bytes(t);
    if (bytes <= to->bytes[i])
        return 0;
    size_t room = (bytes + 63) / 64 * 64;
    void *grown = memory_aligned(room);
    if (!grown)
        return error_set(e, "out of memory for %zu rows of %s", rows, to->held.fields[i].name);
    if (to->held.rows > 0)
        memcpy(grown, t->data, to->held.rows * tensor_row_bytes(t));
    free(t->data);
    t->data = grown;
    to->bytes[i] = room;
    return 0;
}

/* Takes over the fields' names and shapes, but keeps the memory there is. */
static void take_shape(row_buffer *to, const batch *from)
{
    for (size_t i = 0; i < from->field_count; i++) {
        void *memory = to->held.fields[i].value.data;
        to->held.fields[i] = from->fields[i];
        to->held.fields[i].value.data = memory;
        to->held.fields[i].value.shape[0] = 0;
    }
    to->held.field_count = from->field_count;
}

static void set_rows(row_buffer *to, size_t rows)
{
    to->held.rows = rows;
    for (size_t i = 0; i < to->held.field_count; i++)
        to->held.fields[i].value.shape[0] = rows;
}

int row_buffer_append(row_buffer *to, const batch *from, size_t first, size_t count, error *e)
{
    if (to->held.rows == 0)
        take_shape(to, from);
    for (size_t i = 0; i < from->field_count; i++)
        if (reserve(to, i, to->held.rows + count, e) < 0)
            return -1;
    for (size_t i = 0; i < from->field_count; i++) {
        size_t size = tensor_row_bytes(&from->fields[i].value);
        if (size > 0) /* a row may be of no elements, and then there is no memory */
            memcpy((char *)to->held.fields[i].value.data + to->held.rows * size,
                   (const char *)from->fields[i].value.data + first * size, count * size);
    }
    set_rows(to, to->held.rows + count);
    return 0;
}

int row_buffer_repeat(row_buffer *rows, size_t times, error *e)
{
    size_t count = rows->held.rows;
    for (size_t i = 0; i < rows->held.field_count; i++) {
        if (reserve(rows, i, count * times, e) < 0)
            return -1;
        size_t size = tensor_row_bytes(&rows->held.fields[i].value);
        char *data = rows->held.fields[i].value.data;
        /* From the end, so that no row is overwritten before it is copied. */
        for (size_t to = size > 0 ? count * times : 0; to-- > 0;)
            memmove(data + to * size, data + to / times * size, size);
    }
    set_rows(rows, count * times);
    return 0;
}

void row_buffer_clear(row_buffer *rows)
{
    set_rows(rows, 0);
}

void row_buffer_free(row_buffer *rows)
{
    for (size_t i = 0; i < STREAM_FIELDS_MAX; i++)
        free(rows->held.fields[i].value.data);
    *rows = (row_buffer){0};
}
