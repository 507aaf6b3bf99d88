#include "order.h"

#include "../../common/base/random.h"

#include <stdlib.h>
#include <string.h>

/* What the numbers are for: a stream of its own for each, so that they do not follow each other. */
enum { USE_SHUFFLE, USE_BALANCE, USE_HOLD_OUT };

typedef struct {
    uint64_t key, stream, next;
    random_block block;
} generator;

static generator generator_start(uint64_t seed, uint32_t use, uint64_t epoch)
{
    return (generator){.key = seed, .stream = random_stream(RANDOM_SHUFFLE, use, epoch)};
}

static uint32_t generator_word(generator *g)
{
    if (g->next % 4 == 0)
        g->block = random_philox(g->key, g->next / 4, g->stream);
    return g->block.v[g->next++ % 4];
}

/* Uniform in [0, bound), bound >= 1, by multiplication and rejection of the uneven rest (Lemire:
 * Fast random integer generation in an interval, 2019). */
static uint32_t generator_below(generator *g, uint32_t bound)
{
    uint64_t product = (uint64_t)generator_word(g) * bound;
    if ((uint32_t)product < bound) {
        uint32_t uneven = -bound % bound;
        while ((uint32_t)product < uneven)
            product = (uint64_t)generator_word(g) * bound;
    }
    return (uint32_t)(product >> 32);
}

static void shuffle(uint32_t *order, size_t count, generator *g)
{
    for (size_t i = count; i > 1; i--) {
        size_t j = generator_below(g, (uint32_t)i);
        uint32_t held = order[i - 1];
        order[i - 1] = order[j];
        order[j] = held;
    }
}

void order_shuffle(uint32_t *order, size_t count, uint64_t seed, uint64_t epoch)
{
    generator g = generator_start(seed, USE_SHUFFLE, epoch);
    shuffle(order, count, &g);
}

/* Sorts rows by class: class c's stand at sorted[start[c] .. start[c + 1]), in their order. */
static void sort_by_class(const uint32_t *rows, size_t count, const int32_t *labels, size_t classes,
                          size_t *start, uint32_t *sorted)
{
    memset(start, 0, (classes + 1) * sizeof *start);
    for (size_t i = 0; i < count; i++)
        start[labels[rows[i]] + 1]++;
    for (size_t c = 0; c < classes; c++)
        start[c + 1] += start[c];
    for (size_t i = 0; i < count; i++)
        sorted[start[labels[rows[i]]]++] = rows[i];
    for (size_t c = classes; c > 0; c--)
        start[c] = start[c - 1];
    start[0] = 0;
}

/* `want` of one class's rows, freshly shuffled for every time through them. */
static void draw_class(uint32_t *rows, size_t count, size_t want, generator *g, uint32_t *drawn)
{
    while (want > 0) {
        size_t now = want < count ? want : count;
        shuffle(rows, count, g);
        memcpy(drawn, rows, now * sizeof *rows);
        drawn += now;
        want -= now;
    }
}

int order_balanced(const uint32_t *rows, size_t count, const int32_t *labels, size_t classes,
                   uint64_t seed, uint64_t epoch, uint32_t *order, error *e)
{
    size_t *start = malloc((classes + 1) * sizeof *start);
    uint32_t *sorted = malloc((count ? count : 1) * sizeof *sorted);
    if (!start || !sorted) {
        free(start);
        free(sorted);
        return error_set(e, "out of memory for the order of %zu rows", count);
    }
    sort_by_class(rows, count, labels, classes, start, sorted);
    size_t occurring = 0, turn = 0, filled = 0;
    for (size_t c = 0; c < classes; c++)
        occurring += start[c + 1] > start[c];
    generator g = generator_start(seed, USE_BALANCE, epoch);
    for (size_t c = 0; c < classes; c++) {
        if (start[c + 1] == start[c])
            continue;
        size_t want = count / occurring + (turn++ < count % occurring);
        draw_class(sorted + start[c], start[c + 1] - start[c], want, &g, order + filled);
        filled += want;
    }
    shuffle(order, count, &g);
    free(start);
    free(sorted);
    return 0;
}

static int compare_rows(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

void order_hold_out(uint32_t *order, size_t count, size_t held, uint64_t seed)
{
    generator g = generator_start(seed, USE_HOLD_OUT, 0);
    for (size_t i = 0; i < count; i++)
        order[i] = (uint32_t)i;
    shuffle(order, count, &g);
    qsort(order, count - held, sizeof *order, compare_rows);
    qsort(order + (count - held), held, sizeof *order, compare_rows);
}
