#include "scale.h"

#include <math.h>

/* The cross-entropy of one row in nats. */
static double row_loss(const float *scores, size_t classes, size_t own, double scale)
{
    double most = scores[0], sum = 0;
    for (size_t c = 1; c < classes; c++)
        most = scores[c] > most ? scores[c] : most;
    for (size_t c = 0; c < classes; c++)
        sum += exp(scale * (scores[c] - most));
    return log(sum) - scale * (scores[own] - most);
}

static double mean_loss(const rehearsal *r, const float *scores, double scale)
{
    double loss[2] = {0}, count[2] = {0};
    for (size_t i = 0; i < r->rows; i++) {
        size_t own = r->class_of[i];
        if (!r->is_base[own] && r->shots[own] < 2)
            continue;
        loss[r->is_base[own]] += row_loss(scores + i * r->classes, r->classes, own, scale);
        count[r->is_base[own]] += 1;
    }
    return (count[0] > 0 ? loss[0] / count[0] : 0) + (count[1] > 0 ? loss[1] / count[1] : 0);
}

/* The loss is convex in the factor: a search by thirds over its logarithm finds the least. */
double scale_fit(const rehearsal *r, const float *scores)
{
    double low = log(1e-6), high = log(1e3);
    if (mean_loss(r, scores, 1) == 0)
        return 1;
    for (int turn = 0; turn < 60; turn++) {
        double a = low + (high - low) / 3, b = high - (high - low) / 3;
        if (mean_loss(r, scores, exp(a)) < mean_loss(r, scores, exp(b)))
            high = b;
        else
            low = a;
    }
    return exp((low + high) / 2);
}
