/* primitive.h: one primitive of oneDNN with what it reads and writes. */
#ifndef KERNELS_CPU_PRIMITIVE_H
#define KERNELS_CPU_PRIMITIVE_H

#include "cpu.h"
#include "dnnl_compat.h"

#define PRIMITIVE_ARGUMENTS 6
typedef struct {
    dnnl_primitive_desc_t pd;
    dnnl_primitive_t made;
    int count; /* of arguments */
    dnnl_exec_arg_t arguments[PRIMITIVE_ARGUMENTS];
} primitive;

/* These return oneDNN's status. A primitive is bound to its arguments once pd is set; where it
 * wants scratch memory, that too, before it runs. */
dnnl_status_t primitive_bind(const cpu *c, primitive *o, int argument, layout l, void *data);
dnnl_status_t primitive_make(primitive *o);
size_t primitive_scratch(const primitive *o); /* bytes */
dnnl_status_t primitive_scratch_bind(const cpu *c, primitive *o, void *scratch);
/* Copies from one layout to another. */
dnnl_status_t reorder_make(const cpu *c, primitive *o, layout from, void *from_data, layout to,
                           void *to_data);
void primitive_free(primitive *o);

int primitive_run(const cpu *c, const primitive *o, error *e);

#endif
