#include "attention.h"

#include "../../common/base/memory.h"
#include "function.h"
#include "primitive.h"

#include <math.h>
#include <stdlib.h>

/* ---- shapes ---- */

/* Scores of the rows at once, of one thread: within its cache. */
#define SCORE_BYTES ((size_t)4 << 20)

/* What is multiplied, a matrix for each head of the rows at once. The first four are [places]
 * [depth]; places by places are the scores, the weights that softmax makes of them, and the scores'
 * gradient. */
typedef enum { QUERY, KEY, VALUE, RESULT, SCORES, WEIGHTS, D_SCORES, ARRAYS } array;

/* into = a b, of the one or its transpose. */
typedef struct {
    array a, b, into;
    bool turn_a, turn_b;
} product;

/* The values, which the third product does not need any more, give room to gradients; the result's
 * gradient lies where the result does. */
enum { SCORE, MIX, BACK, D_VALUE, D_QUERY, D_KEY, PRODUCTS };
static const product products[PRODUCTS] = {
    [SCORE] = {QUERY, KEY, SCORES, false, true},
    [MIX] = {WEIGHTS, VALUE, RESULT, false, false},
    [BACK] = {RESULT, VALUE, SCORES, false, true},
    [D_VALUE] = {WEIGHTS, RESULT, VALUE, true, false},
    [D_QUERY] = {D_SCORES, KEY, RESULT, false, false},
    [D_KEY] = {D_SCORES, QUERY, VALUE, true, false},
};

struct attention {
    attention *next;
    size_t places, depth, heads, rows; /* rows: at once */
    float scale;                       /* of scores */
    element type, multiplied;          /* of activations, of what is multiplied */
    bool training;
    void *memory[ARRAYS], *scratch;
    layout layouts[PRODUCTS][3];
    primitive made[PRODUCTS];
};

static bool is_square(array which)
{
    return which >= SCORES;
}

static element type_of(const attention *a, array which)
{
    return which == SCORES ? ELEMENT_F32 : a->multiplied;
}

static size_t columns_of(const attention *a, array which)
{
    return is_square(which) ? a->places : a->depth;
}

static size_t count_of(const attention *a, array which)
{
    return a->rows * a->heads * a->places * columns_of(a, which);
}

/* ---- making and freeing ---- */

static dnnl_status_t layout_get(attention *a, array which, bool turned, layout *out)
{
    dnnl_dim_t high = (dnnl_dim_t)a->places, wide = (dnnl_dim_t)columns_of(a, which);
    dnnl_dims_t sizes = {(dnnl_dim_t)(a->rows * a->heads), turned ? wide : high,
                         turned ? high : wide};
    return layout_new(3, sizes, type_of(a, which) == ELEMENT_BF16 ? dnnl_bf16 : dnnl_f32,
                      turned ? dnnl_acb : dnnl_abc, out);
}

static dnnl_status_t product_new(attention *a, const cpu *own, size_t k)
{
    const product *p = &products[k];
    layout *l = a->layouts[k];
    primitive *o = &a->made[k];
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_status_t status = layout_get(a, p->a, p->turn_a, &l[0]);
    if (status == dnnl_success)
        status = layout_get(a, p->b, p->turn_b, &l[1]);
    if (status == dnnl_success)
        status = layout_get(a, p->into, false, &l[2]);
    if (status == dnnl_success)
        status = attributes_new(NULL, 0, &attributes);
    product_request r = {.engine = own->engine,
                         .source = l[0],
                         .weights = l[1],
                         .target = l[2],
                         .attributes = attributes};
    if (status == dnnl_success)
        status = matrix_product(&r, &o->pd);
    if (attributes)
        dnnl_primitive_attr_destroy(attributes);
    if (status == dnnl_success)
        status = primitive_make(o);
    if (status == dnnl_success)
        status = primitive_bind(own, o, DNNL_ARG_SRC, l[0], a->memory[p->a]);
    if (status == dnnl_success)
        status = primitive_bind(own, o, DNNL_ARG_WEIGHTS, l[1], a->memory[p->b]);
    if (status == dnnl_success)
        status = primitive_bind(own, o, DNNL_ARG_DST, l[2], a->memory[p->into]);
    return status;
}

/* Zeroed, as the places of rows that are not there must be numbers. */
static void *array_new(size_t bytes)
{
    void *taken = memory_aligned(bytes);
    if (taken)
        memset(taken, 0, bytes);
    return taken;
}

static dnnl_status_t products_new(attention *a, const cpu *own)
{
    size_t count = a->training ? PRODUCTS : MIX + 1, scratch = 0;
    dnnl_status_t status = dnnl_success;
    for (array i = 0; i < ARRAYS; i++) {
        if (i == D_SCORES && !a->training)
            continue;
        a->memory[i] = array_new(count_of(a, i) * element_size(type_of(a, i)));
        if (!a->memory[i])
            return dnnl_out_of_memory;
    }
    for (size_t k = 0; k < count && status == dnnl_success; k++) {
        status = product_new(a, own, k);
        size_t bytes = primitive_scratch(&a->made[k]);
        scratch = bytes > scratch ? bytes : scratch;
    }
    if (scratch > 0 && status == dnnl_success && !(a->scratch = array_new(scratch)))
        return dnnl_out_of_memory;
    for (size_t k = 0; k < count && status == dnnl_success; k++)
        status = primitive_scratch_bind(own, &a->made[k], a->scratch);
    return status;
}

void attention_free(attention *list)
{
    while (list) {
        attention *a = list;
        list = a->next;
        for (size_t k = 0; k < PRODUCTS; k++) {
            primitive_free(&a->made[k]);
            for (size_t i = 0; i < 3; i++)
                layout_free(a->layouts[k][i]);
        }
        for (size_t i = 0; i < ARRAYS; i++)
            free(a->memory[i]);
        free(a->scratch);
        free(a);
    }
}

attention *attention_get(attention **list, const cpu *own, const layer *l, element type,
                         bool training, error *e)
{
    size_t places = l->in.height * l->in.width, depth = l->out.channels / l->heads;
    for (attention *a = *list; a; a = a->next)
        if (a->places == places && a->depth == depth && a->heads == l->heads && a->type == type)
            return a;
    size_t threads = (size_t)own->threads, row = l->heads * places * places * sizeof(float);
    size_t rows = SCORE_BYTES * threads / row;
    attention *a = calloc(1, sizeof *a);
    if (!a) {
        error_set(e, "out of memory");
        return NULL;
    }
    *a = (attention){.places = places,
                     .depth = depth,
                     .heads = l->heads,
                     .rows = rows < 1         ? 1
                             : rows > threads ? threads
                                              : rows,
                     .scale = 1 / sqrtf((float)depth),
                     .type = type,
                     .multiplied =
                         type == ELEMENT_BF16 && cpu_has_tiles() ? ELEMENT_BF16 : ELEMENT_F32,
                     .training = training};
    dnnl_status_t status = products_new(a, own);
    if (status != dnnl_success) {
        attention_free(a);
        error_set(e, "oneDNN: attention of %zu heads over %zu places: %s", l->heads, places,
                  dnnl_status_text(status));
        return NULL;
    }
    a->next = *list;
    return *list = a;
}

/* ---- between activations and heads ---- */

/* One head of one activation: [places] of `width` numbers, of which the head has `depth` at `at`,
 * and [places][depth]. */
CLONES static void gather(const attention *a, const void *x, size_t at, size_t width, void *out)
{
    bool from = a->type == ELEMENT_BF16, to = a->multiplied == ELEMENT_BF16;
    size_t depth = a->depth, bytes = depth * element_size(a->type);
    for (size_t t = 0; t < a->places; t++, x = element_at(x, width, a->type)) {
        if (from == to)
            memcpy((char *)out + t * bytes, element_at(x, at, a->type), bytes);
        else
            for (size_t i = 0; i < depth; i++)
                ((float *)out)[t * depth + i] = element_get(x, at + i, true);
    }
}

CLONES static void scatter(const attention *a, const void *from, void *y, size_t at, size_t width)
{
    bool same = a->type == a->multiplied;
    size_t depth = a->depth, bytes = depth * element_size(a->type);
    for (size_t t = 0; t < a->places; t++, y = element_at(y, width, a->type)) {
        if (same)
            memcpy(element_at(y, at, a->type), (const char *)from + t * bytes, bytes);
        else
            for (size_t i = 0; i < depth; i++)
                element_put(y, at + i, ((const float *)from)[t * depth + i], true);
    }
}

/* A head's matrix. */
static void *matrix(const attention *a, array which, size_t head)
{
    return element_at(a->memory[which], head * a->places * columns_of(a, which), type_of(a, which));
}

/* What lies at the `part`-th width of channels / parts of each place of an activation. */
static void gather_all(const attention *a, const void *x, size_t part, size_t parts, size_t rows,
                       array into)
{
    size_t channels = a->heads * a->depth, width = parts * channels;
#pragma omp parallel for schedule(static)
    for (size_t h = 0; h < rows * a->heads; h++)
        gather(a, element_at(x, h / a->heads * a->places * width, a->type),
               part * channels + h % a->heads * a->depth, width, matrix(a, into, h));
}

static void scatter_all(const attention *a, array from, void *y, size_t part, size_t parts,
                        size_t rows)
{
    size_t channels = a->heads * a->depth, width = parts * channels;
#pragma omp parallel for schedule(static)
    for (size_t h = 0; h < rows * a->heads; h++)
        scatter(a, matrix(a, from, h), element_at(y, h / a->heads * a->places * width, a->type),
                part * channels + h % a->heads * a->depth, width);
}

/* ---- softmax ---- */

ALWAYS_INLINE void softmax_row(float *x, void *out, size_t count, float scale, bool bf16)
{
    float most = x[0], sum = 0;
#pragma omp simd reduction(max : most)
    for (size_t i = 0; i < count; i++)
        most = x[i] > most ? x[i] : most;
    for (size_t i = 0; i < count; i++)
        x[i] = exp_float(scale * (x[i] - most));
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < count; i++)
        sum += x[i];
    sum = 1 / sum;
    for (size_t i = 0; i < count; i++)
        element_put(out, i, x[i] * sum, bf16);
}

CLONES static void softmax_rows(const attention *a, float *x, void *out)
{
    element type = a->multiplied;
    for (size_t r = 0; r < a->places; r++) {
        void *to = element_at(out, r * a->places, type);
        OF_TYPE(softmax_row, x + r * a->places, to, a->places, a->scale);
    }
}

/* out = scale weights (d - sum of weights d) */
ALWAYS_INLINE void softmax_row_back(const void *weights, const float *d, void *out, size_t count,
                                    float scale, bool bf16)
{
    float mean = 0;
#pragma omp simd reduction(+ : mean)
    for (size_t i = 0; i < count; i++)
        mean += element_get(weights, i, bf16) * d[i];
    for (size_t i = 0; i < count; i++)
        element_put(out, i, scale * element_get(weights, i, bf16) * (d[i] - mean), bf16);
}

CLONES static void softmax_back(const attention *a, const void *weights, const float *d, void *out)
{
    element type = a->multiplied;
    for (size_t r = 0; r < a->places; r++) {
        size_t at = r * a->places;
        void *to = element_at(out, at, type);
        OF_TYPE(softmax_row_back, element_at(weights, at, type), d + at, to, a->places, a->scale);
    }
}

/* ---- forward and backward ---- */

/* Reads the rows' heads, and weighs their places. */
static int weigh(attention *a, const cpu *own, const void *x, size_t rows, error *e)
{
    gather_all(a, x, 0, 3, rows, QUERY);
    gather_all(a, x, 1, 3, rows, KEY);
    gather_all(a, x, 2, 3, rows, VALUE);
    if (primitive_run(own, &a->made[SCORE], e) < 0)
        return -1;
#pragma omp parallel for schedule(static)
    for (size_t h = 0; h < rows * a->heads; h++)
        softmax_rows(a, matrix(a, SCORES, h), matrix(a, WEIGHTS, h));
    return 0;
}

static int forward_some(attention *a, const cpu *own, const void *x, void *y, size_t rows, error *e)
{
    if (weigh(a, own, x, rows, e) < 0 || primitive_run(own, &a->made[MIX], e) < 0)
        return -1;
    scatter_all(a, RESULT, y, 0, 1, rows);
    return 0;
}

static int backward_some(attention *a, const cpu *own, const void *x, const void *d_y, void *d_x,
                         size_t rows, error *e)
{
    if (weigh(a, own, x, rows, e) < 0)
        return -1;
    gather_all(a, d_y, 0, 1, rows, RESULT);
    if (primitive_run(own, &a->made[BACK], e) < 0 || primitive_run(own, &a->made[D_VALUE], e) < 0)
        return -1;
    scatter_all(a, VALUE, d_x, 2, 3, rows);
#pragma omp parallel for schedule(static)
    for (size_t h = 0; h < rows * a->heads; h++)
        softmax_back(a, matrix(a, WEIGHTS, h), matrix(a, SCORES, h), matrix(a, D_SCORES, h));
    if (primitive_run(own, &a->made[D_QUERY], e) < 0 || primitive_run(own, &a->made[D_KEY], e) < 0)
        return -1;
    scatter_all(a, RESULT, d_x, 0, 3, rows);
    scatter_all(a, VALUE, d_x, 1, 3, rows);
    return 0;
}

int attention_forward(attention *a, const cpu *own, const void *x, void *y, size_t rows, error *e)
{
    size_t channels = a->heads * a->depth * a->places;
    for (size_t r = 0; r < rows; r += a->rows) {
        size_t some = rows - r < a->rows ? rows - r : a->rows;
        if (forward_some(a, own, element_at(x, r * 3 * channels, a->type),
                         element_at(y, r * channels, a->type), some, e) < 0)
            return -1;
    }
    return 0;
}

int attention_backward(attention *a, const cpu *own, const void *x, const void *y_gradient,
                       void *x_gradient, size_t rows, error *e)
{
    size_t channels = a->heads * a->depth * a->places;
    for (size_t r = 0; r < rows; r += a->rows) {
        size_t some = rows - r < a->rows ? rows - r : a->rows;
        if (backward_some(a, own, element_at(x, r * 3 * channels, a->type),
                          element_at(y_gradient, r * channels, a->type),
                          element_at(x_gradient, r * 3 * channels, a->type), some, e) < 0)
            return -1;
    }
    return 0;
}
