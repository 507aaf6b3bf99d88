/* interval.h: a mean and how far it can be trusted. */
#ifndef SRC_SCORING_INTERVAL_H
#define SRC_SCORING_INTERVAL_H

#include <stddef.h>

/* The mean of `count` independent values and half the width of its 95 % confidence interval,
 * t s / sqrt(count), with s the sample's standard deviation and t Student's 97.5 % point for count
 * - 1 degrees of freedom. half is NaN for fewer than two values, mean for none. */
typedef struct {
    size_t count;
    double mean, half;
} interval;
interval interval_of(const double *values, size_t count);

/* Student's t distribution: P(|T| <= t) for t >= 0 and whole degrees of freedom, as a finite sum
 * (Abramowitz and Stegun, 26.7.3 and 26.7.4), and the t for which it is `share`. */
double student_two_sided(double t, size_t degrees);
double student_point(double share, size_t degrees);

#endif
