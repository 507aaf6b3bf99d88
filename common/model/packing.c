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

static void to_triangle(const tensor *square, double *at)
{
    size_t side = square->shape[0];
    for (size_t i = 0; i < side; at += i + 1, i++)
        memcpy(at, (const double *)square->data + i * side, (i + 1) * sizeof *at);
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

static void to_halves(const tensor *t, uint16_t *to)
{
    size_t count = tensor_rows(t) * tensor_row_size(t);
    for (size_t i = 0; i < count; i++)
        to[i] = half_of(((const uint32_t *)t->data)[i]);
}

static int from_halves(const tensor *t, tensor *out, error *e)
{
    size_t count = tensor_rows(t) * tensor_row_size(t);
    *out = *t;
    out->type = TYPE_F32;
    uint32_t *to = out->data = memory_aligned(count * sizeof *to);
    if (!to)
        return out_of_memory(e);
    for (size_t i = 0; i < count; i++)
        to[i] = (uint32_t)((const uint16_t *)t->data)[i] << 16;
    return 0;
}

/* ---- both ---- */

/* Those that hold nearly all of a network's bytes: not biases and norms. */
static bool is_weight(const char *name, size_t rank)
{
    return part_form_named(name)->role == ROLE_NETWORK && rank > 1;
}

bool weight_is_rounded(const model *m, const char *name, size_t rank)
{
    return is_weight(name, rank) && model_get_text(m, model_keys[KEY_WEIGHTS_PRECISION].key);
}

void round_to_bf16(const float *from, size_t count, float *to)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &from[i], sizeof bits);
        bits = (uint32_t)half_of(bits) << 16;
        memcpy(&to[i], &bits, sizeof bits);
    }
}

int weights_precision(model *m, bool bf16, error *e)
{
    const char *key = model_keys[KEY_WEIGHTS_PRECISION].key;
    if (bf16)
        return model_note_text(m, key, "bf16") < 0 ? out_of_memory(e) : 0;
    model_note_drop(m, key);
    return 0;
}

tensor tensor_packed(const model *m, const model_tensor *t)
{
    const tensor *value = &t->value;
    tensor packed = *value;
    packed.data = NULL;
    if (is_symmetric(t->name) && value->type == TYPE_F64 && value->rank == 2)
        packed = (tensor){.type = TYPE_F64, .rank = 1, .shape = {triangle(value->shape[0])}};
    else if (weight_is_rounded(m, t->name, value->rank) && value->type == TYPE_F32)
        packed.type = TYPE_U16;
    return packed;
}

int tensor_pack(const model *m, const model_tensor *t, tensor *out, void **made, error *e)
{
    const tensor *value = &t->value;
    *out = tensor_packed(m, t);
    *made = NULL;
    if (out->type == value->type && out->rank == value->rank) {
        out->data = value->data;
        return 0;
    }
    out->data = *made = memory_aligned(tensor_bytes(out));
    if (!out->data)
        return out_of_memory(e);
    if (out->type == TYPE_U16)
        to_halves(value, out->data);
    else
        to_triangle(value, out->data);
    return 0;
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
