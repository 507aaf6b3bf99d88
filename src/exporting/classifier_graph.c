#include "classifier_graph.h"

#include <string.h>

/* f/|f|; a vector shorter than 1e-12 is divided by that. */
static onnx_value normalised(onnx_writer *w, onnx_value f)
{
    onnx_value length = onnx_put(w, "ReduceL2", f);
    onnx_set_list(w, "axes", 1, (int64_t[]){1});
    return onnx_put(w, "Div", f, onnx_put(w, "Max", length, onnx_put_number(w, 1e-12f)));
}

/* x times the transpose of weights [rows][columns]. */
static onnx_value products(onnx_writer *w, onnx_value x, const float *weights, size_t rows,
                           size_t columns)
{
    onnx_value own;
    float *data = onnx_put_floats(w, 2, (size_t[]){rows, columns}, &own);
    if (data)
        memcpy(data, weights, rows * columns * sizeof *data);
    onnx_value y = onnx_put(w, "Gemm", x, own);
    onnx_set_whole(w, "transB", 1);
    return y;
}

/* The embedding and its random features, side by side. */
static onnx_value features(onnx_writer *w, const projection *p, onnx_value f)
{
    if (p->count == 0)
        return f;
    onnx_value random = onnx_put(w, "Relu", products(w, f, p->weight, p->count, p->dimension));
    if (!p->plain)
        return random;
    onnx_value both = onnx_put(w, "Concat", f, random);
    onnx_set_whole(w, "axis", 1);
    return both;
}

static onnx_value best_proxy(onnx_writer *w, const classifier_form *f, onnx_value scores)
{
    int64_t shape[] = {0, (int64_t)f->classes, (int64_t)f->proxies};
    onnx_value y = onnx_put(w, "Reshape", scores, onnx_put_whole(w, 3, shape));
    y = onnx_put(w, "ReduceMax", y);
    onnx_set_list(w, "axes", 1, (int64_t[]){2});
    onnx_set_whole(w, "keepdims", 0);
    return y;
}

onnx_value classifier_graph(onnx_writer *w, const classifier_form *f, onnx_value embeddings)
{
    onnx_value x = f->normalised ? normalised(w, embeddings) : embeddings;
    if (f->ridge)
        x = products(w, features(w, f->features, x), f->ridge, f->classes, f->features->width);
    else
        x = products(w, x, f->weights, f->classes * f->proxies, f->dimension);
    if (f->proxies > 1)
        x = best_proxy(w, f, x);
    if (f->bias) {
        onnx_value own;
        float *data = onnx_put_floats(w, 1, &f->classes, &own);
        if (data)
            memcpy(data, f->bias, f->classes * sizeof *data);
        x = onnx_put(w, "Add", x, own);
    }
    return f->factor == 1 ? x : onnx_put(w, "Mul", x, onnx_put_number(w, f->factor));
}
