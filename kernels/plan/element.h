/* element.h: what activations and their gradients are made of. */
#ifndef KERNELS_PLAN_ELEMENT_H
#define KERNELS_PLAN_ELEMENT_H

#include <stddef.h>

typedef enum { ELEMENT_F32, ELEMENT_BF16 } element;

static inline size_t element_size(element type)
{
    return type == ELEMENT_BF16 ? 2 : 4;
}

#endif
