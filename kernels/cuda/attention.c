#include "attention.h"

#include "attention_cores.h"
#include "dense.h"
#include "memory.h"

#include <math.h>

int attention_prepare(program *p, size_t *workspace, error *e)
{
    *workspace = PRODUCT_WORKSPACE;
    return products_wake(p->gpu, e);
}

/* One matrix a row of pictures, column-major: how far its columns lie apart, how far the next
 * row's, and whether it enters transposed. */
typedef struct {
    const void *at;
    cudaDataType_t type;
    size_t leading, stride;
    bool transposed;
} batch;

static batch transposed(batch m)
{
    m.transposed = true;
    return m;
}

/* c [m x n] = a [m x k] b [k x n], for each row. */
static int product(const run *r, batch a, batch b, batch c, size_t m, size_t n, size_t k, error *e)
{
    static const float one = 1, zero = 0;
    const program *p = r->p;
    cublasHandle_t blas = p->gpu->products[r->slot];
    cublasComputeType_t arithmetic =
        p->gpu->precision == PRECISION_TF32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    if (check_blas(cublasSetWorkspace(blas, p->workspace[r->slot], p->workspace_bytes[r->slot]),
                   "workspace", e) < 0)
        return -1;
    return check_blas(cublasGemmStridedBatchedEx(blas, a.transposed ? CUBLAS_OP_T : CUBLAS_OP_N,
                                                 b.transposed ? CUBLAS_OP_T : CUBLAS_OP_N, (int)m,
                                                 (int)n, (int)k, &one, a.at, a.type, (int)a.leading,
                                                 (long long)a.stride, b.at, b.type, (int)b.leading,
                                                 (long long)b.stride, &zero, (void *)c.at, c.type,
                                                 (int)c.leading, (long long)c.stride, (int)r->rows,
                                                 arithmetic, CUBLAS_GEMM_DEFAULT),
                      "attention", e);
}

/* What one head reads and writes. */
typedef struct {
    size_t places, depth, stride;
    float scale;
    batch q, k, v, out; /* or their gradients */
} head_view;

static batch channels_at(const run *r, const void *base, size_t places, size_t width, size_t first)
{
    const struct cuda *g = r->p->gpu;
    return (batch){.at = (const char *)base + first * element_size(g->type),
                   .type = g->type == ELEMENT_F32 ? CUDA_R_32F : CUDA_R_16BF,
                   .leading = width,
                   .stride = places * width};
}

/* The head's channels of `in` (queries, keys and values) and of `out`. */
static head_view head_of(const run *r, const layer *l, size_t head, const void *in, const void *out)
{
    size_t channels = l->out.channels, depth = channels / l->heads, first = head * depth;
    size_t places = l->in.height * l->in.width, width = l->in.channels;
    return (head_view){.places = places,
                       .depth = depth,
                       .stride = attention_stride(l),
                       .scale = 1 / sqrtf((float)depth),
                       .q = channels_at(r, in, places, width, first),
                       .k = channels_at(r, in, places, width, channels + first),
                       .v = channels_at(r, in, places, width, 2 * channels + first),
                       .out = channels_at(r, out, places, channels, first)};
}

/* A matrix of places x places, of the activations' type or float. */
static batch square(const run *r, const head_view *h, size_t block, bool is_float)
{
    batch m = channels_at(r, place(r, block), h->places, h->stride, 0);
    if (is_float)
        m.type = CUDA_R_32F;
    return m;
}

/* weights = softmax of q k. */
static int weights_make(const run *r, const head_view *h, size_t scores, size_t weights, error *e)
{
    size_t p = h->places;
    batch s = square(r, h, scores, true);
    if (product(r, transposed(h->k), h->q, s, p, p, h->depth, e) < 0)
        return -1;
    return run_check(r,
                     kernel_softmax(r->p->gpu->type, s.at, place(r, weights), r->rows * p, p,
                                    h->stride, h->scale, r->p->gpu->streams[r->slot]),
                     "softmax", e);
}

static int forward_cores(const run *r, const fused_layer *f, error *e)
{
    const layer *l = f->layer;
    attention_task t = {.rows = (int)r->rows,
                        .places = (int)(l->in.height * l->in.width),
                        .heads = (int)l->heads,
                        .channels = (int)l->out.channels,
                        .scale = 1 / sqrtf((float)(l->out.channels / l->heads))};
    return run_check(
        r,
        kernel_attention(&t, place(r, f->input), place(r, f->output), r->p->gpu->streams[r->slot]),
        "attention", e);
}

int attention_forward(const run *r, const fused_layer *f, error *e)
{
    const layer_places *o = places_of(r, f);
    if (attention_by_cores(r->p->gpu->type, f->layer))
        return forward_cores(r, f, e);
    for (size_t head = 0; head < f->layer->heads; head++) {
        head_view h = head_of(r, f->layer, head, place(r, f->input), place(r, f->output));
        batch w = square(r, &h, o->weights, false);
        if (weights_make(r, &h, o->scores, o->weights, e) < 0 ||
            product(r, h.v, w, h.out, h.depth, h.places, h.places, e) < 0)
            return -1;
    }
    return 0;
}

/* d has the gradients. */
static int head_backward(const run *r, const layer_places *o, const head_view *h,
                         const head_view *d, error *e)
{
    size_t p = h->places, depth = h->depth;
    batch w = square(r, h, o->back_weights, false), s = square(r, h, o->back_scores, true);
    batch d_s = square(r, h, o->d_scores, false);
    if (weights_make(r, h, o->back_scores, o->back_weights, e) < 0 ||
        product(r, d->out, transposed(w), d->v, depth, p, p, e) < 0 ||
        product(r, transposed(h->v), d->out, s, p, p, depth, e) < 0 ||
        run_check(r,
                  kernel_softmax_backward(r->p->gpu->type, w.at, s.at, place(r, o->d_scores),
                                          r->rows * p, p, h->stride, h->scale,
                                          r->p->gpu->streams[r->slot]),
                  "softmax_backward", e) < 0 ||
        product(r, h->k, d_s, d->q, depth, p, p, e) < 0)
        return -1;
    return product(r, h->q, transposed(d_s), d->k, depth, p, p, e);
}

int attention_backward(const run *r, const fused_layer *f, error *e)
{
    const layer *l = f->layer;
    for (size_t head = 0; head < l->heads; head++) {
        head_view h = head_of(r, l, head, place(r, f->input), place(r, f->output));
        head_view d = head_of(r, l, head, place(r, f->d_input), place(r, f->d_output));
        if (head_backward(r, places_of(r, f), &h, &d, e) < 0)
            return -1;
    }
    return 0;
}
