/* tensor.c: see tensor.h. */
#include "tensor.h"

#include <inttypes.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static const struct {
    size_t size;
    const char *name, *code;
} types[] = {
    [TYPE_BOOL] = {1, "bool", "|b1"},   [TYPE_U8] = {1, "uint8", "|u1"},
    [TYPE_I8] = {1, "int8", "|i1"},     [TYPE_U16] = {2, "uint16", "<u2"},
    [TYPE_I16] = {2, "int16", "<i2"},   [TYPE_U32] = {4, "uint32", "<u4"},
    [TYPE_I32] = {4, "int32", "<i4"},   [TYPE_U64] = {8, "uint64", "<u8"},
    [TYPE_I64] = {8, "int64", "<i8"},   [TYPE_F16] = {2, "float16", "<f2"},
    [TYPE_F32] = {4, "float32", "<f4"}, [TYPE_F64] = {8, "float64", "<f8"},
    [TYPE_TEXT] = {1, "text", NULL},
};

size_t type_size(tensor_type type)
{
    return types[type].size;
}

const char *type_name(tensor_type type)
{
    return types[type].name;
}

const char *type_code(tensor_type type)
{
    return types[type].code;
}

int type_parse(const char *code, size_t length, tensor_type *out)
{
    /* One-byte types have no byte order; some writers give one all the same. */
    if (length != 3 || (code[0] != '<' && code[0] != '|'))
        return -1;
    for (size_t i = 0; i < TYPE_TEXT; i++) {
        if (memcmp(types[i].code + 1, code + 1, 2) == 0 && (types[i].size == 1 || code[0] == '<')) {
            *out = (tensor_type)i;
            return 0;
        }
    }
    return -1;
}

bool type_is_integer(tensor_type type)
{
    return type >= TYPE_U8 && type <= TYPE_I64;
}

/* What is too large for int64 is too large for an index all the same. */
int64_t tensor_integer(const tensor *t, size_t i)
{
    switch (t->type) {
    case TYPE_U8:
        return ((const uint8_t *)t->data)[i];
    case TYPE_I8:
        return ((const int8_t *)t->data)[i];
    case TYPE_U16:
        return ((const uint16_t *)t->data)[i];
    case TYPE_I16:
        return ((const int16_t *)t->data)[i];
    case TYPE_U32:
        return ((const uint32_t *)t->data)[i];
    case TYPE_I32:
        return ((const int32_t *)t->data)[i];
    case TYPE_I64:
        return ((const int64_t *)t->data)[i];
    case TYPE_U64: {
        uint64_t value = ((const uint64_t *)t->data)[i];
        return value > INT64_MAX ? INT64_MAX : (int64_t)value;
    }
    default:
        return -1;
    }
}

size_t tensor_rows(const tensor *t)
{
    return t->rank ? t->shape[0] : 1;
}

size_t tensor_row_size(const tensor *t)
{
    size_t size = 1;
    for (size_t i = 1; i < t->rank; i++)
        size *= t->shape[i];
    return size;
}

size_t tensor_row_bytes(const tensor *t)
{
    return tensor_row_size(t) * type_size(t->type);
}

size_t tensor_bytes(const tensor *t)
{
    return tensor_rows(t) * tensor_row_bytes(t);
}

char *tensor_describe(const tensor *t, char *text, size_t size)
{
    size_t used = 0;
    int wrote = snprintf(text, size, "%s [", type_name(t->type));
    size_t rank = t->type == TYPE_TEXT ? 1 : t->rank; /* its width is nobody's business */
    for (size_t i = 0; i < rank && wrote >= 0; i++) {
        used += (size_t)wrote;
        if (used >= size)
            return text;
        wrote = snprintf(text + used, size - used, i ? ", %zu" : "%zu", t->shape[i]);
    }
    used += wrote > 0 ? (size_t)wrote : 0;
    if (used < size)
        snprintf(text + used, size - used, "]");
    return text;
}

char *tensor_row_text(const tensor *t, size_t row, char *text, size_t size)
{
    if (t->type != TYPE_TEXT && tensor_row_size(t) != 1)
        return NULL;
    if (t->type == TYPE_TEXT)
        snprintf(text, size, "%s", (const char *)t->data + row * t->shape[1]);
    else if (t->type == TYPE_F16)
        snprintf(text, size, "%.6g", (double)float_of_half(((const uint16_t *)t->data)[row]));
    else if (t->type == TYPE_F32)
        snprintf(text, size, "%.6g", (double)((const float *)t->data)[row]);
    else if (t->type == TYPE_F64)
        snprintf(text, size, "%.6g", ((const double *)t->data)[row]);
    else
        snprintf(text, size, "%" PRId64, tensor_integer(t, row));
    return text;
}

size_t text_width(size_t bytes)
{
    size_t width = 64;
    while (width <= bytes)
        width *= 2;
    return width;
}

void text_copy(const char *from, size_t from_width, char *to, size_t to_width, size_t rows)
{
    size_t both = from_width < to_width ? from_width : to_width;
    /* From the end, so that no row is overwritten before it is copied. */
    for (size_t row = rows; row-- > 0;) {
        memmove(to + row * to_width, from + row * from_width, both);
        memset(to + row * to_width + both, 0, to_width - both);
    }
}

float float_of_half(uint16_t half)
{
    unsigned exponent = half >> 10 & 31, fraction = half & 1023;
    float size = exponent == 31 ? (fraction ? NAN : INFINITY)
                 : exponent     ? ldexpf((float)(fraction | 1024), (int)exponent - 25)
                                : ldexpf((float)fraction, -24);
    return half & 0x8000 ? -size : size;
}

double tensor_number(const tensor *t, size_t i)
{
    switch (t->type) {
    case TYPE_F16:
        return float_of_half(((const uint16_t *)t->data)[i]);
    case TYPE_F32:
        return ((const float *)t->data)[i];
    case TYPE_F64:
        return ((const double *)t->data)[i];
    case TYPE_BOOL:
        return ((const uint8_t *)t->data)[i] != 0;
    case TYPE_U64:
        return (double)((const uint64_t *)t->data)[i];
    default:
        return (double)tensor_integer(t, i);
    }
}
