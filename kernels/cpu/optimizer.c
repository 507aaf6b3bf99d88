#include "optimizer.h"

#include "loops.h"

#include <math.h>

/* Numbers of one step, the same for every parameter. */
typedef struct {
    float beta1, beta2, epsilon, momentum;
    float rate;  /* adam: with the bias corrections */
    float decay; /* sgd: added to the gradient; adamw: taken from the weight, times the rate */
} step_numbers;

CLONES static void adam(const step_numbers *n, float *restrict w, const float *restrict g,
                        float *restrict m, float *restrict v, size_t count)
{
    const float b1 = n->beta1, b2 = n->beta2, epsilon = n->epsilon, rate = n->rate;
    const float keep = 1 - n->decay, c1 = 1 - b1, c2 = 1 - b2;
    for (size_t i = 0; i < count; i++) {
        m[i] = b1 * m[i] + c1 * g[i];
        v[i] = b2 * v[i] + c2 * g[i] * g[i];
        w[i] = keep * w[i] - rate * m[i] / (sqrtf(v[i]) + epsilon);
    }
}

CLONES static void sgd(const step_numbers *n, float *restrict w, const float *restrict g,
                       float *restrict m, size_t count)
{
    const float momentum = n->momentum, rate = n->rate, decay = n->decay;
    for (size_t i = 0; i < count; i++) {
        float gradient = g[i] + decay * w[i];
        m[i] = momentum * m[i] + gradient;
        w[i] -= rate * (gradient + momentum * m[i]);
    }
}

static step_numbers numbers_of(const optimizer *o, uint64_t step, float rate)
{
    step_numbers n = {.beta1 = o->beta1,
                      .beta2 = o->beta2,
                      .epsilon = o->epsilon,
                      .momentum = o->momentum,
                      .rate = rate};
    if (o->kind != OPTIMIZER_SGD) {
        double t = (double)step;
        n.rate = (float)(rate * sqrt(1 - pow(o->beta2, t)) / (1 - pow(o->beta1, t)));
    }
    if (o->kind == OPTIMIZER_ADAMW)
        n.decay = rate * o->weight_decay;
    else if (o->kind == OPTIMIZER_SGD)
        n.decay = o->weight_decay;
    return n;
}

void optimizer_step(const optimizer *o, const learning_part *parts, size_t count, uint64_t step,
                    float rate, float *parameters, const float *gradient, float *first,
                    float *second)
{
    const step_numbers decaying = numbers_of(o, step, rate);
    step_numbers plain = decaying;
    plain.decay = 0;
#pragma omp parallel
    for (size_t p = 0; p < count; p++) {
        const step_numbers *n = parts[p].decays ? &decaying : &plain;
        size_t from, to;
        thread_part(parts[p].count, 256, &from, &to);
        size_t i = parts[p].start + from;
        if (o->kind == OPTIMIZER_SGD)
            sgd(n, parameters + i, gradient + i, first + i, to - from);
        else
            adam(n, parameters + i, gradient + i, first + i, second + i, to - from);
    }
}
