#include "memory.h"

#include <stdint.h>
#include <stdlib.h>

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
