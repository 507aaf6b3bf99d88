#include "dense.h"

#include "elementwise.h"
#include "memory.h"

#include <stdlib.h>

static cudaDataType_t data_type(const struct cuda *g)
{
    return g->type == ELEMENT_F32 ? CUDA_R_32F : CUDA_R_16BF;
}

static cublasComputeType_t arithmetic(const struct cuda *g)
{
    return g->precision == PRECISION_TF32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
}

/* One side of a product: stored rows x columns, column-major, and whether it enters transposed. */
typedef struct {
    size_t rows, columns;
    bool transposed;
    cudaDataType_t type;
} side;

static int layout_new(cublasLtMatrixLayout_t *out, side s, error *e)
{
    return check_blas(cublasLtMatrixLayoutCreate(out, s.type, s.rows, s.columns, (int64_t)s.rows),
                      "describing a matrix", e);
}

static int description_set(product_ready *q, side a, side b, cublasLtEpilogue_t epilogue, error *e)
{
    cublasOperation_t ta = a.transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    cublasOperation_t tb = b.transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    cublasLtMatmulDesc_t d = q->description;
    if (check_blas(cublasLtMatmulDescSetAttribute(d, CUBLASLT_MATMUL_DESC_TRANSA, &ta, sizeof ta),
                   "describing a product", e) < 0 ||
        check_blas(cublasLtMatmulDescSetAttribute(d, CUBLASLT_MATMUL_DESC_TRANSB, &tb, sizeof tb),
                   "describing a product", e) < 0)
        return -1;
    return check_blas(cublasLtMatmulDescSetAttribute(d, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue,
                                                     sizeof epilogue),
                      "describing a product", e);
}

static void product_discard(product_ready *q)
{
    if (q->description)
        cublasLtMatmulDescDestroy(q->description);
    if (q->a)
        cublasLtMatrixLayoutDestroy(q->a);
    if (q->b)
        cublasLtMatrixLayoutDestroy(q->b);
    if (q->c)
        cublasLtMatrixLayoutDestroy(q->c);
    *q = (product_ready){0};
}

/* The library's first algorithm for what q describes; *found tells whether it has one. With an
 * epilogue the library may refuse in many ways, and then it is done without. */
static int algorithm_find(struct cuda *g, product_ready *q, cublasLtEpilogue_t epilogue,
                          bool *found, error *e)
{
    cublasLtMatmulPreference_t preference;
    uint64_t room = PRODUCT_WORKSPACE;
    if (check_blas(cublasLtMatmulPreferenceCreate(&preference), "choosing a product", e) < 0)
        return -1;
    cublasLtMatmulHeuristicResult_t result;
    int count = 0;
    int status =
        check_blas(cublasLtMatmulPreferenceSetAttribute(
                       preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &room, sizeof room),
                   "choosing a product", e);
    cublasStatus_t said = CUBLAS_STATUS_SUCCESS;
    if (status == 0)
        said = cublasLtMatmulAlgoGetHeuristic(g->lt, q->description, q->a, q->b, q->c, q->c,
                                              preference, 1, &result, &count);
    cublasLtMatmulPreferenceDestroy(preference);
    bool may_refuse = said == CUBLAS_STATUS_NOT_SUPPORTED || epilogue != CUBLASLT_EPILOGUE_DEFAULT;
    if (status < 0 || (!may_refuse && check_blas(said, "choosing a product", e) < 0))
        return -1;
    *found = said == CUBLAS_STATUS_SUCCESS && count > 0;
    if (*found)
        q->algorithm = result.algo;
    return 0;
}

static int product_new(struct cuda *g, product_ready *q, side a, side b, side c,
                       cublasLtEpilogue_t epilogue, bool *found, error *e)
{
    if (check_blas(cublasLtMatmulDescCreate(&q->description, arithmetic(g), CUDA_R_32F),
                   "describing a product", e) < 0 ||
        description_set(q, a, b, epilogue, e) < 0 || layout_new(&q->a, a, e) < 0 ||
        layout_new(&q->b, b, e) < 0 || layout_new(&q->c, c, e) < 0)
        return -1;
    return algorithm_find(g, q, epilogue, found, e);
}

/* What the library can do with the layer's sums: bias, and ReLU or, in bfloat16, GELU. That is the
 * tanh kind, for both: on normal inputs of deviation 0.5 to 3 it differs from the exact one by 2e-4
 * of the output's norm, and rounding to bfloat16 by 1.7e-3. */
static cublasLtEpilogue_t epilogue_of(const struct cuda *g, const fused_layer *f)
{
    if (f->layer->offset == SIZE_MAX || f->drop > 0)
        return CUBLASLT_EPILOGUE_DEFAULT;
    if (f->relu)
        return CUBLASLT_EPILOGUE_RELU_BIAS;
    if (!f->activation)
        return CUBLASLT_EPILOGUE_BIAS;
    activation_kind kind = f->activation->activation;
    bool gelu = kind == ACTIVATION_TANHGELU || kind == ACTIVATION_GELU;
    return gelu && g->type == ELEMENT_BF16 ? CUBLASLT_EPILOGUE_GELU_BIAS
                                           : CUBLASLT_EPILOGUE_DEFAULT;
}

/* With bias and activation in the epilogue where the library has that, else without. */
static int forward_new(struct cuda *g, const fused_layer *f, product_ready *q, side a, side b,
                       side c, error *e)
{
    bool found = false;
    cublasLtEpilogue_t epilogue = epilogue_of(g, f);
    if (epilogue != CUBLASLT_EPILOGUE_DEFAULT) {
        if (product_new(g, q, a, b, c, epilogue, &found, e) < 0)
            return -1;
        q->fused = found;
        if (found)
            return 0;
        product_discard(q);
    }
    if (product_new(g, q, a, b, c, CUBLASLT_EPILOGUE_DEFAULT, &found, e) < 0)
        return -1;
    return found ? 0
                 : error_set(e, "cuda: cuBLAS has no product for word %zu of the network, %s",
                             f->index + 1, layer_name(f->layer));
}

/* The matrices' sizes: rows of the input, and numbers in each. */
static size_t lines_of(const fused_layer *f, size_t rows)
{
    return f->layer->kind == LAYER_DENSE ? rows : rows * f->out.height * f->out.width;
}
static size_t inputs_of(const fused_layer *f)
{
    const layer *l = f->layer;
    return l->kind == LAYER_DENSE ? extent_size(f->in)
                                  : l->kernel_height * l->kernel_width * f->in_channels;
}

static int dense_make(program *p, const fused_layer *f, dense_ready *d, error *e)
{
    struct cuda *g = p->gpu;
    size_t outputs = f->out.channels, inputs = inputs_of(f), rows = lines_of(f, d->rows);
    cudaDataType_t t = data_type(g);
    side weight = {inputs, outputs, true, t}, in = {inputs, rows, false, t};
    side out = {outputs, rows, false, t}, d_in = {inputs, rows, false, t};
    side d_weight = {inputs, outputs, false, CUDA_R_32F};
    if (forward_new(g, f, &d->products[CONV_FORWARD], weight, in, out, e) < 0)
        return -1;
    bool found = true;
    weight.transposed = false;
    if (f->d_input != NOWHERE && product_new(g, &d->products[CONV_BACKWARD_DATA], weight, out, d_in,
                                             CUBLASLT_EPILOGUE_DEFAULT, &found, e) < 0)
        return -1;
    bool found_weight = true;
    out.transposed = true;
    if (f->d_output != NOWHERE &&
        product_new(g, &d->products[CONV_BACKWARD_WEIGHT], in, out, d_weight,
                    CUBLASLT_EPILOGUE_DEFAULT, &found_weight, e) < 0)
        return -1;
    return found && found_weight ? 0
                                 : error_set(e,
                                             "cuda: cuBLAS has no product for the gradients of "
                                             "word %zu of the network, %s",
                                             f->index + 1, layer_name(f->layer));
}

static dense_ready *dense_find(const program *p, size_t layer, size_t rows)
{
    for (size_t i = 0; i < p->dense_count; i++)
        if (p->denses[i].layer == layer && p->denses[i].rows == rows)
            return &p->denses[i];
    return NULL;
}

void dense_discard(dense_ready *d)
{
    for (int i = 0; i < 3; i++)
        product_discard(&d->products[i]);
}

int dense_prepare(program *p, size_t layer, size_t rows, size_t *workspace, error *e)
{
    *workspace = PRODUCT_WORKSPACE;
    if (dense_find(p, layer, rows))
        return 0;
    dense_ready *more = realloc(p->denses, (p->dense_count + 1) * sizeof *more);
    if (!more)
        return error_set(e, "cuda: out of memory");
    p->denses = more;
    dense_ready d = {.layer = layer, .rows = rows};
    if (blas_wake(p->gpu, e) < 0 || dense_make(p, &p->plan.layers[layer], &d, e) < 0) {
        dense_discard(&d);
        return -1;
    }
    p->denses[p->dense_count++] = d;
    return 0;
}

/* ---- running ---- */

static product_ready *ready(const run *r, const fused_layer *f, conv_direction direction)
{
    return &dense_find(r->p, layer_index(r, f), r->rows)->products[direction];
}

/* adds: to what lies there. */
static int product_run(const run *r, const product_ready *q, const void *a, const void *b, void *c,
                       bool adds, int lane, const char *what, error *e)
{
    static const float one = 1, zero = 0;
    const float *beta = adds ? &one : &zero;
    return check_blas(cublasLtMatmul(r->p->gpu->lt, q->description, &one, a, q->a, b, q->b, beta, c,
                                     q->c, c, q->c, &q->algorithm, r->p->workspace[lane],
                                     PRODUCT_WORKSPACE, r->p->gpu->streams[lane]),
                      what, e);
}

int dense_forward(const run *r, const fused_layer *f, error *e)
{
    product_ready *q = ready(r, f, CONV_FORWARD);
    const layer_places *o = places_of(r, f);
    const void *bias = place(r, o->bias);
    /* The slots' biases lie in different places. */
    if (q->fused &&
        check_blas(cublasLtMatmulDescSetAttribute(q->description, CUBLASLT_MATMUL_DESC_BIAS_POINTER,
                                                  &bias, sizeof bias),
                   "bias", e) < 0)
        return -1;
    if (product_run(r, q, place(r, o->weight), place(r, f->input), place(r, f->output), f->sums,
                    r->slot, "dense layer", e) < 0)
        return -1;
    return output_finish(r, f, q->fused, e);
}

int dense_backward_weight(const run *r, const fused_layer *f, int lane, error *e)
{
    return product_run(r, ready(r, f, CONV_BACKWARD_WEIGHT), place(r, f->input),
                       place(r, f->d_masked), place(r, places_of(r, f)->d_weight), false, lane,
                       "dense layer's weight gradient", e);
}

int dense_backward_data(const run *r, const fused_layer *f, error *e)
{
    return product_run(r, ready(r, f, CONV_BACKWARD_DATA), place(r, places_of(r, f)->weight),
                       place(r, f->d_masked), place(r, f->d_input), false, r->slot,
                       "dense layer's input gradient", e);
}
