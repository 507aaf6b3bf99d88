/* branches.c: what closes a block of branches. */
#include "reference.h"

static extent operand_extent(const network *n, const layer *l, size_t k)
{
    return n->layers[n->operands[l->operands + k]].in;
}

/* Where element i of the output, over all rows, is in an operand of that extent that is of the
 * output's shape, or 1 x 1 x channels. */
static size_t place_in(const layer *l, extent e, size_t i)
{
    size_t size = extent_size(l->out);
    return extent_size(e) == size ? i : i / size * e.channels + i % e.channels;
}

static void concat_forward(const network *n, const layer *l, size_t places,
                           const double *const *operands, double *out)
{
    for (size_t place = 0; place < places; place++) {
        for (size_t k = 0; k < l->operand_count; k++) {
            size_t channels = operand_extent(n, l, k).channels;
            for (size_t c = 0; c < channels; c++)
                *out++ = operands[k][place * channels + c];
        }
    }
}

void reference_close_forward(const network *n, const layer *l, size_t rows,
                             const double *const *operands, double *out)
{
    if (l->kind == LAYER_CONCAT) {
        concat_forward(n, l, rows * l->out.height * l->out.width, operands, out);
        return;
    }
    for (size_t i = 0; i < rows * extent_size(l->out); i++) {
        bool adds = l->kind == LAYER_ADD;
        out[i] = adds ? 0 : 1;
        for (size_t k = 0; k < l->operand_count; k++) {
            double x = operands[k][place_in(l, operand_extent(n, l, k), i)];
            out[i] = adds ? out[i] + x : out[i] * x;
        }
    }
}

static void concat_backward(const network *n, const layer *l, size_t places, size_t k,
                            const double *d_out, double *d_operand)
{
    size_t channels = operand_extent(n, l, k).channels;
    for (size_t before = 0; before < k; before++)
        d_out += operand_extent(n, l, before).channels;
    for (size_t place = 0; place < places; place++)
        for (size_t c = 0; c < channels; c++)
            *d_operand++ += d_out[place * l->out.channels + c];
}

void reference_close_backward(const network *n, const layer *l, size_t rows,
                              const double *const *operands, size_t k, const double *d_out,
                              double *d_operand)
{
    if (l->kind == LAYER_CONCAT) {
        concat_backward(n, l, rows * l->out.height * l->out.width, k, d_out, d_operand);
        return;
    }
    for (size_t i = 0; i < rows * extent_size(l->out); i++) {
        double d = d_out[i];
        if (l->kind == LAYER_MULTIPLY)
            d *= operands[1 - k][place_in(l, operand_extent(n, l, 1 - k), i)];
        d_operand[place_in(l, operand_extent(n, l, k), i)] += d;
    }
}
