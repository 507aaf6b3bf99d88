#include "weights.h"

#include <math.h>

/* The mean length of the base classes' weights; 1 where there is no base class. */
static double base_length(const model *m)
{
    const float *w = model_find(m, "head/weight")->data;
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

/* Norm l2: the mean's direction, of length 1 for the cosine head (which looks at directions alone)
 * and of the base weights' mean length for the softmax head. Norm none: the mean as it is. */
static int set_weight(model *m, size_t class_index, double length, error *e)
{
    size_t dimension = m->net.dimension;
    const double *sum =
        (const double *)model_find(m, "imprint/sum")->data + class_index * dimension;
    double count = ((const double *)model_find(m, "imprint/count")->data)[class_index];
    float *w = (float *)model_find(m, "head/weight")->data + class_index * dimension;
    double square = 0;
    for (size_t d = 0; d < dimension; d++)
        square += sum[d] * sum[d];
    if (!(sqrt(square) > 1e-9 * count))
        return error_set(e,
                         "class %s: its embeddings are zeros or cancel out, so their mean has no "
                         "direction",
                         m->classes.names[class_index]);
    double factor = m->norm == NORM_NONE ? 1 / count : length / sqrt(square);
    for (size_t d = 0; d < dimension; d++)
        w[d] = (float)(sum[d] * factor);
    return 0;
}

int weights_make(backend *b, model *m, const bool *changed, error *e)
{
    (void)b;
    double length = m->net.head == HEAD_SOFTMAX ? base_length(m) : 1;
    for (size_t c = 0; c < m->classes.count; c++)
        if (changed[c] && set_weight(m, c, length, e) < 0)
            return -1;
    return 0;
}

bool weights_makes_note(const char *key)
{
    (void)key;
    return false;
}
