#include "tokens.h"

#include "elementwise.h"

void tokens_forward(const layer *l, const void *x, void *y, element type, size_t rows,
                    const float *weight)
{
    size_t own = l->count * l->in.channels, came = extent_size(l->in), all = own + came;
#pragma omp parallel for schedule(static)
    for (size_t row = 0; row < rows; row++) {
        for (size_t i = 0; i < own; i++)
            element_put(y, row * all + i, weight[i], type == ELEMENT_BF16);
        memcpy(element_at(y, row * all + own, type), element_at(x, row * came, type),
               came * element_size(type));
    }
}

void tokens_backward(const layer *l, const void *y_gradient, void *x_gradient, element type,
                     size_t rows, float *weight_gradient)
{
    size_t own = l->count * l->in.channels, came = extent_size(l->in), all = own + came;
    elements_sum_rows(y_gradient, type, rows, own, all, weight_gradient);
#pragma omp parallel for schedule(static)
    for (size_t row = 0; row < rows; row++)
        if (x_gradient)
            memcpy(element_at(x_gradient, row * came, type),
                   element_at(y_gradient, row * all + own, type), came * element_size(type));
}

ALWAYS_INLINE void add_weights(const void *x, void *y, size_t count, const float *weight, bool bf16)
{
    for (size_t i = 0; i < count; i++)
        element_put(y, i, element_get(x, i, bf16) + weight[i], bf16);
}

CLONES static void add_weights_type(const void *x, void *y, size_t count, const float *weight,
                                    element type)
{
    OF_TYPE(add_weights, x, y, count, weight);
}

void position_forward(const layer *l, const void *x, void *y, element type, size_t rows,
                      const float *weight)
{
    size_t size = extent_size(l->in);
#pragma omp parallel for schedule(static)
    for (size_t row = 0; row < rows; row++)
        add_weights_type(element_at(x, row * size, type), element_at(y, row * size, type), size,
                         weight, type);
}

void position_backward(const layer *l, const void *y_gradient, element type, size_t rows,
                       float *weight_gradient)
{
    size_t size = extent_size(l->in);
    elements_sum_rows(y_gradient, type, rows, size, size, weight_gradient);
}

/* ---- take, channels, shuffle ---- */

/* Copies `count` elements that lie `from_step` apart to where they lie `to_step` apart. */
static void copy_apart(const void *from, size_t from_step, void *to, size_t to_step, size_t count,
                       element type)
{
    size_t size = element_size(type);
    if (from_step == 1 && to_step == 1) {
        memcpy(to, from, count * size);
        return;
    }
    for (size_t i = 0; i < count; i++)
        memcpy(element_at(to, i * to_step, type), element_at(from, i * from_step, type), size);
}

/* Output place p of one picture, or, going back, its gradient. */
static void select_place(const layer *l, void *x, void *y, size_t p, element type, bool back)
{
    size_t in = l->in.channels, out = l->out.channels, runs = 1, step = 1, from = p * in;
    if (l->kind == LAYER_TAKE)
        from = (l->first + p) * in;
    else if (l->kind == LAYER_CHANNELS)
        from = p * in + l->first;
    else
        runs = l->groups; /* each of the rows goes to every runs-th place */
    step = runs;
    for (size_t r = 0; r < runs; r++) {
        void *a = element_at(x, from + r * (out / runs), type);
        void *b = element_at(y, p * out + r, type);
        if (back)
            copy_apart(b, step, a, 1, out / runs, type);
        else
            copy_apart(a, 1, b, step, out / runs, type);
    }
}

static void select_all(const layer *l, void *x, void *y, element type, size_t rows, bool back)
{
    size_t in = extent_size(l->in), out = extent_size(l->out);
#pragma omp parallel for schedule(static)
    for (size_t row = 0; row < rows; row++) {
        void *from = element_at(x, row * in, type), *to = element_at(y, row * out, type);
        if (back)
            memset(from, 0, in * element_size(type));
        for (size_t p = 0; p < l->out.height * l->out.width; p++)
            select_place(l, from, to, p, type, back);
    }
}

void select_forward(const layer *l, const void *x, void *y, element type, size_t rows)
{
    select_all(l, (void *)x, y, type, rows, false);
}

void select_backward(const layer *l, const void *y_gradient, void *x_gradient, element type,
                     size_t rows)
{
    select_all(l, x_gradient, (void *)y_gradient, type, rows, true);
}
