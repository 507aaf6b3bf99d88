/* kinds.c: which classes were base and which novel; see kinds.h. */
#include "kinds.h"

#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

const char *class_kind_name(class_kind kind)
{
    return kind == CLASS_BASE ? "base" : "novel";
}

int kinds_write(stream_header *h, const class_kind *kinds, size_t count)
{
    msgpack_sbuffer buffer;
    msgpack_sbuffer_init(&buffer);
    msgpack_packer packer;
    msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
    msgpack_pack_array(&packer, count);
    for (size_t i = 0; i < count; i++) {
        const char *kind = class_kind_name(kinds[i]);
        msgpack_pack_str(&packer, strlen(kind));
        msgpack_pack_str_body(&packer, kind, strlen(kind));
    }
    int status = stream_header_set_encoded(h, "kinds", buffer.data, buffer.size);
    msgpack_sbuffer_destroy(&buffer);
    return status;
}

static bool is_kind(const msgpack_object *o, class_kind kind)
{
    const char *name = class_kind_name(kind);
    return o->type == MSGPACK_OBJECT_STR && o->via.str.size == strlen(name) &&
           memcmp(o->via.str.ptr, name, o->via.str.size) == 0;
}

static int read_kinds(const msgpack_object *o, class_kind *kinds, size_t most, size_t *count)
{
    if (o->type != MSGPACK_OBJECT_ARRAY || o->via.array.size == 0 || o->via.array.size > most)
        return -1;
    *count = o->via.array.size;
    for (size_t i = 0; i < *count; i++) {
        kinds[i] = is_kind(&o->via.array.ptr[i], CLASS_NOVEL) ? CLASS_NOVEL : CLASS_BASE;
        if (!is_kind(&o->via.array.ptr[i], kinds[i]))
            return -1;
    }
    return 0;
}

int kinds_read(const stream_header *h, class_kind **kinds, size_t *count, error *e)
{
    size_t bytes = 0;
    const void *encoded = stream_header_get_encoded(h, "kinds", &bytes);
    *count = h->classes.count;
    *kinds = calloc(*count + 1, sizeof **kinds);
    if (!*kinds)
        return error_set(e, "out of memory for %zu classes", *count);
    if (!encoded)
        return 0;
    msgpack_unpacked unpacked;
    msgpack_unpacked_init(&unpacked);
    size_t used = 0;
    int status = -1;
    if (msgpack_unpack_next(&unpacked, encoded, bytes, &used) == MSGPACK_UNPACK_SUCCESS)
        status = read_kinds(&unpacked.data, *kinds, h->classes.count, count);
    msgpack_unpacked_destroy(&unpacked);
    if (status < 0) {
        free(*kinds);
        *kinds = NULL;
        return error_set(e,
                         "the header's key 'kinds' is no list of base and novel for 1 to %zu "
                         "classes",
                         h->classes.count);
    }
    return 0;
}
