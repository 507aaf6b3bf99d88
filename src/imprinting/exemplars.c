#include "exemplars.h"

#include "../../common/base/hash.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

size_t exemplars_usual_room(size_t classes)
{
    size_t room = 4096 / (classes ? classes : 1);
    return room > 100 ? 100 : room < 4 ? 4 : room;
}

int exemplars_new(size_t classes, size_t room, size_t dimension, exemplars *out, error *e)
{
    *out = (exemplars){.room = room, .dimension = dimension};
    return exemplars_grow(out, classes, e);
}

void exemplars_free(exemplars *s)
{
    free(s->rows);
    free(s->hash);
    free(s->count);
    *s = (exemplars){0};
}

int exemplars_grow(exemplars *s, size_t classes, error *e)
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
        return error_set(e, "out of memory for exemplars of %zu classes", classes);
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

void exemplars_offer(exemplars *s, size_t class_index, const float *row)
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

const float *exemplars_row(const class_sums *s, size_t class_index, size_t row)
{
    return s->exemplars + (class_index * s->room + row) * s->dimension;
}

size_t exemplars_count(const class_sums *s, size_t class_index)
{
    size_t count = 0;
    while (count < s->room && !row_is_zero(exemplars_row(s, class_index, count), s->dimension))
        count++;
    return count;
}

void exemplars_offer_kept(exemplars *s, size_t class_index, const class_sums *from,
                          size_t from_class)
{
    size_t count = exemplars_count(from, from_class);
    for (size_t r = 0; r < count; r++)
        exemplars_offer(s, class_index, exemplars_row(from, from_class, r));
}

void exemplars_store(const exemplars *s, size_t class_index, const class_sums *to, size_t to_class)
{
    size_t size = s->room * s->dimension;
    float *rows = to->exemplars + to_class * size;
    memset(rows, 0, size * sizeof *rows);
    memcpy(rows, s->rows + class_index * size, s->count[class_index] * s->dimension * sizeof *rows);
}

static bool holds(const class_sums *s, size_t class_index, const float *row)
{
    size_t rows = exemplars_count(s, class_index);
    for (size_t r = 0; r < rows; r++)
        if (memcmp(exemplars_row(s, class_index, r), row, s->dimension * sizeof *row) == 0)
            return true;
    return false;
}

size_t exemplars_shared(const class_sums *a, size_t i, const class_sums *b, size_t k,
                        const class_sums *x, size_t c)
{
    size_t rows = exemplars_count(b, k), shared = 0;
    for (size_t r = 0; r < rows; r++) {
        const float *row = exemplars_row(b, k, r);
        shared += holds(a, i, row) && !holds(x, c, row);
    }
    return shared;
}

bool exemplars_contains(const class_sums *whole, size_t i, const class_sums *part, size_t k)
{
    size_t kept = exemplars_count(whole, i), rows = exemplars_count(part, k),
           width = whole->dimension;
    bool full = kept == whole->room;
    uint64_t last = full && kept ? hash_row(exemplars_row(whole, i, kept - 1), width) : 0;
    for (size_t r = 0; r < rows; r++) {
        const float *row = exemplars_row(part, k, r);
        if (!(full && hash_row(row, width) > last) && !holds(whole, i, row))
            return false;
    }
    return true;
}
