/* tensor.h: an array of numbers, or a column of texts, with a type and a shape; the first dimension
 * counts rows. */
#ifndef COMMON_STREAM_TENSOR_H
#define COMMON_STREAM_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TENSOR_RANK_MAX 8

typedef enum {
    TYPE_BOOL,
    TYPE_U8,
    TYPE_I8,
    TYPE_U16,
    TYPE_I16,
    TYPE_U32,
    TYPE_I32,
    TYPE_U64,
    TYPE_I64,
    TYPE_F16,
    TYPE_F32,
    TYPE_F64,
    TYPE_TEXT /* UTF-8, a row each: shape [rows, width], bytes of zero after it, one at least */
} tensor_type;

typedef struct {
    tensor_type type;
    size_t rank; /* at least 1 in a batch */
    size_t shape[TENSOR_RANK_MAX];
    void *data; /* row-major, little-endian, aligned to 64 bytes; owned as the holder says */
} tensor;

size_t type_size(tensor_type type);      /* bytes */
const char *type_name(tensor_type type); /* "uint8", "float32", as numpy's */
const char *type_code(tensor_type type); /* "|u1", "<f4", as numpy's dtype.str */
int type_parse(const char *code, size_t length, tensor_type *out); /* -1 for another code */

bool type_is_integer(tensor_type type); /* whole numbers; not bool */

size_t tensor_rows(const tensor *t);
size_t tensor_row_size(const tensor *t); /* elements in one row */
size_t tensor_row_bytes(const tensor *t);
size_t tensor_bytes(const tensor *t); /* of all rows */

/* Element i of a tensor of whole numbers, for labels; INT64_MAX for what int64 cannot hold. */
int64_t tensor_integer(const tensor *t, size_t i);

/* Element i of a tensor of any numbers; of bool 0 or 1. */
double tensor_number(const tensor *t, size_t i);

float float_of_half(uint16_t half); /* the number whose bits as a float16 these are */

/* "float32 [40000, 512]", as people read it, into text of that size. */
char *tensor_describe(const tensor *t, char *text, size_t size);

/* A row that is a text or one number, as people read it; NULL for a row of several numbers. */
char *tensor_row_text(const tensor *t, size_t row, char *text, size_t size);

/* The least width of a column that holds a text of so many bytes: a power of two from 64 on, so
 * that columns of like texts are alike. */
size_t text_width(size_t bytes);
/* Rows of one width to rows of another that holds them; the two may begin at the same place where
 * rows grow wider. */
void text_copy(const char *from, size_t from_width, char *to, size_t to_width, size_t rows);

/* The shape of a picture, or of one row's activation, in memory in this order. */
typedef struct {
    size_t height, width, channels;
} extent;
static inline size_t extent_size(extent e)
{
    return e.height * e.width * e.channels;
}

#endif
