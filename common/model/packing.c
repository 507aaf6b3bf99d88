/* packing.c: see packing.h. */
#include "packing.h"
#include "../base/memory.h"
#include "settings.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int out_of_memory(error *e)
{
    return error_set(e, "out of memory for the model");
}

static bool is_symmetric(const char *name)
{
    const part_form *form = part_form_named(name);
    return form->shape[0] == SIZE_FEATURES && form->shape[1] == SIZE_FEATURES;
}

/* ---- triangles: row i has columns 0 to i ---- */

static size_t triangle(size_t side)
{
    return side * (side + 1) / 2;
}

/* The side of a triangle of that many numbers; 0 for what is none. */
static size_t triangle_side(size_t count)
{
    size_t side = (size_t)((sqrt(8 * (double)count + 1) - 1) / 2 + 0.5);
    return triangle(side) == count ? side : 0;
}

static int to_triangle(const tensor *square, tensor *out, error *e)
{
    size_t side = square->shape[0], bytes = sizeof(double);
    *out = (tensor){.type = TYPE_F64, .rank = 1, .shape = {triangle(side)}};
    char *at = out->data = memory_aligned(triangle(side) * bytes);
    if (!at)
        return out_of_memory(e);
    for (size_t i = 0; i < side; at += (i + 1) * bytes, i++)
        memcpy(at, (const double *)square->data + i * side, (i + 1) * bytes);
    return 0;
}

static int from_triangle(const char *name, const tensor *t, tensor *out, error *e)
{
    size_t side = triangle_side(t->shape[0]);
    if (side == 0)
        return error_set(e, "tensor '%s' has %zu numbers, which make no triangle", name,
                         t->shape[0]);
    if (side > STREAM_BATCH_BYTES_MAX / sizeof(double) / side)
        return error_set(e, "tensor '%s' is larger than 1 GiB, the most a model's tensor may be",
                         name);
    *out = (tensor){.type = TYPE_F64, .rank = 2, .shape = {side, side}};
    double *square = out->data = memory_aligned(side * side * sizeof *square);
    const double *from = t->data;
    if (!square)
        return out_of_memory(e);
    for (size_t i = 0; i < side; i++)
        for (size_t j = 0; j <= i; j++)
            square[i * side + j] = square[j * side + i] = *from++;
    return 0;
}

/* ---- halves ---- */

/* The nearest bf16, the even one of two as near, and none infinite. */
static uint16_t half_of(uint32_t bits)
{
    uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    return (uint16_t)((rounded & 0x7f80) == 0x7f80 ? bits >> 16 : rounded);
}

/* A tensor of t's shape and that type, its numbers still to be put in: their count, 0 without
 * memory. */
static size_t of_type(const tensor *t, tensor_type type, tensor *out)
{
    *out = *t;
    out->type = type;
    out->data = memory_aligned(tensor_bytes(out));
    return out->data ? tensor_rows(t) * tensor_row_size(t) : 0;
}

static int to_halves(const tensor *t, tensor *out, error *e)
{
    size_t count = of_type(t, TYPE_U16, out);
    for (size_t i = 0; i < count; i++)
        ((uint16_t *)out->data)[i] = half_of(((const uint32_t *)t->data)[i]);
    return out->data ? 0 : out_of_memory(e);
}

static int from_halves(const tensor *t, tensor *out, error *e)
{
    size_t count = of_type(t, TYPE_F32, out);
    for (size_t i = 0; i < count; i++)
        ((uint32_t *)out->data)[i] = (uint32_t)((const uint16_t *)t->data)[i] << 16;
    return out->data ? 0 : out_of_memory(e);
}

/* ---- both ---- */

/* Those that hold nearly all of a network's bytes: not biases and norms. */
static bool is_weight(const char *name, size_t rank)
{
    return part_form_named(name)->role == ROLE_NETWORK && rank > 1;
}

int weights_precision(model *m, bool bf16, error *e)
{
    const char *key = model_keys[KEY_WEIGHTS_PRECISION].key;
    if (bf16)
        return model_note_text(m, key, "bf16") < 0 ? out_of_memory(e) : 0;
    model_note_drop(m, key);
    return 0;
}

int tensor_pack(const model *m, const model_tensor *t, tensor *out, void **made, error *e)
{
    const tensor *value = &t->value;
    const char *precision = model_get_text(m, model_keys[KEY_WEIGHTS_PRECISION].key);
    int status = 0;
    *made = NULL;
    *out = *value;
    if (is_symmetric(t->name) && value->type == TYPE_F64 && value->rank == 2)
        status = to_triangle(value, out, e);
    else if (precision && is_weight(t->name, value->rank) && value->type == TYPE_F32)
        status = to_halves(value, out, e);
    if (status == 0 && out->data != value->data)
        *made = out->data;
    return status;
}

int tensor_unpack(const char *name, tensor *value, error *e)
{
    tensor whole;
    int status;
    if (is_weight(name, value->rank) && value->type == TYPE_U16)
        status = from_halves(value, &whole, e);
    else if (is_symmetric(name) && value->type == TYPE_F64 && value->rank == 1)
        status = from_triangle(name, value, &whole, e);
    else
        return 0;
    free(value->data);
    value->data = NULL;
    if (status == 0)
        *value = whole;
    return status;
}
