/* fixture.h: what the tests of backends share: random inputs, poisoned outputs, comparisons. */
#ifndef TESTS_FIXTURE_H
#define TESTS_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../kernels/backend.h"

/* ---- random inputs ---- */

static uint64_t fixture_seed; /* printed by main, set by --seed */

/* SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014). */
typedef struct {
    uint64_t state;
} draws;

static inline uint64_t draw_bits(draws *s)
{
    uint64_t z = s->state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

/* Draws of its own for each name, so that a test sees the same numbers when it runs alone. */
static inline draws draw_named(const char *name)
{
    draws s = {fixture_seed};
    for (; *name; name++)
        s.state = draw_bits(&s) ^ (uint64_t)(unsigned char)*name;
    return s;
}

static inline size_t draw_below(draws *s, size_t limit)
{
    return (size_t)(draw_bits(s) % limit);
}

static inline double draw_uniform(draws *s, double low, double high)
{
    return low + (high - low) * (double)(draw_bits(s) >> 11) * 0x1p-53;
}

/* About normal: the sum of four uniform numbers, of variance 1. */
static inline float draw_normal(draws *s)
{
    double sum = 0;
    for (int i = 0; i < 4; i++)
        sum += draw_uniform(s, -1, 1);
    return (float)(sum * 0.8660254037844386);
}

/* ---- arrays ---- */

static inline void *array_new(size_t count, size_t size)
{
    void *memory = calloc(count ? count : 1, size);
    if (!memory)
        fail_msg("out of memory for %zu x %zu bytes", count, size);
    return memory;
}

static inline float *normal_new(draws *s, size_t count)
{
    float *all = array_new(count, sizeof *all);
    for (size_t i = 0; i < count; i++)
        all[i] = draw_normal(s);
    return all;
}

/* Outputs begin as NaN, with a margin behind them that nobody may touch. */
enum { MARGIN = 64 };

static inline float *poisoned_new(size_t count)
{
    float *all = array_new(count + MARGIN, sizeof *all);
    memset(all, 0xFF, (count + MARGIN) * sizeof *all);
    return all;
}

static inline bool margin_intact(const float *all, size_t count)
{
    static const unsigned char poison[MARGIN * sizeof(float)] = {0};
    const unsigned char *margin = (const unsigned char *)(all + count);
    for (size_t i = 0; i < sizeof poison; i++)
        if (margin[i] != 0xFF)
            return false;
    return true;
}

/* ---- comparisons ---- */

/* |a - b|_2 / |b|_2 and max |a - b| / max |b|; `floor` (a root mean square) bounds the denominators
 * from below, for arrays that ought to be zero. NaN in `a` gives infinity. */
typedef struct {
    double norm, largest;
} deviation;

static inline deviation deviation_of(const float *a, const float *b, size_t count, double floor)
{
    double difference = 0, size = 0, most = 0, peak = 0;
    for (size_t i = 0; i < count; i++) {
        double d = fabs((double)a[i] - (double)b[i]), y = fabs((double)b[i]);
        if (!isfinite(a[i]) && !(a[i] == b[i]))
            return (deviation){INFINITY, INFINITY};
        difference += d * d;
        size += y * y;
        most = d > most ? d : most;
        peak = y > peak ? y : peak;
    }
    double least = floor * sqrt((double)count);
    size = sqrt(size) > least ? sqrt(size) : least;
    peak = peak > floor ? peak : floor;
    deviation none = {0, 0};
    if (most == 0)
        return none;
    return (deviation){sqrt(difference) / size, most / peak};
}

static inline double rms(const float *a, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (double)a[i] * (double)a[i];
    return count ? sqrt(sum / (double)count) : 0;
}

/* The larger one; NaN is larger than all. */
static inline double worst(double a, double b)
{
    return isnan(a) || b <= a ? a : b;
}

/* Collects what is wrong, so that a test tells it all at its end. */
typedef struct {
    char text[4096];
    size_t length, count;
} verdict;

static inline void verdict_add(verdict *v, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static inline void verdict_add(verdict *v, const char *format, ...)
{
    v->count++;
    if (v->length >= sizeof v->text - 1)
        return;
    va_list list;
    va_start(list, format);
    int wrote = vsnprintf(v->text + v->length, sizeof v->text - v->length, format, list);
    va_end(list);
    v->length += wrote > 0 ? (size_t)wrote : 0;
}

static inline void verdict_close(const verdict *v)
{
    if (v->count)
        fail_msg("%zu wrong (seed %llu):\n%s", v->count, (unsigned long long)fixture_seed, v->text);
}

/* Fails the test if a call of the backend failed. */
#define must(call)                                                                                 \
    do {                                                                                           \
        error must_error = {""};                                                                   \
        error *e = &must_error;                                                                    \
        if ((call) != 0)                                                                           \
            fail_msg("%s: %s", #call, must_error.text);                                            \
    } while (0)

/* kernels/reference, to be closed by the caller. */
static inline backend *reference_open(void)
{
    backend *b = NULL;
    must(backend_open(&(backend_options){.device = "reference"}, &b, NULL, e));
    return b;
}

/* Begins a program of tests that draws new inputs at every run. */
static inline void fixture_begin(void)
{
    fixture_seed = (uint64_t)time(NULL);
    printf("# seed %llu\n", (unsigned long long)fixture_seed);
}

#endif
