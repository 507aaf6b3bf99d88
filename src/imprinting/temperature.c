#include "temperature.h"

#include <math.h>

#define ENOUGH 300000 /* scores to fit by; of more, every so many rows are taken */
#define HALVINGS 30   /* of 28 in the logarithm: to 3e-8 of the factor */

/* The cross-entropy of one row in nats and its derivative by the logarithm of the factor. The row's
 * own class is meant by 1 - doubt, the others share the rest: else rows that are all right would
 * have the factor without bound (as Platt: Probabilistic outputs for support vector machines, 1999,
 * has it). */
static double row_loss(const float *scores, size_t classes, size_t own, double factor, double doubt,
                       double *slope)
{
    double most = scores[0], sum = 0, mean = 0, others = 0;
    for (size_t c = 1; c < classes; c++)
        most = scores[c] > most ? scores[c] : most;
    for (size_t c = 0; c < classes; c++) {
        double above = scores[c] - most, weight = exp(factor * above);
        sum += weight;
        mean += weight * above;
        others += c == own ? 0 : above;
    }
    double meant = (1 - doubt) * (scores[own] - most) +
                   (classes > 1 ? doubt * others / (double)(classes - 1) : 0);
    *slope += factor * (mean / sum - meant);
    return log(sum) - factor * meant;
}

/* The rows of one kind that are left out, so many at a step. */
typedef struct {
    const episodes *set;
    const float *scores;
    size_t step;
    double count[2]; /* rows of novel and of base classes */
    double share[2]; /* of either in the mean loss */
    temperature_weights weights;
} rows;

static bool takes(const rows *w, size_t row)
{
    return row % w->step == 0 && episodes_can_leave_out(w->set, row);
}

/* The mean of novel and of base rows' mean losses, by their shares; and its derivative. */
static double mean_loss(const rows *w, double factor, double *slope)
{
    const episodes *set = w->set;
    double loss[2] = {0}, slopes[2] = {0};
    double doubt = 1 / (w->count[0] + w->count[1] + 2);
    for (size_t i = 0; i < set->rows; i++) {
        if (!takes(w, i))
            continue;
        size_t own = set->class_of[i];
        bool base = set->is_base[own];
        double n = set->shots[own];
        bool without = w->weights == WEIGHTS_CLASSES && !base && n > 1;
        double surer = without ? sqrt(n / (n - 1)) : 1;
        loss[base] += row_loss(w->scores + i * set->classes, set->classes, own, factor / surer,
                               doubt, &slopes[base]);
    }
    *slope = 0;
    double sum = 0;
    for (size_t k = 0; k < 2; k++) {
        sum += w->count[k] > 0 ? loss[k] / w->count[k] * w->share[k] : 0;
        *slope += w->count[k] > 0 ? slopes[k] / w->count[k] * w->share[k] : 0;
    }
    return sum;
}

/* The loss is convex in the factor: its derivative has one root. */
double temperature_factor(const episodes *set, const float *scores, temperature_weights weights,
                          double *loss)
{
    rows w = {.set = set,
              .scores = scores,
              .weights = weights,
              .step = 1 + set->rows * set->classes / ENOUGH};
    double low = log(1e-6), high = log(1e6), slope;
    for (size_t i = 0; i < set->rows; i++)
        w.count[set->is_base[set->class_of[i]]] += takes(&w, i);
    bool any = w.count[0] + w.count[1] > 0;
    double classes[2] = {(double)(set->classes - set->base_classes), (double)set->base_classes};
    for (size_t k = 0; k < 2; k++)
        w.share[k] = w.count[k] == 0 ? 0 : weights == WEIGHTS_CLASSES ? classes[k] : 1;
    double shares = w.share[0] + w.share[1];
    for (size_t k = 0; k < 2 && any; k++)
        w.share[k] /= shares;
    for (int turn = 0; any && turn < HALVINGS; turn++) {
        double middle = (low + high) / 2;
        mean_loss(&w, exp(middle), &slope);
        *(slope > 0 ? &high : &low) = middle;
    }
    double factor = any ? exp((low + high) / 2) : 1;
    if (loss)
        *loss = any ? mean_loss(&w, factor, &slope) : log((double)set->classes);
    return factor;
}
