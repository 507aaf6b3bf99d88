/* model_facts.c: see model_facts.h. */
#include "model_facts.h"

#include <msgpack.h>
#include <stddef.h>
#include <string.h>

static const struct {
    const char *name;
    size_t place, room; /* within model_facts; bytes of a text, 0 for a number */
} facts[] = {
    {"method", offsetof(model_facts, method), sizeof(((model_facts *)0)->method)},
    {"balance", offsetof(model_facts, balance), sizeof(((model_facts *)0)->balance)},
    {"seed", offsetof(model_facts, seed), 0},
    {"shots", offsetof(model_facts, shots), 0},
    {"shots_most", offsetof(model_facts, shots_most), 0},
    {"base_classes", offsetof(model_facts, base_classes), 0},
    {"classes", offsetof(model_facts, classes), 0},
};
enum { FACTS = sizeof facts / sizeof *facts };

const char *model_fact_name(size_t i)
{
    return i < FACTS ? facts[i].name : NULL;
}

static void *place_of(const model_facts *f, size_t i)
{
    return (char *)f + facts[i].place;
}

const char *model_fact(const model_facts *f, size_t i, double *number)
{
    const char *text = facts[i].room ? place_of(f, i) : NULL;
    *number = facts[i].room ? -1 : *(double *)place_of(f, i);
    return text && *text ? text : NULL;
}

static bool is_known(const model_facts *f, size_t i)
{
    double number;
    return model_fact(f, i, &number) || number >= 0;
}

int model_facts_write(stream_header *h, const model_facts *f)
{
    msgpack_sbuffer made;
    msgpack_packer packer;
    size_t known = 0;
    for (size_t i = 0; i < FACTS; i++)
        known += is_known(f, i);
    msgpack_sbuffer_init(&made);
    msgpack_packer_init(&packer, &made, msgpack_sbuffer_write);
    msgpack_pack_map(&packer, known);
    for (size_t i = 0; i < FACTS; i++) {
        double number;
        const char *text = model_fact(f, i, &number);
        if (!is_known(f, i))
            continue;
        msgpack_pack_str_with_body(&packer, facts[i].name, strlen(facts[i].name));
        if (text)
            msgpack_pack_str_with_body(&packer, text, strlen(text));
        else if (number == (double)(uint64_t)number)
            msgpack_pack_uint64(&packer, (uint64_t)number);
        else
            msgpack_pack_double(&packer, number);
    }
    int status = stream_header_set_encoded(h, "made-by", made.data, made.size);
    msgpack_sbuffer_destroy(&made);
    return status;
}

static void take_fact(model_facts *f, const msgpack_object_kv *pair)
{
    for (size_t i = 0; i < FACTS; i++) {
        const msgpack_object *key = &pair->key, *value = &pair->val;
        if (key->type != MSGPACK_OBJECT_STR || key->via.str.size != strlen(facts[i].name) ||
            memcmp(key->via.str.ptr, facts[i].name, key->via.str.size) != 0)
            continue;
        if (facts[i].room && value->type == MSGPACK_OBJECT_STR &&
            value->via.str.size < facts[i].room) {
            memcpy(place_of(f, i), value->via.str.ptr, value->via.str.size);
            ((char *)place_of(f, i))[value->via.str.size] = '\0';
        } else if (!facts[i].room && value->type == MSGPACK_OBJECT_POSITIVE_INTEGER) {
            *(double *)place_of(f, i) = (double)value->via.u64;
        } else if (!facts[i].room && value->type == MSGPACK_OBJECT_FLOAT && value->via.f64 >= 0) {
            *(double *)place_of(f, i) = value->via.f64;
        }
    }
}

void model_facts_read(const stream_header *h, model_facts *f)
{
    size_t bytes = 0, used = 0;
    const void *encoded = stream_header_get_encoded(h, "made-by", &bytes);
    *f = MODEL_FACTS_NONE;
    if (!encoded)
        return;
    msgpack_unpacked unpacked;
    msgpack_unpacked_init(&unpacked);
    if (msgpack_unpack_next(&unpacked, encoded, bytes, &used) == MSGPACK_UNPACK_SUCCESS &&
        unpacked.data.type == MSGPACK_OBJECT_MAP)
        for (uint32_t i = 0; i < unpacked.data.via.map.size; i++)
            take_fact(f, &unpacked.data.via.map.ptr[i]);
    msgpack_unpacked_destroy(&unpacked);
}

bool model_facts_equal(const model_facts *a, const model_facts *b)
{
    for (size_t i = 0; i < FACTS; i++) {
        double x, y;
        const char *s = model_fact(a, i, &x), *t = model_fact(b, i, &y);
        if (x != y || strcmp(s ? s : "", t ? t : "") != 0)
            return false;
    }
    return true;
}
