/* memory.h: arrays for processors' registers, and blocks that are freed together: of these one that
 * cannot be had is remembered, so that a single question after taking several tells whether all are
 * there. */
#ifndef COMMON_BASE_MEMORY_H
#define COMMON_BASE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

typedef struct memory_block memory_block;

/* Zeroed: none. */
typedef struct {
    memory_block *last;
    bool failed;
} memory;

/* `count` items of zeros; NULL, and m->failed, without memory. */
void *memory_take(memory *m, size_t count, size_t item);
void memory_free(memory *m);

/* So many bytes, aligned to 256 and not zeroed, or NULL: free() them. Large ones lie in huge pages
 * where the system has them: one fault of memory in place of 512, and fewer places to remember. */
void *memory_aligned(size_t bytes);

#endif
