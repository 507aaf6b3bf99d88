#include "branches.h"

/* An operand, or its gradient. */
typedef struct {
    void *data;
    size_t places, channels;
} operand;

static operand operand_of(const run *r, const layer *l, size_t k, const size_t *places)
{
    const network *n = r->p->net;
    extent e = n->layers[n->operands[l->operands + k]].in;
    return (operand){place(r, places[l->operands + k]), e.height * e.width, e.channels};
}

/* The product of two, of which one may have one place. */
static int multiply(const run *r, const fused_layer *f, operand a, operand b, void *out, error *e)
{
    return run_check(r,
                     kernel_multiply(r->p->gpu->type, r->rows, f->out.height * f->out.width,
                                     f->out.channels, a.data, a.places, b.data, b.places, out,
                                     r->p->gpu->streams[r->slot]),
                     "multiply", e);
}

/* The gradient of operand k, d, by the other one. */
static int multiply_backward(const run *r, const fused_layer *f, size_t k, operand d, error *e)
{
    size_t places = f->out.height * f->out.width;
    operand d_out = {place(r, f->d_output), places, f->out.channels};
    operand other = operand_of(r, f->layer, 1 - k, r->p->plan.operands);
    if (d.places == places)
        return multiply(r, f, d_out, other, d.data, e);
    return run_check(r,
                     kernel_place_dot(r->p->gpu->type, r->rows, places, d.channels, d_out.data,
                                      other.data, d.data, r->p->gpu->streams[r->slot]),
                     "place_dot", e);
}

/* The operand's channels of the layer's output, from `first` on; `back`: from the gradients. */
static int concat(const run *r, const fused_layer *f, operand x, size_t first, bool back, error *e)
{
    return run_check(r,
                     kernel_concat(r->p->gpu->type, r->rows * x.places, x.data, x.channels,
                                   place(r, back ? f->d_output : f->output), first, f->out.channels,
                                   back, r->p->gpu->streams[r->slot]),
                     "concat", e);
}

int branches_forward(const run *r, const fused_layer *f, error *e)
{
    const layer *l = f->layer;
    const size_t *operands = r->p->plan.operands;
    if (l->kind == LAYER_MULTIPLY)
        return multiply(r, f, operand_of(r, l, 0, operands), operand_of(r, l, 1, operands),
                        place(r, f->output), e);
    size_t first = 0;
    for (size_t k = 0; k < l->operand_count; k++) {
        operand x = operand_of(r, l, k, operands);
        if (concat(r, f, x, first, false, e) < 0)
            return -1;
        first += x.channels;
    }
    return 0;
}

int branches_backward(const run *r, const fused_layer *f, error *e)
{
    const layer *l = f->layer;
    size_t first = 0;
    for (size_t k = 0; k < l->operand_count; k++) {
        operand d = operand_of(r, l, k, r->p->plan.d_operands);
        int status = l->kind == LAYER_MULTIPLY ? multiply_backward(r, f, k, d, e)
                                               : concat(r, f, d, first, true, e);
        if (status < 0)
            return -1;
        first += d.channels;
    }
    return 0;
}
