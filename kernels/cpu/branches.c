#include "branches.h"

/* ---- products ---- */

ALWAYS_INLINE void multiply(const void *a, const void *b, void *y, size_t count, bool bf16)
{
    for (size_t i = 0; i < count; i++)
        element_put(y, i, element_get(a, i, bf16) * element_get(b, i, bf16), bf16);
}

CLONES static void multiply_type(const void *a, const void *b, void *y, size_t count, element type)
{
    OF_TYPE(multiply, a, b, y, count);
}

/* Where what belongs to place p of a row lies in an operand, which may have one place only. */
static void *operand_at(operand o, size_t row, size_t p, element type)
{
    size_t channels = o.size.channels, places = o.size.height * o.size.width;
    return element_at(o.data, (row * places + (places == 1 ? 0 : p)) * channels, type);
}

void multiply_forward(operand a, operand b, void *y, element type, size_t rows)
{
    size_t a_places = a.size.height * a.size.width, b_places = b.size.height * b.size.width;
    size_t places = a_places > b_places ? a_places : b_places, channels = a.size.channels;
#pragma omp parallel for schedule(static)
    for (size_t row = 0; row < rows; row++)
        for (size_t p = 0; p < places; p++)
            multiply_type(operand_at(a, row, p, type), operand_at(b, row, p, type),
                          element_at(y, (row * places + p) * channels, type), channels, type);
}

/* One channel's products, over all places. */
static float places_dot(operand b, const void *y_gradient, extent out, size_t row, size_t c,
                        element type)
{
    size_t places = out.height * out.width;
    bool bf16 = type == ELEMENT_BF16;
    float sum = 0;
    for (size_t p = 0; p < places; p++)
        sum += element_get(operand_at(b, row, p, type), c, bf16) *
               element_get(y_gradient, (row * places + p) * out.channels + c, bf16);
    return sum;
}

void multiply_backward(operand a_gradient, operand b, const void *y_gradient, extent out,
                       element type, size_t rows)
{
    size_t places = out.height * out.width, channels = out.channels;
    if (extent_size(a_gradient.size) == extent_size(out)) {
        multiply_forward((operand){(void *)y_gradient, out}, b, a_gradient.data, type, rows);
        return;
    }
#pragma omp parallel for schedule(static)
    for (size_t row = 0; row < rows; row++)
        for (size_t c = 0; c < channels && places > 0; c++)
            element_put(a_gradient.data, row * channels + c,
                        places_dot(b, y_gradient, out, row, c, type), type == ELEMENT_BF16);
}

/* ---- side by side ---- */

static void concat_copy(operand x, size_t first, void *y, extent out, element type, size_t rows,
                        bool back)
{
    size_t channels = x.size.channels, bytes = channels * element_size(type);
#pragma omp parallel for schedule(static)
    for (size_t p = 0; p < rows * out.height * out.width; p++) {
        void *a = element_at(x.data, p * channels, type);
        void *b = element_at(y, p * out.channels + first, type);
        memcpy(back ? a : b, back ? b : a, bytes);
    }
}

void concat_forward(operand x, size_t first, void *y, extent out, element type, size_t rows)
{
    concat_copy(x, first, y, out, type, rows, false);
}

void concat_backward(operand x_gradient, size_t first, const void *y_gradient, extent out,
                     element type, size_t rows)
{
    concat_copy(x_gradient, first, (void *)y_gradient, out, type, rows, true);
}
