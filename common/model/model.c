/* model.c: a model in memory: its tensors, classes and notes. Files are file.c's matter. */
#include "names.h"
#include "packing.h"

#include "../base/hash.h"
#include "../base/memory.h"

#define XXH_STATIC_LINKING_ONLY /* its state's size */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static void *take_zeros(size_t bytes)
{
    void *taken = memory_aligned(bytes);
    if (taken)
        memset(taken, 0, bytes);
    return taken;
}

static int out_of_memory(error *e)
{
    return error_set(e, "out of memory for the model");
}

const char *norm_name(norm_kind norm)
{
    return norm == NORM_L2 ? "l2" : "none";
}

int model_network(const char *text, extent input, size_t dimension, head_kind head, size_t classes,
                  network *out, error *e)
{
    if (text && *text)
        return network_parse(text, input, head, classes, out, e);
    if (dimension == 0)
        return error_set(e, "a model needs an embedding dimension of at least 1");
    if (network_parse("", (extent){1, 1, dimension}, head, classes, out, e) < 0)
        return -1;
    out->input = (extent){0};
    return 0;
}

/* ---- tensors ---- */

static model_tensor *find_tensor(const model *m, const char *name)
{
    for (size_t i = 0; i < m->tensor_count; i++)
        if (strcmp(m->tensors[i].name, name) == 0)
            return &m->tensors[i];
    return NULL;
}

tensor *model_find(const model *m, const char *name)
{
    model_tensor *found = find_tensor(m, name);
    return found ? &found->value : NULL;
}

bool model_lacks(const model *m, const char *name)
{
    return model_section_of(name) + m->unread >= MODEL_SECTIONS;
}

/* A place for a tensor of that name: the present one's, emptied, or new. NULL without memory. */
static model_tensor *place_for(model *m, const char *name)
{
    model_tensor *place = find_tensor(m, name);
    if (place) {
        free(place->value.data);
        place->value.data = NULL;
        return place;
    }
    model_tensor *more = realloc(m->tensors, (m->tensor_count + 1) * sizeof *more);
    if (!more)
        return NULL;
    m->tensors = more;
    place = &more[m->tensor_count++];
    *place = (model_tensor){0};
    strcpy(place->name, name);
    return place;
}

int model_adopt(model *m, const char *name, tensor value, error *e)
{
    model_tensor *place = NULL;
    int status = 0;
    if (!*name || strlen(name) >= sizeof m->tensors->name)
        status = error_set(e, "a tensor's name has 1 to %zu characters: '%.80s'",
                           sizeof m->tensors->name - 1, name);
    else if (!value.data || !(place = place_for(m, name)))
        status = out_of_memory(e);
    if (status == 0)
        place->value = value;
    else
        free(value.data);
    return status;
}

int model_put(model *m, const char *name, tensor_type type, size_t rank, const size_t *shape,
              tensor **out, error *e)
{
    if (rank == 0 || rank > TENSOR_RANK_MAX)
        return error_set(e, "tensor '%s' has %zu dimensions; 1 to %d are possible", name, rank,
                         TENSOR_RANK_MAX);
    tensor value = {.type = type, .rank = rank};
    size_t elements = 1;
    for (size_t i = 0; i < rank; i++) {
        value.shape[i] = shape[i];
        if (shape[i] && elements > STREAM_BATCH_BYTES_MAX / type_size(type) / shape[i])
            return error_set(
                e, "tensor '%s' is larger than 1 GiB, the most a model's tensor may be", name);
        elements *= shape[i];
    }
    value.data = take_zeros(elements * type_size(type));
    if (model_adopt(m, name, value, e) < 0)
        return -1;
    if (out)
        *out = model_find(m, name);
    return 0;
}

void model_drop(model *m, const char *name)
{
    model_tensor *found = find_tensor(m, name);
    if (!found)
        return;
    free(found->value.data);
    size_t after = m->tensor_count - (size_t)(found - m->tensors) - 1;
    memmove(found, found + 1, after * sizeof *found);
    m->tensor_count--;
}

void model_drop_all_but_scores(model *m)
{
    m->fingerprint = model_fingerprint(m);
    m->unread = MODEL_SUMS - MODEL_SCORES;
    for (size_t i = m->tensor_count; i-- > 0;)
        if (model_lacks(m, m->tensors[i].name))
            model_drop(m, m->tensors[i].name);
}

/* ---- a whole model ---- */

static int put_parameters(model *m, error *e)
{
    for (size_t i = 0; i < m->net.parameter_count; i++) {
        const parameter *p = &m->net.parameters[i];
        if (model_put(m, p->name, TYPE_F32, p->rank, p->shape, NULL, e) < 0)
            return -1;
    }
    return 0;
}

int model_new(const char *text, extent input, size_t dimension, head_kind head,
              const class_list *classes, class_kind kind, model *m, error *e)
{
    model made = {.norm = NORM_L2, .version = MODEL_VERSION};
    if (model_network(text, input, dimension, head, classes->count, &made.net, e) < 0)
        return -1;
    made.kinds = calloc(classes->count + 1, sizeof *made.kinds);
    if (!made.kinds || class_list_copy(&made.classes, classes) < 0) {
        model_free(&made);
        return out_of_memory(e);
    }
    for (size_t i = 0; i < classes->count; i++)
        made.kinds[i] = kind;
    if (put_parameters(&made, e) < 0) {
        model_free(&made);
        return -1;
    }
    *m = made;
    return 0;
}

static int copy_tensors(model *to, const model *from, error *e)
{
    for (size_t i = 0; i < from->tensor_count; i++) {
        const tensor *t = &from->tensors[i].value;
        tensor *copy;
        if (model_put(to, from->tensors[i].name, t->type, t->rank, t->shape, &copy, e) < 0)
            return -1;
        memcpy(copy->data, t->data, tensor_bytes(t));
    }
    return 0;
}

static int copy_notes(model *to, const model *from, error *e)
{
    for (size_t i = 0; i < from->note_count; i++) {
        const model_note *n = &from->notes[i];
        if ((n->is_number ? model_note_number(to, n->key, n->number)
                          : model_note_text(to, n->key, n->text)) < 0)
            return out_of_memory(e);
    }
    return 0;
}

int model_copy(model *to, const model *from, error *e)
{
    model made;
    if (model_new(from->net.text, from->net.input, from->net.dimension, from->net.head,
                  &from->classes, CLASS_BASE, &made, e) < 0)
        return -1;
    memcpy(made.kinds, from->kinds, from->classes.count * sizeof *made.kinds);
    made.norm = from->norm;
    if (copy_tensors(&made, from, e) < 0 || copy_notes(&made, from, e) < 0) {
        model_free(&made);
        return -1;
    }
    *to = made;
    return 0;
}

void model_free(model *m)
{
    network_free(&m->net);
    class_list_free(&m->classes);
    free(m->kinds);
    for (size_t i = 0; i < m->tensor_count; i++)
        free(m->tensors[i].value.data);
    free(m->tensors);
    for (size_t i = 0; i < m->note_count; i++)
        free(m->notes[i].text);
    free(m->notes);
    *m = (model){0};
}

/* ---- classes ---- */

/* A copy of t with other rows: `rows` of them, the ones before `skip` in place, those after it one
 * place earlier, new ones zero. skip SIZE_MAX leaves none out. */
static int with_rows(const tensor *t, size_t rows, size_t skip, tensor *out, error *e)
{
    size_t row = tensor_row_bytes(t);
    if (row && rows > STREAM_BATCH_BYTES_MAX / row)
        return error_set(e, "a tensor of the model would be larger than 1 GiB");
    *out = *t;
    out->shape[0] = rows;
    out->data = take_zeros(rows * row);
    if (!out->data)
        return out_of_memory(e);
    size_t before = skip < t->shape[0] ? skip : t->shape[0];
    memcpy(out->data, t->data, before * row);
    if (skip < t->shape[0])
        memcpy((char *)out->data + before * row, (const char *)t->data + (before + 1) * row,
               (t->shape[0] - before - 1) * row);
    return 0;
}

/* Gives the network and every tensor of the classes another number of rows: all or nothing. */
static int resize_classes(model *m, size_t classes, size_t skip, error *e)
{
    network net;
    const char *text = m->net.text;
    if (model_network(text, m->net.input, m->net.dimension, m->net.head, classes, &net, e) < 0)
        return -1;
    tensor *changed = calloc(m->tensor_count + 1, sizeof *changed);
    size_t done = 0;
    int status = changed ? 0 : out_of_memory(e);
    for (; status == 0 && done < m->tensor_count; done++)
        if (part_form_named(m->tensors[done].name)->shape[0] == SIZE_CLASSES &&
            with_rows(&m->tensors[done].value, classes, skip, &changed[done], e) < 0)
            status = -1;
    for (size_t i = 0; i < done; i++) {
        if (!changed[i].data)
            continue;
        if (status < 0) {
            free(changed[i].data);
        } else {
            free(m->tensors[i].value.data);
            m->tensors[i].value = changed[i];
        }
    }
    free(changed);
    network_free(status < 0 ? &net : &m->net);
    if (status == 0)
        m->net = net;
    return status;
}

int model_add_classes(model *m, const class_list *from, const bool *wanted, const class_kind *kinds,
                      error *e)
{
    size_t had = m->classes.count;
    class_list joined;
    class_kind *more = realloc(m->kinds, (had + from->count + 1) * sizeof *more);
    m->kinds = more ? more : m->kinds;
    if (!more || class_list_copy(&joined, &m->classes) < 0)
        return out_of_memory(e);
    int status = 0;
    for (size_t i = 0; status == 0 && i < from->count; i++) {
        const char *name = from->names[i];
        if ((wanted && !wanted[i]) || class_list_find(&joined, name) >= 0)
            continue;
        more[joined.count] = kinds ? kinds[i] : CLASS_NOVEL;
        status = class_name_check(name, e);
        if (status == 0 && class_list_add(&joined, name) < 0)
            status = out_of_memory(e);
    }
    if (status == 0 && joined.count > had)
        status = resize_classes(m, joined.count, SIZE_MAX, e);
    if (status == 0) {
        class_list own = m->classes;
        m->classes = joined;
        joined = own;
    }
    class_list_free(&joined);
    return status;
}

/* The model's classes, one of them under another name, or left out for NULL. */
static int list_with(const model *m, size_t index, const char *name, class_list *out, error *e)
{
    *out = (class_list){0};
    for (size_t i = 0; i < m->classes.count; i++) {
        const char *own = i == index ? name : m->classes.names[i];
        if (own && class_list_add(out, own) < 0) {
            class_list_free(out);
            return out_of_memory(e);
        }
    }
    return 0;
}

int model_remove_class(model *m, size_t index, error *e)
{
    size_t count = m->classes.count;
    if (index >= count)
        return error_set(e, "the model has %zu classes, none of number %zu", count, index);
    if (count == 1)
        return error_set(
            e, "no class would be left, '%s' the last of them; a model needs one at least",
            m->classes.names[0]);
    class_list left;
    if (list_with(m, index, NULL, &left, e) < 0)
        return -1;
    if (resize_classes(m, count - 1, index, e) < 0) {
        class_list_free(&left);
        return -1;
    }
    class_list_free(&m->classes);
    m->classes = left;
    memmove(m->kinds + index, m->kinds + index + 1, (count - index - 1) * sizeof *m->kinds);
    return 0;
}

int model_rename_class(model *m, size_t index, const char *name, error *e)
{
    if (index >= m->classes.count)
        return error_set(e, "the model has %zu classes, none of number %zu", m->classes.count,
                         index);
    int same = class_list_find(&m->classes, name);
    if (same >= 0 && (size_t)same != index)
        return error_set(e, "the model has a class '%s' already", name);
    if (class_name_check(name, e) < 0)
        return -1;
    class_list renamed;
    if (list_with(m, index, name, &renamed, e) < 0)
        return -1;
    class_list_free(&m->classes);
    m->classes = renamed;
    return 0;
}

/* ---- notes ---- */

static model_note *find_note(const model *m, const char *key)
{
    for (size_t i = 0; i < m->note_count; i++)
        if (strcmp(m->notes[i].key, key) == 0)
            return &m->notes[i];
    return NULL;
}

static model_note *note_for(model *m, const char *key)
{
    model_note *note = find_note(m, key);
    if (note || !*key || strlen(key) >= sizeof note->key)
        return note;
    model_note *more = realloc(m->notes, (m->note_count + 1) * sizeof *more);
    if (!more)
        return NULL;
    m->notes = more;
    note = &more[m->note_count++];
    *note = (model_note){0};
    strcpy(note->key, key);
    return note;
}

/* Takes the text over; NULL for a number. */
static int set_note(model *m, const char *key, double number, char *text)
{
    model_note *note = note_for(m, key);
    if (!note) {
        free(text);
        return -1;
    }
    free(note->text);
    note->text = text;
    note->is_number = !text;
    note->number = number;
    return 0;
}

int model_note_number(model *m, const char *key, double value)
{
    return set_note(m, key, value, NULL);
}

int model_note_text(model *m, const char *key, const char *value)
{
    char *text = strdup(value);
    return text ? set_note(m, key, 0, text) : -1;
}

void model_note_drop(model *m, const char *key)
{
    model_note *note = find_note(m, key);
    if (!note)
        return;
    free(note->text);
    memmove(note, note + 1, (m->note_count - (size_t)(note - m->notes) - 1) * sizeof *note);
    m->note_count--;
}

bool model_get_number(const model *m, const char *key, double *value)
{
    const model_note *note = find_note(m, key);
    if (!note || !note->is_number)
        return false;
    *value = note->number;
    return true;
}

const char *model_get_text(const model *m, const char *key)
{
    const model_note *note = find_note(m, key);
    return note && !note->is_number ? note->text : NULL;
}

/* ---- parameters ---- */

void model_pack(const model *m, float *parameters)
{
    for (size_t i = 0; i < m->net.parameter_count; i++) {
        const parameter *p = &m->net.parameters[i];
        memcpy(parameters + p->start, model_find(m, p->name)->data, p->count * sizeof(float));
    }
}

void model_unpack(model *m, const float *parameters)
{
    for (size_t i = 0; i < m->net.parameter_count; i++) {
        const parameter *p = &m->net.parameters[i];
        memcpy(model_find(m, p->name)->data, parameters + p->start, p->count * sizeof(float));
    }
}

/* A parameter as the file has it. */
static void visit_parameter(const model *m, const parameter *p,
                            void (*visit)(void *, const void *, size_t), void *to)
{
    float rounded[4096];
    const float *at = model_find(m, p->name)->data;
    if (!weight_is_rounded(m, p->name, p->rank)) {
        visit(to, at, p->count * sizeof(float));
        return;
    }
    for (size_t left = p->count, part; left > 0; left -= part, at += part) {
        part = left < 4096 ? left : 4096;
        round_to_bf16(at, part, rounded);
        visit(to, rounded, part * sizeof(float));
    }
}

/* Everything below the head, part by part. */
static void visit_body(const model *m, void (*visit)(void *, const void *, size_t), void *to)
{
    uint64_t input[3] = {m->net.input.height, m->net.input.width, m->net.input.channels};
    visit(to, m->net.text, strlen(m->net.text) + 1);
    visit(to, input, sizeof input);
    for (size_t i = 0; i < m->net.parameter_count; i++) {
        const parameter *p = &m->net.parameters[i];
        if (i != m->net.head_scale && i != m->net.head_weight)
            visit_parameter(m, p, visit, to);
    }
}

static void add_to_xxh3(void *to, const void *data, size_t bytes)
{
    XXH3_64bits_update(to, data, bytes);
}

static void add_to_fnv(void *to, const void *data, size_t bytes)
{
    uint64_t *hash = to;
    *hash = hash_bytes(*hash, data, bytes);
}

uint64_t model_fingerprint(const model *m)
{
    XXH3_state_t state; /* on the stack: it needs 64 bytes' alignment, which its type has */
    if (!*m->net.text)
        return 0;
    if (m->unread >= MODEL_SECTIONS - MODEL_NETWORK)
        return m->fingerprint;
    XXH3_64bits_reset(&state);
    visit_body(m, add_to_xxh3, &state);
    uint64_t hash = XXH3_64bits_digest(&state);
    return hash ? hash : 1;
}

bool model_is_named(const model *m, const char *fingerprint)
{
    char hex[17];
    uint64_t older = HASH_BEGIN;
    snprintf(hex, sizeof hex, "%016" PRIx64, model_fingerprint(m));
    if (strcmp(hex, fingerprint) == 0)
        return true;
    if (m->unread >= MODEL_SECTIONS - MODEL_NETWORK)
        return false;
    visit_body(m, add_to_fnv, &older);
    snprintf(hex, sizeof hex, "%016" PRIx64, older);
    return strcmp(hex, fingerprint) == 0;
}
