/* file.c: a model to and from a stream, as model.h lays it out. */
#include "../base/output.h"
#include "../stream/write.h"
#include "names.h"
#include "packing.h"

#include <inttypes.h>
#include <math.h>
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

/* More than a model of a million classes and a thousand layers needs. */
#define MODEL_MAP_BYTES_MAX ((size_t)16 << 20)
#define MODEL_TENSORS_MAX 8192
#define MODEL_NOTES_MAX 1024

/* ---- the `model` map, read ---- */

/* The map's own keys as they are read; the notes go straight into the model. */
typedef struct {
    char *text; /* owned */
    extent input;
    size_t dimension, kind_count;
    head_kind head;
    unsigned seen; /* a bit a key */
    bool no_memory;
} map_values;

static bool is_text(const msgpack_object *o, const char *text)
{
    return o->type == MSGPACK_OBJECT_STR && o->via.str.size == strlen(text) &&
           memcmp(o->via.str.ptr, text, o->via.str.size) == 0;
}

/* Without a NUL inside it. */
static bool is_any_text(const msgpack_object *o)
{
    return o->type == MSGPACK_OBJECT_STR && !memchr(o->via.str.ptr, 0, o->via.str.size);
}

static char *copy_text(const msgpack_object *o)
{
    return strndup(o->via.str.ptr, o->via.str.size);
}

static bool take_size(const msgpack_object *o, size_t *out)
{
    if (o->type != MSGPACK_OBJECT_POSITIVE_INTEGER || o->via.u64 > (uint64_t)1 << 31)
        return false;
    *out = (size_t)o->via.u64;
    return true;
}

static bool read_network(const msgpack_object *o, map_values *v, model *m)
{
    (void)m;
    v->text = is_any_text(o) ? copy_text(o) : NULL;
    v->no_memory = is_any_text(o) && !v->text;
    return is_any_text(o);
}

static bool read_input(const msgpack_object *o, map_values *v, model *m)
{
    (void)m;
    const msgpack_object *at = o->via.array.ptr;
    return o->type == MSGPACK_OBJECT_ARRAY && o->via.array.size == 3 &&
           take_size(&at[0], &v->input.height) && take_size(&at[1], &v->input.width) &&
           take_size(&at[2], &v->input.channels);
}

static bool read_dimension(const msgpack_object *o, map_values *v, model *m)
{
    (void)m;
    return take_size(o, &v->dimension);
}

static bool read_head(const msgpack_object *o, map_values *v, model *m)
{
    (void)m;
    v->head = is_text(o, head_name(HEAD_SOFTMAX)) ? HEAD_SOFTMAX : HEAD_COSINE;
    return is_text(o, head_name(v->head));
}

static bool read_norm(const msgpack_object *o, map_values *v, model *m)
{
    (void)v;
    m->norm = is_text(o, norm_name(NORM_NONE)) ? NORM_NONE : NORM_L2;
    return is_text(o, norm_name(m->norm));
}

static bool read_kinds(const msgpack_object *o, map_values *v, model *m)
{
    if (o->type != MSGPACK_OBJECT_ARRAY || o->via.array.size > STREAM_CLASSES_MAX)
        return false;
    v->kind_count = o->via.array.size;
    m->kinds = calloc(v->kind_count + 1, sizeof *m->kinds);
    v->no_memory = !m->kinds;
    for (size_t i = 0; m->kinds && i < v->kind_count; i++) {
        const msgpack_object *kind = &o->via.array.ptr[i];
        m->kinds[i] = is_text(kind, class_kind_name(CLASS_NOVEL)) ? CLASS_NOVEL : CLASS_BASE;
        if (!is_text(kind, class_kind_name(m->kinds[i])))
            return false;
    }
    return true;
}

/* The keys that every model has, each at most once. */
static const struct {
    const char *key, *wants;
    bool (*read)(const msgpack_object *o, map_values *v, model *m);
} map_keys[] = {
    {"network", "a text", read_network},
    {"input", "three sizes", read_input},
    {"dimension", "a size", read_dimension},
    {"head", "cosine or softmax", read_head},
    {"kinds", "a list of base and novel", read_kinds},
    {"norm", "l2 or none", read_norm},
};
#define MAP_KEYS (sizeof map_keys / sizeof *map_keys)

static int read_note(const char *key, const msgpack_object *o, model *m, error *e)
{
    double number = 0;
    char *text = NULL;
    if (o->type == MSGPACK_OBJECT_POSITIVE_INTEGER)
        number = (double)o->via.u64;
    else if (o->type == MSGPACK_OBJECT_NEGATIVE_INTEGER)
        number = (double)o->via.i64;
    else if (o->type == MSGPACK_OBJECT_FLOAT32 || o->type == MSGPACK_OBJECT_FLOAT64)
        number = o->via.f64;
    else if (!is_any_text(o))
        return error_set(e, "key '%s' of its model map is neither a number nor a text", key);
    else if (!(text = copy_text(o)))
        return error_set(e, "out of memory for the model");
    if (model_get_text(m, key) || model_get_number(m, key, &(double){0}) ||
        m->note_count == MODEL_NOTES_MAX || !isfinite(number)) {
        free(text);
        return error_set(
            e, "key '%s' of its model map comes twice, is not finite, or is one too many", key);
    }
    int status = text ? model_note_text(m, key, text) : model_note_number(m, key, number);
    free(text);
    return status < 0 ? error_set(e, "out of memory for the model") : 0;
}

static int read_pair(const msgpack_object_kv *pair, map_values *v, model *m, error *e)
{
    char key[sizeof m->notes->key] = "";
    size_t length = pair->key.type == MSGPACK_OBJECT_STR ? pair->key.via.str.size : 0, i = 0;
    if (!is_any_text(&pair->key) || length == 0 || length >= sizeof key)
        return error_set(e, "its model map has a key that is no text of 1 to 63 bytes");
    memcpy(key, pair->key.via.str.ptr, length);
    while (i < MAP_KEYS && strcmp(key, map_keys[i].key) != 0)
        i++;
    if (i == MAP_KEYS)
        return strcmp(key, "version") == 0 ? 0 : read_note(key, &pair->val, m, e);
    if (v->seen & 1u << i)
        return error_set(e, "its model map has the key '%s' twice", key);
    v->seen |= 1u << i;
    if (!map_keys[i].read(&pair->val, v, m))
        return error_set(e, "key '%s' of its model map is not %s", key, map_keys[i].wants);
    return v->no_memory ? error_set(e, "out of memory for the model") : 0;
}

/* Before anything else is looked at: another version may mean something else by every other key. */
static int read_version(const msgpack_object_map *map, model *m, error *e)
{
    for (uint32_t i = 0; i < map->size; i++) {
        const msgpack_object *value = &map->ptr[i].val;
        if (!is_text(&map->ptr[i].key, "version"))
            continue;
        if (value->type != MSGPACK_OBJECT_POSITIVE_INTEGER)
            break;
        if (value->via.u64 < 1 || value->via.u64 > MODEL_VERSION)
            return error_set(
                e, "it is a model of version %llu, and this program reads versions 1 to %d",
                (unsigned long long)value->via.u64, MODEL_VERSION);
        m->version = (unsigned)value->via.u64;
        return 0;
    }
    return error_set(e, "its model map has no version number");
}

static int read_map(const msgpack_object *o, map_values *v, model *m, error *e)
{
    if (o->type != MSGPACK_OBJECT_MAP)
        return error_set(e, "its header's key 'model' is no map");
    if (read_version(&o->via.map, m, e) < 0)
        return -1;
    for (uint32_t i = 0; i < o->via.map.size; i++)
        if (read_pair(&o->via.map.ptr[i], v, m, e) < 0)
            return -1;
    for (size_t i = 0; i < MAP_KEYS; i++)
        if (!(v->seen & 1u << i))
            return error_set(e, "its model map lacks the key '%s'", map_keys[i].key);
    return 0;
}

/* The network, classes and notes from the header; tensors are still to come. */
static int read_header(const stream_header *h, model *m, error *e)
{
    size_t bytes = 0;
    const void *map = stream_header_get_encoded(h, "model", &bytes);
    if (!map)
        return error_set(e, "it is no model: its header has no key 'model'; cnn-train and imprint "
                            "make models");
    if (bytes > MODEL_MAP_BYTES_MAX)
        return error_set(e, "its model map has %zu bytes; %zu are possible", bytes,
                         MODEL_MAP_BYTES_MAX);
    map_values v = {0};
    msgpack_unpacked unpacked;
    msgpack_unpacked_init(&unpacked);
    size_t used = 0;
    int status = 0;
    if (msgpack_unpack_next(&unpacked, map, bytes, &used) != MSGPACK_UNPACK_SUCCESS)
        status = error_set(e, "its header's key 'model' cannot be read");
    else
        status = read_map(&unpacked.data, &v, m, e);
    msgpack_unpacked_destroy(&unpacked);
    if (status == 0 && v.kind_count != h->classes.count)
        status = error_set(e, "it has %zu classes, but says base or novel for %zu",
                           h->classes.count, v.kind_count);
    if (status == 0)
        status = model_network(v.text, v.input, v.dimension, v.head, h->classes.count, &m->net, e);
    if (status == 0 && m->net.dimension != v.dimension)
        status =
            error_set(e, "it says that embeddings have dimension %zu, but its network's have %zu",
                      v.dimension, m->net.dimension);
    if (status == 0 && class_list_copy(&m->classes, &h->classes) < 0)
        status = error_set(e, "out of memory for the model");
    free(v.text);
    return status;
}

/* ---- tensors, read ---- */

static int read_tensor(stream_reader *r, const batch *b, model *m, error *e)
{
    const field *f = &b->fields[0];
    if (b->field_count != 1)
        return error_set(e, "a record holds %zu tensors, where a model's holds one",
                         b->field_count);
    const char *name = part_name_of_version(f->name, m->version);
    if (model_find(m, name))
        return error_set(e, "tensor '%s' comes twice", f->name);
    if (m->tensor_count == MODEL_TENSORS_MAX)
        return error_set(e, "it holds more than %d tensors", MODEL_TENSORS_MAX);
    tensor value = stream_take_field(r, 0);
    return tensor_unpack(name, &value, e) < 0 ? -1 : model_adopt(m, name, value, e);
}

/* All of them, or those up to the mark after that section. *named: the reader failed, whose errors
 * have the name of the file. */
static int read_tensors(stream_reader *r, model_section last, model *m, bool *named, error *e)
{
    unsigned marks = 0;
    for (;;) {
        batch *b;
        int more = stream_read(r, &b, e);
        *named = more < 0;
        if (more <= 0)
            return more;
        if (read_tensor(r, b, m, e) < 0)
            return -1;
        const stream_mark *mark = stream_mark_read(r);
        if (mark && marks++ == last && last < MODEL_SUMS) {
            m->unread = MODEL_SUMS - last;
            m->fingerprint = mark->own;
            return 0;
        }
    }
}

/* Everything but the name of the file in the error. */
static int load(stream_reader *r, model_section last, model *m, bool *named, error *e)
{
    const stream_header *h;
    *named = true;
    if (stream_header_first(r, &h, e) < 0)
        return -1;
    *named = false;
    if (read_header(h, m, e) < 0)
        return -1;
    if (read_tensors(r, last, m, named, e) < 0)
        return -1;
    /* A tensor without rows is no record. */
    const char *weight = model_parts[PART_HEAD_WEIGHT].name;
    tensor *none;
    if (m->classes.count == 0 && !model_find(m, weight) &&
        model_put(m, weight, TYPE_F32, 2, (size_t[]){0, m->net.dimension}, &none, e) < 0)
        return -1;
    if (stream_count(r) != 1)
        return error_set(e, "another stream follows the model in it; a model stands alone");
    return model_check(m, e);
}

static int read_until(stream_reader *r, model_section last, model *m, error *e)
{
    model loaded = {0};
    bool named;
    int status = load(r, last, &loaded, &named, e);
    if (status < 0 && !named)
        error_prefix(e, "%s", stream_name(r));
    if (status < 0)
        model_free(&loaded);
    else
        *m = loaded;
    return status;
}

int model_read(stream_reader *r, model *m, error *e)
{
    return read_until(r, MODEL_SUMS, m, e);
}

static int load_reader(stream_reader *r, model_section last, model *m, error *e)
{
    int status = read_until(r, last, m, e);
    stream_close(r);
    return status;
}

int model_load_until(const char *path, model_section last, model *m, error *e)
{
    stream_reader *r;
    char *paths[] = {(char *)path};
    if (stream_open(paths, 1, &r, e) < 0)
        return -1;
    return load_reader(r, last, m, e);
}

int model_load(const char *path, model *m, error *e)
{
    return model_load_until(path, MODEL_SUMS, m, e);
}

int model_load_memory(const void *data, size_t bytes, model_section last, model *m, error *e)
{
    stream_reader *r;
    if (stream_open_memory(data, bytes, "model", &r, e) < 0)
        return -1;
    return load_reader(r, last, m, e);
}

/* ---- written ---- */

static void pack_text(msgpack_packer *p, const char *text)
{
    msgpack_pack_str(p, strlen(text));
    msgpack_pack_str_body(p, text, strlen(text));
}

static void pack_size(msgpack_packer *p, const char *key, size_t value)
{
    pack_text(p, key);
    msgpack_pack_uint64(p, value);
}

static void pack_note(msgpack_packer *p, const model_note *n)
{
    pack_text(p, n->key);
    if (!n->is_number)
        pack_text(p, n->text);
    else if (n->number == floor(n->number) && fabs(n->number) < 0x1p53)
        msgpack_pack_int64(p, (int64_t)n->number);
    else
        msgpack_pack_double(p, n->number);
}

static int compare_notes(const void *a, const void *b)
{
    const model_note *const *x = a, *const *y = b;
    return strcmp((*x)->key, (*y)->key);
}

/* By key: the order in which they were made is not the model's. */
static void pack_notes(msgpack_packer *p, const model *m)
{
    const model_note *sorted[MODEL_NOTES_MAX];
    for (size_t i = 0; i < m->note_count; i++)
        sorted[i] = &m->notes[i];
    qsort(sorted, m->note_count, sizeof *sorted, compare_notes);
    for (size_t i = 0; i < m->note_count; i++)
        pack_note(p, sorted[i]);
}

static void pack_map(msgpack_packer *p, const model *m)
{
    msgpack_pack_map(p, MAP_KEYS + 1 + m->note_count);
    pack_size(p, "version", MODEL_VERSION);
    pack_text(p, "network");
    pack_text(p, m->net.text);
    pack_text(p, "input");
    msgpack_pack_array(p, 3);
    msgpack_pack_uint64(p, m->net.input.height);
    msgpack_pack_uint64(p, m->net.input.width);
    msgpack_pack_uint64(p, m->net.input.channels);
    pack_size(p, "dimension", m->net.dimension);
    pack_text(p, "head");
    pack_text(p, head_name(m->net.head));
    pack_text(p, "kinds");
    msgpack_pack_array(p, m->classes.count);
    for (size_t i = 0; i < m->classes.count; i++)
        pack_text(p, class_kind_name(m->kinds[i]));
    pack_text(p, "norm");
    pack_text(p, norm_name(m->norm));
    pack_notes(p, m);
}

static int make_header(const model *m, stream_header *h, error *e)
{
    msgpack_sbuffer buffer;
    msgpack_sbuffer_init(&buffer);
    msgpack_packer packer;
    msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
    pack_map(&packer, m);
    int status = 0;
    if (class_list_copy(&h->classes, &m->classes) < 0 ||
        stream_header_set_encoded(h, "model", buffer.data, buffer.size) < 0)
        status = error_set(e, "out of memory for the model");
    msgpack_sbuffer_destroy(&buffer);
    return status;
}

/* `counted`: nothing is written, and numbers are not needed. `mark`: NULL for none. */
static int write_tensor(const model *m, const model_tensor *t, bool counted,
                        const stream_mark *mark, stream_writer *w, error *e)
{
    void *made = NULL;
    batch b = {.field_count = 1};
    field *f = &b.fields[0];
    int status = 0;
    strcpy(f->name, t->name);
    if (counted)
        f->value = tensor_packed(m, t);
    else
        status = tensor_pack(m, t, &f->value, &made, e);
    b.rows = tensor_rows(&f->value);
    if (status == 0)
        status = mark && b.rows > 0 ? stream_write_marked(w, &b, *mark, e)
                                    : stream_write_whole(w, &b, e);
    free(made);
    return status;
}

/* The next tensor of that section from number i on, or tensor_count. */
static size_t next_of(const model *m, model_section section, size_t i)
{
    while (i < m->tensor_count && model_section_of(m->tensors[i].name) != section)
        i++;
    return i;
}

/* Section by section, with a mark after each that more follows. `length` in bytes; 0: nothing is
 * written, but counted. */
static int write_all(const model *m, const stream_header *h, uint64_t length, stream_writer *w,
                     error *e)
{
    const stream_mark mark = {.length = length, .own = length ? model_fingerprint(m) : 0};
    if (stream_write_header(w, h, e) < 0)
        return -1;
    for (model_section section = 0; section < MODEL_SECTIONS; section++)
        for (size_t i = next_of(m, section, 0), next; i < m->tensor_count; i = next) {
            next = next_of(m, section, i + 1);
            bool marked = next == m->tensor_count && section < MODEL_SUMS;
            if (write_tensor(m, &m->tensors[i], length == 0, marked ? &mark : NULL, w, e) < 0)
                return -1;
        }
    return stream_write_end(w, e);
}

/* Sets *length to that of the file; with it, writes the file. */
static int write_to(output *out, const model *m, const stream_header *h, uint64_t *length, error *e)
{
    stream_writer *w;
    if (stream_create(out, &w, e) < 0)
        return -1;
    int status = write_all(m, h, *length, w, e);
    *length = stream_written(w);
    stream_writer_free(w);
    return status;
}

int model_save(const model *m, output *out, error *e)
{
    uint64_t length = 0;
    stream_header h = {0};
    if (m->unread)
        return error_set(e, "a model that was read in part cannot be written");
    if (model_check(m, e) < 0)
        return -1;
    int status = make_header(m, &h, e);
    if (status == 0)
        status = write_to(NULL, m, &h, &length, e);
    if (status == 0)
        status = write_to(out, m, &h, &length, e);
    stream_header_free(&h);
    return status;
}
