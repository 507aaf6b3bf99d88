#include "arena.h"

#include <stdlib.h>

static size_t aligned(size_t bytes)
{
    return (bytes + ARENA_ALIGNMENT - 1) / ARENA_ALIGNMENT * ARENA_ALIGNMENT;
}

size_t arena_add(arena *a, size_t bytes, size_t first, size_t last)
{
    if (a->count == a->room) {
        size_t room = a->room ? 2 * a->room : 64;
        arena_block *more = realloc(a->blocks, room * sizeof *more);
        a->failed = a->failed || !more;
        if (!more)
            return NOWHERE;
        a->blocks = more;
        a->room = room;
    }
    a->blocks[a->count] = (arena_block){bytes ? bytes : 1, first, last, 0};
    return a->count++;
}

size_t arena_keep(arena *a, size_t bytes)
{
    return arena_add(a, bytes, 0, SIZE_MAX);
}

void arena_use(arena *a, size_t block, size_t time)
{
    if (block != NOWHERE && a->blocks[block].last < time)
        a->blocks[block].last = time;
}

/* The first place at or after which block i collides with none of those before it. */
static size_t offset_find(const arena_block *blocks, size_t i)
{
    size_t at = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (size_t k = 0; k < i; k++) {
            const arena_block *b = &blocks[k];
            if (b->first > blocks[i].last || blocks[i].first > b->last)
                continue;
            if (at < b->offset + aligned(b->bytes) && b->offset < at + aligned(blocks[i].bytes)) {
                at = b->offset + aligned(b->bytes);
                moved = true;
            }
        }
    }
    return at;
}

int arena_lay_out(arena *a, error *e)
{
    if (a->failed)
        return error_set(e, "out of memory");
    a->bytes = 0;
    for (size_t i = 0; i < a->count; i++) {
        arena_block *b = &a->blocks[i];
        b->offset = offset_find(a->blocks, i);
        if (b->offset + aligned(b->bytes) > a->bytes)
            a->bytes = b->offset + aligned(b->bytes);
    }
    return 0;
}

void arena_free(arena *a)
{
    free(a->blocks);
    *a = (arena){0};
}
