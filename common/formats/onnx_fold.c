/* onnx_fold.c: nodes of constants, nearly all of them arithmetic on shapes. */
#include "onnx_graph.h"

#include <math.h>
#include <string.h>

#define PRODUCT_MOST ((size_t)1000000000) /* multiplications: some seconds */

static void put(array *a, size_t i, double x)
{
    if (a->whole)
        a->i[i] = onnx_whole_of(x);
    else
        a->f[i] = (float)x;
}

static void copy_element(array *to, size_t i, const array *from, size_t k)
{
    if (to->whole && from->whole)
        to->i[i] = from->i[k];
    else
        put(to, i, onnx_at(from, k));
}

/* ---- where an element lies ---- */

static void split_index(size_t i, size_t rank, const size_t *dims, size_t *at)
{
    for (size_t d = rank; d-- > 0;) {
        at[d] = i % dims[d];
        i /= dims[d];
    }
}

/* Of an array that is stretched to a larger shape of `rank` dimensions, at that place. */
static size_t stretched(const array *a, size_t rank, const size_t *at)
{
    size_t i = 0;
    for (size_t d = 0; d < a->rank; d++)
        i = i * a->dims[d] + (a->dims[d] == 1 ? 0 : at[d + rank - a->rank]);
    return i;
}

/* The shape that both are stretched to. */
static size_t common_shape(reader *r, const node *n, const array *a, const array *b, size_t *dims)
{
    size_t rank = a->rank > b->rank ? a->rank : b->rank;
    for (size_t d = 0; d < rank; d++) {
        size_t x = d + a->rank < rank ? 1 : a->dims[d + a->rank - rank];
        size_t y = d + b->rank < rank ? 1 : b->dims[d + b->rank - rank];
        if (x != y && x != 1 && y != 1)
            onnx_fail(r, n, "shapes that do not fit, %zu and %zu", x, y);
        dims[d] = x == 1 ? y : x;
    }
    return rank;
}

/* ---- arithmetic ---- */

static bool binary(const char *op, bool whole, double a, double b, double *out)
{
    if (strcmp(op, "Add") == 0)
        *out = a + b;
    else if (strcmp(op, "Sub") == 0)
        *out = a - b;
    else if (strcmp(op, "Mul") == 0)
        *out = a * b;
    else if (strcmp(op, "Div") == 0)
        *out = whole ? (b != 0 ? trunc(a / b) : 0) : a / b;
    else if (strcmp(op, "Mod") == 0)
        *out = b != 0 ? a - b * floor(a / b) : 0;
    else if (strcmp(op, "Pow") == 0)
        *out = pow(a, b);
    else if (strcmp(op, "Equal") == 0)
        *out = a == b;
    else if (strcmp(op, "Greater") == 0)
        *out = a > b;
    else if (strcmp(op, "Less") == 0)
        *out = a < b;
    else if (strcmp(op, "Max") == 0)
        *out = fmax(a, b);
    else if (strcmp(op, "Min") == 0)
        *out = fmin(a, b);
    else
        return false;
    return true;
}

static bool unary(const char *op, double a, double *out)
{
    if (strcmp(op, "Sqrt") == 0)
        *out = sqrt(a);
    else if (strcmp(op, "Neg") == 0)
        *out = -a;
    else if (strcmp(op, "Reciprocal") == 0)
        *out = 1 / a;
    else if (strcmp(op, "Floor") == 0)
        *out = floor(a);
    else if (strcmp(op, "Ceil") == 0)
        *out = ceil(a);
    else if (strcmp(op, "Abs") == 0)
        *out = fabs(a);
    else if (strcmp(op, "Exp") == 0)
        *out = exp(a);
    else if (strcmp(op, "Log") == 0)
        *out = log(a);
    else if (strcmp(op, "Sin") == 0)
        *out = sin(a);
    else if (strcmp(op, "Cos") == 0)
        *out = cos(a);
    else if (strcmp(op, "Erf") == 0)
        *out = erf(a);
    else if (strcmp(op, "Tanh") == 0)
        *out = tanh(a);
    else if (strcmp(op, "Sigmoid") == 0)
        *out = 1 / (1 + exp(-a));
    else if (strcmp(op, "Relu") == 0)
        *out = fmax(a, 0);
    else if (strcmp(op, "Not") == 0)
        *out = a == 0;
    else
        return false;
    return true;
}

static bool fold_elements(reader *r, const node *n, array *out)
{
    const char *op = n->proto->op_type;
    const array *a = onnx_constant(r, n, onnx_input(n, 0));
    double x;
    if (n->input_count == 1 && unary(op, 1, &x)) {
        *out = onnx_array_new(r, a->whole, a->rank, a->dims);
        for (size_t i = 0; i < a->count; i++) {
            unary(op, onnx_at(a, i), &x);
            put(out, i, x);
        }
        return true;
    }
    if (n->input_count != 2 || !binary(op, false, 1, 1, &x))
        return false;
    const array *b = onnx_constant(r, n, onnx_input(n, 1));
    size_t dims[ONNX_RANK_MAX], at[ONNX_RANK_MAX], rank = common_shape(r, n, a, b, dims);
    *out = onnx_array_new(r, a->whole && b->whole, rank, dims);
    for (size_t i = 0; i < out->count; i++) {
        split_index(i, rank, dims, at);
        binary(op, out->whole, onnx_at(a, stretched(a, rank, at)),
               onnx_at(b, stretched(b, rank, at)), &x);
        put(out, i, x);
    }
    return true;
}

/* ---- sums ---- */

static double plus(double so_far, double x)
{
    return so_far + x;
}

static double plus_square(double so_far, double x)
{
    return so_far + x * x;
}

static double times(double so_far, double x)
{
    return so_far * x;
}

typedef struct {
    const char *op;
    double start;
    double (*step)(double so_far, double x);
} reduction;

static const reduction reductions[] = {
    {"ReduceSum", 0, plus},
    {"ReduceMean", 0, plus},
    {"ReduceMax", -INFINITY, fmax},
    {"ReduceMin", INFINITY, fmin},
    {"ReduceProd", 1, times},
    {"ReduceL2", 0, plus_square},
    {"ReduceSumSquare", 0, plus_square},
};

static const reduction *reduction_of(const node *n)
{
    for (size_t i = 0; i < sizeof reductions / sizeof *reductions; i++)
        if (onnx_is(n, reductions[i].op))
            return &reductions[i];
    return NULL;
}

static array fold_reduce(reader *r, const node *n, const array *a, const reduction *how)
{
    array axes;
    bool given = onnx_numbers(r, n, 1, "axes", &axes) && axes.count > 0;
    bool keeps = onnx_int(n, "keepdims", 1) != 0, chosen[ONNX_RANK_MAX] = {false};
    size_t kept[ONNX_RANK_MAX], gone[ONNX_RANK_MAX], shape[ONNX_RANK_MAX], rank = 0, each = 1;
    size_t at[ONNX_RANK_MAX], within[ONNX_RANK_MAX];
    if (!given && onnx_int(n, "noop_with_empty_axes", 0) != 0)
        return *a;
    for (size_t i = 0; given && i < axes.count; i++)
        chosen[onnx_axis(r, n, onnx_whole_at(&axes, i), a->rank)] = true;
    for (size_t d = 0; d < a->rank; d++) {
        bool out = !given || chosen[d];
        kept[d] = out ? 1 : a->dims[d];
        gone[d] = out ? a->dims[d] : 1;
        each *= gone[d];
        if (keeps || !out)
            shape[rank++] = kept[d];
    }
    array out = onnx_array_new(r, a->whole, rank, shape);
    for (size_t i = 0; i < out.count; i++) {
        double sum = how->start;
        split_index(i, a->rank, kept, at);
        for (size_t k = 0; k < each; k++) {
            size_t from = 0;
            split_index(k, a->rank, gone, within);
            for (size_t d = 0; d < a->rank; d++)
                from = from * a->dims[d] + at[d] + within[d];
            sum = how->step(sum, onnx_at(a, from));
        }
        if (onnx_is(n, "ReduceMean"))
            sum /= (double)each;
        put(&out, i, onnx_is(n, "ReduceL2") ? sqrt(sum) : sum);
    }
    return out;
}

/* Of two matrices, or of many by one. */
static array fold_product(reader *r, const node *n, const array *a, const array *b)
{
    if (a->rank < 2 || b->rank != 2 || a->dims[a->rank - 1] != b->dims[0])
        onnx_fail(r, n, "shapes that do not fit");
    size_t inner = b->dims[0], columns = b->dims[1], dims[ONNX_RANK_MAX];
    if (columns > 0 && a->count > PRODUCT_MOST / columns)
        onnx_fail(r, n, "a product of constants that is too large");
    memcpy(dims, a->dims, sizeof dims);
    dims[a->rank - 1] = columns;
    array out = onnx_array_new(r, false, a->rank, dims);
    for (size_t i = 0; i < out.count; i++) {
        double sum = 0;
        for (size_t k = 0; k < inner; k++)
            sum += onnx_at(a, i / columns * inner + k) * onnx_at(b, k * columns + i % columns);
        put(&out, i, sum);
    }
    return out;
}

/* The i-th element of channel c, the axis 1. */
static size_t channel_place(const array *a, size_t behind, size_t c, size_t i)
{
    return (i / behind * a->dims[1] + c) * behind + i % behind;
}

static void channel_moments(const array *a, size_t behind, size_t c, double *mean, double *variance)
{
    size_t each = a->dims[0] * behind;
    *mean = *variance = 0;
    for (size_t i = 0; i < each; i++)
        *mean += onnx_at(a, channel_place(a, behind, c, i)) / (double)each;
    for (size_t i = 0; i < each; i++) {
        double off = onnx_at(a, channel_place(a, behind, c, i)) - *mean;
        *variance += off * off / (double)each;
    }
}

/* Filters that are standardised before they are used (Qiao et al., Weight Standardization, 2019):
 * axis 1 has what each mean and variance is of, given or, in training, the array's own. */
static array fold_batch_norm(reader *r, const node *n, const array *a)
{
    const array *by[4]; /* scale, offset, mean, variance */
    size_t channels = a->rank >= 2 ? a->dims[1] : 0, behind = 1;
    for (size_t k = 0; k < 4; k++) {
        by[k] = onnx_constant(r, n, onnx_input(n, k + 1));
        if (by[k]->count != channels)
            onnx_fail(r, n, "%zu numbers for %zu channels", by[k]->count, channels);
    }
    for (size_t d = 2; d < a->rank; d++)
        behind *= a->dims[d];
    double epsilon = (double)onnx_float(n, "epsilon", 1e-5f);
    array out = onnx_array_new(r, false, a->rank, a->dims);
    for (size_t c = 0; c < channels; c++) {
        double mean = onnx_at(by[2], c), variance = onnx_at(by[3], c);
        if (onnx_int(n, "training_mode", 0) != 0)
            channel_moments(a, behind, c, &mean, &variance);
        double factor = onnx_at(by[0], c) / sqrt(variance + epsilon);
        for (size_t i = 0; i < a->dims[0] * behind; i++) {
            size_t k = channel_place(a, behind, c, i);
            put(&out, k, (onnx_at(a, k) - mean) * factor + onnx_at(by[1], c));
        }
    }
    return out;
}

/* ---- shapes ---- */

static size_t shape_end(int64_t at, size_t rank)
{
    at += at < 0 ? (int64_t)rank : 0;
    return at < 0 ? 0 : (size_t)at > rank ? rank : (size_t)at;
}

array onnx_shape(reader *r, const node *n, size_t rank, const size_t *dims)
{
    size_t first = shape_end(onnx_int(n, "start", 0), rank);
    size_t last = shape_end(onnx_int(n, "end", (int64_t)rank), rank);
    size_t count = last > first ? last - first : 0;
    array out = onnx_array_new(r, true, 1, &count);
    for (size_t d = 0; d < count; d++)
        out.i[d] = (int64_t)dims[first + d];
    return out;
}

void onnx_reshape_dims(reader *r, const node *n, size_t rank, const size_t *dims, const array *to,
                       size_t *out_rank, size_t *out)
{
    size_t count = 1, rest = 1, open = SIZE_MAX;
    bool zero = onnx_int(n, "allowzero", 0) != 0;
    if (to->count > ONNX_RANK_MAX || !to->whole)
        onnx_fail(r, n, "a shape of %zu dimensions", to->count);
    for (size_t d = 0; d < rank; d++)
        count *= dims[d];
    for (size_t d = 0; d < to->count; d++) {
        int64_t size = to->i[d];
        if (size == 0 && !zero && d < rank)
            size = (int64_t)dims[d];
        if (size < 0) {
            if (open != SIZE_MAX)
                onnx_fail(r, n, "a shape with two open dimensions");
            open = d;
            size = 1;
        }
        if (size > 0 && rest > ((size_t)1 << 40) / (size_t)size)
            onnx_fail(r, n, "a shape that is too large");
        out[d] = (size_t)size;
        rest *= out[d];
    }
    if (open != SIZE_MAX && rest > 0)
        out[open] = count / rest;
    if (open == SIZE_MAX ? rest != count : rest == 0 || count % rest != 0)
        onnx_fail(r, n, "%zu elements in a shape of %zu", count, rest);
    *out_rank = to->count;
}

/* One axis: where it begins, how many it takes, and by which step. */
static void slice_axis(int64_t size, int64_t begin, int64_t end, int64_t step, size_t *first,
                       size_t *count)
{
    int64_t least = step < 0 ? -1 : 0, most = step < 0 ? size - 1 : size;
    begin += begin < 0 ? size : 0;
    end += end < 0 && end >= -size ? size : 0;
    begin = begin < least ? least : begin > most ? most : begin;
    end = end < least ? least : end > most ? most : end;
    int64_t way = step < 0 ? begin - end : end - begin, by = step < 0 ? -step : step;
    *first = (size_t)(begin < 0 ? 0 : begin);
    *count = way > 0 ? (size_t)((way + by - 1) / by) : 0;
}

void onnx_slice_ranges(reader *r, const node *n, size_t rank, const size_t *dims, size_t *first,
                       size_t *count, int64_t *step)
{
    array starts, ends, axes, steps;
    if (!onnx_numbers(r, n, 1, "starts", &starts) || !onnx_numbers(r, n, 2, "ends", &ends) ||
        starts.count != ends.count || !starts.whole || !ends.whole)
        onnx_fail(r, n, "no range is given");
    bool has_axes = onnx_numbers(r, n, 3, "axes", &axes);
    bool has_steps = onnx_numbers(r, n, 4, "steps", &steps);
    for (size_t d = 0; d < rank; d++) {
        first[d] = 0;
        count[d] = dims[d];
        step[d] = 1;
    }
    for (size_t i = 0; i < starts.count; i++) {
        int64_t at = has_axes && i < axes.count ? onnx_whole_at(&axes, i) : (int64_t)i;
        size_t d = onnx_axis(r, n, at, rank);
        step[d] = has_steps && i < steps.count ? onnx_whole_at(&steps, i) : 1;
        if (step[d] == 0 || step[d] < -65536 || step[d] > 65536)
            onnx_fail(r, n, "it takes every %lld-th element", (long long)step[d]);
        slice_axis((int64_t)dims[d], starts.i[i], ends.i[i], step[d], &first[d], &count[d]);
    }
}

static array fold_slice(reader *r, const node *n, const array *a)
{
    size_t first[ONNX_RANK_MAX], count[ONNX_RANK_MAX], at[ONNX_RANK_MAX];
    int64_t step[ONNX_RANK_MAX];
    onnx_slice_ranges(r, n, a->rank, a->dims, first, count, step);
    array out = onnx_array_new(r, a->whole, a->rank, count);
    for (size_t i = 0; i < out.count; i++) {
        split_index(i, a->rank, count, at);
        size_t from = 0;
        for (size_t d = 0; d < a->rank; d++)
            from = from * a->dims[d] + (size_t)((int64_t)first[d] + (int64_t)at[d] * step[d]);
        copy_element(&out, i, a, from);
    }
    return out;
}

static array fold_transpose(reader *r, const node *n, const array *a)
{
    array order;
    size_t dims[ONNX_RANK_MAX], from[ONNX_RANK_MAX], at[ONNX_RANK_MAX], back[ONNX_RANK_MAX];
    bool given = onnx_numbers(r, n, SIZE_MAX, "perm", &order);
    if (given && order.count != a->rank)
        onnx_fail(r, n, "%zu axes in another order than %zu", order.count, a->rank);
    for (size_t d = 0; d < a->rank; d++) {
        from[d] = given ? onnx_axis(r, n, order.i[d], a->rank) : a->rank - 1 - d;
        dims[d] = a->dims[from[d]];
    }
    array out = onnx_array_new(r, a->whole, a->rank, dims);
    for (size_t i = 0; i < out.count; i++) {
        split_index(i, a->rank, dims, at);
        for (size_t d = 0; d < a->rank; d++)
            back[from[d]] = at[d];
        copy_element(&out, i, a, stretched(a, a->rank, back));
    }
    return out;
}

static array fold_gather(reader *r, const node *n, const array *a, const array *which)
{
    size_t axis = onnx_axis(r, n, onnx_int(n, "axis", 0), a->rank), rank = 0;
    size_t dims[2 * ONNX_RANK_MAX], behind = 1;
    for (size_t d = 0; d < axis; d++)
        dims[rank++] = a->dims[d];
    for (size_t d = 0; d < which->rank; d++)
        dims[rank++] = which->dims[d];
    for (size_t d = axis + 1; d < a->rank; d++)
        behind *= dims[rank++] = a->dims[d];
    if (rank > ONNX_RANK_MAX)
        onnx_fail(r, n, "%zu dimensions", rank);
    array out = onnx_array_new(r, a->whole, rank, dims);
    for (size_t i = 0; i < out.count; i++) {
        size_t tail = i % behind, middle = i / behind % which->count;
        size_t head = i / behind / which->count;
        size_t k = onnx_axis(r, n, onnx_whole_at(which, middle), a->dims[axis]);
        copy_element(&out, i, a, (head * a->dims[axis] + k) * behind + tail);
    }
    return out;
}

static array fold_concat(reader *r, const node *n)
{
    const array *first = onnx_constant(r, n, onnx_input(n, 0));
    size_t axis = onnx_axis(r, n, onnx_int(n, "axis", 0), first->rank), behind = 1, before = 1;
    size_t dims[ONNX_RANK_MAX];
    memcpy(dims, first->dims, sizeof dims);
    dims[axis] = 0;
    for (size_t k = 0; k < n->input_count; k++) {
        const array *a = onnx_constant(r, n, onnx_input(n, k));
        for (size_t d = 0; d < first->rank; d++)
            if (a->rank != first->rank || (d != axis && a->dims[d] != first->dims[d]))
                onnx_fail(r, n, "shapes that do not fit");
        dims[axis] += a->dims[axis];
    }
    for (size_t d = 0; d < first->rank; d++) {
        before *= d < axis ? dims[d] : 1;
        behind *= d > axis ? dims[d] : 1;
    }
    array out = onnx_array_new(r, first->whole, first->rank, dims);
    size_t at = 0;
    for (size_t b = 0; b < before; b++)
        for (size_t k = 0; k < n->input_count; k++) {
            const array *a = onnx_constant(r, n, onnx_input(n, k));
            size_t run = a->dims[axis] * behind;
            for (size_t i = 0; i < run; i++)
                copy_element(&out, at++, a, b * run + i);
        }
    return out;
}

static array fold_expand(reader *r, const node *n, const array *a, const array *to)
{
    size_t dims[ONNX_RANK_MAX] = {0}, at[ONNX_RANK_MAX];
    array shape = {.rank = to->count};
    if (to->count > ONNX_RANK_MAX)
        onnx_fail(r, n, "%zu dimensions", to->count);
    for (size_t d = 0; d < to->count; d++) {
        double size = onnx_at(to, d);
        if (!(size >= 0 && size < 4294967296.0))
            onnx_fail(r, n, "a dimension of %g", size);
        shape.dims[d] = (size_t)size;
    }
    size_t rank = common_shape(r, n, a, &shape, dims);
    array out = onnx_array_new(r, a->whole, rank, dims);
    for (size_t i = 0; i < out.count; i++) {
        split_index(i, rank, dims, at);
        copy_element(&out, i, a, stretched(a, rank, at));
    }
    return out;
}

void onnx_split_sizes(reader *r, const node *n, size_t size, size_t sizes[SPLIT_MOST])
{
    array given;
    size_t parts = n->output_count, each = (size + parts - 1) / parts, left = size;
    bool is_given = onnx_numbers(r, n, 1, "split", &given);
    if (parts > SPLIT_MOST || (is_given && given.count != parts))
        onnx_fail(r, n, "%zu parts of %zu sizes", parts, is_given ? given.count : parts);
    for (size_t k = 0; k < parts; left -= sizes[k++]) {
        double part = is_given ? onnx_at(&given, k) : each < left ? (double)each : (double)left;
        if (!(part >= 0 && part <= (double)left))
            onnx_fail(r, n, "parts of more than %zu", size);
        sizes[k] = (size_t)part;
    }
}

/* All parts but the first, which it returns. */
static array fold_split(reader *r, const node *n, const array *a)
{
    size_t at[ONNX_RANK_MAX], dims[ONNX_RANK_MAX], sizes[SPLIT_MOST];
    size_t axis = onnx_axis(r, n, onnx_int(n, "axis", 0), a->rank), first = 0;
    onnx_split_sizes(r, n, a->dims[axis], sizes);
    array parts[SPLIT_MOST];
    memcpy(dims, a->dims, sizeof dims);
    for (size_t k = 0; k < n->output_count; first += sizes[k++]) {
        dims[axis] = sizes[k];
        parts[k] = onnx_array_new(r, a->whole, a->rank, dims);
        for (size_t i = 0; i < parts[k].count; i++) {
            size_t from = 0;
            split_index(i, a->rank, dims, at);
            at[axis] += first;
            for (size_t d = 0; d < a->rank; d++)
                from = from * a->dims[d] + at[d];
            copy_element(&parts[k], i, a, from);
        }
        if (n->outputs[k]) {
            n->outputs[k]->constant = parts[k];
            n->outputs[k]->state = STATE_CONSTANT;
        }
    }
    return parts[0];
}

static array fold_tile(reader *r, const node *n, const array *a, const array *times)
{
    size_t dims[ONNX_RANK_MAX] = {0}, at[ONNX_RANK_MAX];
    if (times->count != a->rank)
        onnx_fail(r, n, "%zu repeats of %zu dimensions", times->count, a->rank);
    for (size_t d = 0; d < a->rank; d++) {
        double size = onnx_at(times, d) * (double)a->dims[d];
        if (!(size >= 0 && size < 4294967296.0))
            onnx_fail(r, n, "a dimension of %g", size);
        dims[d] = (size_t)size;
    }
    array out = onnx_array_new(r, a->whole, a->rank, dims);
    for (size_t i = 0; i < out.count; i++) {
        size_t from = 0;
        split_index(i, a->rank, dims, at);
        for (size_t d = 0; d < a->rank; d++)
            from = from * a->dims[d] + at[d] % a->dims[d];
        copy_element(&out, i, a, from);
    }
    return out;
}

/* The same numbers in another shape. */
static array with_shape(reader *r, const array *a, size_t rank, const size_t *dims)
{
    array out = *a;
    (void)r;
    out.rank = rank;
    memcpy(out.dims, dims, rank * sizeof *dims);
    return out;
}

static array fold_unsqueeze(reader *r, const node *n, const array *a, bool adds)
{
    array axes;
    bool given = onnx_numbers(r, n, 1, "axes", &axes);
    bool chosen[ONNX_RANK_MAX] = {false};
    size_t rank = a->rank + (adds && given ? axes.count : 0), dims[ONNX_RANK_MAX], k = 0, left = 0;
    if (rank > ONNX_RANK_MAX || (adds && !given))
        onnx_fail(r, n, "%zu dimensions", rank);
    for (size_t i = 0; given && i < axes.count; i++)
        chosen[onnx_axis(r, n, onnx_whole_at(&axes, i), rank)] = true;
    for (size_t d = 0; d < rank; d++) {
        if (adds) {
            dims[d] = chosen[d] ? 1 : a->dims[k++];
        } else if (!(given ? chosen[d] : a->dims[d] == 1)) {
            dims[left++] = a->dims[d];
        } else if (a->dims[d] != 1) {
            onnx_fail(r, n, "a dimension of %zu cannot be left out", a->dims[d]);
        }
    }
    return with_shape(r, a, adds ? rank : left, dims);
}

static array fold_cast(reader *r, const node *n, const array *a)
{
    int64_t to = onnx_int(n, "to", 1);
    bool whole = to != ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT &&
                 to != ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16 &&
                 to != ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16 &&
                 to != ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE;
    if (whole == a->whole)
        return *a;
    array out = onnx_array_new(r, whole, a->rank, a->dims);
    for (size_t i = 0; i < a->count; i++)
        put(&out, i, onnx_at(a, i));
    return out;
}

static array fold_where(reader *r, const node *n)
{
    const array *which = onnx_constant(r, n, onnx_input(n, 0));
    const array *a = onnx_constant(r, n, onnx_input(n, 1));
    const array *b = onnx_constant(r, n, onnx_input(n, 2));
    size_t dims[ONNX_RANK_MAX], at[ONNX_RANK_MAX];
    array shape = {.rank = common_shape(r, n, a, b, dims)};
    memcpy(shape.dims, dims, sizeof dims);
    size_t rank = common_shape(r, n, &shape, which, dims);
    array out = onnx_array_new(r, a->whole && b->whole, rank, dims);
    for (size_t i = 0; i < out.count; i++) {
        split_index(i, rank, dims, at);
        const array *from = onnx_at(which, stretched(which, rank, at)) != 0 ? a : b;
        copy_element(&out, i, from, stretched(from, rank, at));
    }
    return out;
}

/* ---- resizing, of position embeddings ---- */

typedef struct {
    const char *mode, *coordinates;
    float cubic;
} resizing;

/* Where output i of `out` lies along an axis of `in`, by ONNX's names. */
static double source_of(const resizing *how, size_t i, size_t in, size_t out, double scale)
{
    if (strcmp(how->coordinates, "asymmetric") == 0)
        return (double)i / scale;
    if (strcmp(how->coordinates, "align_corners") == 0)
        return out > 1 ? (double)i * (double)(in - 1) / (double)(out - 1) : 0;
    if (strcmp(how->coordinates, "pytorch_half_pixel") == 0 && out == 1)
        return 0;
    return ((double)i + 0.5) / scale - 0.5;
}

/* Keys: "Cubic convolution interpolation for digital image processing", 1981. */
static double cubic_weight(double a, double x)
{
    x = fabs(x);
    if (x < 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

/* One axis of `in` elements resized, all others as they are; elements of it are `step` apart. */
static array resize_axis(reader *r, const array *a, size_t axis, size_t size, double scale,
                         const resizing *how)
{
    size_t dims[ONNX_RANK_MAX], behind = 1, in = a->dims[axis];
    memcpy(dims, a->dims, sizeof dims);
    dims[axis] = size;
    for (size_t d = axis + 1; d < a->rank; d++)
        behind *= dims[d];
    bool nearest = strcmp(how->mode, "nearest") == 0, cubic = strcmp(how->mode, "cubic") == 0;
    array out = onnx_array_new(r, false, a->rank, dims);
    for (size_t k = 0; k < out.count; k++) {
        size_t tail = k % behind, i = k / behind % size, head = k / behind / size;
        double at = source_of(how, i, in, size, scale), sum = 0;
        double first = nearest ? ceil(at - 0.5) : floor(at) - (cubic ? 1 : 0);
        for (int tap = 0; tap < (nearest ? 1 : cubic ? 4 : 2); tap++) {
            double off = at - (first + tap), place = fmin(fmax(first + tap, 0), (double)in - 1);
            double weight = nearest ? 1
                            : cubic ? cubic_weight((double)how->cubic, off)
                                    : 1 - fabs(off);
            sum += weight * onnx_at(a, (head * in + (size_t)place) * behind + tail);
        }
        out.f[k] = (float)sum;
    }
    return out;
}

static array fold_resize(reader *r, const node *n, const array *a)
{
    resizing how = {onnx_string(n, "mode", "nearest"),
                    onnx_string(n, "coordinate_transformation_mode", "half_pixel"),
                    onnx_float(n, "cubic_coeff_a", -0.75f)};
    value *scales = onnx_input(n, 2), *sizes = onnx_input(n, 3);
    const array *by = sizes ? onnx_constant(r, n, sizes) : onnx_constant(r, n, scales);
    bool known = *how.mode != '?' && *how.coordinates != '?' &&
                 onnx_int(n, "exclude_outside", 0) == 0 && onnx_int(n, "antialias", 0) == 0;
    if (!known || a->whole || by->count != a->rank)
        onnx_fail(r, n, "resizing in a way that is not known here");
    array out = *a;
    for (size_t d = 0; d < a->rank; d++) {
        double given = onnx_at(by, d), in = (double)a->dims[d];
        double scale = sizes ? given / in : given, size = sizes ? given : floor(in * given);
        if (!(scale > 0 && size >= 1 && size < 65536))
            onnx_fail(r, n, "a size of %g", size);
        if ((size_t)size != a->dims[d])
            out = resize_axis(r, &out, d, (size_t)size, scale, &how);
    }
    return out;
}

static array fold_range(reader *r, const node *n)
{
    double at[3];
    for (size_t k = 0; k < 3; k++) {
        const array *a = onnx_constant(r, n, onnx_input(n, k));
        if (a->count != 1)
            onnx_fail(r, n, "a range by %zu numbers", a->count);
        at[k] = onnx_at(a, 0);
    }
    double steps = ceil((at[1] - at[0]) / at[2]);
    size_t count = steps > 0 && steps < 1e6 ? (size_t)steps : 0;
    array out = onnx_array_new(r, onnx_constant(r, n, onnx_input(n, 0))->whole, 1, &count);
    for (size_t i = 0; i < count; i++)
        put(&out, i, at[0] + (double)i * at[2]);
    return out;
}

static array fold_clip(reader *r, const node *n, const array *a)
{
    array out = onnx_array_new(r, a->whole, a->rank, a->dims);
    double bounds[2] = {-INFINITY, INFINITY};
    for (size_t k = 0; k < 2; k++)
        if (onnx_input(n, k + 1) && onnx_constant(r, n, n->inputs[k + 1])->count == 1)
            bounds[k] = onnx_at(onnx_constant(r, n, n->inputs[k + 1]), 0);
    for (size_t i = 0; i < a->count; i++)
        put(&out, i, fmin(fmax(onnx_at(a, i), bounds[0]), bounds[1]));
    return out;
}

static array fold_new(reader *r, const node *n)
{
    const Onnx__AttributeProto *a = onnx_attribute(n, "value");
    value made = {.name = "a constant", .initial = a ? a->t : NULL};
    if (onnx_is(n, "Constant")) {
        array out;
        const Onnx__AttributeProto *one = onnx_attribute(n, "value_float");
        size_t none = 0;
        if (a && a->t)
            return *onnx_constant(r, n, &made);
        if (onnx_numbers(r, n, SIZE_MAX, "value_ints", &out) ||
            onnx_numbers(r, n, SIZE_MAX, "value_floats", &out))
            return out;
        out = onnx_array_new(r, !one, 0, &none);
        put(&out, 0, one ? (double)one->f : (double)onnx_int(n, "value_int", 0));
        return out;
    }
    const array *shape = onnx_constant(r, n, onnx_input(n, 0));
    array zero = {.rank = 0, .count = 1, .f = (float[]){0}};
    return fold_expand(r, n, made.initial ? onnx_constant(r, n, &made) : &zero, shape);
}

void onnx_fold(reader *r, const node *n)
{
    array out;
    const array *a = n->input_count ? onnx_constant(r, n, onnx_input(n, 0)) : NULL;
    size_t rank, dims[ONNX_RANK_MAX];
    if (onnx_is(n, "Constant") || onnx_is(n, "ConstantOfShape")) {
        out = fold_new(r, n);
    } else if (!a) {
        onnx_fail(r, n, "it is not computed here");
    } else if (onnx_is(n, "Identity") || onnx_is(n, "Dropout")) {
        out = *a;
    } else if (onnx_is(n, "Shape")) {
        out = onnx_shape(r, n, a->rank, a->dims);
    } else if (onnx_is(n, "Reshape")) {
        onnx_reshape_dims(r, n, a->rank, a->dims, onnx_constant(r, n, onnx_input(n, 1)), &rank,
                          dims);
        out = with_shape(r, a, rank, dims);
    } else if (onnx_is(n, "Unsqueeze") || onnx_is(n, "Squeeze")) {
        out = fold_unsqueeze(r, n, a, onnx_is(n, "Unsqueeze"));
    } else if (onnx_is(n, "Cast")) {
        out = fold_cast(r, n, a);
    } else if (onnx_is(n, "Slice")) {
        out = fold_slice(r, n, a);
    } else if (onnx_is(n, "Transpose")) {
        out = fold_transpose(r, n, a);
    } else if (onnx_is(n, "Gather")) {
        out = fold_gather(r, n, a, onnx_constant(r, n, onnx_input(n, 1)));
    } else if (onnx_is(n, "Concat")) {
        out = fold_concat(r, n);
    } else if (onnx_is(n, "Expand")) {
        out = fold_expand(r, n, a, onnx_constant(r, n, onnx_input(n, 1)));
    } else if (onnx_is(n, "Split")) {
        out = fold_split(r, n, a);
    } else if (onnx_is(n, "Tile")) {
        out = fold_tile(r, n, a, onnx_constant(r, n, onnx_input(n, 1)));
    } else if (onnx_is(n, "Resize")) {
        out = fold_resize(r, n, a);
    } else if (onnx_is(n, "Range")) {
        out = fold_range(r, n);
    } else if (onnx_is(n, "Clip")) {
        out = fold_clip(r, n, a);
    } else if (onnx_is(n, "Where")) {
        out = fold_where(r, n);
    } else if (onnx_is(n, "MatMul")) {
        out = fold_product(r, n, a, onnx_constant(r, n, onnx_input(n, 1)));
    } else if (onnx_is(n, "BatchNormalization")) {
        out = fold_batch_norm(r, n, a);
    } else if (reduction_of(n)) {
        out = fold_reduce(r, n, a, reduction_of(n));
    } else if (!fold_elements(r, n, &out)) {
        onnx_fail(r, n, "it is not computed here");
    }
    n->outputs[0]->constant = out;
    n->outputs[0]->state = STATE_CONSTANT;
}
