/* header.c: a stream's header: its classes, and other keys as they came; see header.h. */
#include "header.h"
#include "../base/text.h"
#include "source.h"

#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_ROOM = 64, HEADER_BYTES_MAX = 64 << 20, HEADER_PAIRS_MAX = 4096 };

void stream_header_free(stream_header *h)
{
    class_list_free(&h->classes);
    free(h->extra);
    *h = (stream_header){0};
}

int stream_header_copy(stream_header *to, const stream_header *from)
{
    *to = (stream_header){0};
    if (class_list_copy(&to->classes, &from->classes) < 0)
        return -1;
    byte_array extra = {0};
    if (bytes_append(&extra, from->extra, from->extra_bytes) < 0) {
        stream_header_free(to);
        return -1;
    }
    to->extra = (char *)extra.data;
    to->extra_bytes = from->extra_bytes;
    to->extra_pairs = from->extra_pairs;
    return 0;
}

/* ---- other keys ---- */

/* Where a pair stands within h->extra. */
typedef struct {
    size_t start, value, end;
} pair_place;

static bool find_pair(const stream_header *h, const char *key, pair_place *place)
{
    source s;
    error e;
    value_head head;
    source_memory(&s, h->extra, h->extra_bytes, "header");
    for (size_t i = 0; i < h->extra_pairs; i++) {
        char name[KEY_ROOM];
        place->start = (size_t)s.offset;
        if (source_value(&s, &head, &e) < 0)
            return false;
        int status = source_text(&s, &head, name, sizeof name, &e);
        if (status > 0)
            status = source_copy(&s, &head, NULL, HEADER_BYTES_MAX, &e) == 0 ? 1 : -1;
        place->value = (size_t)s.offset;
        if (status < 0 || source_value(&s, &head, &e) < 0 ||
            source_copy(&s, &head, NULL, HEADER_BYTES_MAX, &e) < 0)
            return false;
        place->end = (size_t)s.offset;
        if (status == 0 && strcmp(name, key) == 0)
            return true;
    }
    return false;
}

const void *stream_header_get_encoded(const stream_header *h, const char *key, size_t *bytes)
{
    pair_place place;
    if (!find_pair(h, key, &place))
        return NULL;
    *bytes = place.end - place.value;
    return h->extra + place.value;
}

char *stream_header_get_text(const stream_header *h, const char *key)
{
    size_t bytes;
    const void *value = stream_header_get_encoded(h, key, &bytes);
    source s;
    error e;
    value_head head;
    if (!value)
        return NULL;
    source_memory(&s, value, bytes, "header");
    if (source_value(&s, &head, &e) < 0 || (head.type != HEAD_STR && head.type != HEAD_BIN))
        return NULL;
    char *text = malloc((size_t)head.value + 1);
    if (text && source_text(&s, &head, text, (size_t)head.value + 1, &e) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

/* Exactly one value, whole. */
static bool is_value(const void *value, size_t bytes)
{
    source s;
    error e;
    value_head head;
    source_memory(&s, value, bytes, "value");
    return source_value(&s, &head, &e) == 0 && source_copy(&s, &head, NULL, bytes, &e) == 0 &&
           source_left(&s) == 0;
}

int stream_header_set_encoded(stream_header *h, const char *key, const void *value, size_t bytes)
{
    if (!is_value(value, bytes))
        return -1;
    msgpack_sbuffer made;
    msgpack_packer packer;
    msgpack_sbuffer_init(&made);
    msgpack_packer_init(&packer, &made, msgpack_sbuffer_write);
    pair_place old;
    bool replace = find_pair(h, key, &old);
    size_t before = replace ? old.start : h->extra_bytes;
    int status = before ? msgpack_sbuffer_write(&made, h->extra, before) : 0;
    status |= msgpack_pack_str(&packer, strlen(key));
    status |= msgpack_pack_str_body(&packer, key, strlen(key));
    status |= msgpack_sbuffer_write(&made, value, bytes);
    if (replace)
        status |= msgpack_sbuffer_write(&made, h->extra + old.end, h->extra_bytes - old.end);
    if (status != 0) {
        msgpack_sbuffer_destroy(&made);
        return -1;
    }
    free(h->extra);
    h->extra_bytes = made.size;
    h->extra = msgpack_sbuffer_release(&made);
    h->extra_pairs += replace ? 0 : 1;
    return 0;
}

int stream_header_set_text(stream_header *h, const char *key, const char *text)
{
    msgpack_sbuffer made;
    msgpack_packer packer;
    msgpack_sbuffer_init(&made);
    msgpack_packer_init(&packer, &made, msgpack_sbuffer_write);
    int status = msgpack_pack_str(&packer, strlen(text));
    status |= msgpack_pack_str_body(&packer, text, strlen(text));
    if (status == 0)
        status = stream_header_set_encoded(h, key, made.data, made.size);
    msgpack_sbuffer_destroy(&made);
    return status == 0 ? 0 : -1;
}

/* ---- reading ---- */

static int read_class(source *s, class_list *classes, error *e)
{
    char name[CLASS_NAME_BYTES_MAX + 1];
    value_head head;
    if (source_value(s, &head, e) < 0)
        return -1;
    int status = source_text(s, &head, name, sizeof name, e);
    if (status < 0)
        return -1;
    if (status > 0 || name[0] == '\0')
        return error_set(e, "class %zu in the header is no name of 1 to %d bytes", classes->count,
                         CLASS_NAME_BYTES_MAX);
    if (class_name_check(name, e) < 0)
        return error_prefix(e, "class %zu in the header", classes->count);
    if (class_list_find(classes, name) >= 0)
        return error_set(e, "the header names class '%.200s' twice", name);
    return class_list_add(classes, name) < 0 ? error_set(e, "out of memory for the classes") : 0;
}

static int read_classes(source *s, class_list *classes, error *e)
{
    value_head head;
    if (source_value(s, &head, e) < 0)
        return -1;
    if (head.type != HEAD_ARRAY)
        return error_set(e, "the header's 'classes' is no list of names");
    if (classes->count > 0)
        return error_set(e, "the header has 'classes' twice");
    if (head.value > STREAM_CLASSES_MAX)
        return error_set(e, "the header names %llu classes; at most %d are taken",
                         (unsigned long long)head.value, STREAM_CLASSES_MAX);
    for (uint64_t i = 0; i < head.value; i++)
        if (read_class(s, classes, e) < 0)
            return -1;
    return 0;
}

static int read_version(source *s, error *e)
{
    value_head head;
    if (source_value(s, &head, e) < 0)
        return -1;
    if (head.type != HEAD_UINT || head.value != 1)
        return error_set(e, "a tensor stream of another version; this program reads version 1");
    return 0;
}

/* Goes past the rest of a value in memory whose head was read. Every text in it is to be UTF-8, or
 * Python would refuse all of the stream. */
static int pass_value(source *s, const value_head *h, int depth, error *e)
{
    uint64_t inside = h->type == HEAD_ARRAY ? h->value : h->type == HEAD_MAP ? 2 * h->value : 0;
    if (h->type == HEAD_STR && h->value <= source_left(s)) {
        const char *text = (const char *)s->data + s->start;
        if (utf8_right(text, (size_t)h->value) < h->value)
            return error_set(e, "the text '%.*s' " UTF8_CURE, h->value < 200 ? (int)h->value : 200,
                             text);
    }
    if (inside == 0)
        return source_copy(s, h, NULL, HEADER_BYTES_MAX, e);
    if (depth == SOURCE_DEPTH_MAX)
        return error_set(e, "values within values, more than %d deep", SOURCE_DEPTH_MAX);
    for (uint64_t i = 0; i < inside; i++) {
        value_head next;
        if (source_value(s, &next, e) < 0 || pass_value(s, &next, depth + 1, e) < 0)
            return -1;
    }
    return 0;
}

/* One pair from the header's bytes; `all` is where they begin. */
static int read_pair(source *s, const uint8_t *all, stream_header *h, bool *version,
                     byte_array *extra, error *e)
{
    char name[KEY_ROOM] = "";
    value_head head;
    size_t start = (size_t)s->offset;
    if (source_value(s, &head, e) < 0)
        return -1;
    int status = source_text(s, &head, name, sizeof name, e);
    if (status < 0)
        return -1;
    if (status == 0 && strcmp(name, "tensor-stream") == 0) {
        *version = true;
        return read_version(s, e);
    }
    if (status == 0 && strcmp(name, "classes") == 0)
        return read_classes(s, &h->classes, e);
    if (status > 0 && pass_value(s, &head, 0, e) < 0)
        return -1;
    if (status == 0 && utf8_right(name, strlen(name)) < strlen(name))
        return error_set(e, "the header's key '%s' " UTF8_CURE, name);
    if (source_value(s, &head, e) < 0 || pass_value(s, &head, 0, e) < 0)
        return status == 0 ? error_prefix(e, "key '%s'", name) : -1;
    if (bytes_append(extra, all + start, (size_t)s->offset - start) < 0)
        return error_set(e, "out of memory for the header");
    h->extra_pairs++;
    return 0;
}

static int parse_header(const byte_array *raw, stream_header *h, error *e)
{
    source s;
    value_head head;
    bool version = false;
    byte_array extra = {0};
    source_memory(&s, raw->data, raw->size, "header");
    int status = source_value(&s, &head, e);
    for (uint64_t i = 0; status == 0 && i < head.value; i++)
        status = read_pair(&s, raw->data, h, &version, &extra, e);
    h->extra = (char *)extra.data;
    h->extra_bytes = extra.size;
    if (status == 0 && !version)
        status = error_set(e, "not a tensor stream: its first record has no key 'tensor-stream'");
    return status;
}

int stream_header_read(source *from, stream_header *h, error *e)
{
    *h = (stream_header){0};
    value_head head;
    int status = source_head(from, &head, e);
    if (status <= 0)
        return status;
    if (head.type != HEAD_MAP || head.value == 0 || head.value > HEADER_PAIRS_MAX)
        return error_set(e, "not a tensor stream: it does not begin with a header");
    byte_array raw = {0};
    status = source_copy(from, &head, &raw, HEADER_BYTES_MAX, e);
    if (status != 0)
        error_prefix(e, "in the header");
    else
        status = parse_header(&raw, h, e);
    free(raw.data);
    if (status == 0)
        return 1;
    stream_header_free(h);
    return -1;
}
