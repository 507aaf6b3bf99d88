#include "imprinting.h"

#include "../../common/base/memory.h"
#include "exemplars.h"
#include "fit.h"
#include "projection.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Sums of one width over the stream's classes. */
typedef struct {
    size_t width;
    size_t classes;   /* that the running moments are for */
    moments *running; /* on the device; NULL for none */
    double *sum;      /* [classes][width]: what earlier moments came to, */
    double *gram;     /* [width][width], or NULL */
} stream_sums;

typedef struct {
    uint64_t used;
    bool left_out; /* a base class that is not to change */
} class_rows;

struct imprinting {
    algebra *a;
    model *m;
    imprinting_options options;
    size_t dimension;
    class_list classes;   /* the stream's, as far as seen */
    class_rows *of_class; /* [classes] */
    imprinting_rows rows;
    stream_sums sums;         /* of embeddings, */
    stream_sums feature_sums; /* and of their features, */
    projection projected;     /* where these are wanted */
    exemplars kept;
    float *unit;  /* scratch: the rows that count, normalised if the norm is l2, */
    float *plain; /* and the plain pictures', where they are others */
    int32_t *labels;
    size_t room;
    memory scratch;
};

int imprinting_new(algebra *a, model *m, const imprinting_options *o, imprinting **out, error *e)
{
    imprinting *i = calloc(1, sizeof *i);
    if (!i)
        return error_set(e, "out of memory");
    i->a = a;
    i->m = m;
    i->options = *o;
    i->dimension = m->net.dimension;
    i->sums.width = o->training_rows ? 0 : i->dimension;
    int status = 0;
    if (o->training_rows && o->features)
        status = feature_settings_put(m, &o->chosen, e);
    if (status == 0 && o->features)
        status = projection_of_model(m, &i->projected, e);
    size_t n = i->feature_sums.width = i->projected.width;
    if (status == 0 && n && !(i->feature_sums.gram = calloc(n, n * sizeof(double))))
        status = error_set(e, "out of memory for sums over %zu features; take fewer", n);
    if (status < 0) {
        imprinting_free(i);
        return -1;
    }
    *out = i;
    return 0;
}

static void sums_free(algebra *a, stream_sums *s)
{
    if (s->running)
        a->moments_free(a, s->running);
    free(s->sum);
    free(s->gram);
}

void imprinting_free(imprinting *i)
{
    if (!i)
        return;
    sums_free(i->a, &i->sums);
    sums_free(i->a, &i->feature_sums);
    projection_free(&i->projected);
    exemplars_free(&i->kept);
    class_list_free(&i->classes);
    free(i->of_class);
    memory_free(&i->scratch);
    free(i);
}

static void add_numbers(double *to, const double *more, size_t size)
{
    for (size_t d = 0; d < size; d++)
        to[d] += more[d];
}

/* Ends the moments on the device and adds them to the sums here. */
static int collect(algebra *a, stream_sums *s, error *e)
{
    size_t n = s->classes * s->width, square = s->gram ? s->width * s->width : 0;
    if (!s->running)
        return 0;
    double *sum = malloc((n + 1) * sizeof *sum), *rows = malloc((s->classes + 1) * sizeof *rows),
           *gram = square ? malloc(square * sizeof *gram) : NULL;
    int status = sum && rows && (gram || !square)
                     ? a->moments_get(a, s->running, sum, rows, gram, e)
                     : error_set(e, "out of memory for the sums of %zu classes", s->classes);
    if (status == 0) {
        add_numbers(s->sum, sum, n);
        add_numbers(s->gram, gram, square);
    }
    free(sum);
    free(rows);
    free(gram);
    a->moments_free(a, s->running);
    s->running = NULL;
    return status;
}

/* Longer, of zeros; NULL without memory. */
static void *grow(void *memory, size_t from, size_t to, size_t item, error *e)
{
    char *grown = realloc(memory, to * item + 1);
    if (grown)
        memset(grown + from * item, 0, (to - from) * item);
    else
        error_set(e, "out of memory for the sums of %zu classes", to);
    return grown;
}

static int follow_sums(algebra *a, stream_sums *s, size_t from, size_t to, error *e)
{
    if (s->width == 0)
        return 0;
    double *sum = collect(a, s, e) < 0 ? NULL : grow(s->sum, from, to, s->width * sizeof *sum, e);
    if (!sum)
        return -1;
    s->sum = sum;
    s->classes = to;
    return a->moments_new(a, s->width, to, s->gram != NULL, &s->running, e);
}

/* Rows of each class to keep: what the model has room for already, or was asked for; else the usual
 * few, which are the fewer the more classes there are. */
static size_t kept_room(const imprinting *i, size_t classes)
{
    size_t known = i->m->classes.count, room = sums_of(i->m, SUMS_IMPRINT).room;
    if (i->options.training_rows)
        return exemplars_usual_room(known);
    if (room || i->options.reservoir)
        return room ? room : i->options.reservoir;
    classes = classes > known ? classes : known;
    size_t few = exemplars_usual_room(classes);
    if (!i->options.many)
        return few;
    size_t most = IMPRINTING_EXEMPLAR_BYTES / (classes * i->dimension * sizeof(float) + 1);
    return most > IMPRINTING_RESERVOIR ? IMPRINTING_RESERVOIR : most > few ? most : few;
}

/* Makes the sums as long as the class list. */
static int follow_classes(imprinting *i, const class_list *classes, error *e)
{
    size_t from = i->classes.count, to = classes->count;
    if (i->kept.room > 0 && from == to)
        return 0;
    class_rows *more = grow(i->of_class, from, to, sizeof *more, e);
    if (!more)
        return -1;
    i->of_class = more;
    for (size_t k = from; k < to; k++) {
        int at = class_list_find(&i->m->classes, classes->names[k]);
        bool base = at >= 0 && i->m->kinds[at] == CLASS_BASE;
        more[k].left_out = i->options.training_rows
                               ? !base
                               : base && !i->options.update_base && !i->options.as_base;
        if (class_list_add(&i->classes, classes->names[k]) < 0)
            return error_set(e, "out of memory");
    }
    if (i->kept.room == 0 && exemplars_new(0, kept_room(i, to), i->dimension, &i->kept, e) < 0)
        return -1;
    return exemplars_grow(&i->kept, to, e) < 0 || follow_sums(i->a, &i->sums, from, to, e) < 0 ||
                   follow_sums(i->a, &i->feature_sums, from, to, e) < 0
               ? -1
               : 0;
}

/* Copies the rows that count to the scratch and returns their number. */
static size_t choose_rows(imprinting *i, const float *embeddings, const float *plain,
                          const int32_t *labels, size_t rows)
{
    size_t kept = 0;
    for (size_t r = 0; r < rows; r++) {
        const float *row = embeddings + r * i->dimension;
        if (labels[r] < 0 || i->of_class[labels[r]].left_out) {
            i->rows.base++;
        } else if (i->sums.width && i->m->norm == NORM_L2 && row_is_zero(row, i->dimension)) {
            i->rows.zeros++;
        } else {
            const float *shown = plain ? plain + r * i->dimension : row;
            memcpy(i->unit + kept * i->dimension, row, i->dimension * sizeof *row);
            if (plain && i->projected.width)
                memcpy(i->plain + kept * i->dimension, shown, i->dimension * sizeof *row);
            i->labels[kept++] = labels[r];
            exemplars_offer(&i->kept, (size_t)labels[r], shown);
            i->of_class[labels[r]].used++;
        }
    }
    i->rows.used += kept;
    return kept;
}

static int make_room(imprinting *i, size_t rows, error *e)
{
    if (rows <= i->room)
        return 0;
    memory_free(&i->scratch);
    i->room = 0;
    i->unit = memory_take(&i->scratch, rows * i->dimension, sizeof *i->unit);
    i->plain = memory_take(&i->scratch, rows * i->dimension, sizeof *i->plain);
    i->labels = memory_take(&i->scratch, rows, sizeof *i->labels);
    if (i->scratch.failed)
        return error_set(e, "out of memory for a batch of %zu rows", rows);
    i->room = rows;
    return 0;
}

int imprinting_add(imprinting *i, const class_list *classes, const float *embeddings,
                   const float *plain, const int32_t *labels, size_t rows, error *e)
{
    if (follow_classes(i, classes, e) < 0 || make_room(i, rows, e) < 0)
        return -1;
    size_t kept = choose_rows(i, embeddings, plain, labels, rows);
    if (kept == 0)
        return 0;
    if (i->sums.width &&
        ((i->m->norm == NORM_L2 && i->a->normalise(i->a, i->unit, kept, i->dimension, e) < 0) ||
         i->a->moments_add(i->a, i->sums.running, i->unit, i->labels, kept, e) < 0))
        return -1;
    if (i->projected.width == 0)
        return 0;
    return projection_add(&i->projected, i->a, i->feature_sums.running, plain ? i->plain : i->unit,
                          i->labels, kept, e);
}

imprinting_rows imprinting_counted(const imprinting *i)
{
    return i->rows;
}

double imprinting_class_rows(const imprinting *i, size_t class_index)
{
    return class_index < i->classes.count ? (double)i->of_class[class_index].used : 0;
}

/* The places in the model of the stream's classes that had rows, -1 of the others; new ones are
 * added. */
static int place_classes(imprinting *i, memory *held, int *places, error *e)
{
    size_t count = i->classes.count;
    bool *wanted = memory_take(held, count + 1, sizeof *wanted);
    class_kind *kinds = memory_take(held, count + 1, sizeof *kinds);
    if (held->failed)
        return error_set(e, "out of memory for %zu classes", count);
    for (size_t k = 0; k < count; k++) {
        wanted[k] = i->of_class[k].used > 0;
        kinds[k] = i->options.as_base ? CLASS_BASE : CLASS_NOVEL;
    }
    if (model_add_classes(i->m, &i->classes, wanted, kinds, e) < 0)
        return -1;
    for (size_t k = 0; k < count; k++)
        places[k] = wanted[k] ? class_list_find(&i->m->classes, i->classes.names[k]) : -1;
    return 0;
}

static void add_class(imprinting *i, size_t from, const class_sums *s, size_t to)
{
    size_t n = i->sums.width, features = i->feature_sums.width;
    if (s->count)
        s->count[to] += (double)i->of_class[from].used;
    if (n > 0)
        add_numbers(s->sum + to * n, i->sums.sum + from * n, n);
    if (features > 0)
        add_numbers(s->feature_sum + to * features, i->feature_sums.sum + from * features,
                    features);
    exemplars_offer_kept(&i->kept, from, s, to);
    exemplars_store(&i->kept, from, s, to);
}

/* The sums that the rows go to, where they are; those of training rows begin anew. */
static int begin_sums(imprinting *i, class_sums *out, error *e)
{
    size_t features = i->feature_sums.width;
    if (!i->options.training_rows)
        return sums_put(i->m, SUMS_IMPRINT, features, i->kept.room, out, e);
    if (i->rows.used == 0)
        return error_set(e, "no rows of the model's base classes came; there is nothing to keep");
    model_part_drop(i->m, PART_BASE_EXEMPLARS);
    for (model_part_id part = PART_BASE_COUNT; features && part <= PART_BASE_GRAM; part++)
        model_part_drop(i->m, part);
    return sums_put(i->m, SUMS_BASE, features, i->kept.room, out, e);
}

static int finish(imprinting *i, memory *held, error *e)
{
    size_t n = i->projected.width, count = i->classes.count;
    int *places = memory_take(held, count + 1, sizeof *places);
    class_sums s;
    if (collect(i->a, &i->sums, e) < 0 || collect(i->a, &i->feature_sums, e) < 0 ||
        place_classes(i, held, places, e) < 0 || begin_sums(i, &s, e) < 0)
        return -1;
    bool *changed = memory_take(held, s.classes + 1, sizeof *changed);
    if (!changed)
        return error_set(e, "out of memory for %zu classes", s.classes);
    for (size_t k = 0; k < count; k++)
        if (places[k] >= 0) {
            add_class(i, k, &s, (size_t)places[k]);
            changed[places[k]] = true;
        }
    if (n > 0)
        add_numbers(s.gram, i->feature_sums.gram, n * n);
    return i->options.training_rows ? 0 : fit_make(i->a, i->m, changed, e);
}

int imprinting_finish(imprinting *i, error *e)
{
    memory held = {0};
    int status = finish(i, &held, e);
    memory_free(&held);
    return status;
}
