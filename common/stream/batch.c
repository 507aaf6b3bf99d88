/* batch.c: named tensors with one row count; see batch.h. */
#include "batch.h"
#include "../base/memory.h"
#include "../base/tool.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void batch_free(batch *b)
{
    free(b->labels);
    b->labels = NULL;
    b->label_room = 0;
    for (size_t i = 0; i < BATCH_FLOATS; i++) {
        free(b->floats[i]);
        b->floats[i] = NULL;
        b->float_room[i] = 0;
    }
}

tensor *batch_find(batch *b, const char *name)
{
    for (size_t i = 0; i < b->field_count; i++)
        if (strcmp(b->fields[i].name, name) == 0)
            return &b->fields[i].value;
    return NULL;
}

int batch_put(batch *b, const char *name, tensor value, error *e)
{
    tensor *old = batch_find(b, name);
    if (b->field_count == 0)
        b->rows = tensor_rows(&value);
    if (value.rank == 0 || tensor_rows(&value) != b->rows)
        return error_set(e, "field '%s' has %zu rows where the batch has %zu", name,
                         tensor_rows(&value), b->rows);
    if (old) {
        *old = value;
        return 0;
    }
    if (b->field_count == STREAM_FIELDS_MAX)
        return error_set(e, "field '%s' is one more than the %d a batch may have", name,
                         STREAM_FIELDS_MAX);
    field *f = &b->fields[b->field_count];
    if (*name == '\0' || strlen(name) >= sizeof f->name)
        return error_set(e, "a field's name has 1 to 63 bytes, '%.80s' does not", name);
    strcpy(f->name, name);
    f->value = value;
    b->field_count++;
    return 0;
}

void batch_drop(batch *b, const char *name)
{
    for (size_t i = 0; i < b->field_count; i++) {
        if (strcmp(b->fields[i].name, name) == 0) {
            b->field_count--;
            memmove(&b->fields[i], &b->fields[i + 1], (b->field_count - i) * sizeof *b->fields);
            return;
        }
    }
}

batch batch_part(const batch *b, size_t first, size_t rows)
{
    batch part = *b;
    part.rows = rows;
    for (size_t i = 0; i < b->field_count; i++) {
        tensor *t = &part.fields[i].value;
        t->data = (char *)t->data + first * tensor_row_bytes(t);
        t->shape[0] = rows;
    }
    return part;
}

bool field_alike(const field *a, const field *b)
{
    const tensor *x = &a->value, *y = &b->value;
    if (strcmp(a->name, b->name) != 0 || x->type != y->type || x->rank != y->rank)
        return false;
    return x->type == TYPE_TEXT ||
           memcmp(x->shape + 1, y->shape + 1, (x->rank - 1) * sizeof *x->shape) == 0;
}

/* Moves the kept rows to the front, a run of neighbours at a time. */
static size_t keep_rows(tensor *t, const bool *keep, size_t rows)
{
    size_t width = tensor_row_bytes(t), kept = 0;
    char *data = t->data;
    for (size_t row = 0; row < rows;) {
        size_t run = row;
        while (run < rows && keep[run])
            run++;
        if (run > row && kept != row)
            memmove(data + kept * width, data + row * width, (run - row) * width);
        kept += run - row;
        for (row = run; row < rows && !keep[row];)
            row++;
    }
    return kept;
}

void batch_keep(batch *b, const bool *keep)
{
    size_t kept = 0;
    for (size_t row = 0; row < b->rows; row++)
        kept += keep[row];
    for (size_t i = 0; i < b->field_count; i++)
        b->fields[i].value.shape[0] = keep_rows(&b->fields[i].value, keep, b->rows);
    b->rows = kept;
}

/* ---- checks ---- */

/* The first element that is infinite or not a number, or SIZE_MAX. */
static size_t find_not_finite(const tensor *t)
{
    size_t count = tensor_rows(t) * tensor_row_size(t);
    if (t->type == TYPE_F32) {
        const uint32_t *bits = t->data;
        for (size_t i = 0; i < count; i += 4096) {
            size_t end = i + 4096 < count ? i + 4096 : count;
            unsigned bad = 0;
            for (size_t j = i; j < end; j++)
                bad |= (bits[j] & 0x7f800000u) == 0x7f800000u;
            for (size_t j = i; bad && j < end; j++)
                if ((bits[j] & 0x7f800000u) == 0x7f800000u)
                    return j;
        }
    } else if (t->type == TYPE_F64) {
        const uint64_t *bits = t->data;
        for (size_t i = 0; i < count; i++)
            if ((bits[i] & 0x7ff0000000000000u) == 0x7ff0000000000000u)
                return i;
    } else if (t->type == TYPE_F16) {
        const uint16_t *bits = t->data;
        for (size_t i = 0; i < count; i++)
            if ((bits[i] & 0x7c00u) == 0x7c00u)
                return i;
    }
    return SIZE_MAX;
}

/* A model's tensors come one a record, under names like 0.conv/weight. */
static int missing_field(const batch *b, const char *name, error *e)
{
    static const char *const made[][2] = {
        {"image", "image-read, cifar-read or idx-read"},
        {"label", "image-read of a folder of classes, cifar-read, idx-read or npy-read"},
        {"embedding", "embed, or npy-read of arrays from elsewhere,"},
        {"prediction", "classify"},
        {"score", "classify"},
    };
    if (b->field_count == 1 && strchr(b->fields[0].name, '/'))
        return error_set(e, "a model, not records: there is no field '%s' in it", name);
    for (size_t i = 0; i < sizeof made / sizeof *made; i++)
        if (strcmp(made[i][0], name) == 0)
            return error_set(e, "the records have no field '%s'; %s makes it", name, made[i][1]);
    return error_set(e, "the records have no field '%s'", name);
}

/* As Keras's notebooks have pictures: divided by 255. To cut those to whole numbers would make all
 * of them black. */
static bool is_from_0_to_1(const tensor *t)
{
    size_t count = tensor_rows(t) * tensor_row_size(t);
    for (size_t i = 0; i < count; i++) {
        uint16_t half = t->type == TYPE_F16 ? ((const uint16_t *)t->data)[i] : 0;
        double value = t->type == TYPE_F32   ? ((const float *)t->data)[i]
                       : t->type == TYPE_F64 ? ((const double *)t->data)[i]
                       : half <= 0x3c00      ? 0 /* in a half's bits, 1 and less */
                                             : 2;
        if (!(value >= 0 && value <= 1))
            return false;
    }
    return true;
}

/* What Python writes by itself, and how to write what is needed. */
static const char *cure(const tensor *t, tensor_type type, size_t rank)
{
    bool is_float = t->type == TYPE_F16 || t->type == TYPE_F32 || t->type == TYPE_F64;
    if (type == TYPE_F32 && type_is_integer(t->type))
        return "; numpy's .astype('float32') makes it";
    if (type == TYPE_U8 && rank == 4 && t->rank == 4 && t->type != type)
        return is_float && is_from_0_to_1(t)
                   ? ", pixels from 0 to 255; --range 0:1 takes these"
                   : ", pixels from 0 to 255; --range LOW:HIGH says from what to what these go";
    if (type == TYPE_U8 && rank == 4 && t->rank == 3)
        return ", the last one the channels; numpy's [..., None] adds it";
    return "";
}

/* Memory for `count` floats that no field of the batch is in. */
static float *own_floats(batch *b, size_t count, error *e)
{
    for (size_t i = 0; i < BATCH_FLOATS; i++) {
        bool used = false;
        for (size_t f = 0; f < b->field_count && b->floats[i]; f++)
            used = used || b->fields[f].value.data == b->floats[i];
        if (used)
            continue;
        if (b->float_room[i] < count) {
            free(b->floats[i]);
            b->float_room[i] = (count + 1023) & ~(size_t)1023;
            b->floats[i] = memory_aligned(b->float_room[i] * sizeof(float));
            if (!b->floats[i])
                b->float_room[i] = 0;
        }
        return b->floats[i] ? b->floats[i]
                            : (error_set(e, "out of memory for %zu numbers", count), NULL);
    }
    error_set(e, "more than %d fields of float16", BATCH_FLOATS);
    return NULL;
}

/* Doubles in place, as floats are narrower; halves not. */
static int to_floats(batch *b, const char *name, tensor *t, error *e)
{
    static bool said;
    size_t count = tensor_rows(t) * tensor_row_size(t);
    float *to = t->type == TYPE_F64 ? t->data : own_floats(b, count, e);
    if (!to)
        return -1;
    for (size_t i = 0; i < count; i++) {
        double value = 0;
        if (t->type == TYPE_F64)
            memcpy(&value, (const char *)t->data + i * sizeof value, sizeof value);
        else
            value = float_of_half(((const uint16_t *)t->data)[i]);
        float narrow = (float)value;
        memcpy((char *)to + i * sizeof narrow, &narrow, sizeof narrow);
    }
    if (!said)
        tool_say("note: field '%s' is %s, and is taken as float32", name, type_name(t->type));
    said = true;
    t->type = TYPE_F32;
    t->data = to;
    return 0;
}

int batch_require(batch *b, const char *name, tensor_type type, size_t rank, tensor **out, error *e)
{
    tensor *t = batch_find(b, name);
    char is[256];
    if (!t)
        return missing_field(b, name, e);
    if (type == TYPE_F32 && (t->type == TYPE_F16 || t->type == TYPE_F64) &&
        (rank == 0 || t->rank == rank) && to_floats(b, name, t, e) < 0)
        return -1;
    if (t->type != type || (rank != 0 && t->rank != rank)) {
        char dimensions[40] = "";
        if (rank)
            snprintf(dimensions, sizeof dimensions, " with %zu dimension%s", rank,
                     rank > 1 ? "s" : "");
        return error_set(e, "field '%s' is %s; %s%s is needed%s", name,
                         tensor_describe(t, is, sizeof is), type_name(type), dimensions,
                         cure(t, type, rank));
    }
    size_t bad = find_not_finite(t);
    if (bad != SIZE_MAX)
        return error_set(e, "row %" PRIu64 ": field '%s' has a value that is not a finite number",
                         b->first_row + bad / tensor_row_size(t), name);
    *out = t;
    return 0;
}

/* ---- labels ---- */

/* The int32 tensor that `label` is made into, in the batch's own memory. */
static int own_labels(batch *b, tensor *label, error *e)
{
    if (b->label_room < b->rows) {
        size_t room = (b->rows + 1023) & ~(size_t)1023;
        int32_t *grown = memory_aligned(room * sizeof *grown);
        if (!grown)
            return error_set(e, "out of memory for %zu labels", b->rows);
        free(b->labels);
        b->labels = grown;
        b->label_room = room;
    }
    for (size_t i = 0; i < b->rows; i++) {
        int64_t value = tensor_integer(label, i);
        /* What int32 cannot hold is no label, whatever the classes. */
        b->labels[i] = value >= INT32_MIN && value <= INT32_MAX ? (int32_t)value : INT32_MIN;
    }
    return 0;
}

static int check_labels(const batch *b, const tensor *label, const class_list *classes, error *e)
{
    if (classes->count == 0)
        return error_set(e, "there are labels, but the stream's header names no classes; give it a "
                            "list \"classes\"");
    for (size_t i = 0; i < b->rows; i++) {
        int64_t value = tensor_integer(label, i);
        if (value < 0 || (uint64_t)value >= classes->count)
            return error_set(
                e, "row %" PRIu64 ": label %" PRId64 " is none of the header's %zu classes",
                b->first_row + i, value, classes->count);
    }
    return 0;
}

int batch_labels(batch *b, const class_list *classes, int32_t **out, error *e)
{
    tensor *label = batch_find(b, "label");
    char is[256];
    if (!label)
        return missing_field(b, "label", e);
    if (label->rank != 1 || !type_is_integer(label->type))
        return error_set(e, "field 'label' is %s; whole numbers, one a row, are needed",
                         tensor_describe(label, is, sizeof is));
    if (check_labels(b, label, classes, e) < 0)
        return -1;
    if (label->type != TYPE_I32) {
        if (own_labels(b, label, e) < 0)
            return -1;
        label->type = TYPE_I32;
        label->data = b->labels;
    }
    *out = label->data;
    return 0;
}

int prediction_at(const tensor *predictions, size_t row, size_t classes, int64_t *out, error *e)
{
    *out = tensor_integer(predictions, row);
    if (*out < -1 || *out >= (int64_t)classes)
        return error_set(e, "row %zu of a batch: prediction %lld is none of %zu classes", row,
                         (long long)*out, classes);
    return 0;
}
