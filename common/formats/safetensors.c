/* safetensors.c: see safetensors.h. */
#include "safetensors.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The most that the format allows. */
#define HEAD_MOST ((uint64_t)100 << 20)

struct safetensors {
    json_t *head;
    uint64_t data, size; /* where tensors begin; the file's bytes */
    size_t count;
};

static uint64_t little_endian(const unsigned char *at)
{
    uint64_t value = 0;
    for (int i = 7; i >= 0; i--)
        value = value << 8 | at[i];
    return value;
}

/* The length of the JSON, 0 where the file is none of these. */
static uint64_t head_length(int fd)
{
    unsigned char begin[9];
    struct stat status;
    if (pread(fd, begin, sizeof begin, 0) != (ssize_t)sizeof begin || begin[8] != '{' ||
        fstat(fd, &status) != 0)
        return 0;
    uint64_t length = little_endian(begin);
    return length <= HEAD_MOST && length + 8 <= (uint64_t)status.st_size ? length : 0;
}

/* A fifo is left alone: whoever opens it first has its bytes. */
bool safetensors_is(const char *path)
{
    struct stat status;
    bool regular = stat(path, &status) == 0 && S_ISREG(status.st_mode);
    int fd = regular ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    bool is = fd >= 0 && head_length(fd) > 0;
    if (fd >= 0)
        close(fd);
    return is;
}

static bool is_tensor(const char *name)
{
    return strcmp(name, "__metadata__") != 0;
}

static int read_head(safetensors *s, int fd, const char *path, error *e)
{
    struct stat status;
    json_error_t why;
    uint64_t length = head_length(fd);
    char *text = malloc(length + 1);
    if (!text)
        return error_set(e, "out of memory for the head of %s", path);
    bool whole = fstat(fd, &status) == 0 && pread(fd, text, length, 8) == (ssize_t)length;
    s->head = whole ? json_loadb(text, length, JSON_REJECT_DUPLICATES, &why) : NULL;
    free(text);
    if (!whole)
        return error_system(e, "%s: cannot read", path);
    if (!json_is_object(s->head))
        return error_set(e, "%s: a safetensors file whose head is no JSON object: %.100s", path,
                         s->head ? "" : why.text);
    s->data = length + 8;
    s->size = (uint64_t)status.st_size;
    const char *name;
    json_t *value;
    json_object_foreach(s->head, name, value) s->count += is_tensor(name);
    return 0;
}

int safetensors_open(const char *path, safetensors **out, error *e)
{
    safetensors *s = calloc(1, sizeof *s);
    if (!s)
        return error_set(e, "out of memory");
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int status = fd < 0 ? error_system(e, "%s: cannot open", path) : read_head(s, fd, path, e);
    if (fd >= 0)
        close(fd);
    if (status < 0)
        safetensors_close(s);
    else
        *out = s;
    return status;
}

void safetensors_close(safetensors *s)
{
    json_decref(s->head);
    free(s);
}

size_t safetensors_count(const safetensors *s)
{
    return s->count;
}

const char *safetensors_name(const safetensors *s, size_t i)
{
    const char *name;
    json_t *value;
    json_object_foreach(s->head, name, value) if (is_tensor(name) && i-- == 0) return name;
    return NULL;
}

static const struct {
    const char *word, *code;
} types[] = {{"F64", "<f8"}, {"F32", "<f4"}, {"F16", "<f2"}, {"BF16", "<f4"}, {"I64", "<i8"},
             {"I32", "<i4"}, {"I16", "<i2"}, {"I8", "|i1"},  {"U64", "<u8"},  {"U32", "<u4"},
             {"U16", "<u2"}, {"U8", "|u1"},  {"BOOL", "|b1"}};

static int take_type(const char *name, const char *word, safetensor *out, error *e)
{
    for (size_t i = 0; word && i < sizeof types / sizeof *types; i++)
        if (strcmp(types[i].word, word) == 0) {
            out->is_bf16 = strcmp(word, "BF16") == 0;
            return type_parse(types[i].code, strlen(types[i].code), &out->type);
        }
    return error_set(e, "tensor %.80s is of type %.20s, which is not read", name,
                     word ? word : "none");
}

/* The shape, and the bytes that it and the type make. */
static int take_shape(const char *name, const json_t *shape, safetensor *out, uint64_t *bytes,
                      error *e)
{
    out->rank = json_array_size(shape);
    *bytes = out->is_bf16 ? 2 : type_size(out->type);
    bool right = json_is_array(shape) && out->rank <= TENSOR_RANK_MAX;
    for (size_t i = 0; right && i < out->rank; i++) {
        json_int_t side = json_integer_value(json_array_get(shape, i));
        right = json_is_integer(json_array_get(shape, i)) && side >= 0 &&
                !__builtin_mul_overflow(*bytes, (uint64_t)side, bytes);
        out->shape[i] = (size_t)side;
    }
    if (out->rank == 0)
        out->shape[out->rank++] = 1;
    return right ? 0
                 : error_set(e, "tensor %.80s has no shape of at most %d dimensions", name,
                             TENSOR_RANK_MAX);
}

int safetensors_find(const safetensors *s, const char *name, safetensor *out, error *e)
{
    const json_t *t = json_object_get(s->head, name);
    const json_t *offsets = json_object_get(t, "data_offsets");
    uint64_t bytes;
    if (!t || !is_tensor(name))
        return error_set(e, "no tensor %.80s in it", name);
    *out = (safetensor){0};
    if (take_type(name, json_string_value(json_object_get(t, "dtype")), out, e) < 0 ||
        take_shape(name, json_object_get(t, "shape"), out, &bytes, e) < 0)
        return -1;
    json_int_t begin = json_integer_value(json_array_get(offsets, 0));
    json_int_t end = json_integer_value(json_array_get(offsets, 1));
    if (json_array_size(offsets) != 2 || begin < 0 || end < begin ||
        (uint64_t)(end - begin) != bytes || (uint64_t)end > s->size - s->data)
        return error_set(e,
                         "tensor %.80s: its place is not what its type and shape make, or past the "
                         "file's end; the file is cut short",
                         name);
    out->begin = s->data + (uint64_t)begin;
    return 0;
}

/* ---- writing ---- */

static const char *type_word(tensor_type type)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(types[i].code, type_code(type)) == 0 && strcmp(types[i].word, "BF16") != 0)
            return types[i].word;
    return NULL;
}

static json_t *entry_of(const tensor *t, uint64_t begin)
{
    json_t *shape = json_array();
    for (size_t i = 0; i < t->rank; i++)
        json_array_append_new(shape, json_integer((json_int_t)t->shape[i]));
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", type_word(t->type), "shape", shape,
                     "data_offsets", (json_int_t)begin, (json_int_t)(begin + tensor_bytes(t)));
}

int safetensors_classes(const safetensors *s, class_list *out, error *e)
{
    const json_t *text = json_object_get(json_object_get(s->head, "__metadata__"), "classes");
    json_t *list = json_is_string(text) ? json_loads(json_string_value(text), 0, NULL) : NULL;
    int status = 0;
    *out = (class_list){0};
    /* Another program's key of that name is no list of texts. */
    for (size_t i = 0; status == 0 && i < json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, i));
        if (!name) {
            class_list_free(out);
            break;
        }
        status = class_name_check(name, e);
        if (status == 0 && class_list_add(out, name) < 0)
            status = error_set(e, "the class %.80s twice, or too many classes", name);
    }
    json_decref(list);
    if (status < 0)
        class_list_free(out);
    return status;
}

static int put_classes(json_t *head, const class_list *classes)
{
    json_t *names = json_array();
    for (size_t i = 0; i < classes->count; i++)
        json_array_append_new(names, json_string(classes->names[i]));
    char *text = json_dumps(names, JSON_COMPACT);
    json_decref(names);
    int status =
        text ? json_object_set_new(head, "__metadata__", json_pack("{s:s}", "classes", text)) : -1;
    free(text);
    return status;
}

int safetensors_head(const field *tensors, size_t count, const class_list *classes, char **out,
                     size_t *bytes, error *e)
{
    json_t *head = json_object();
    uint64_t at = 0;
    int status = classes->count > 0 ? put_classes(head, classes) : 0;
    for (size_t i = 0; status == 0 && i < count; i++) {
        status = json_object_set_new(head, tensors[i].name, entry_of(&tensors[i].value, at));
        at += tensor_bytes(&tensors[i].value);
    }
    char *text = status == 0 ? json_dumps(head, JSON_COMPACT) : NULL;
    size_t length = text ? strlen(text) : 0, padded = (length + 7) / 8 * 8;
    *out = text ? malloc(8 + padded) : NULL;
    if (*out) {
        for (int i = 0; i < 8; i++)
            (*out)[i] = (char)(padded >> 8 * i);
        memset(*out + 8, ' ', padded);
        memcpy(*out + 8, text, length);
        *bytes = 8 + padded;
    }
    free(text);
    json_decref(head);
    return *out ? 0 : error_set(e, "out of memory");
}
