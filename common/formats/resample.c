/* resample.c: see resample.h. Columns first: rows arrive one by one, and a whole row is a vector
 * that compilers know how to add; then the few rows that are left are made narrower. */
#include "resample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Weights are whole numbers of 1 / 2^22: a sum of 255 times a weight stays within 32 bits, also
 * where a cubic's weights go beyond 1 and below 0. */
enum { WEIGHT_BITS = 22 };

/* What one line of pixels is made of: place i takes count[i] pixels from first[i] on. */
typedef struct {
    size_t places, most;
    size_t *first, *count;
    int32_t *weight; /* [places][most] */
} taps;

struct resampler {
    resample_plan plan;
    uint8_t *out;
    size_t stride, row_bytes;
    bool plain; /* nothing is resized */
    taps rows, columns;
    size_t came;           /* rows */
    size_t begun;          /* wanted rows that some row has gone into; from `finished` on */
    size_t finished;       /* wanted rows written */
    size_t room;           /* rows under way at once, at most */
    int32_t *sums;         /* [room][row_bytes] */
    uint8_t *finished_row; /* at the picture's own width */
};

/* ---- weights ---- */

static double triangle(double x)
{
    x = fabs(x);
    return x < 1 ? 1 - x : 0;
}

static double cubic(double x)
{
    const double a = -0.5;
    x = fabs(x);
    if (x < 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

static void taps_free(taps *t)
{
    free(t->first);
    free(t->count);
    free(t->weight);
}

/* The weights of one place, whose filter is centred on `centre` and reaches `reach` to each side.
 * */
static void weigh(taps *t, size_t place, size_t from, double centre, double reach, double stretch,
                  double (*filter)(double))
{
    double low = floor(centre - reach + 0.5), high = floor(centre + reach + 0.5);
    size_t first = low > 0 ? (size_t)low : 0, end = high < (double)from ? (size_t)high : from;
    int32_t *weight = t->weight + place * t->most;
    double sum = 0;
    for (size_t i = first; i < end; i++)
        sum += filter(((double)i + 0.5 - centre) / stretch);
    for (size_t i = first; i < end; i++)
        weight[i - first] =
            (int32_t)lrint(filter(((double)i + 0.5 - centre) / stretch) / sum * (1 << WEIGHT_BITS));
    t->first[place] = first;
    t->count[place] = end - first;
}

/* `places` of the `to` that `from` pixels become, the first of them number `skip`. */
static int taps_new(taps *t, size_t from, size_t to, size_t skip, size_t places,
                    resample_filter filter)
{
    double scale = (double)from / (double)to, stretch = scale > 1 ? scale : 1;
    double reach = (filter == RESAMPLE_BICUBIC ? 2 : 1) * stretch;
    t->places = places;
    t->most = (size_t)ceil(2 * reach) + 1;
    t->first = malloc(places * sizeof *t->first);
    t->count = malloc(places * sizeof *t->count);
    t->weight = calloc(places * t->most, sizeof *t->weight);
    if (!t->first || !t->count || !t->weight)
        return -1;
    for (size_t i = 0; i < places; i++)
        weigh(t, i, from, ((double)(i + skip) + 0.5) * scale, reach, stretch,
              filter == RESAMPLE_BICUBIC ? cubic : triangle);
    return 0;
}

/* ---- rows ---- */

/* How many wanted rows at most have begun and have not ended. */
static size_t rows_at_once(const taps *t)
{
    size_t most = 1;
    for (size_t from = 0, i = 0; i < t->places; i++) {
        while (t->first[from] + t->count[from] <= t->first[i])
            from++;
        most = i - from + 1 > most ? i - from + 1 : most;
    }
    return most;
}

int resampler_new(const resample_plan *plan, uint8_t *out, size_t stride, resampler **made,
                  error *e)
{
    resampler *r = calloc(1, sizeof *r);
    if (!r)
        return error_set(e, "out of memory for a picture");
    r->plan = *plan;
    r->out = out;
    r->stride = stride;
    r->row_bytes = plan->from.width * plan->from.channels;
    r->plain = plan->full_height == plan->from.height && plan->full_width == plan->from.width;
    int status = 0;
    if (!r->plain) {
        if (taps_new(&r->rows, plan->from.height, plan->full_height, plan->top, plan->height,
                     plan->filter) < 0 ||
            taps_new(&r->columns, plan->from.width, plan->full_width, plan->left, plan->width,
                     plan->filter) < 0)
            status = -1;
        r->room = status == 0 ? rows_at_once(&r->rows) : 0;
        r->sums = malloc((r->room * r->row_bytes + 1) * sizeof *r->sums);
        r->finished_row = malloc(r->row_bytes);
        if (!r->sums || !r->finished_row)
            status = -1;
    }
    if (status < 0) {
        resampler_free(r);
        return error_set(e, "out of memory for a picture of %zu columns", plan->from.width);
    }
    *made = r;
    return 0;
}

void resampler_free(resampler *r)
{
    if (!r)
        return;
    taps_free(&r->rows);
    taps_free(&r->columns);
    free(r->sums);
    free(r->finished_row);
    free(r);
}

static inline uint8_t to_byte(int32_t sum)
{
    sum >>= WEIGHT_BITS;
    return sum < 0 ? 0 : sum > 255 ? 255 : (uint8_t)sum;
}

static inline __attribute__((always_inline)) void
add(int32_t *restrict sums, const uint8_t *restrict row, size_t count, int32_t weight)
{
    for (size_t i = 0; i < count; i++)
        sums[i] += weight * row[i];
}

#ifdef __x86_64__
/* The machine's least instructions have no product of 32 bits. */
__attribute__((target("avx2"))) static void add_avx2(int32_t *sums, const uint8_t *row,
                                                     size_t count, int32_t weight)
{
    add(sums, row, count, weight);
}
#endif

static void add_row(int32_t *sums, const uint8_t *row, size_t count, int32_t weight)
{
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2")) {
        add_avx2(sums, row, count, weight);
        return;
    }
#endif
    add(sums, row, count, weight);
}

static void narrow_row(const taps *t, const uint8_t *row, size_t channels, uint8_t *out)
{
    for (size_t x = 0; x < t->places; x++) {
        const int32_t *weight = t->weight + x * t->most;
        const uint8_t *at = row + t->first[x] * channels;
        int32_t sum[3] = {1 << (WEIGHT_BITS - 1), 1 << (WEIGHT_BITS - 1), 1 << (WEIGHT_BITS - 1)};
        if (channels == 3)
            for (size_t i = 0; i < t->count[x]; i++, at += 3) {
                sum[0] += weight[i] * at[0];
                sum[1] += weight[i] * at[1];
                sum[2] += weight[i] * at[2];
            }
        else
            for (size_t i = 0; i < t->count[x]; i++)
                sum[0] += weight[i] * at[i];
        for (size_t c = 0; c < channels; c++)
            *out++ = to_byte(sum[c]);
    }
}

static void finish_row(resampler *r)
{
    const int32_t *sums = r->sums + r->finished % r->room * r->row_bytes;
    for (size_t i = 0; i < r->row_bytes; i++)
        r->finished_row[i] = to_byte(sums[i]);
    narrow_row(&r->columns, r->finished_row, r->plan.from.channels,
               r->out + r->finished * r->stride);
    r->finished++;
}

static void plain_row(resampler *r, const uint8_t *row)
{
    const resample_plan *p = &r->plan;
    if (r->came >= p->top && r->finished < p->height) {
        memcpy(r->out + r->finished * r->stride, row + p->left * p->from.channels,
               p->width * p->from.channels);
        r->finished++;
    }
    r->came++;
}

void resampler_row(resampler *r, const uint8_t *row)
{
    if (r->plain) {
        plain_row(r, row);
        return;
    }
    const taps *t = &r->rows;
    size_t y = r->came++;
    while (r->begun < t->places && t->first[r->begun] <= y) {
        int32_t *sums = r->sums + r->begun++ % r->room * r->row_bytes;
        for (size_t i = 0; i < r->row_bytes; i++)
            sums[i] = 1 << (WEIGHT_BITS - 1);
    }
    for (size_t i = r->finished; i < r->begun; i++)
        add_row(r->sums + i % r->room * r->row_bytes, row, r->row_bytes,
                t->weight[i * t->most + y - t->first[i]]);
    while (r->finished < r->begun && t->first[r->finished] + t->count[r->finished] <= r->came)
        finish_row(r);
}
