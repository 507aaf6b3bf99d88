#include "onnx_writer.h"

#include "../base/memory.h"

#include <inttypes.h>
#include <onnx.pb-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPERATOR_SET 17
#define IR_VERSION 8             /* the one that came with it */
#define FILE_BYTES_MAX INT32_MAX /* of a protocol buffer */

struct onnx_writer {
    memory memory; /* all but the growing lists below */
    Onnx__ModelProto model;
    Onnx__GraphProto graph;
    Onnx__OperatorSetIdProto operators, *operators_list[1];
    size_t values;
};

/* ---- memory ---- */

static void *take(onnx_writer *w, size_t count, size_t item)
{
    return memory_take(&w->memory, count ? count : 1, item);
}

static char *copy(onnx_writer *w, const char *text)
{
    char *own = take(w, strlen(text) + 1, 1);
    return own ? strcpy(own, text) : (char *)"";
}

/* Puts an item at the end of a list of pointers that doubles, or lets it be without memory. */
static void append(onnx_writer *w, void *list, size_t *count, void *item)
{
    void **items;
    memcpy(&items, list, sizeof items);
    if (!item)
        return;
    if ((*count & (*count - 1)) == 0) { /* no room: 0, 1, 2, 4, 8 ... are there */
        void **grown = take(w, *count ? 2 * *count : 1, sizeof *grown);
        if (!grown)
            return;
        if (*count)
            memcpy(grown, items, *count * sizeof *grown);
        items = grown;
        memcpy(list, &items, sizeof items);
    }
    items[(*count)++] = item;
}

/* A message of a protocol buffer: `NEW(w, node, NodeProto, NODE_PROTO)` declares and begins one,
 * NULL without memory. */
#define NEW(w, name, type, init)                                                                   \
    Onnx__##type *name = take(w, 1, sizeof *name);                                                 \
    if (name)                                                                                      \
    *name = (Onnx__##type)ONNX__##init##__INIT

static char *name_new(onnx_writer *w)
{
    char text[24];
    snprintf(text, sizeof text, "v%zu", w->values++);
    return copy(w, text);
}

onnx_writer *onnx_writer_new(void)
{
    onnx_writer *w = calloc(1, sizeof *w);
    if (!w)
        return NULL;
    w->model = (Onnx__ModelProto)ONNX__MODEL_PROTO__INIT;
    w->graph = (Onnx__GraphProto)ONNX__GRAPH_PROTO__INIT;
    w->operators = (Onnx__OperatorSetIdProto)ONNX__OPERATOR_SET_ID_PROTO__INIT;
    w->operators.domain = (char *)"";
    w->operators.has_version = true;
    w->operators.version = OPERATOR_SET;
    w->operators_list[0] = &w->operators;
    w->model.has_ir_version = true;
    w->model.ir_version = IR_VERSION;
    w->model.producer_name = (char *)"lowshot";
    w->model.producer_version = (char *)VERSION;
    w->model.n_opset_import = 1;
    w->model.opset_import = w->operators_list;
    w->model.graph = &w->graph;
    w->graph.name = (char *)"classifier";
    return w;
}

void onnx_writer_free(onnx_writer *w)
{
    if (w)
        memory_free(&w->memory);
    free(w);
}

/* ---- inputs and outputs ---- */

static int32_t type_of(tensor_type type)
{
    return type == TYPE_U8 ? ONNX__TENSOR_PROTO__DATA_TYPE__UINT8
                           : ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
}

/* [rows][shape...] */
static Onnx__ValueInfoProto *value_info(onnx_writer *w, const char *name, tensor_type type,
                                        size_t rank, const size_t *shape)
{
    NEW(w, info, ValueInfoProto, VALUE_INFO_PROTO);
    NEW(w, kind, TypeProto, TYPE_PROTO);
    NEW(w, form, TypeProto__Tensor, TYPE_PROTO__TENSOR);
    NEW(w, dims, TensorShapeProto, TENSOR_SHAPE_PROTO);
    if (w->memory.failed)
        return NULL;
    for (size_t i = 0; i <= rank; i++) {
        NEW(w, dim, TensorShapeProto__Dimension, TENSOR_SHAPE_PROTO__DIMENSION);
        if (dim && i == 0) {
            dim->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
            dim->dim_param = (char *)"rows";
        } else if (dim) {
            dim->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
            dim->dim_value = (int64_t)shape[i - 1];
        }
        append(w, &dims->dim, &dims->n_dim, dim);
    }
    form->has_elem_type = true;
    form->elem_type = type_of(type);
    form->shape = dims;
    kind->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    kind->tensor_type = form;
    info->name = copy(w, name);
    info->type = kind;
    return info;
}

onnx_value onnx_put_input(onnx_writer *w, const char *name, tensor_type type, size_t rank,
                          const size_t *shape)
{
    Onnx__ValueInfoProto *info = value_info(w, name, type, rank, shape);
    append(w, &w->graph.input, &w->graph.n_input, info);
    return info ? info->name : "";
}

void onnx_put_output(onnx_writer *w, onnx_value value, const char *name, size_t columns)
{
    Onnx__ValueInfoProto *info = value_info(w, name, TYPE_F32, 1, &columns);
    append(w, &w->graph.output, &w->graph.n_output, info);
    onnx_put(w, "Identity", value);
    if (!w->memory.failed)
        w->graph.node[w->graph.n_node - 1]->output[0] = info->name;
}

/* ---- constants ---- */

/* Zeros of so many bytes each. */
static void *constant(onnx_writer *w, int32_t type, size_t bytes, size_t rank, const size_t *shape,
                      onnx_value *name)
{
    size_t count = 1;
    NEW(w, t, TensorProto, TENSOR_PROTO);
    int64_t *dims = take(w, rank, sizeof *dims);
    for (size_t i = 0; dims && i < rank; i++) {
        dims[i] = (int64_t)shape[i];
        count *= shape[i];
    }
    void *data = take(w, count, bytes);
    *name = name_new(w);
    if (w->memory.failed)
        return NULL;
    t->n_dims = rank;
    t->dims = dims;
    t->has_data_type = true;
    t->data_type = type;
    t->name = (char *)*name;
    t->has_raw_data = true;
    t->raw_data = (ProtobufCBinaryData){count * bytes, data};
    append(w, &w->graph.initializer, &w->graph.n_initializer, t);
    return data;
}

float *onnx_put_floats(onnx_writer *w, size_t rank, const size_t *shape, onnx_value *name)
{
    return constant(w, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, sizeof(float), rank, shape, name);
}

onnx_value onnx_put_number(onnx_writer *w, float number)
{
    onnx_value name;
    float *data = onnx_put_floats(w, 0, NULL, &name);
    if (data)
        *data = number;
    return name;
}

onnx_value onnx_put_whole(onnx_writer *w, size_t count, const int64_t *numbers)
{
    onnx_value name;
    int64_t *data =
        constant(w, ONNX__TENSOR_PROTO__DATA_TYPE__INT64, sizeof *data, 1, &count, &name);
    if (data)
        memcpy(data, numbers, count * sizeof *data);
    return name;
}

/* ---- operators ---- */

onnx_value onnx_put_node(onnx_writer *w, const char *operator, size_t count,
                         const onnx_value *inputs)
{
    NEW(w, node, NodeProto, NODE_PROTO);
    char **names = take(w, count + 1, sizeof *names), *out = name_new(w);
    if (w->memory.failed)
        return "";
    for (size_t i = 0; i < count; i++)
        names[i] = (char *)inputs[i];
    names[count] = out;
    node->op_type = copy(w, operator);
    node->name = out;
    node->n_input = count;
    node->input = names;
    node->n_output = 1;
    node->output = names + count;
    append(w, &w->graph.node, &w->graph.n_node, node);
    return out;
}

static Onnx__AttributeProto *attribute_new(onnx_writer *w, const char *name,
                                           Onnx__AttributeProto__AttributeType type)
{
    static Onnx__AttributeProto nowhere;
    NEW(w, a, AttributeProto, ATTRIBUTE_PROTO);
    if (w->memory.failed)
        return &nowhere;
    a->name = copy(w, name);
    a->has_type = true;
    a->type = type;
    Onnx__NodeProto *last = w->graph.node[w->graph.n_node - 1];
    append(w, &last->attribute, &last->n_attribute, a);
    return a;
}

void onnx_set_whole(onnx_writer *w, const char *attribute, int64_t number)
{
    Onnx__AttributeProto *a =
        attribute_new(w, attribute, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
    a->has_i = true;
    a->i = number;
}

void onnx_set_float(onnx_writer *w, const char *attribute, float number)
{
    Onnx__AttributeProto *a =
        attribute_new(w, attribute, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
    a->has_f = true;
    a->f = number;
}

void onnx_set_list(onnx_writer *w, const char *attribute, size_t count, const int64_t *numbers)
{
    Onnx__AttributeProto *a =
        attribute_new(w, attribute, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
    a->ints = take(w, count, sizeof *a->ints);
    a->n_ints = a->ints ? count : 0;
    if (a->ints)
        memcpy(a->ints, numbers, count * sizeof *numbers);
}

/* ---- the file ---- */

void onnx_put_metadata(onnx_writer *w, const char *key, const char *text)
{
    NEW(w, entry, StringStringEntryProto, STRING_STRING_ENTRY_PROTO);
    if (!entry)
        return;
    entry->key = copy(w, key);
    entry->value = copy(w, text);
    append(w, &w->model.metadata_props, &w->model.n_metadata_props, entry);
}

/* What protobuf-c writes to: it has no way to stop, so the first failure is kept. */
typedef struct {
    ProtobufCBuffer base;
    output *out;
    error *e;
    int status;
} sink;

static void sink_append(ProtobufCBuffer *buffer, size_t bytes, const uint8_t *data)
{
    sink *s = (sink *)buffer;
    if (s->status == 0)
        s->status = output_write(s->out, data, bytes, s->e);
}

int onnx_writer_write(onnx_writer *w, output *out, error *e)
{
    if (w->memory.failed)
        return error_set(e, "out of memory for the graph");
    size_t bytes = protobuf_c_message_get_packed_size(&w->model.base);
    if (bytes > FILE_BYTES_MAX)
        return error_set(e, "it would take %zu bytes, and an ONNX file holds 2 GiB", bytes);
    sink s = {{sink_append}, out, e, 0};
    protobuf_c_message_pack_to_buffer(&w->model.base, &s.base);
    return s.status;
}
