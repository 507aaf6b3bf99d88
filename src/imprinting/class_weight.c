#include "class_weight.h"

#include <math.h>

/* The mean length of the base classes' weights; 1 where there is no base class. */
static double base_length(const model *m)
{
    const float *w = model_part(m, PART_HEAD_WEIGHT);
    double total = 0, count = 0;
    for (size_t c = 0; c < m->classes.count; c++) {
        double square = 0;
        for (size_t d = 0; m->kinds[c] == CLASS_BASE && d < m->net.dimension; d++)
            square += (double)w[c * m->net.dimension + d] * w[c * m->net.dimension + d];
        total += sqrt(square);
        count += m->kinds[c] == CLASS_BASE;
    }
    return count > 0 && total > 0 ? total / count : 1;
}

class_weight_rule class_weight_rule_of(const model *m)
{
    const float *scale = model_part(m, PART_HEAD_SCALE);
    return (class_weight_rule){.dimension = m->net.dimension,
                               .norm = m->norm,
                               .head = m->net.head,
                               .length = m->net.head == HEAD_SOFTMAX ? base_length(m) : 1,
                               .scale = scale ? *scale : 1};
}

int class_weight_from_sum(const class_weight_rule *how, const double *sum, double count, float *w)
{
    double square = 0;
    for (size_t d = 0; d < how->dimension; d++)
        square += sum[d] * sum[d];
    if (!(sqrt(square) > 1e-9 * count))
        return -1;
    double factor = how->norm == NORM_NONE ? 1 / count : how->length / sqrt(square);
    for (size_t d = 0; d < how->dimension; d++)
        w[d] = (float)(sum[d] * factor);
    return 0;
}

float class_weight_score(const class_weight_rule *how, const float *embedding, const float *w)
{
    double product = 0, square = 0;
    for (size_t d = 0; d < how->dimension; d++) {
        product += (double)embedding[d] * w[d];
        square += (double)w[d] * w[d];
    }
    if (how->head == HEAD_SOFTMAX)
        return (float)product;
    return square > 0 ? (float)(how->scale * product / sqrt(square)) : 0;
}
