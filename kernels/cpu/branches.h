/* branches.h: what closes a block of branches, but for sums (elementwise.h). */
#ifndef KERNELS_CPU_BRANCHES_H
#define KERNELS_CPU_BRANCHES_H

#include "../../common/model/network.h"
#include "loops.h"

/* An operand, or its gradient. */
typedef struct {
    void *data;
    extent size;
} operand;

/* y may be the larger operand, of two. */
void multiply_forward(operand a, operand b, void *y, element type, size_t rows);
/* a's gradient, by b; one of y's extent may be y_gradient itself. */
void multiply_backward(operand a_gradient, operand b, const void *y_gradient, extent out,
                       element type, size_t rows);

/* Channels `first` and on of y, of out.channels a place, are x's; and back. */
void concat_forward(operand x, size_t first, void *y, extent out, element type, size_t rows);
void concat_backward(operand x_gradient, size_t first, const void *y_gradient, extent out,
                     element type, size_t rows);

#endif
