#include "memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#define GRAIN 256
#define HUGE_PAGE ((size_t)2 << 20)

struct memory_block {
    _Alignas(max_align_t) memory_block *before;
};

void *memory_take(memory *m, size_t count, size_t item)
{
    memory_block *block = NULL;
    if (count <= (SIZE_MAX - sizeof *block) / item)
        block = calloc(1, sizeof *block + count * item);
    if (!block) {
        m->failed = true;
        return NULL;
    }
    block->before = m->last;
    m->last = block;
    return block + 1;
}

void memory_free(memory *m)
{
    for (memory_block *block = m->last, *before; block; block = before) {
        before = block->before;
        free(block);
    }
    *m = (memory){0};
}

void *memory_aligned(size_t bytes)
{
    size_t grain = bytes < 2 * HUGE_PAGE ? GRAIN : HUGE_PAGE;
    if (bytes > SIZE_MAX - grain)
        return NULL;
    size_t whole = (bytes + grain - 1) & ~(grain - 1);
    void *taken = aligned_alloc(grain, whole ? whole : grain);
    if (taken && grain == HUGE_PAGE)
        madvise(taken, whole, MADV_HUGEPAGE); /* small pages do, too */
    return taken;
}
