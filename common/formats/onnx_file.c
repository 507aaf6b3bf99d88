#include "onnx_graph.h"

#include "../base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- memory and failures ---- */

struct block {
    block *next;
    max_align_t data[];
};

void *onnx_take(reader *r, size_t count, size_t size)
{
    block *b = NULL;
    if (size == 0 || count <= (SIZE_MAX / 2 - sizeof *b) / size)
        b = calloc(1, sizeof *b + count * size);
    if (!b)
        onnx_fail(r, NULL, "out of memory");
    b->next = r->blocks;
    r->blocks = b;
    return b->data;
}

static void blocks_free(block *b)
{
    while (b) {
        block *next = b->next;
        free(b);
        b = next;
    }
}

void onnx_fail(reader *r, const node *n, const char *format, ...)
{
    char why[512], shown[256] = "";
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, sizeof why, format, arguments);
    va_end(arguments);
    if (n)
        snprintf(shown, sizeof shown, "node %.100s (%.40s): ",
                 n->proto->name && *n->proto->name ? n->proto->name
                                                   : (n->output_count ? n->outputs[0]->name : "?"),
                 n->proto->op_type ? n->proto->op_type : "?");
    error_set(r->e, "%s%s", shown, why);
    longjmp(r->failed, 1);
}

/* ---- how deep messages lie in each other ---- */

/* protobuf-c reads messages within messages by recursion: a file of a stranger's must not nest them
 * without end. Which field of which message holds which message that may hold itself. */
typedef enum { MODEL, GRAPH, NODE, ATTRIBUTE, TYPE, SEQUENCE, MAP, OPTIONAL, FUNCTION, INFO } nest;
static const struct {
    nest of;
    unsigned field;
    nest holds;
} nests[] = {
    {MODEL, 7, GRAPH},     {MODEL, 25, FUNCTION},  {GRAPH, 1, NODE},      {GRAPH, 11, INFO},
    {GRAPH, 12, INFO},     {GRAPH, 13, INFO},      {INFO, 2, TYPE},       {NODE, 5, ATTRIBUTE},
    {ATTRIBUTE, 6, GRAPH}, {ATTRIBUTE, 11, GRAPH}, {ATTRIBUTE, 14, TYPE}, {ATTRIBUTE, 15, TYPE},
    {TYPE, 4, SEQUENCE},   {TYPE, 5, MAP},         {TYPE, 9, OPTIONAL},   {SEQUENCE, 1, TYPE},
    {MAP, 2, TYPE},        {OPTIONAL, 1, TYPE},    {FUNCTION, 7, NODE}};
enum { DEPTH_MOST = 32 };

static bool read_varint(const uint8_t **at, const uint8_t *end, uint64_t *out)
{
    *out = 0;
    for (unsigned shift = 0; shift < 64 && *at < end; shift += 7) {
        uint8_t byte = *(*at)++;
        *out |= (uint64_t)(byte & 0x7F) << shift;
        if (!(byte & 0x80))
            return true;
    }
    return false;
}

/* Whether the message's bytes are whole fields, nested no deeper than allowed. */
static bool is_shallow(nest of, const uint8_t *at, const uint8_t *end, int depth)
{
    while (at < end) {
        uint64_t key, length;
        if (depth > DEPTH_MOST || !read_varint(&at, end, &key))
            return false;
        unsigned wire = key & 7;
        if (wire == 0) {
            if (!read_varint(&at, end, &length))
                return false;
            continue;
        }
        length = wire == 1 ? 8 : wire == 5 ? 4 : 0;
        if (wire == 3 || wire == 4 || wire > 5 || (wire == 2 && !read_varint(&at, end, &length)) ||
            length > (uint64_t)(end - at))
            return false;
        for (size_t i = 0; wire == 2 && i < sizeof nests / sizeof *nests; i++)
            if (nests[i].of == of && nests[i].field == key >> 3 &&
                !is_shallow(nests[i].holds, at, at + length, depth + 1))
                return false;
        at += length;
    }
    return true;
}

/* ---- constants ---- */

array onnx_array_new(reader *r, bool whole, size_t rank, const size_t *dims)
{
    array a = {.whole = whole, .rank = rank, .count = 1};
    if (rank > ONNX_RANK_MAX)
        onnx_fail(r, NULL, "a tensor of %zu dimensions", rank);
    for (size_t d = 0; d < rank; d++) {
        a.dims[d] = dims[d];
        if (dims[d] && a.count > ((size_t)1 << 32) / dims[d])
            onnx_fail(r, NULL, "a tensor of more than 2^32 numbers");
        a.count *= dims[d];
    }
    if (whole)
        a.i = onnx_take(r, a.count, sizeof *a.i);
    else
        a.f = onnx_take(r, a.count, sizeof *a.f);
    return a;
}

double onnx_at(const array *a, size_t i)
{
    return a->whole ? (double)a->i[i] : (double)a->f[i];
}

int64_t onnx_whole_of(double x)
{
    return fabs(x) < 0x1p63 ? (int64_t)x : 0;
}

int64_t onnx_whole_at(const array *a, size_t i)
{
    return a->whole ? a->i[i] : onnx_whole_of((double)a->f[i]);
}

static float float_of_bf16(uint16_t half)
{
    uint32_t bits = (uint32_t)half << 16;
    float out;
    memcpy(&out, &bits, sizeof out);
    return out;
}

/* Bytes of an element in raw_data; 0 for a type that is not read. */
static size_t raw_size(int32_t type)
{
    switch (type) {
    case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT:
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT32:
        return 4;
    case ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE:
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT64:
        return 8;
    case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16:
    case ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16:
        return 2;
    case ONNX__TENSOR_PROTO__DATA_TYPE__BOOL:
    case ONNX__TENSOR_PROTO__DATA_TYPE__UINT8:
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT8:
        return 1;
    default:
        return 0;
    }
}

static bool is_whole(int32_t type)
{
    return type == ONNX__TENSOR_PROTO__DATA_TYPE__INT32 ||
           type == ONNX__TENSOR_PROTO__DATA_TYPE__INT64 ||
           type == ONNX__TENSOR_PROTO__DATA_TYPE__BOOL ||
           type == ONNX__TENSOR_PROTO__DATA_TYPE__UINT8 ||
           type == ONNX__TENSOR_PROTO__DATA_TYPE__INT8;
}

/* Element i of little-endian bytes, as the array has it. */
static void raw_put(array *a, size_t i, int32_t type, const uint8_t *raw)
{
    uint16_t half;
    int32_t int32;
    double real;
    switch (type) {
    case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT:
        memcpy(&a->f[i], raw + 4 * i, 4);
        break;
    case ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE:
        memcpy(&real, raw + 8 * i, 8);
        a->f[i] = (float)real;
        break;
    case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16:
    case ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16:
        memcpy(&half, raw + 2 * i, 2);
        a->f[i] = type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16 ? float_of_half(half)
                                                                 : float_of_bf16(half);
        break;
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT64:
        memcpy(&a->i[i], raw + 8 * i, 8);
        break;
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT32:
        memcpy(&int32, raw + 4 * i, 4);
        a->i[i] = int32;
        break;
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT8:
        a->i[i] = (int8_t)raw[i];
        break;
    default:
        a->i[i] = raw[i];
    }
}

static size_t typed_count(const Onnx__TensorProto *t)
{
    switch (t->data_type) {
    case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT:
        return t->n_float_data;
    case ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE:
        return t->n_double_data;
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT64:
        return t->n_int64_data;
    default:
        return t->n_int32_data;
    }
}

/* Element i of the fields that hold numbers one by one. */
static void typed_put(array *a, size_t i, const Onnx__TensorProto *t)
{
    switch (t->data_type) {
    case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT:
        a->f[i] = t->float_data[i];
        break;
    case ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE:
        a->f[i] = (float)t->double_data[i];
        break;
    case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16:
        a->f[i] = float_of_half((uint16_t)t->int32_data[i]);
        break;
    case ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16:
        a->f[i] = float_of_bf16((uint16_t)t->int32_data[i]);
        break;
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT64:
        a->i[i] = t->int64_data[i];
        break;
    default:
        a->i[i] = t->int32_data[i];
    }
}

/* ---- weights beside the file ---- */

typedef struct {
    const char *name;
    uint64_t offset, length;
    bool has_length;
} place;

static place external_place(reader *r, const Onnx__TensorProto *t)
{
    place p = {0};
    for (size_t i = 0; i < t->n_external_data; i++) {
        const char *key = t->external_data[i]->key, *text = t->external_data[i]->value;
        if (!key || !text)
            continue;
        if (strcmp(key, "location") == 0)
            p.name = text;
        else if (strcmp(key, "offset") == 0)
            p.offset = strtoull(text, NULL, 10);
        else if (strcmp(key, "length") == 0) {
            p.length = strtoull(text, NULL, 10);
            p.has_length = true;
        }
    }
    if (!p.name || !*p.name || strchr(p.name, '/') || strcmp(p.name, "..") == 0 ||
        strcmp(p.name, ".") == 0)
        onnx_fail(r, NULL,
                  "tensor %.100s lies in the file '%.100s', which is not one beside the model",
                  t->name ? t->name : "?", p.name ? p.name : "");
    return p;
}

/* Bytes `bytes` of the file beside the model; no link is followed. */
static const uint8_t *external_read(reader *r, const Onnx__TensorProto *t, size_t bytes)
{
    place p = external_place(r, t);
    uint8_t *data = onnx_take(r, bytes, 1);
    if (!r->folder)
        onnx_fail(r, NULL, "tensor %.100s lies in a file of its own", t->name ? t->name : "?");
    if (p.has_length && p.length < bytes)
        onnx_fail(r, NULL, "tensor %.100s takes %zu bytes and has %llu in %.100s",
                  t->name ? t->name : "?", bytes, (unsigned long long)p.length, p.name);
    int folder = open(r->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int fd =
        folder < 0 ? -1 : openat(folder, p.name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    int why = errno;
    struct stat status;
    if (folder >= 0)
        close(folder);
    if (fd < 0)
        onnx_fail(r, NULL, "cannot open %.100s, which has its weights: %s", p.name, strerror(why));
    bool fits = fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
                p.offset <= (uint64_t)status.st_size &&
                bytes <= (uint64_t)status.st_size - p.offset;
    if (!fits) {
        close(fd);
        onnx_fail(r, NULL, "%.100s is too short for tensor %.100s", p.name,
                  t->name ? t->name : "?");
    }
    size_t done = 0;
    ssize_t got = 1;
    while (done < bytes && got > 0) {
        got = pread(fd, data + done, bytes - done, (off_t)(p.offset + done));
        done += got > 0 ? (size_t)got : 0;
    }
    close(fd);
    if (done < bytes)
        onnx_fail(r, NULL, "cannot read %.100s", p.name);
    return data;
}

static array tensor_read(reader *r, const Onnx__TensorProto *t)
{
    size_t dims[ONNX_RANK_MAX], size = raw_size(t->data_type);
    const char *name = t->name && *t->name ? t->name : "a constant";
    if (t->n_dims > ONNX_RANK_MAX)
        onnx_fail(r, NULL, "%.100s has %zu dimensions", name, t->n_dims);
    for (size_t d = 0; d < t->n_dims; d++) {
        if (t->dims[d] < 0 || t->dims[d] > UINT32_MAX)
            onnx_fail(r, NULL, "%.100s has a dimension of %lld", name, (long long)t->dims[d]);
        dims[d] = (size_t)t->dims[d];
    }
    if (size == 0)
        onnx_fail(r, NULL, "%.100s has elements of type %d, which is not read", name, t->data_type);
    bool external =
        t->has_data_location && t->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
    size_t count = 1;
    for (size_t d = 0; d < t->n_dims; d++)
        count = dims[d] && count > ((size_t)1 << 32) / dims[d] ? SIZE_MAX / 16 : count * dims[d];
    bool raw = t->has_raw_data && t->raw_data.len > 0;
    if (!external && (raw ? t->raw_data.len / size : typed_count(t)) != count)
        onnx_fail(r, NULL, "%.100s has %zu numbers, and %zu by its shape", name,
                  raw ? t->raw_data.len / size : typed_count(t), count);
    array a = onnx_array_new(r, is_whole(t->data_type), t->n_dims, dims);
    const uint8_t *bytes = external ? external_read(r, t, a.count * size)
                           : raw    ? t->raw_data.data
                                    : NULL;
    for (size_t i = 0; i < a.count; i++) {
        if (bytes)
            raw_put(&a, i, t->data_type, bytes);
        else
            typed_put(&a, i, t);
    }
    return a;
}

const array *onnx_constant(reader *r, const node *n, value *v)
{
    if (v && v->state == STATE_NONE && v->initial) {
        v->constant = tensor_read(r, v->initial);
        v->state = STATE_CONSTANT;
    }
    if (!v || v->state != STATE_CONSTANT)
        onnx_fail(r, n, "input %.100s is not a constant, as it has to be here",
                  v ? v->name : "that is left out");
    return &v->constant;
}

/* ---- attributes ---- */

const Onnx__AttributeProto *onnx_attribute(const node *n, const char *name)
{
    for (size_t i = 0; i < n->proto->n_attribute; i++)
        if (n->proto->attribute[i]->name && strcmp(n->proto->attribute[i]->name, name) == 0)
            return n->proto->attribute[i];
    return NULL;
}

int64_t onnx_int(const node *n, const char *name, int64_t otherwise)
{
    const Onnx__AttributeProto *a = onnx_attribute(n, name);
    return a && a->has_i ? a->i : otherwise;
}

float onnx_float(const node *n, const char *name, float otherwise)
{
    const Onnx__AttributeProto *a = onnx_attribute(n, name);
    return a && a->has_f ? a->f : otherwise;
}

const char *onnx_string(const node *n, const char *name, const char *otherwise)
{
    static const char *const known[] = {"NOTSET",
                                        "SAME_UPPER",
                                        "SAME_LOWER",
                                        "VALID",
                                        "tanh",
                                        "none",
                                        "constant",
                                        "reflect",
                                        "edge",
                                        "wrap",
                                        "nearest",
                                        "linear",
                                        "cubic",
                                        "asymmetric",
                                        "half_pixel",
                                        "align_corners",
                                        "pytorch_half_pixel"};
    const Onnx__AttributeProto *a = onnx_attribute(n, name);
    if (!a || !a->has_s)
        return otherwise;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (a->s.len == strlen(known[i]) && memcmp(a->s.data, known[i], a->s.len) == 0)
            return known[i];
    return "?";
}

bool onnx_is(const node *n, const char *operator)
{
    return n->proto->op_type && strcmp(n->proto->op_type, operator) == 0;
}

value *onnx_input(const node *n, size_t k)
{
    return k < n->input_count ? n->inputs[k] : NULL;
}

bool onnx_numbers(reader *r, const node *n, size_t input, const char *attribute, array *out)
{
    const Onnx__AttributeProto *a = onnx_attribute(n, attribute);
    if (onnx_input(n, input)) {
        *out = *onnx_constant(r, n, n->inputs[input]);
        return true;
    }
    if (!a)
        return false;
    const bool whole = a->n_ints > 0 || a->n_floats == 0;
    const size_t count = whole ? a->n_ints : a->n_floats;
    *out = onnx_array_new(r, whole, 1, &count);
    for (size_t i = 0; i < count; i++) {
        if (out->whole)
            out->i[i] = a->ints[i];
        else
            out->f[i] = a->floats[i];
    }
    return true;
}

size_t onnx_axis(reader *r, const node *n, int64_t at, size_t rank)
{
    if (at < 0)
        at += (int64_t)rank;
    if (at < 0 || (size_t)at >= rank)
        onnx_fail(r, n, "axis %lld of %zu", (long long)at, rank);
    return (size_t)at;
}

/* ---- the graph ---- */

static value *value_named(reader *r, const char *name)
{
    size_t i = (size_t)hash_bytes(HASH_BEGIN, name, strlen(name)) & (r->slot_count - 1);
    while (r->slots[i] && strcmp(r->slots[i]->name, name) != 0)
        i = (i + 1) & (r->slot_count - 1);
    if (!r->slots[i]) {
        r->slots[i] = &r->values[r->value_count++];
        r->slots[i]->name = name;
    }
    return r->slots[i];
}

static value **values_named(reader *r, size_t count, char **names)
{
    value **out = onnx_take(r, count + 1, sizeof *out);
    for (size_t i = 0; i < count; i++)
        out[i] = names[i] && *names[i] ? value_named(r, names[i]) : NULL;
    return out;
}

void onnx_graph_new(reader *r)
{
    const Onnx__GraphProto *g = r->model->graph;
    if (!g)
        onnx_fail(r, NULL, "it has no graph");
    size_t names = g->n_initializer + g->n_input + g->n_output + 2;
    for (size_t i = 0; i < g->n_node; i++)
        names += g->node[i]->n_input + g->node[i]->n_output;
    r->slot_count = 16;
    while (r->slot_count < 2 * names)
        r->slot_count *= 2;
    r->slots = onnx_take(r, r->slot_count, sizeof *r->slots);
    r->values = onnx_take(r, names, sizeof *r->values);
    r->nodes = onnx_take(r, g->n_node + 1, sizeof *r->nodes);
    for (size_t i = 0; i < r->model->n_opset_import; i++)
        if (!r->model->opset_import[i]->domain || !*r->model->opset_import[i]->domain)
            r->opset = r->model->opset_import[i]->version;
    for (size_t i = 0; i < g->n_initializer; i++)
        if (g->initializer[i]->name)
            value_named(r, g->initializer[i]->name)->initial = g->initializer[i];
    for (size_t i = 0; i < g->n_node; i++) {
        const Onnx__NodeProto *p = g->node[i];
        node *n = &r->nodes[r->node_count++];
        *n = (node){p, p->n_input, p->n_output, values_named(r, p->n_input, p->input),
                    values_named(r, p->n_output, p->output)};
        if (n->output_count == 0 || !n->outputs[0] || !p->op_type)
            onnx_fail(r, NULL, "node %zu has no output, or no operator", i);
        for (size_t k = 0; k < n->input_count; k++)
            if (n->inputs[k])
                n->inputs[k]->uses++;
    }
}

/* ---- reading ---- */

static int graph_read(reader *r, onnx_network *out)
{
    if (setjmp(r->failed)) {
        blocks_free(r->blocks);
        return -1;
    }
    onnx_graph_new(r);
    value *last = onnx_convert(r);
    onnx_tell(r, last->v.of, out);
    out->memory = r->blocks;
    return 0;
}

static int model_read(const void *data, size_t bytes, const char *folder,
                      const onnx_options *options, onnx_network *out, error *e)
{
    const uint8_t *at = data;
    reader r = {.e = e, .options = options, .folder = folder};
    if (bytes == 0 || !is_shallow(MODEL, at, at + bytes, 0))
        return error_set(e, "it is not an ONNX file, or a damaged one");
    r.model = onnx__model_proto__unpack(NULL, bytes, data);
    if (!r.model)
        return error_set(e, "it is not an ONNX file, or a damaged one");
    onnx_network made = {0};
    int status = graph_read(&r, &made);
    onnx__model_proto__free_unpacked(r.model, NULL);
    if (status == 0)
        *out = made;
    return status;
}

int onnx_read_memory(const void *data, size_t bytes, const onnx_options *options, onnx_network *out,
                     error *e)
{
    return model_read(data, bytes, NULL, options, out, e);
}

/* A whole file; NULL with the error set. */
static uint8_t *file_load(const char *path, size_t *bytes, error *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    uint8_t *data = NULL;
    size_t room = 0;
    ssize_t got = -1;
    *bytes = 0;
    while (fd >= 0) {
        if (*bytes == room) {
            room = room ? 2 * room : 1 << 20;
            uint8_t *more = realloc(data, room);
            if (!more)
                break;
            data = more;
        }
        got = read(fd, data + *bytes, room - *bytes);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        *bytes += (size_t)got;
    }
    if (got != 0) {
        error_system(e, "%s", path);
        free(data);
        data = NULL;
    }
    if (fd >= 0)
        close(fd);
    return data;
}

int onnx_read(const char *path, const onnx_options *options, onnx_network *out, error *e)
{
    size_t bytes;
    uint8_t *data = file_load(path, &bytes, e);
    if (!data)
        return -1;
    const char *slash = strrchr(path, '/');
    char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    int status =
        folder ? model_read(data, bytes, folder, options, out, e) : error_set(e, "out of memory");
    free(folder);
    free(data);
    return status < 0 ? error_prefix(e, "%s", path) : 0;
}

void onnx_free(onnx_network *n)
{
    blocks_free(n->memory);
    *n = (onnx_network){0};
}
