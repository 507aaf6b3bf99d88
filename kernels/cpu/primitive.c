#include "primitive.h"

dnnl_status_t primitive_bind(const cpu *c, primitive *o, int argument, layout l, void *data)
{
    dnnl_memory_t memory;
    dnnl_status_t status = dnnl_memory_create(&memory, l, c->engine, data);
    if (status == dnnl_success)
        o->arguments[o->count++] = (dnnl_exec_arg_t){argument, memory};
    return status;
}

/* oneDNN makes code here, and does not live through it where it gets no memory for that. */
dnnl_status_t primitive_make(primitive *o)
{
    error e;
    return cpu_room(&e) < 0 ? dnnl_out_of_memory : dnnl_primitive_create(&o->made, o->pd);
}

size_t primitive_scratch(const primitive *o)
{
    return o->pd ? layout_bytes(layout_of(o->pd, dnnl_query_scratchpad_md)) : 0;
}

dnnl_status_t primitive_scratch_bind(const cpu *c, primitive *o, void *scratch)
{
    if (primitive_scratch(o) == 0)
        return dnnl_success;
    return primitive_bind(c, o, DNNL_ARG_SCRATCHPAD, layout_of(o->pd, dnnl_query_scratchpad_md),
                          scratch);
}

dnnl_status_t reorder_make(const cpu *c, primitive *o, layout from, void *from_data, layout to,
                           void *to_data)
{
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_status_t status = attributes_new(NULL, 0, &attributes);
    if (status == dnnl_success)
        status =
            dnnl_reorder_primitive_desc_create(&o->pd, from, c->engine, to, c->engine, attributes);
    if (attributes)
        dnnl_primitive_attr_destroy(attributes);
    if (status == dnnl_success)
        status = primitive_bind(c, o, DNNL_ARG_FROM, from, from_data);
    if (status == dnnl_success)
        status = primitive_bind(c, o, DNNL_ARG_TO, to, to_data);
    return status == dnnl_success ? primitive_make(o) : status;
}

void primitive_free(primitive *o)
{
    for (int i = 0; i < o->count; i++)
        dnnl_memory_destroy(o->arguments[i].memory);
    if (o->made)
        dnnl_primitive_destroy(o->made);
    if (o->pd)
        dnnl_primitive_desc_destroy(o->pd);
}

int primitive_run(const cpu *c, const primitive *o, error *e)
{
    dnnl_status_t status = dnnl_primitive_execute(o->made, c->stream, o->count, o->arguments);
    if (status != dnnl_success)
        return error_set(e, "oneDNN: %s while computing", dnnl_status_text(status));
    return 0;
}
