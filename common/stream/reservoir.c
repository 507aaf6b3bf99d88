/* reservoir.c: see reservoir.h. */
#include "reservoir.h"

#include "../base/random.h"

#include <stdlib.h>
#include <string.h>

enum { WRITE_BYTES = 1 << 20 }; /* a batch's size, roughly */

typedef struct {
    uint64_t number; /* of the row, in the order they came */
    char *data;      /* its fields, one after the other */
} kept_row;

typedef struct {
    uint64_t seen;
    size_t count, room;
    kept_row *rows;
} reservoir;

struct sample {
    size_t per_class;
    uint64_t seed, offered;
    size_t class_count;
    reservoir *classes;
    batch layout; /* the first batch's fields, without their data */
    size_t row_bytes;
};

int sample_new(size_t per_class, uint64_t seed, sample **out, error *e)
{
    sample *s = calloc(1, sizeof *s);
    if (!s)
        return error_set(e, "out of memory");
    s->per_class = per_class;
    s->seed = seed;
    *out = s;
    return 0;
}

void sample_free(sample *s)
{
    if (!s)
        return;
    for (size_t c = 0; c < s->class_count; c++) {
        for (size_t i = 0; i < s->classes[c].count; i++)
            free(s->classes[c].rows[i].data);
        free(s->classes[c].rows);
    }
    free(s->classes);
    free(s);
}

/* Makes a column of texts wider in every row that is kept. */
static int widen(sample *s, size_t index, size_t width, error *e)
{
    tensor *t = &s->layout.fields[index].value;
    size_t before = t->shape[1], offset = 0;
    for (size_t i = 0; i < index; i++)
        offset += tensor_row_bytes(&s->layout.fields[i].value);
    size_t after = s->row_bytes - offset - before;
    for (size_t c = 0; c < s->class_count; c++)
        for (size_t i = 0; i < s->classes[c].count; i++) {
            kept_row *row = &s->classes[c].rows[i];
            char *data = realloc(row->data, s->row_bytes + width - before);
            if (!data)
                return error_set(e, "out of memory for the sample");
            row->data = data;
            memmove(data + offset + width, data + offset + before, after);
            memset(data + offset + before, 0, width - before);
        }
    t->shape[1] = width;
    s->row_bytes += width - before;
    return 0;
}

/* The first batch says what a row is; the others must agree, but for the width of texts. */
static int check_layout(sample *s, const batch *b, error *e)
{
    batch *l = &s->layout;
    if (l->field_count == 0) {
        l->field_count = b->field_count;
        for (size_t i = 0; i < b->field_count; i++) {
            l->fields[i] = b->fields[i];
            s->row_bytes += tensor_row_bytes(&b->fields[i].value);
        }
        return 0;
    }
    bool same = l->field_count == b->field_count;
    for (size_t i = 0; same && i < b->field_count; i++) {
        const tensor *t = &b->fields[i].value;
        same = field_alike(&l->fields[i], &b->fields[i]);
        if (same && t->type == TYPE_TEXT && t->shape[1] > l->fields[i].value.shape[1] &&
            widen(s, i, t->shape[1], e) < 0)
            return -1;
    }
    return same ? 0
                : error_set(e,
                            "row %llu: its batch has other fields than those before; a sample "
                            "needs rows that are all alike",
                            (unsigned long long)b->first_row);
}

static int make_class(sample *s, size_t class, error *e)
{
    if (class < s->class_count)
        return 0;
    size_t count = class + 1 > 2 * s->class_count ? class + 1 : 2 * s->class_count;
    reservoir *grown = realloc(s->classes, count * sizeof *grown);
    if (!grown)
        return error_set(e, "out of memory for a sample of %zu classes", count);
    memset(grown + s->class_count, 0, (count - s->class_count) * sizeof *grown);
    s->classes = grown;
    s->class_count = count;
    return 0;
}

/* The place for the next row in a class's reservoir, per_class for none. */
static size_t draw_place(const sample *s, size_t class, const reservoir *r)
{
    if (r->count < s->per_class)
        return r->count;
    random_block b =
        random_philox(s->seed, r->seen, random_stream(RANDOM_SAMPLE, (uint32_t) class, 0));
    uint64_t bits = (uint64_t)b.v[0] << 32 | b.v[1];
    uint64_t place = bits % (r->seen + 1); /* of 64 bits: the bias is nothing beside chance */
    return place < s->per_class ? (size_t)place : s->per_class;
}

static int add_row(sample *s, reservoir *r, error *e)
{
    if (r->count == r->room) {
        size_t room = r->room ? 2 * r->room : 16;
        kept_row *grown = realloc(r->rows, room * sizeof *grown);
        if (!grown)
            return error_set(e, "out of memory for the sample");
        r->rows = grown;
        r->room = room;
    }
    r->rows[r->count].data = malloc(s->row_bytes + 1);
    if (!r->rows[r->count].data)
        return error_set(e, "out of memory for the sample");
    r->count++;
    return 0;
}

static int offer_row(sample *s, const batch *b, size_t row, size_t class, error *e)
{
    if (make_class(s, class, e) < 0)
        return -1;
    reservoir *r = &s->classes[class];
    size_t place = draw_place(s, class, r);
    r->seen++;
    if (place == s->per_class)
        return 0;
    if (place == r->count && add_row(s, r, e) < 0)
        return -1;
    r->rows[place].number = s->offered;
    char *to = r->rows[place].data;
    for (size_t i = 0; i < b->field_count; i++) {
        size_t bytes = tensor_row_bytes(&b->fields[i].value);
        size_t room = tensor_row_bytes(&s->layout.fields[i].value);
        memcpy(to, (const char *)b->fields[i].value.data + row * bytes, bytes);
        memset(to + bytes, 0, room - bytes); /* a narrower column of texts */
        to += room;
    }
    return 0;
}

int sample_offer(sample *s, const batch *b, const int32_t *labels, const bool *wanted, error *e)
{
    if (check_layout(s, b, e) < 0)
        return -1;
    for (size_t row = 0; row < b->rows; row++, s->offered++)
        if (wanted[row] && offer_row(s, b, row, (size_t)labels[row], e) < 0)
            return -1;
    return 0;
}

/* ---- writing ---- */

static int by_number(const void *a, const void *b)
{
    uint64_t x = ((const kept_row *)a)->number, y = ((const kept_row *)b)->number;
    return x < y ? -1 : x > y;
}

/* Puts rows together field by field, in the memory of the layout's tensors, and writes them. */
static int write_rows(sample *s, const kept_row *rows, size_t count, stream_writer *w, error *e)
{
    batch *l = &s->layout;
    l->rows = count;
    size_t offset = 0;
    for (size_t i = 0; i < l->field_count; i++) {
        size_t bytes = tensor_row_bytes(&l->fields[i].value);
        char *to = l->fields[i].value.data;
        for (size_t row = 0; row < count; row++)
            memcpy(to + row * bytes, rows[row].data + offset, bytes);
        l->fields[i].value.shape[0] = count;
        offset += bytes;
    }
    return stream_write(w, l, e);
}

static int write_sorted(sample *s, const kept_row *rows, size_t count, stream_writer *w, error *e)
{
    size_t step = s->row_bytes < WRITE_BYTES ? WRITE_BYTES / s->row_bytes : 1;
    char *memory = malloc(step * s->row_bytes), *at = memory;
    if (!memory)
        return error_set(e, "out of memory to write the sample");
    for (size_t i = 0; i < s->layout.field_count; i++) {
        s->layout.fields[i].value.data = at;
        at += step * tensor_row_bytes(&s->layout.fields[i].value);
    }
    int status = 0;
    for (size_t i = 0; i < count && status == 0; i += step)
        status = write_rows(s, rows + i, count - i < step ? count - i : step, w, e);
    free(memory);
    return status;
}

/* All rows that were kept, in the order they came; the caller's to free. NULL without memory. */
static kept_row *rows_kept(const sample *s, size_t *count)
{
    *count = 0;
    for (size_t c = 0; c < s->class_count; c++)
        *count += s->classes[c].count;
    kept_row *all = malloc((*count + 1) * sizeof *all);
    size_t used = 0;
    for (size_t c = 0; all && c < s->class_count; c++) {
        if (s->classes[c].count)
            memcpy(all + used, s->classes[c].rows, s->classes[c].count * sizeof *all);
        used += s->classes[c].count;
    }
    if (all)
        qsort(all, *count, sizeof *all, by_number);
    return all;
}

int sample_write(sample *s, stream_writer *w, error *e)
{
    size_t count;
    kept_row *all = rows_kept(s, &count);
    if (!all)
        return error_set(e, "out of memory to write the sample");
    int status = count ? write_sorted(s, all, count, w, e) : 0;
    free(all);
    return status;
}

int sample_numbers(sample *s, uint64_t **numbers, size_t *count, error *e)
{
    kept_row *all = rows_kept(s, count);
    *numbers = malloc((*count + 1) * sizeof **numbers);
    if (!all || !*numbers) {
        free(all);
        free(*numbers);
        return error_set(e, "out of memory for the sample");
    }
    for (size_t i = 0; i < *count; i++)
        (*numbers)[i] = all[i].number;
    free(all);
    return 0;
}
