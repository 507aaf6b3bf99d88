/* safetensors.h: what is in a safetensors file: a length of 8 bytes, so many bytes of JSON that
 * name each tensor's type, shape and place, and the tensors. Source: the format's description in
 * Hugging Face's repository "safetensors". */
#ifndef COMMON_FORMATS_SAFETENSORS_H
#define COMMON_FORMATS_SAFETENSORS_H

#include "../base/error.h"
#include "../stream/batch.h"

typedef struct safetensors safetensors;

typedef struct {
    tensor_type type; /* float32 for bfloat16, of which the file has 2 bytes a number */
    bool is_bf16;
    size_t rank, shape[TENSOR_RANK_MAX]; /* a single number has one row */
    uint64_t begin;                      /* of its data, in the file */
} safetensor;

/* Whether the file begins as one. */
bool safetensors_is(const char *path);
/* Reads what its JSON says, checked against the file's size. Errors name the file. */
int safetensors_open(const char *path, safetensors **out, error *e);
void safetensors_close(safetensors *s);

size_t safetensors_count(const safetensors *s);
const char *safetensors_name(const safetensors *s, size_t i); /* in the order of the JSON */
int safetensors_find(const safetensors *s, const char *name, safetensor *out, error *e);

/* The classes' names that safetensors_head put into a file; none where there is no such list. The
 * caller frees it. -1 for names that no class has. */
int safetensors_classes(const safetensors *s, class_list *out, error *e);

/* The beginning of a file of these tensors of numbers, up to the first one's data; the others'
 * follow without gaps. The classes' names go into the metadata, as a list in JSON. *out is the
 * caller's to free. */
int safetensors_head(const field *tensors, size_t count, const class_list *classes, char **out,
                     size_t *bytes, error *e);

#endif
