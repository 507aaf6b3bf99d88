/* onnx_view.c: values that are views of an activation: what reshaping, transposing, splitting and
 * slicing make of it, without a step of the network. */
#include "onnx_graph.h"

#include <string.h>

size_t axis_size(const axis *a)
{
    size_t size = 1;
    for (size_t i = 0; i < a->count; i++)
        size *= a->factors[i].size;
    return size;
}

void view_dims(const view *v, size_t *dims)
{
    for (size_t d = 0; d < v->rank; d++)
        dims[d] = axis_size(&v->axes[d]);
}

size_t view_count(const view *v)
{
    size_t count = 1;
    for (size_t d = 0; d < v->rank; d++)
        count *= axis_size(&v->axes[d]);
    return count;
}

static void axis_add(axis *a, size_t size, size_t place, size_t channel)
{
    if (size > 1)
        a->factors[a->count++] = (factor){size, place, channel};
}

view view_spatial(act *a, bool sole)
{
    view v = {.of = a, .scale = 1, .rank = 4, .sole = sole};
    axis_add(&v.axes[1], a->size.channels, 0, 1);
    axis_add(&v.axes[2], a->size.height, a->size.width, 0);
    axis_add(&v.axes[3], a->size.width, 1, 0);
    return v;
}

view view_of(act *a, bool sole, const view *like)
{
    view v = *like;
    v.of = a;
    v.scale = 1;
    v.sole = sole;
    v.place = v.channel = 0;
    return v;
}

/* ---- all factors in a row ---- */

enum { ALL_MOST = ONNX_RANK_MAX * FACTORS_MAX };

/* Neighbours that step evenly on through both become one. */
static size_t factors_join(const view *v, factor *out)
{
    size_t count = 0;
    for (size_t d = 0; d < v->rank; d++) {
        for (size_t i = 0; i < v->axes[d].count; i++) {
            factor f = v->axes[d].factors[i], *last = count ? &out[count - 1] : NULL;
            if (last && last->place == f.place * f.size && last->channel == f.channel * f.size)
                *last = (factor){last->size * f.size, f.place, f.channel};
            else
                out[count++] = f;
        }
    }
    return count;
}

bool view_reshape(view *v, size_t rank, const size_t *dims)
{
    factor all[ALL_MOST];
    size_t count = factors_join(v, all), at = 0;
    view out = *v;
    out.rank = rank;
    for (size_t d = 0; d < rank; d++) {
        axis *a = &out.axes[d];
        size_t left = dims[d];
        a->count = 0;
        while (left > 1) {
            if (at == count || a->count == FACTORS_MAX)
                return false;
            factor *f = &all[at];
            if (left % f->size == 0) {
                a->factors[a->count++] = *f;
                left /= f->size;
                at++;
            } else if (f->size % left == 0) {
                size_t inner = f->size / left;
                a->factors[a->count++] = (factor){left, f->place * inner, f->channel * inner};
                f->size = inner;
                left = 1;
            } else {
                return false;
            }
        }
    }
    if (at < count)
        return false;
    *v = out;
    return true;
}

void view_permute(view *v, const size_t *order)
{
    view from = *v;
    for (size_t d = 0; d < v->rank; d++)
        v->axes[d] = from.axes[order[d]];
}

bool view_slice(view *v, size_t at, size_t first, size_t count)
{
    axis *a = &v->axes[at];
    size_t size = axis_size(a);
    if (count == 0 || first + count > size)
        return false;
    if (count == size)
        return true;
    if (a->count != 1) {
        /* Of several factors: whole runs of the inner ones. */
        size_t inner = size / a->factors[0].size;
        if (first % inner || count % inner)
            return false;
        first /= inner;
        count /= inner;
    }
    factor *f = &a->factors[0];
    v->place += first * f->place;
    v->channel += first * f->channel;
    f->size = count;
    if (count == 1) {
        a->count--;
        memmove(a->factors, a->factors + 1, a->count * sizeof *a->factors);
    }
    return true;
}

/* ---- whole ones ---- */

/* Whether the factors that step by `place` (or by channel) reach each of `count` once. */
static bool covers(const factor *all, size_t factors, bool place, size_t count)
{
    size_t reached = 1;
    for (size_t turn = 0; turn <= factors && reached < count; turn++)
        for (size_t i = 0; i < factors; i++)
            if ((place ? all[i].place : all[i].channel) == reached) {
                reached *= all[i].size;
                break;
            }
    return reached == count;
}

bool view_is_whole(const view *v)
{
    factor all[ALL_MOST];
    size_t factors = factors_join(v, all), places = v->of->size.height * v->of->size.width;
    if (v->place || v->channel || view_count(v) != extent_size(v->of->size))
        return false;
    for (size_t i = 0; i < factors; i++)
        if (all[i].place && all[i].channel)
            return false;
    return covers(all, factors, true, places) && covers(all, factors, false, v->of->size.channels);
}

/* Whether the factors, all in a row, are places and then channels, or the other way round. */
static bool in_order(const view *v, bool channels_first)
{
    factor all[ALL_MOST], want[2];
    size_t factors = factors_join(v, all), count = 0;
    size_t places = v->of->size.height * v->of->size.width, channels = v->of->size.channels;
    for (int turn = 0; turn < 2; turn++) {
        bool channel = channels_first == (turn == 0);
        if ((channel ? channels : places) > 1)
            want[count++] = channel ? (factor){channels, 0, 1} : (factor){places, 1, 0};
    }
    return view_is_whole(v) && factors == count && memcmp(all, want, count * sizeof *want) == 0;
}

bool view_channels_last(const view *v)
{
    return v->rank > 0 && axis_size(&v->axes[v->rank - 1]) == v->of->size.channels &&
           in_order(v, false);
}

bool view_is_spatial(const view *v)
{
    extent e = v->of->size;
    size_t dims[ONNX_RANK_MAX];
    view_dims(v, dims);
    return v->rank == 4 && dims[0] == 1 && dims[1] == e.channels && dims[2] == e.height &&
           dims[3] == e.width && in_order(v, true);
}

void view_element(const view *v, size_t i, size_t *place, size_t *channel)
{
    *place = v->place;
    *channel = v->channel;
    for (size_t d = v->rank; d-- > 0;) {
        for (size_t k = v->axes[d].count; k-- > 0;) {
            const factor *f = &v->axes[d].factors[k];
            *place += i % f->size * f->place;
            *channel += i % f->size * f->channel;
            i /= f->size;
        }
    }
}
