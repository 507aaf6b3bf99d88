/* function.h: exponentials for loops that the compiler is to vectorise, without branches or calls.
 * tests/unit/function.c holds them to the C library's. */
#ifndef KERNELS_CPU_FUNCTION_H
#define KERNELS_CPU_FUNCTION_H

#include "loops.h"

/* exp(x) within 3e-7 of itself; 0 below -87, and exp(88) above 88. x = n ln 2 + r, |r| <= ln 2 / 2;
 * exp(r) by its Taylor series to r^6. */
ALWAYS_INLINE float exp_float(float x)
{
    const float magic = 12582912.0f; /* 1.5 2^23: a number near it has no fraction */
    float inside = x < 88 ? x : 88;
    inside = inside > -87 ? inside : -87;
    float shifted = inside * 1.44269504f + magic, n = shifted - magic;
    float r = inside - n * 0.693359375f + n * 2.12194440e-4f; /* ln 2, in two parts */
    float series = 1.0f / 720;
    series = series * r + 1.0f / 120;
    series = series * r + 1.0f / 24;
    series = series * r + 1.0f / 6;
    series = series * r + 0.5f;
    series = series * r + 1;
    series = series * r + 1;
    int32_t bits = ((int32_t)n + 127) << 23;
    float power;
    memcpy(&power, &bits, sizeof power);
    return x < -87 ? 0 : series * power;
}

/* The density of the standard normal distribution. */
ALWAYS_INLINE float normal_density(float x)
{
    return 0.39894228f * exp_float(-0.5f * x * x);
}

/* The probability that a standard normal number is below x, within 4e-7. Abramowitz, Stegun:
 * Handbook of Mathematical Functions, 26.2.17. */
ALWAYS_INLINE float normal_below(float x)
{
    float size = x < 0 ? -x : x, t = 1 / (1 + 0.2316419f * size);
    float series = 1.330274429f;
    series = series * t - 1.821255978f;
    series = series * t + 1.781477937f;
    series = series * t - 0.356563782f;
    series = series * t + 0.319381530f;
    float tail = normal_density(x) * series * t;
    return x < 0 ? tail : 1 - tail;
}

#endif
