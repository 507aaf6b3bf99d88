#include "merging.h"

#include "../../common/base/hash.h"
#include "exemplars.h"
#include "fit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The rows that a class was imprinted from in one input, told by a hash of their sum. */
typedef struct {
    uint64_t hash;
    size_t class_index, input;
} imprint_mark;

struct merging {
    const model *base;
    model whole; /* the sum of what came so far */
    bool begun;
    size_t input_count, mark_count;
    char **inputs; /* their names */
    imprint_mark *marks;
    bool *changed; /* per class of `whole`: imprinted by more than one */
    char note[256];
};

static int out_of_memory(error *e)
{
    return error_set(e, "out of memory for the merged model");
}

void merging_free(merging *g)
{
    if (!g)
        return;
    if (g->begun)
        model_free(&g->whole);
    for (size_t i = 0; i < g->input_count; i++)
        free(g->inputs[i]);
    free(g->inputs);
    free(g->marks);
    free(g->changed);
    free(g);
}

/* ---- numbers within models ---- */

static double imprinted(const model *m, size_t class_index)
{
    const tensor *count = model_find(m, "imprint/count");
    return count ? ((const double *)count->data)[class_index] : 0;
}

static size_t row_bytes(const tensor *t)
{
    return tensor_row_size(t) * type_size(t->type);
}

static void *row_of(const tensor *t, size_t row)
{
    return (char *)t->data + row * row_bytes(t);
}

static bool of_group(const char *name, const char *group)
{
    return strncmp(name, group, strlen(group)) == 0 && name[strlen(group)] == '/';
}

static bool of_classes(const char *name)
{
    tensor_role role = model_role(name);
    return role == ROLE_CLASS || role == ROLE_CLASS_SUM || role == ROLE_CLASS_SAMPLE;
}

static bool same_row_shape(const tensor *a, const tensor *b)
{
    return a->type == b->type && a->rank == b->rank &&
           memcmp(a->shape + 1, b->shape + 1, (a->rank - 1) * sizeof *a->shape) == 0;
}

/* to += factor * from, over `count` numbers of that type. */
static void add_numbers(void *to, const void *from, tensor_type type, size_t count, double factor)
{
    for (size_t i = 0; i < count; i++) {
        if (type == TYPE_F64)
            ((double *)to)[i] += factor * ((const double *)from)[i];
        else
            ((float *)to)[i] += (float)factor * ((const float *)from)[i];
    }
}

/* ---- what inputs must share ---- */

static int compare_networks(const model *a, const model *b, error *e)
{
    if (strcmp(a->net.text, b->net.text) != 0 || a->net.input.height != b->net.input.height ||
        a->net.input.width != b->net.input.width || a->net.input.channels != b->net.input.channels)
        return error_set(e, "has another network, '%.100s' and not '%.100s'", b->net.text,
                         a->net.text);
    if (a->net.dimension != b->net.dimension)
        return error_set(e, "has embeddings of dimension %zu, and not %zu", b->net.dimension,
                         a->net.dimension);
    if (model_fingerprint(a) != model_fingerprint(b))
        return error_set(e, "has the same network with other weights");
    if (a->net.head != b->net.head)
        return error_set(e, "has a %s head, and not %s", head_name(b->net.head),
                         head_name(a->net.head));
    if (a->norm != b->norm)
        return error_set(e, "was imprinted with --norm %s, and not %s", norm_name(b->norm),
                         norm_name(a->norm));
    return 0;
}

static bool same_note(const model_note *note, const model *m)
{
    double number;
    const char *text = model_get_text(m, note->key);
    if (note->is_number)
        return model_get_number(m, note->key, &number) && number == note->number;
    return text && strcmp(text, note->text) == 0;
}

static int compare_notes(const model *a, const model *b, error *e)
{
    for (size_t i = 0; i < a->note_count; i++)
        if (!weights_makes_note(a->notes[i].key) && !same_note(&a->notes[i], b))
            return error_set(e, "has another setting '%s'", a->notes[i].key);
    for (size_t i = 0; i < b->note_count; i++)
        if (!weights_makes_note(b->notes[i].key) && !same_note(&b->notes[i], a))
            return error_set(e, "has another setting '%s'", b->notes[i].key);
    return 0;
}

/* Tensors of no class that no imprint changes: head/scale, the base's Gram matrix, others. */
static bool must_be_equal(const char *name)
{
    tensor_role role = model_role(name);
    return role == ROLE_NETWORK || role == ROLE_OTHER ||
           (role == ROLE_SUM && of_group(name, "statistics"));
}

static int compare_tensors(const model *a, const model *b, error *e)
{
    for (size_t i = 0; i < a->tensor_count; i++) {
        const char *name = a->tensors[i].name;
        const tensor *x = &a->tensors[i].value, *y = model_find(b, name);
        if (of_group(name, "statistics") && !y)
            return error_set(e, "lacks '%s', the base model's statistics", name);
        if (!must_be_equal(name))
            continue;
        if (!y || !same_row_shape(x, y) || x->shape[0] != y->shape[0] ||
            memcmp(x->data, y->data, tensor_bytes(x)) != 0)
            return error_set(e, "has another '%s'", name);
    }
    for (size_t i = 0; i < b->tensor_count; i++) {
        const char *name = b->tensors[i].name;
        if ((must_be_equal(name) || of_group(name, "statistics")) && !model_find(a, name))
            return error_set(e, "has '%s', which the others lack", name);
    }
    return 0;
}

/* A class that both have: its kind, what the base model knows of it, and, if neither made its
 * weights since, the weights. */
static int compare_class(const model *a, size_t i, const model *b, size_t k, error *e)
{
    const char *name = a->classes.names[i];
    if (a->kinds[i] != b->kinds[k])
        return error_set(e, "has class '%.100s' as %s, and not %s", name,
                         class_kind_name(b->kinds[k]), class_kind_name(a->kinds[i]));
    bool untouched = imprinted(a, i) == 0 && imprinted(b, k) == 0;
    for (size_t t = 0; t < a->tensor_count; t++) {
        const char *tensor_name = a->tensors[t].name;
        const tensor *x = &a->tensors[t].value, *y = model_find(b, tensor_name);
        bool fixed = (of_group(tensor_name, "statistics") && of_classes(tensor_name)) ||
                     (untouched && strcmp(tensor_name, "head/weight") == 0);
        if (fixed &&
            (!same_row_shape(x, y) || memcmp(row_of(x, i), row_of(y, k), row_bytes(x)) != 0))
            return error_set(e, "has another '%s' of class '%.100s'", tensor_name, name);
    }
    return 0;
}

static int compare_models(const model *a, const model *b, error *e)
{
    if (compare_networks(a, b, e) < 0 || compare_notes(a, b, e) < 0 || compare_tensors(a, b, e) < 0)
        return -1;
    for (size_t i = 0; i < a->classes.count; i++) {
        int k = class_list_find(&b->classes, a->classes.names[i]);
        if (k >= 0 && compare_class(a, i, b, (size_t)k, e) < 0)
            return -1;
    }
    return 0;
}

/* ---- rows that would count twice ---- */

static uint64_t hash_row(const model *m, size_t class_index)
{
    const tensor *sum = model_find(m, "imprint/sum");
    return hash_bytes(HASH_BEGIN, row_of(sum, class_index), row_bytes(sum));
}

/* Remembers what this input imprinted; `places` are its classes' places in the whole. */
static int mark_imprints(merging *g, const model *m, const size_t *places, error *e)
{
    imprint_mark *more = realloc(g->marks, (g->mark_count + m->classes.count) * sizeof *more);
    if (!more)
        return out_of_memory(e);
    g->marks = more;
    size_t before = g->mark_count;
    for (size_t k = 0; k < m->classes.count; k++) {
        if (imprinted(m, k) == 0)
            continue;
        imprint_mark mark = {hash_row(m, k), places[k], g->input_count - 1};
        for (size_t i = 0; i < before; i++)
            if (more[i].hash == mark.hash && more[i].class_index == mark.class_index)
                return error_set(
                    e,
                    "class '%.100s' was made from the same rows as in %s; name with --base "
                    "the model that both were imprinted from",
                    m->classes.names[k], g->inputs[more[i].input]);
        more[g->mark_count++] = mark;
    }
    return 0;
}

/* Rows that are in the model and in those before, told by the samples that both keep; equal
 * pictures look the same. */
static void note_shared(merging *g, const model *m, const size_t *places)
{
    const tensor *own = model_find(&g->whole, "imprint/sample"),
                 *t = model_find(m, "imprint/sample");
    const tensor *base = g->base ? model_find(g->base, "imprint/sample") : NULL;
    for (size_t k = 0; own && t && k < m->classes.count && !g->note[0]; k++) {
        int c = base ? class_list_find(&g->base->classes, m->classes.names[k]) : -1;
        size_t shared =
            class_sample_shared(own, places[k], t, k, c < 0 ? NULL : base, c < 0 ? 0 : (size_t)c);
        if (shared > 0)
            snprintf(
                g->note, sizeof g->note,
                "class '%.60s': %zu of the rows that it keeps are in the models before it, too; "
                "rows of two models "
                "count twice (--base takes the model that both were imprinted from)",
                m->classes.names[k], shared);
    }
}

/* ---- adding ---- */

/* The same tensor in the whole, made of zeros if it has none yet. */
static tensor *counterpart(merging *g, const char *name, const tensor *t, error *e)
{
    tensor *own = model_find(&g->whole, name);
    size_t shape[TENSOR_RANK_MAX];
    memcpy(shape, t->shape, sizeof shape);
    if (of_classes(name))
        shape[0] = g->whole.classes.count;
    if (!own && model_put(&g->whole, name, t->type, t->rank, shape, &own, e) < 0)
        return NULL;
    if (!same_row_shape(own, t)) {
        error_set(e, "has another shape of '%s'", name);
        return NULL;
    }
    return own;
}

/* The places in the whole of the input's classes; those it lacks are added. `fresh` flags these. */
static int place_classes(merging *g, const model *m, size_t *places, bool *fresh, error *e)
{
    size_t had = g->whole.classes.count;
    if (model_add_classes(&g->whole, &m->classes, NULL, m->kinds, e) < 0)
        return -1;
    for (size_t k = 0; k < m->classes.count; k++) {
        places[k] = (size_t)class_list_find(&g->whole.classes, m->classes.names[k]);
        fresh[k] = places[k] >= had;
    }
    bool *changed = realloc(g->changed, g->whole.classes.count * sizeof *changed);
    if (!changed)
        return out_of_memory(e);
    g->changed = changed;
    for (size_t k = 0; k < m->classes.count; k++)
        if (fresh[k])
            changed[places[k]] = false;
    return 0;
}

/* The sample of both samples of a class. */
static int add_sample(tensor *own, size_t place, const tensor *t, size_t k, error *e)
{
    class_sample both;
    if (class_sample_new(1, own->shape[1], own->shape[2], &both, e) < 0)
        return -1;
    class_sample_offer_tensor(&both, 0, own, place);
    class_sample_offer_tensor(&both, 0, t, k);
    class_sample_store(&both, 0, own, place);
    class_sample_free(&both);
    return 0;
}

/* One class's row of one tensor. A class whose weights come from this input alone takes them over;
 * where both have imprinted it, sums add up and the weights are made anew at the end. */
static int add_row(const char *name, tensor *own, size_t place, const tensor *t, size_t k,
                   bool owner, error *e)
{
    bool sum = model_role(name) == ROLE_CLASS_SUM && of_group(name, "imprint");
    if (model_role(name) == ROLE_CLASS_SAMPLE && of_group(name, "imprint"))
        return add_sample(own, place, t, k, e);
    if (sum)
        add_numbers(row_of(own, place), row_of(t, k), t->type, tensor_row_size(t), 1);
    else if (owner)
        memcpy(row_of(own, place), row_of(t, k), row_bytes(t));
    return 0;
}

static int add_tensors(merging *g, const model *m, const size_t *places, const bool *owner,
                       error *e)
{
    for (size_t i = 0; i < m->tensor_count; i++) {
        const char *name = m->tensors[i].name;
        const tensor *t = &m->tensors[i].value;
        bool sum = model_role(name) == ROLE_SUM && of_group(name, "imprint");
        if (!of_classes(name) && !sum)
            continue;
        tensor *own = counterpart(g, name, t, e);
        if (!own)
            return -1;
        if (sum)
            add_numbers(own->data, t->data, t->type, tensor_rows(t) * tensor_row_size(t), 1);
        for (size_t k = 0; !sum && k < m->classes.count; k++)
            if (add_row(name, own, places[k], t, k, owner[k], e) < 0)
                return -1;
    }
    return 0;
}

static int add_model(merging *g, const model *m, error *e)
{
    size_t count = m->classes.count;
    size_t *places = calloc(count, sizeof *places);
    bool *owner = calloc(count, sizeof *owner);
    int status = places && owner ? place_classes(g, m, places, owner, e) : out_of_memory(e);
    if (status == 0)
        note_shared(g, m, places);
    for (size_t k = 0; k < count && status == 0; k++) {
        bool before = !owner[k] && imprinted(&g->whole, places[k]) > 0, now = imprinted(m, k) > 0;
        owner[k] = owner[k] || (now && !before);
        g->changed[places[k]] = g->changed[places[k]] || (now && before);
    }
    if (status == 0 &&
        (mark_imprints(g, m, places, e) < 0 || add_tensors(g, m, places, owner, e) < 0))
        status = -1;
    free(places);
    free(owner);
    return status;
}

/* ---- the common base ---- */

/* Takes the base's own imprint sums out of m (factor -1) or puts them in (factor 1). */
static int add_base_sums(model *m, const model *base, double factor, error *e)
{
    for (size_t i = 0; i < base->tensor_count; i++) {
        const char *name = base->tensors[i].name;
        const tensor *t = &base->tensors[i].value;
        tensor *own = model_find(m, name);
        if (!of_group(name, "imprint") || model_role(name) == ROLE_CLASS_SAMPLE)
            continue;
        if (!own || !same_row_shape(own, t))
            return error_set(e, "lacks '%s' of --base, and so was not imprinted from it", name);
        if (!of_classes(name))
            add_numbers(own->data, t->data, t->type, tensor_rows(t) * tensor_row_size(t), factor);
        for (size_t c = 0; of_classes(name) && c < base->classes.count; c++) {
            int k = class_list_find(&m->classes, base->classes.names[c]);
            if (k >= 0)
                add_numbers(row_of(own, (size_t)k), row_of(t, c), t->type, tensor_row_size(t),
                            factor);
        }
    }
    for (size_t k = 0; k < m->classes.count; k++)
        if (imprinted(m, k) < 0)
            return error_set(
                e,
                "has fewer rows of class '%.100s' than --base, and so was not imprinted "
                "from it",
                m->classes.names[k]);
    return 0;
}

/* What the base keeps of its imprinted classes' rows, models that were imprinted from it keep as
 * well. */
static int check_descent(const model *m, const model *base, error *e)
{
    const tensor *part = model_find(base, "imprint/sample"),
                 *whole = model_find(m, "imprint/sample");
    for (size_t c = 0; part && whole && c < base->classes.count; c++) {
        int k = class_list_find(&m->classes, base->classes.names[c]);
        if (imprinted(base, c) > 0 && (k < 0 || !class_sample_contains(whole, (size_t)k, part, c)))
            return error_set(
                e, "lacks rows of class '%.100s' that --base has, and so was not imprinted from it",
                base->classes.names[c]);
    }
    return 0;
}

int merging_new(const model *base, merging **out, error *e)
{
    merging *g = calloc(1, sizeof *g);
    if (!g)
        return out_of_memory(e);
    g->base = base;
    if (base) {
        g->changed = calloc(base->classes.count, sizeof *g->changed);
        if (!g->changed || model_copy(&g->whole, base, e) < 0) {
            merging_free(g);
            return g->changed ? -1 : out_of_memory(e);
        }
        g->begun = true;
        if (add_base_sums(&g->whole, base, -1, e) < 0) {
            merging_free(g);
            return -1;
        }
    }
    *out = g;
    return 0;
}

/* ---- the whole ---- */

static int remember_name(merging *g, const char *name, error *e)
{
    char **more = realloc(g->inputs, (g->input_count + 1) * sizeof *more);
    if (!more)
        return out_of_memory(e);
    g->inputs = more;
    more[g->input_count] = strdup(name);
    return more[g->input_count++] ? 0 : out_of_memory(e);
}

/* The first input is the whole so far. */
static int begin(merging *g, model *m, error *e)
{
    size_t count = m->classes.count;
    size_t *places = calloc(count, sizeof *places);
    g->changed = calloc(count, sizeof *g->changed);
    for (size_t k = 0; places && k < count; k++)
        places[k] = k;
    int status = places && g->changed ? mark_imprints(g, m, places, e) : out_of_memory(e);
    free(places);
    g->whole = *m;
    g->begun = true;
    *m = (model){0};
    return status;
}

int merging_add(merging *g, model *m, const char *name, error *e)
{
    int status = remember_name(g, name, e);
    g->note[0] = '\0';
    if (status == 0 && g->base)
        status = check_descent(m, g->base, e) < 0 ? -1 : add_base_sums(m, g->base, -1, e);
    if (status == 0 && g->begun)
        status = compare_models(&g->whole, m, e) < 0 || add_model(g, m, e) < 0 ? -1 : 0;
    else if (status == 0)
        status = begin(g, m, e);
    model_free(m);
    return status < 0 ? error_prefix(e, "%s", name) : 0;
}

const char *merging_note(const merging *g)
{
    return g->note[0] ? g->note : NULL;
}

bool merging_needs_algebra(const merging *g)
{
    return weights_need_algebra(&g->whole);
}

int merging_finish(merging *g, algebra *a, model *out, error *e)
{
    if (!g->begun)
        return error_set(e, "there is no model to merge");
    if (g->base && add_base_sums(&g->whole, g->base, 1, e) < 0)
        return -1;
    if (weights_make(a, &g->whole, g->changed, e) < 0)
        return -1;
    *out = g->whole;
    g->whole = (model){0};
    g->begun = false;
    return 0;
}
