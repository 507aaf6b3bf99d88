#include "auroc.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Scores as whole numbers in the same order, 0 and -0 the same one. */
typedef struct {
    uint32_t *keys;
    size_t count, room;
} key_list;

struct auroc {
    key_list lists[2]; /* of unknown rows, of known ones */
    size_t rows_max;
    bool sorted, overflowed;
};

int auroc_new(size_t rows_max, auroc **out, error *e)
{
    auroc *a = calloc(1, sizeof *a);
    if (!a)
        return error_set(e, "out of memory");
    a->rows_max = rows_max;
    *out = a;
    return 0;
}

static void drop_keys(auroc *a)
{
    for (int i = 0; i < 2; i++) {
        free(a->lists[i].keys);
        a->lists[i] = (key_list){0};
    }
}

void auroc_free(auroc *a)
{
    if (!a)
        return;
    drop_keys(a);
    free(a);
}

static uint32_t key_of(float score)
{
    uint32_t bits;
    score += 0.0f;
    memcpy(&bits, &score, sizeof bits);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

int auroc_add(auroc *a, bool known, float score, error *e)
{
    key_list *list = &a->lists[known];
    if (a->overflowed)
        return 0;
    if (a->lists[0].count + a->lists[1].count == a->rows_max) {
        a->overflowed = true;
        drop_keys(a);
        return 0;
    }
    if (list->count == list->room) {
        size_t room = list->room ? 2 * list->room : 1024;
        uint32_t *grown = realloc(list->keys, room * sizeof *grown);
        if (!grown)
            return error_set(e, "out of memory for the scores of %zu rows", room);
        list->keys = grown;
        list->room = room;
    }
    list->keys[list->count++] = key_of(score);
    a->sorted = false;
    return 0;
}

bool auroc_overflowed(const auroc *a)
{
    return a->overflowed;
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* By DIGIT_BITS of the keys at a time, from the lowest up: each pass keeps the order of the one
 * before. */
static void sort_keys(key_list *list)
{
    enum { DIGIT_BITS = 11, DIGITS = 3, VALUES = 1 << DIGIT_BITS };
    uint32_t *to = malloc((list->count + 1) * sizeof *to);
    size_t(*places)[VALUES] = calloc(DIGITS, sizeof *places);
    if (!to || !places) {
        qsort(list->keys, list->count, sizeof *list->keys, compare);
        free(to);
        free(places);
        return;
    }
    for (size_t i = 0; i < list->count; i++)
        for (int d = 0; d < DIGITS; d++)
            places[d][list->keys[i] >> d * DIGIT_BITS & (VALUES - 1)]++;
    for (int d = 0; d < DIGITS; d++) {
        size_t next = 0;
        for (size_t v = 0; v < VALUES; v++) {
            size_t here = places[d][v];
            places[d][v] = next;
            next += here;
        }
        for (size_t i = 0; i < list->count; i++)
            to[places[d][list->keys[i] >> d * DIGIT_BITS & (VALUES - 1)]++] = list->keys[i];
        uint32_t *sorted = to;
        to = list->keys;
        list->keys = sorted;
    }
    list->room = list->count + 1;
    free(to);
    free(places);
}

double auroc_value(auroc *a)
{
    const key_list *unknown = &a->lists[0], *known = &a->lists[1];
    if (unknown->count == 0 || known->count == 0)
        return NAN;
    for (int i = 0; i < 2 && !a->sorted; i++)
        sort_keys(&a->lists[i]);
    a->sorted = true;
    /* Twice the pairs in order: at most 2 * (rows_max / 2)^2, which 64 bits hold. */
    uint64_t twice = 0;
    size_t below = 0, not_above = 0;
    for (size_t i = 0; i < known->count; i++) {
        while (below < unknown->count && unknown->keys[below] < known->keys[i])
            below++;
        while (not_above < unknown->count && unknown->keys[not_above] <= known->keys[i])
            not_above++;
        twice += below + not_above;
    }
    return (double)twice / 2 / ((double)known->count * (double)unknown->count);
}
