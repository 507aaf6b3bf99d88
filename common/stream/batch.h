/* batch.h: rows of named tensors that agree in their first dimension. */
#ifndef COMMON_STREAM_BATCH_H
#define COMMON_STREAM_BATCH_H

#include "class_list.h"
#include "tensor.h"

#define STREAM_BATCH_BYTES_MAX ((size_t)1 << 30) /* a batch's tensors together */
#define STREAM_FIELDS_MAX 64
#define BATCH_FLOATS 4 /* fields of float16 that are converted at once, at most */

typedef struct {
    char name[64];
    tensor value;
} field;

/* One batch of rows. Its tensors' memory is the reader's, good until the next read; a tool may
 * write into it (to compact rows, say). A tool's own batch begins as zeros. */
typedef struct {
    size_t rows, field_count;
    field fields[STREAM_FIELDS_MAX];
    uint64_t first_row; /* the number of its first row, of all that were read */
    /* What batch_labels and batch_require convert, in memory of their own: freed by stream_close or
     * batch_free. */
    int32_t *labels;
    float *floats[BATCH_FLOATS];
    size_t label_room, float_room[BATCH_FLOATS];
} batch;

void batch_free(batch *b); /* a tool's own: what was converted; not the tensors */

tensor *batch_find(batch *b, const char *name); /* NULL if it has none */
/* Appends a field that borrows `value`, or replaces the one of that name in place. */
int batch_put(batch *b, const char *name, tensor value, error *e);
void batch_drop(batch *b, const char *name);
/* `rows` of a batch's rows from `first` on, in its memory; labels are not made for them. */
batch batch_part(const batch *b, size_t first, size_t rows);
/* Whether rows of both fields are alike: name, type and shape, but for the width of texts. */
bool field_alike(const field *a, const field *b);
/* Keeps the rows whose flag is set, in order, in every field, in place. */
void batch_keep(batch *b, const bool *keep);
/* The field, or an error that says which tool makes it; checked for type, rank and finite floats.
 * rank 0: any rank. Where float32 is asked for, float16 and float64 become it, and it is said
 * once. */
int batch_require(batch *b, const char *name, tensor_type type, size_t rank, tensor **out,
                  error *e);
/* Row `row` of predictions: -1, or one of so many classes; any other is an error. */
int prediction_at(const tensor *predictions, size_t row, size_t classes, int64_t *out, error *e);
/* `label` as int32 indices into the list, each checked 0 <= label < classes. Where the field has
 * another integer type it is converted, and replaced by the int32 one, so that batch_keep keeps
 * both. */
int batch_labels(batch *b, const class_list *classes, int32_t **out, error *e);

#endif
