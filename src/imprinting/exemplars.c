#include "exemplars.h"

#include "../../common/base/hash.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

int class_sample_new(size_t classes, size_t room, size_t dimension, class_sample *out, error *e)
{
    *out = (class_sample){.room = room, .dimension = dimension};
    return class_sample_grow(out, classes, e);
}

void class_sample_free(class_sample *s)
{
    free(s->rows);
    free(s->hash);
    free(s->count);
    *s = (class_sample){0};
}

int class_sample_grow(class_sample *s, size_t classes, error *e)
{
    if (classes <= s->classes)
        return 0;
    float *rows = realloc(s->rows, (classes * s->room * s->dimension + 1) * sizeof *rows);
    s->rows = rows ? rows : s->rows;
    uint64_t *hash = realloc(s->hash, (classes * s->room + 1) * sizeof *hash);
    s->hash = hash ? hash : s->hash;
    size_t *count = realloc(s->count, classes * sizeof *count);
    s->count = count ? count : s->count;
    if (!rows || !hash || !count)
        return error_set(e, "out of memory for samples of %zu classes", classes);
    memset(count + s->classes, 0, (classes - s->classes) * sizeof *count);
    s->classes = classes;
    return 0;
}

/* The bytes' hash, its bits then mixed (the finaliser of Steele, Lea, Flood: SplitMix, 2014),
 * so that the smallest hashes are a fair draw. */
static uint64_t hash_row(const float *row, size_t dimension)
{
    uint64_t hash = hash_bytes(HASH_BEGIN, row, dimension * sizeof *row);
    hash = (hash ^ hash >> 30) * 0xBF58476D1CE4E5B9u;
    hash = (hash ^ hash >> 27) * 0x94D049BB133111EBu;
    return hash ^ hash >> 31;
}

void class_sample_offer(class_sample *s, size_t class_index, const float *row)
{
    if (s->room == 0 || row_is_zero(row, s->dimension))
        return;
    uint64_t hash = hash_row(row, s->dimension), *held = s->hash + class_index * s->room;
    float *rows = s->rows + class_index * s->room * s->dimension;
    size_t count = s->count[class_index], size = s->dimension * sizeof *row;
    size_t place = count;
    while (place > 0 && held[place - 1] > hash)
        place--;
    if (place == s->room || (place > 0 && held[place - 1] == hash))
        return;
    size_t moved = count < s->room ? count - place : s->room - 1 - place;
    memmove(held + place + 1, held + place, moved * sizeof *held);
    memmove(rows + (place + 1) * s->dimension, rows + place * s->dimension, moved * size);
    held[place] = hash;
    memcpy(rows + place * s->dimension, row, size);
    s->count[class_index] += count < s->room;
}

static const float *row_at(const tensor *t, size_t class_index, size_t row)
{
    return (const float *)t->data + (class_index * t->shape[1] + row) * t->shape[2];
}

size_t class_sample_rows(const tensor *t, size_t class_index)
{
    size_t count = 0;
    while (count < t->shape[1] && !row_is_zero(row_at(t, class_index, count), t->shape[2]))
        count++;
    return count;
}

void class_sample_offer_tensor(class_sample *s, size_t class_index, const tensor *t,
                               size_t from_class)
{
    size_t count = class_sample_rows(t, from_class);
    for (size_t r = 0; r < count; r++)
        class_sample_offer(s, class_index, row_at(t, from_class, r));
}

void class_sample_store(const class_sample *s, size_t class_index, tensor *t, size_t to_class)
{
    size_t size = s->room * s->dimension;
    float *to = (float *)t->data + to_class * size;
    memset(to, 0, size * sizeof *to);
    memcpy(to, s->rows + class_index * size, s->count[class_index] * s->dimension * sizeof *to);
}

static bool holds(const tensor *t, size_t class_index, const float *row)
{
    size_t rows = t ? class_sample_rows(t, class_index) : 0;
    for (size_t r = 0; r < rows; r++)
        if (memcmp(row_at(t, class_index, r), row, t->shape[2] * sizeof *row) == 0)
            return true;
    return false;
}

size_t class_sample_shared(const tensor *a, size_t i, const tensor *b, size_t k, const tensor *x,
                           size_t c)
{
    size_t rows = class_sample_rows(b, k), shared = 0;
    for (size_t r = 0; r < rows; r++) {
        const float *row = row_at(b, k, r);
        shared += holds(a, i, row) && !holds(x, c, row);
    }
    return shared;
}

bool class_sample_contains(const tensor *whole, size_t i, const tensor *part, size_t k)
{
    size_t kept = class_sample_rows(whole, i), rows = class_sample_rows(part, k),
           width = whole->shape[2];
    bool full = kept == whole->shape[1];
    uint64_t last = full ? hash_row(row_at(whole, i, kept - 1), width) : 0;
    for (size_t r = 0; r < rows; r++) {
        const float *row = row_at(part, k, r);
        if (!(full && hash_row(row, width) > last) && !holds(whole, i, row))
            return false;
    }
    return true;
}
