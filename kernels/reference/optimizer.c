/* optimizer.c: the formulas of backend.h.
 *
 * Kingma, Ba: "Adam", 2015, with epsilon as Keras has it; Loshchilov, Hutter: "Decoupled weight
 * decay regularization", 2019; Nesterov momentum as in Sutskever et al., 2013, in the form with the
 * momentum added to the gradient. */
#include "reference.h"

#include <math.h>

static void step_adam(const optimizer *o, uint64_t t, double rate, size_t count,
                      const double *gradient, float *value, float *first, float *second)
{
    double b1 = (double)o->beta1, b2 = (double)o->beta2;
    double r = rate * sqrt(1 - pow(b2, (double)t)) / (1 - pow(b1, (double)t));
    for (size_t i = 0; i < count; i++) {
        double g = gradient[i];
        double m = b1 * (double)first[i] + (1 - b1) * g;
        double v = b2 * (double)second[i] + (1 - b2) * g * g;
        value[i] = (float)((double)value[i] - r * m / (sqrt(v) + (double)o->epsilon));
        first[i] = (float)m;
        second[i] = (float)v;
    }
}

static void step_sgd(const optimizer *o, double rate, double decay, size_t count,
                     const double *gradient, float *value, float *first)
{
    double momentum = (double)o->momentum;
    for (size_t i = 0; i < count; i++) {
        double g = gradient[i] + decay * (double)value[i];
        double m = momentum * (double)first[i] + g;
        value[i] = (float)((double)value[i] - rate * (g + momentum * m));
        first[i] = (float)m;
    }
}

void reference_optimizer_step(const optimizer *o, uint64_t t, double rate, bool decays,
                              size_t count, const double *gradient, float *value, float *first,
                              float *second)
{
    double decay = decays ? (double)o->weight_decay : 0;
    if (o->kind == OPTIMIZER_SGD) {
        step_sgd(o, rate, decay, count, gradient, value, first);
        return;
    }
    for (size_t i = 0; o->kind == OPTIMIZER_ADAMW && i < count; i++)
        value[i] = (float)((double)value[i] * (1 - rate * decay));
    step_adam(o, t, rate, count, gradient, value, first, second);
}
