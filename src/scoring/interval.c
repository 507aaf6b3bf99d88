#include "interval.h"

#include <math.h>

double student_two_sided(double t, size_t degrees)
{
    double angle = atan2(t, sqrt((double)degrees));
    double cosine = cos(angle), square = cosine * cosine;
    double term = degrees % 2 ? cosine : 1, sum = degrees == 1 ? 0 : term;
    for (size_t k = degrees % 2 ? 3 : 2; k + 1 < degrees; k += 2) {
        term *= square * (double)(k - 1) / (double)k;
        sum += term;
    }
    return degrees % 2 ? 2 / M_PI * (angle + sin(angle) * sum) : sin(angle) * sum;
}

double student_point(double share, size_t degrees)
{
    double low = 0, high = 1;
    while (student_two_sided(high, degrees) < share && high < 1e9)
        high *= 2;
    for (int i = 0; i < 100; i++) {
        double middle = (low + high) / 2;
        if (student_two_sided(middle, degrees) < share)
            low = middle;
        else
            high = middle;
    }
    return (low + high) / 2;
}

interval interval_of(const double *values, size_t count)
{
    double sum = 0, squares = 0;
    for (size_t i = 0; i < count; i++)
        sum += values[i];
    double mean = count ? sum / (double)count : NAN;
    for (size_t i = 0; i < count; i++)
        squares += (values[i] - mean) * (values[i] - mean);
    interval found = {count, mean, NAN};
    if (count >= 2)
        found.half = student_point(0.95, count - 1) * sqrt(squares / (double)(count - 1)) /
                     sqrt((double)count);
    return found;
}
