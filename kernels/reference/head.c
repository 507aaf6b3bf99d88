/* head.c: from embeddings to logits, and softmax cross-entropy.
 *
 *   softmax   z = w . f
 *   cosine    z = s (w / |w|) . (f / |f|)          Qi, Brown, Lowe, CVPR 2018, section 3
 *
 * A vector shorter than 1e-12 has no direction: w / |w| is then 0 and so is its gradient. */
#include "reference.h"

#include <math.h>

typedef struct {
    double dot;                  /* w . f */
    double inverse_w, inverse_f; /* 1 / |w|, 1 / |f|; 0 for no direction; 1 in the softmax head */
} pairing;

static double inverse_norm(double square)
{
    double norm = sqrt(square);
    return norm < 1e-12 ? 0 : 1 / norm;
}

static pairing pair(bool cosine, size_t dimension, const float *w, const double *f)
{
    double dot = 0, ww = 0, ff = 0;
#pragma omp simd reduction(+ : dot, ww, ff)
    for (size_t k = 0; k < dimension; k++) {
        dot += (double)w[k] * f[k];
        ww += (double)w[k] * (double)w[k];
        ff += f[k] * f[k];
    }
    return (pairing){dot, cosine ? inverse_norm(ww) : 1, cosine ? inverse_norm(ff) : 1};
}

void reference_head_forward(const network *n, size_t rows, const float *scale, const float *weight,
                            const double *embedding, double *logits)
{
    double s = scale ? (double)*scale : 1;
    for (size_t r = 0; r < rows; r++) {
        for (size_t c = 0; c < n->class_count; c++) {
            pairing p = pair(scale != NULL, n->dimension, weight + c * n->dimension,
                             embedding + r * n->dimension);
            logits[r * n->class_count + c] = s * p.dot * p.inverse_w * p.inverse_f;
        }
    }
}

/* With u = w/|w|, v = f/|f|, z = s u.v: dz/ds = u.v; dz/df = s (u - (u.v) v) / |f|; dz/dw alike. */
void reference_head_backward(const network *n, size_t rows, const float *scale, const float *weight,
                             const double *embedding, const double *d_logits, double *d_scale,
                             double *d_weight, double *d_embedding)
{
    size_t dimension = n->dimension;
    bool cosine = scale != NULL;
    double s = scale ? (double)*scale : 1;
    for (size_t i = 0; d_embedding && i < rows * dimension; i++)
        d_embedding[i] = 0;
    for (size_t r = 0; r < rows; r++) {
        const double *f = embedding + r * dimension;
        for (size_t c = 0; c < n->class_count; c++) {
            const float *w = weight + c * dimension;
            double d = d_logits[r * n->class_count + c];
            pairing p = pair(cosine, dimension, w, f);
            double u_v = cosine ? p.dot * p.inverse_w * p.inverse_f : 0;
            if (cosine)
                *d_scale += d * u_v;
            for (size_t k = 0; k < dimension; k++) {
                double u = (double)w[k] * p.inverse_w, v = f[k] * p.inverse_f;
                d_weight[c * dimension + k] += d * s * (v - u_v * u) * p.inverse_w;
                if (d_embedding)
                    d_embedding[r * dimension + k] += d * s * (u - u_v * v) * p.inverse_f;
            }
        }
    }
}

/* p = exp(z) / sum exp(z);  target t = (1 - a) onehot + a / classes;  loss = -sum t log p;
 * d loss / d z = p - t. */
static void row_cross_entropy(size_t classes, const double *z, size_t label, double a, double rows,
                              metrics *total, double *d_z)
{
    size_t best = 0;
    for (size_t c = 1; c < classes; c++)
        if (z[c] > z[best])
            best = c;
    double sum = 0;
    for (size_t c = 0; c < classes; c++)
        sum += exp(z[c] - z[best]);
    for (size_t c = 0; c < classes; c++) {
        double log_p = z[c] - z[best] - log(sum);
        double t = (c == label ? 1 - a : 0) + a / (double)classes;
        total->loss -= t * log_p;
        if (d_z)
            d_z[c] = (exp(log_p) - t) / rows;
    }
    total->hits += best == label;
    total->rows++;
}

void reference_cross_entropy(size_t rows, size_t classes, const double *logits,
                             const int32_t *labels, double smoothing, metrics *total,
                             double *d_logits)
{
    for (size_t r = 0; r < rows; r++)
        row_cross_entropy(classes, logits + r * classes, (size_t)labels[r], smoothing, (double)rows,
                          total, d_logits ? d_logits + r * classes : NULL);
}
