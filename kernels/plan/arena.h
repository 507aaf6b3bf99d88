/* arena.h: one piece of memory for many arrays, where those that are never needed at the same time
 * share their place. */
#ifndef KERNELS_PLAN_ARENA_H
#define KERNELS_PLAN_ARENA_H

#include "../../common/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARENA_ALIGNMENT 256
#define NOWHERE SIZE_MAX /* the number of no block */

/* An array that is needed from time `first` to time `last`, both included. */
typedef struct {
    size_t bytes, first, last;
    size_t offset; /* arena_lay_out fills it in */
} arena_block;

typedef struct {
    arena_block *blocks;
    size_t count, room;
    bool failed;  /* there was no memory for a block's entry */
    size_t bytes; /* of it all, by arena_lay_out */
} arena;

/* The number of a new block. That memory runs out is told by arena_lay_out. */
size_t arena_add(arena *a, size_t bytes, size_t first, size_t last);
/* One that is needed all the time. */
size_t arena_keep(arena *a, size_t bytes);
/* The block is needed at that time, too. */
void arena_use(arena *a, size_t block, size_t time);

/* Gives every block an offset, aligned, so that no two that are needed at the same time overlap. */
int arena_lay_out(arena *a, error *e);
void arena_free(arena *a);

#endif
