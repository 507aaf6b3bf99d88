#include "merging.h"

#include "../../common/base/memory.h"
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
    const double *count = model_part(m, PART_IMPRINT_COUNT);
    return count ? count[class_index] : 0;
}

static bool has_class_rows(const char *name)
{
    return part_form_named(name)->shape[0] == SIZE_CLASSES;
}

static void *row_of(const tensor *t, size_t row)
{
    return (char *)t->data + row * tensor_row_bytes(t);
}

static bool same_row_shape(const tensor *a, const tensor *b)
{
    return a->type == b->type && a->rank == b->rank &&
           memcmp(a->shape + 1, b->shape + 1, (a->rank - 1) * sizeof *a->shape) == 0;
}

/* to += factor * from; from NULL: nothing. */
static void add_numbers(double *to, const double *from, size_t count, double factor)
{
    for (size_t i = 0; from && i < count; i++)
        to[i] += factor * from[i];
}

/* The sums of from's class c, if it has some, to those of class k. */
static void add_class(const class_sums *to, size_t k, const class_sums *from, size_t c,
                      double factor)
{
    size_t n = from->dimension, features = from->features;
    if (!from->count)
        return;
    add_numbers(to->count + k, from->count + c, 1, factor);
    add_numbers(to->sum + k * n, from->sum + c * n, n, factor);
    if (features > 0)
        add_numbers(to->feature_sum + k * features, from->feature_sum + c * features, features,
                    factor);
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

/* Every setting of a is b's too. */
static int compare_notes(const model *a, const model *b, error *e)
{
    for (size_t i = 0; i < a->note_count; i++)
        if (!model_key_is_made(a->notes[i].key) && !same_note(&a->notes[i], b))
            return error_set(e, "has another setting '%s'", a->notes[i].key);
    return 0;
}

/* Tensors of no class that no imprint changes: head/scale, the base's Gram matrix, others. */
static bool must_be_equal(const char *name)
{
    const part_form *form = part_form_named(name);
    return form->role == ROLE_NETWORK || form->role == ROLE_OTHER ||
           (form->role == ROLE_SUM && form->group == SUMS_BASE);
}

/* Each has those of the other that are not of classes or of the base model's rows. */
static int compare_tensors(const model *a, const model *b, error *e)
{
    for (size_t i = 0; i < a->tensor_count; i++) {
        const char *name = a->tensors[i].name;
        const tensor *x = &a->tensors[i].value, *y = model_find(b, name);
        if (!y && (must_be_equal(name) || part_form_named(name)->group == SUMS_BASE))
            return error_set(e, "differs from the others: '%s' is not in all", name);
        if (must_be_equal(name) && (!same_row_shape(x, y) || x->shape[0] != y->shape[0] ||
                                    memcmp(x->data, y->data, tensor_bytes(x)) != 0))
            return error_set(e, "has another '%s'", name);
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
        bool fixed =
            (part_form_named(tensor_name)->group == SUMS_BASE && has_class_rows(tensor_name)) ||
            (untouched && x->data == model_part(a, PART_HEAD_WEIGHT));
        if (fixed &&
            (!same_row_shape(x, y) || memcmp(row_of(x, i), row_of(y, k), tensor_row_bytes(x)) != 0))
            return error_set(e, "has another '%s' of class '%.100s'", tensor_name, name);
    }
    return 0;
}

static int compare_models(const model *a, const model *b, error *e)
{
    if (compare_networks(a, b, e) < 0 || compare_notes(a, b, e) < 0 || compare_notes(b, a, e) < 0 ||
        compare_tensors(a, b, e) < 0 || compare_tensors(b, a, e) < 0)
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
    const double *sum = model_part(m, PART_IMPRINT_SUM);
    const unsigned char *at = (const unsigned char *)(sum + class_index * m->net.dimension);
    uint64_t hash = 14695981039346656037u; /* FNV-1a, 64 bits */
    for (size_t i = 0; i < m->net.dimension * sizeof *sum; i++)
        hash = (hash ^ at[i]) * 1099511628211u;
    return hash;
}

/* Remembers what this input imprinted, whose classes the whole has. */
static int mark_imprints(merging *g, const model *m, error *e)
{
    imprint_mark *more = realloc(g->marks, (g->mark_count + m->classes.count) * sizeof *more);
    if (!more)
        return out_of_memory(e);
    g->marks = more;
    size_t before = g->mark_count;
    for (size_t k = 0; k < m->classes.count; k++) {
        if (imprinted(m, k) == 0)
            continue;
        size_t place = (size_t)class_list_find(&g->whole.classes, m->classes.names[k]);
        imprint_mark mark = {hash_row(m, k), place, g->input_count - 1};
        for (size_t i = 0; i < before; i++)
            if (more[i].hash == mark.hash && more[i].class_index == mark.class_index)
                return error_set(e,
                                 "class '%.100s' was made from the same rows as in %s; name with "
                                 "--base the model that both were imprinted from",
                                 m->classes.names[k], g->inputs[more[i].input]);
        more[g->mark_count++] = mark;
    }
    return 0;
}

/* Rows that are in the model and in those before, told by the exemplars that both keep; equal
 * pictures look the same. */
static void note_shared(merging *g, const model *m, const size_t *places)
{
    static const class_sums none = {0};
    const class_sums own = sums_of(&g->whole, SUMS_IMPRINT), more = sums_of(m, SUMS_IMPRINT),
                     base = g->base ? sums_of(g->base, SUMS_IMPRINT) : (class_sums){0};
    for (size_t k = 0; k < m->classes.count && !g->note[0]; k++) {
        int c = g->base ? class_list_find(&g->base->classes, m->classes.names[k]) : -1;
        size_t shared = exemplars_shared(&own, places[k], &more, k, c < 0 ? &none : &base,
                                         c < 0 ? 0 : (size_t)c);
        if (shared > 0)
            snprintf(g->note, sizeof g->note,
                     "class '%.60s': %zu of the rows that it keeps are in the models before it, "
                     "too; rows of two models count twice (--base takes the model that both were "
                     "imprinted from)",
                     m->classes.names[k], shared);
    }
}

/* ---- adding ---- */

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

/* The exemplars of both, into the whole. */
static int add_exemplars(const class_sums *own, size_t place, const class_sums *more, size_t k,
                         error *e)
{
    exemplars both;
    if (exemplars_new(1, own->room, own->dimension, &both, e) < 0)
        return -1;
    exemplars_offer_kept(&both, 0, own, place);
    exemplars_offer_kept(&both, 0, more, k);
    exemplars_store(&both, 0, own, place);
    exemplars_free(&both);
    return 0;
}

/* What imprinted rows came to. */
static int add_sums(merging *g, const model *m, const size_t *places, error *e)
{
    class_sums own = sums_of(&g->whole, SUMS_IMPRINT);
    const class_sums more = sums_of(m, SUMS_IMPRINT);
    int status = 0;
    if (!more.count)
        return 0;
    if (own.room && more.room && own.room != more.room)
        return error_set(e, "keeps %zu rows of each imprinted class, and not %zu", more.room,
                         own.room);
    if (sums_put(&g->whole, SUMS_IMPRINT, more.features, more.room, &own, e) < 0)
        return -1;
    add_numbers(own.gram, more.gram, more.features * more.features, 1);
    for (size_t k = 0; status == 0 && k < more.classes; k++) {
        add_class(&own, places[k], &more, k, 1);
        status = more.room ? add_exemplars(&own, places[k], &more, k, e) : 0;
    }
    return status;
}

/* Of its other tensors the rows of classes that it owns, since it made them; where several inputs
 * did, weights are made anew at the end. */
static int add_rows(merging *g, const model *m, const size_t *places, const bool *owner, error *e)
{
    for (size_t i = 0; i < m->tensor_count; i++) {
        const char *name = m->tensors[i].name;
        const tensor *t = &m->tensors[i].value;
        if (!has_class_rows(name) || part_form_named(name)->group == SUMS_IMPRINT)
            continue;
        size_t shape[TENSOR_RANK_MAX] = {g->whole.classes.count};
        memcpy(shape + 1, t->shape + 1, (t->rank - 1) * sizeof *shape);
        tensor *own = model_find(&g->whole, name);
        if (!own && model_put(&g->whole, name, t->type, t->rank, shape, &own, e) < 0)
            return -1;
        if (!same_row_shape(own, t))
            return error_set(e, "has another shape of '%s'", name);
        for (size_t k = 0; k < m->classes.count; k++)
            if (owner[k])
                memcpy(row_of(own, places[k]), row_of(t, k), tensor_row_bytes(t));
    }
    return 0;
}

static int add_model(merging *g, const model *m, memory *held, error *e)
{
    size_t count = m->classes.count;
    size_t *places = memory_take(held, count, sizeof *places);
    bool *owner = memory_take(held, count, sizeof *owner);
    if (held->failed || place_classes(g, m, places, owner, e) < 0)
        return held->failed ? out_of_memory(e) : -1;
    note_shared(g, m, places);
    for (size_t k = 0; k < count; k++) {
        bool before = !owner[k] && imprinted(&g->whole, places[k]) > 0, now = imprinted(m, k) > 0;
        owner[k] = owner[k] || (now && !before);
        g->changed[places[k]] = g->changed[places[k]] || (now && before);
    }
    return mark_imprints(g, m, e) < 0 || add_sums(g, m, places, e) < 0 ||
                   add_rows(g, m, places, owner, e) < 0
               ? -1
               : 0;
}

/* ---- the common base ---- */

/* Takes the base's own imprint sums out of m (factor -1) or puts them in (factor 1). */
static int add_base_sums(model *m, const model *base, double factor, error *e)
{
    const class_sums own = sums_of(m, SUMS_IMPRINT), from = sums_of(base, SUMS_IMPRINT);
    if ((from.count && !own.count) || (from.features && own.features != from.features))
        return error_set(e, "lacks sums of --base, and so was not imprinted from it");
    add_numbers(own.gram, from.gram, from.features * from.features, factor);
    for (size_t c = 0; c < from.classes; c++) {
        int k = class_list_find(&m->classes, base->classes.names[c]);
        if (k >= 0)
            add_class(&own, (size_t)k, &from, c, factor);
    }
    for (size_t k = 0; k < m->classes.count; k++)
        if (imprinted(m, k) < 0)
            return error_set(e,
                             "has fewer rows of class '%.100s' than --base, and so was not "
                             "imprinted from it",
                             m->classes.names[k]);
    return 0;
}

/* What the base keeps of its imprinted classes' rows, models that were imprinted from it keep as
 * well. */
static int check_descent(const model *m, const model *base, error *e)
{
    const class_sums part = sums_of(base, SUMS_IMPRINT), whole = sums_of(m, SUMS_IMPRINT);
    if (!part.exemplars || !whole.exemplars)
        return 0;
    for (size_t c = 0; c < base->classes.count; c++) {
        int k = class_list_find(&m->classes, base->classes.names[c]);
        if (imprinted(base, c) > 0 && (k < 0 || !exemplars_contains(&whole, (size_t)k, &part, c)))
            return error_set(
                e, "lacks rows of class '%.100s' that --base has, and so was not imprinted from it",
                base->classes.names[c]);
    }
    return 0;
}

int merging_new(const model *base, merging **out, error *e)
{
    merging *g = calloc(1, sizeof *g);
    bool *changed = base ? calloc(base->classes.count, sizeof *changed) : NULL;
    int status = g && (changed || !base) ? 0 : out_of_memory(e);
    if (status == 0) {
        *g = (merging){.base = base, .changed = changed};
        status = base && (sums_check(base, e) < 0 || model_copy(&g->whole, base, e) < 0) ? -1 : 0;
        g->begun = base && status == 0;
    } else {
        free(changed);
    }
    if (status == 0 && base)
        status = add_base_sums(&g->whole, base, -1, e);
    if (status < 0)
        merging_free(g);
    else
        *out = g;
    return status;
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
    g->changed = calloc(m->classes.count, sizeof *g->changed);
    g->whole = *m;
    g->begun = true;
    *m = (model){0};
    return g->changed ? mark_imprints(g, &g->whole, e) : out_of_memory(e);
}

int merging_add(merging *g, model *m, const char *name, error *e)
{
    memory held = {0};
    int status = remember_name(g, name, e) < 0 || sums_check(m, e) < 0 ? -1 : 0;
    g->note[0] = '\0';
    if (status == 0 && g->base)
        status = compare_networks(g->base, m, e) < 0 || check_descent(m, g->base, e) < 0
                     ? -1
                     : add_base_sums(m, g->base, -1, e);
    if (status == 0 && g->begun)
        status = compare_models(&g->whole, m, e) < 0 || add_model(g, m, &held, e) < 0 ? -1 : 0;
    else if (status == 0)
        status = begin(g, m, e);
    memory_free(&held);
    model_free(m);
    return status < 0 ? error_prefix(e, "%s", name) : 0;
}

const char *merging_note(const merging *g)
{
    return g->note[0] ? g->note : NULL;
}

bool merging_needs_algebra(const merging *g)
{
    return fit_needs_algebra(&g->whole);
}

int merging_finish(merging *g, algebra *a, model *out, error *e)
{
    if (!g->begun)
        return error_set(e, "there is no model to merge");
    if (g->base && add_base_sums(&g->whole, g->base, 1, e) < 0)
        return -1;
    if (fit_make(a, &g->whole, g->changed, e) < 0)
        return -1;
    *out = g->whole;
    g->whole = (model){0};
    g->begun = false;
    return 0;
}
