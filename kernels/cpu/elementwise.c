#include "loops.h"

/* Each operation: its loop over a part, once a type, and the call that shares the parts out. */

#define GRAIN 64

ALWAYS_INLINE void relu_forward_part(const void *x, void *y, size_t first, size_t last, bool half)
{
    for (size_t i = first; i < last; i++) {
        float v = element_get(x, i, half);
        element_put(y, i, v > 0 ? v : 0, half);
    }
}

ALWAYS_INLINE void relu_backward_part(void *gradient, const void *y, size_t first, size_t last,
                                      float factor, bool half)
{
    for (size_t i = first; i < last; i++) {
        float g = element_get(gradient, i, half) * factor;
        element_put(gradient, i, element_get(y, i, half) > 0 ? g : 0, half);
    }
}

/* Where the factor is 1 nothing is computed, only chosen. */
CLONES static void relu_backward_choose(uint16_t *gradient, const int16_t *y, size_t first,
                                        size_t last)
{
    for (size_t i = first; i < last; i++)
        gradient[i] = y[i] > 0 ? gradient[i] : 0;
}

ALWAYS_INLINE void scale_part(const void *x, void *y, size_t first, size_t last, float factor,
                              bool half)
{
    for (size_t i = first; i < last; i++)
        element_put(y, i, element_get(x, i, half) * factor, half);
}

ALWAYS_INLINE void add_part(const void *a, const void *b, void *sum, size_t first, size_t last,
                            bool half)
{
    for (size_t i = first; i < last; i++)
        element_put(sum, i, element_get(a, i, half) + element_get(b, i, half), half);
}

#define BOTH_TYPES(name, arguments, call_float, call_bf16)                                         \
    CLONES static void name##_float arguments                                                      \
    {                                                                                              \
        call_float;                                                                                \
    }                                                                                              \
    CLONES static void name##_bf16 arguments                                                       \
    {                                                                                              \
        call_bf16;                                                                                 \
    }

BOTH_TYPES(relu_forward, (const void *x, void *y, size_t first, size_t last),
           relu_forward_part(x, y, first, last, false), relu_forward_part(x, y, first, last, true))
BOTH_TYPES(relu_backward, (void *g, const void *y, size_t first, size_t last, float factor),
           relu_backward_part(g, y, first, last, factor, false),
           relu_backward_part(g, y, first, last, factor, true))
BOTH_TYPES(scale, (const void *x, void *y, size_t first, size_t last, float factor),
           scale_part(x, y, first, last, factor, false),
           scale_part(x, y, first, last, factor, true))
BOTH_TYPES(add, (const void *a, const void *b, void *sum, size_t first, size_t last),
           add_part(a, b, sum, first, last, false), add_part(a, b, sum, first, last, true))

CLONES static void to_bf16(const float *from, uint16_t *to, size_t first, size_t last)
{
    for (size_t i = first; i < last; i++)
        to[i] = bf16_from_float(from[i]);
}

CLONES static void to_float(const uint16_t *from, float *to, size_t first, size_t last)
{
    for (size_t i = first; i < last; i++)
        to[i] = bf16_to_float(from[i]);
}

void elements_convert(const void *from, element from_type, void *to, element to_type, size_t count)
{
#pragma omp parallel
    {
        size_t first, last;
        thread_part(count, GRAIN, &first, &last);
        if (from_type == to_type)
            memmove(element_at(to, first, to_type), element_at(from, first, to_type),
                    (last - first) * element_size(to_type));
        else if (to_type == ELEMENT_BF16)
            to_bf16(from, to, first, last);
        else
            to_float(from, to, first, last);
    }
}

void elements_relu(const void *x, void *y, element type, size_t count)
{
#pragma omp parallel
    {
        size_t first, last;
        thread_part(count, GRAIN, &first, &last);
        (type == ELEMENT_BF16 ? relu_forward_bf16 : relu_forward_float)(x, y, first, last);
    }
}

void elements_relu_backward(void *gradient, const void *y, element type, size_t count, float factor)
{
#pragma omp parallel
    {
        size_t first, last;
        thread_part(count, GRAIN, &first, &last);
        if (type == ELEMENT_BF16 && factor == 1)
            relu_backward_choose(gradient, y, first, last);
        else
            (type == ELEMENT_BF16 ? relu_backward_bf16 : relu_backward_float)(gradient, y, first,
                                                                              last, factor);
    }
}

void elements_scale(const void *x, void *y, element type, size_t count, float factor)
{
#pragma omp parallel
    {
        size_t first, last;
        thread_part(count, GRAIN, &first, &last);
        (type == ELEMENT_BF16 ? scale_bf16 : scale_float)(x, y, first, last, factor);
    }
}

void elements_add(const void *a, const void *b, void *sum, element type, size_t count)
{
#pragma omp parallel
    {
        size_t first, last;
        thread_part(count, GRAIN, &first, &last);
        (type == ELEMENT_BF16 ? add_bf16 : add_float)(a, b, sum, first, last);
    }
}
