#include "head.h"

#include "dnnl_compat.h"
#include "loops.h"

#include <math.h>

/* ---- unit vectors ---- */

CLONES static float dot(const float *a, const float *b, size_t count)
{
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < count; i++)
        sum += a[i] * b[i];
    return sum;
}

/* y = a x + b z */
CLONES static void combine(float a, const float *x, float b, const float *z, float *y, size_t count)
{
#pragma omp simd
    for (size_t i = 0; i < count; i++)
        y[i] = a * x[i] + b * z[i];
}

/* Divides each row by its norm into `units`, and 1/norm (0 for a row of norm < 1e-12) into
 * `inverse`. */
static void unit_rows(const float *x, size_t rows, size_t dimension, float *units, float *inverse)
{
#pragma omp parallel for schedule(static) if (rows * dimension > 4096)
    for (size_t row = 0; row < rows; row++) {
        const float *from = x + row * dimension;
        float *to = units + row * dimension;
        float norm = sqrtf(dot(from, from, dimension));
        float factor = norm < 1e-12f ? 0 : 1 / norm;
        for (size_t d = 0; d < dimension; d++)
            to[d] = from[d] * factor;
        inverse[row] = factor;
    }
}

/* The gradient of v, from that of v/|v|: (g - u (u . g)) / |v|, in place. */
static void unit_rows_backward(const float *units, const float *inverse, size_t rows,
                               size_t dimension, float *gradient)
{
#pragma omp parallel for schedule(static) if (rows * dimension > 4096)
    for (size_t row = 0; row < rows; row++) {
        const float *u = units + row * dimension;
        float *g = gradient + row * dimension;
        float along = dot(u, g, dimension) * inverse[row];
        combine(inverse[row], g, -along, u, g, dimension);
    }
}

/* ---- forward ---- */

static float head_scale(const network *net, const float *parameters)
{
    return parameters[net->parameters[net->head_scale].start];
}

/* out [m][n] = alpha a [m][k] b [n][k]^T */
static void product_transposed(size_t m, size_t n, size_t k, float alpha, const float *a,
                               const float *b, float *out)
{
    dnnl_sgemm('N', 'T', (dnnl_dim_t)m, (dnnl_dim_t)n, (dnnl_dim_t)k, alpha, a, (dnnl_dim_t)k, b,
               (dnnl_dim_t)k, 0, out, (dnnl_dim_t)n);
}

void head_forward(head_space *h, const network *net, const float *parameters, const float *features,
                  size_t rows)
{
    const float *weights = parameters + net->parameters[net->head_weight].start;
    if (h->kind == HEAD_SOFTMAX) {
        product_transposed(rows, h->classes, h->dimension, 1, features, weights, h->logits);
        return;
    }
    unit_rows(features, rows, h->dimension, h->units, h->unit_inverse);
    unit_rows(weights, h->classes, h->dimension, h->proxies, h->proxy_inverse);
    product_transposed(rows, h->classes, h->dimension, 1, h->units, h->proxies, h->cosines);
    float s = head_scale(net, parameters);
    for (size_t i = 0; i < rows * h->classes; i++)
        h->logits[i] = s * h->cosines[i];
}

/* ---- loss ---- */

/* One row's loss, sum over c of -t[c] log softmax(z)[c] with t = (1 - a) onehot + a / classes; with
 * `weight` not 0, z becomes weight * (softmax(z) - t). */
static float row_loss(float *z, size_t classes, size_t label, float smoothing, float weight,
                      bool *hit)
{
    size_t best = 0;
    for (size_t c = 1; c < classes; c++)
        if (z[c] > z[best])
            best = c;
    *hit = best == label;
    float top = z[best], sum = 0, total = 0, own = z[label];
    for (size_t c = 0; c < classes; c++) {
        sum += expf(z[c] - top);
        total += z[c];
    }
    float log_sum = top + logf(sum), even = smoothing / (float)classes;
    float loss = log_sum - (1 - smoothing) * own - even * total;
    if (weight != 0)
        for (size_t c = 0; c < classes; c++)
            z[c] = weight * (expf(z[c] - log_sum) - even - (c == label ? 1 - smoothing : 0));
    return loss;
}

void head_loss(head_space *h, const int32_t *labels, const uint32_t *order, size_t rows,
               float smoothing, bool gradient, metrics *total)
{
    float weight = gradient ? 1 / (float)rows : 0;
#pragma omp parallel for schedule(static) if (rows * h->classes > 4096)
    for (size_t row = 0; row < rows; row++)
        h->losses[row] = row_loss(h->logits + row * h->classes, h->classes,
                                  (size_t)labels[order[row]], smoothing, weight, &h->hits[row]);
    for (size_t row = 0; row < rows; row++) {
        total->loss += h->losses[row];
        total->hits += h->hits[row];
    }
    total->rows += rows;
}

/* ---- backward ---- */

/* out [m][n] = alpha a [k][m]^T b [k][n] */
static void transposed_product(size_t m, size_t n, size_t k, float alpha, const float *a,
                               const float *b, float *out)
{
    dnnl_sgemm('T', 'N', (dnnl_dim_t)m, (dnnl_dim_t)n, (dnnl_dim_t)k, alpha, a, (dnnl_dim_t)m, b,
               (dnnl_dim_t)n, 0, out, (dnnl_dim_t)n);
}

/* out [m][n] = alpha a [m][k] b [k][n] */
static void product(size_t m, size_t n, size_t k, float alpha, const float *a, const float *b,
                    float *out)
{
    dnnl_sgemm('N', 'N', (dnnl_dim_t)m, (dnnl_dim_t)n, (dnnl_dim_t)k, alpha, a, (dnnl_dim_t)k, b,
               (dnnl_dim_t)n, 0, out, (dnnl_dim_t)n);
}

void head_backward(head_space *h, const network *net, const float *parameters,
                   const float *features, size_t rows, float *parameter_gradient,
                   float *feature_gradient)
{
    const float *weights = parameters + net->parameters[net->head_weight].start;
    float *weight_gradient = parameter_gradient + net->parameters[net->head_weight].start;
    if (h->kind == HEAD_SOFTMAX) {
        transposed_product(h->classes, h->dimension, rows, 1, h->logits, features, weight_gradient);
        if (feature_gradient)
            product(rows, h->dimension, h->classes, 1, h->logits, weights, feature_gradient);
        return;
    }
    float s = head_scale(net, parameters);
    double along = 0;
    for (size_t i = 0; i < rows * h->classes; i++)
        along += (double)h->logits[i] * h->cosines[i];
    parameter_gradient[net->parameters[net->head_scale].start] = (float)along;
    transposed_product(h->classes, h->dimension, rows, s, h->logits, h->units, weight_gradient);
    unit_rows_backward(h->proxies, h->proxy_inverse, h->classes, h->dimension, weight_gradient);
    if (feature_gradient) {
        product(rows, h->dimension, h->classes, s, h->logits, h->proxies, feature_gradient);
        unit_rows_backward(h->units, h->unit_inverse, rows, h->dimension, feature_gradient);
    }
}
