/* cuda.h: what the host's files of this folder share.
 *
 * The backend has two streams with a cuDNN handle and a workspace each. Training runs on the first,
 * with the weights' gradients beside it on the second; embedding uses them in turn, a batch each
 * ("slots").
 *
 * Convolutions are cuDNN's by its functions of fixed kind (cudnnConvolutionForward and its like)
 * rather than its graphs of operations: what is wanted of it are plain convolutions in NHWC, with
 * bias and ReLU at best, which both have; these are plain C with few things to go wrong in, and
 * every fusion beyond them is done by kernels of our own. */
#ifndef KERNELS_CUDA_CUDA_H
#define KERNELS_CUDA_CUDA_H

#include "../backend.h"
#include "host/choices.h"
#include "host/device_plan.h"
#include "kernels.h"

#include <cublasLt.h>
#include <cublas_v2.h>
#include <cuda_runtime_api.h>
#include <cudnn.h>
#include <cusolverDn.h>

struct cuda {
    int device;
    struct cudaDeviceProp properties;
    precision_kind precision;
    kernel_type type; /* of activations */
    bool deterministic;
    bool wait; /* $LOWSHOT_CUDA_WAIT: after every launch, so that a kernel that fails is named */
    cudaStream_t streams[2];
    /* Made when first wanted; NULL before. */
    cudnnHandle_t dnn[2];
    cublasHandle_t blas;
    cublasLtHandle_t lt;
    cusolverDnHandle_t solver;
    conv_choices choices;
    char *scratch; /* for calls on embeddings */
    size_t scratch_bytes;
};

static inline struct cuda *cuda_of(const backend *b)
{
    return b->own;
}

/* ---- check.c ---- */

/* 0, or -1 with "cuda: WHAT: the library's text". */
int check_cuda(int status, const char *what, error *e);
int check_dnn(cudnnStatus_t status, const char *what, error *e);
int check_blas(cublasStatus_t status, const char *what, error *e);
/* After a launch on `stream`. */
int check_kernel(const struct cuda *g, int status, const char *kernel, cudaStream_t stream,
                 error *e);

/* ---- memory.c ---- */

/* `what` and `advice` are for the error: "the network's activations", "take a smaller --batch". */
int device_take(size_t bytes, const char *what, const char *advice, void **out, error *e);
/* Grows *memory to that size; what was in it is lost. */
int device_grow(void **memory, size_t *have, size_t bytes, const char *what, const char *advice,
                error *e);
/* Room in the scratch memory, in the arrays of those bytes; places[i] gets each one's address. */
int scratch_take(struct cuda *g, size_t count, const size_t *bytes, void **places, error *e);
/* Handles that are made late. */
int dnn_wake(struct cuda *g, error *e);
int blas_wake(struct cuda *g, error *e);
int solver_wake(struct cuda *g, error *e);

/* ---- programs ---- */

typedef enum {
    MODE_INFER,
    MODE_GRADIENT,
    MODE_TRAIN
} run_mode; /* only MODE_TRAIN changes anything */

/* A convolution made ready for a number of rows. */
typedef struct {
    size_t op, rows;
    conv_choice choices[3];
    cudnnConvolutionDescriptor_t conv[3]; /* by direction: each has its kind of arithmetic */
    cudnnTensorDescriptor_t in, out, bias;
    cudnnFilterDescriptor_t weight;
    cudnnActivationDescriptor_t activation;
} conv_ready;

/* A product of matrices made ready. */
typedef struct {
    cublasLtMatmulDesc_t description;
    cublasLtMatrixLayout_t a, b, c;
    cublasLtMatmulAlgo_t algorithm;
    bool fused; /* forward: bias and ReLU in the epilogue */
} product_ready;
typedef struct {
    size_t op, rows;
    product_ready products[3]; /* by direction, as conv_direction */
} dense_ready;

/* A captured piece of training or evaluation. */
typedef struct {
    run_mode mode;
    size_t rows, steps;
    cudaGraphExec_t graph;
} captured;

struct program {
    struct cuda *gpu;
    program_spec spec;
    const network *net;
    plan plan;
    char *base[2]; /* the plan's memory, for each slot; the second when first wanted */
    bool second_stale;
    void *workspace[2];
    size_t workspace_bytes[2];
    size_t conv_count, dense_count, graph_count;
    conv_ready *convs;
    dense_ready *denses;
    captured *graphs;
    optimizer_task optimizer; /* pieces and parts on the device */
    void *tables;
    uint64_t step;
    uint8_t *images; /* the data set, on the device */
    int32_t *labels;
    size_t data_rows;
    uint32_t *order;
    step_rate *rates, *host_rates; /* on the device, and what is copied there */
    size_t order_bytes, rate_bytes;
    cudaEvent_t forked, joined;
    cudaEvent_t submitted[2][2]; /* by submission, by stream */
    size_t submissions, chunks;
    bool embeds;                  /* made ready for a batch of embeddings */
    bool warm[2];                 /* by slot: one has been computed, */
    cudaGraphExec_t embedding[2]; /* and captured */
};

/* One pass over the network. */
typedef struct {
    program *p;
    run_mode mode;
    size_t rows;
    int slot; /* whose memory, stream and handle */
    int side; /* the stream of the weights' gradients */
} run;

static inline void *place(const run *r, size_t offset)
{
    return offset == NOWHERE ? NULL : r->p->base[r->slot] + offset;
}
/* Parameter `index` of the network in the flat array of masters. */
static inline float *master_of(const run *r, size_t index)
{
    if (index == SIZE_MAX)
        return NULL;
    return (float *)place(r, r->p->plan.master) + r->p->net->parameters[index].start;
}
static inline step_state *state_of(const run *r)
{
    return place(r, r->p->plan.state);
}

/* conv.c: readies a convolution for the rows (choosing algorithms, once a shape), runs it.
 * conv_prepare runs it many times, on what lies in the first slot's arrays: nothing else may be
 * under way there, nor a capture. `lane`: stream and handle. */
int conv_prepare(program *p, size_t op, size_t rows, error *e);
void conv_discard(conv_ready *c);
/* out = in * weight, and, if *finished, with the operation's bias and ReLU (dropout never). */
int conv_forward(const run *r, const operation *o, bool *finished, error *e);
int conv_backward_weight(const run *r, const operation *o, int lane, error *e);
int conv_backward_data(const run *r, const operation *o, int lane, error *e);

/* How it was chosen to be done, for people: "algorithm 1, with bias", "own kernel". */
void conv_describe(const program *p, const operation *o, size_t rows, conv_direction direction,
                   char *text, size_t size);

/* dense.c: the same of dense layers. Where a dropout follows, bias and ReLU are left to its pass.
 * */
int dense_prepare(program *p, size_t op, size_t rows, error *e);
void dense_discard(dense_ready *d);
int dense_forward(const run *r, const operation *o, bool *finished, error *e);
int dense_backward_weight(const run *r, const operation *o, int lane, error *e);
int dense_backward_data(const run *r, const operation *o, int lane, error *e);

/* layers.c */
int operation_forward(const run *r, const operation *o, error *e);
/* The three parts of going back: masking and sums; the weights' gradient; the input's. */
int operation_backward_mask(const run *r, const operation *o, error *e);
int operation_backward_weight(const run *r, const operation *o, int lane, error *e);
int operation_backward_data(const run *r, const operation *o, error *e);
/* The second on the run's own stream. */
int operation_weight(const run *r, const operation *o, error *e);

/* step.c: what a step is made of, all enqueued, nothing waited for. */
int run_prepare(program *p, size_t rows, error *e);
int run_forward(const run *r, error *e);
int run_gather(const run *r, bool augmented, error *e);
int run_head(const run *r, bool advances, error *e);
int run_head_weight(const run *r, int lane, error *e);
int run_backward(const run *r, error *e);
int run_optimizer(const run *r, error *e);
int run_step(const run *r, error *e); /* all of these, as the mode wants */
optimizer_task optimizer_of(const run *r);

/* program.c */
/* Workspaces of at least that size on both streams. What was captured with smaller ones is
 * forgotten. */
int workspace_grow(program *p, size_t bytes, error *e);
void graphs_discard(program *p);
int cuda_program_new(backend *b, const program_spec *spec, program **out, error *e);
void cuda_program_free(backend *b, program *p);
int cuda_parameters_set(backend *b, program *p, const float *parameters, error *e);
int cuda_parameters_get(backend *b, program *p, float *parameters, error *e);
int cuda_optimizer_set(backend *b, program *p, uint64_t step, const float *first,
                       const float *second, error *e);
int cuda_optimizer_get(backend *b, program *p, uint64_t *step, float *first, float *second,
                       error *e);
int cuda_data_set(backend *b, program *p, const uint8_t *images, const int32_t *labels, size_t rows,
                  error *e);

/* train.c, embed.c */
int cuda_train(backend *b, program *p, const uint32_t *order, size_t rows, const float *rate,
               metrics *total, error *e);
int cuda_gradients(backend *b, program *p, const uint32_t *order, size_t rows, float *gradient,
                   metrics *total, error *e);
int cuda_evaluate(backend *b, program *p, const uint32_t *order, size_t rows, metrics *total,
                  error *e);
int cuda_embed_submit(backend *b, program *p, const uint8_t *images, size_t rows,
                      uint64_t first_row, uint32_t view, float *embeddings, error *e);
int cuda_embed_wait(backend *b, program *p, error *e);

/* The state for a call that begins at the program's step, with sums of zero. */
int train_state_set(program *p, error *e);
/* What can be captured: an operation's launches on the run's stream; `o` NULL for what is no
 * operation's. */
typedef int (*launch_pass)(const run *r, const operation *o, error *e);
/* graph.c: that many times one pass in one graph, ready to be launched; the caller destroys it. */
int graph_capture(const run *r, launch_pass pass, const operation *o, size_t times,
                  cudaGraphExec_t *ready, error *e);
/* The seconds of one pass, in a graph of so many of them: the best of so many launches. */
int graph_time(const run *r, launch_pass pass, const operation *o, size_t times, size_t turns,
               double *seconds, error *e);
/* From the slot's staging memory to its embeddings, a whole batch, nothing copied; first and last
 * launch alone. */
int embed_compute(const run *r, uint64_t first_row, uint32_t view, error *e);
int embed_gather(const run *r, uint64_t first_row, uint32_t view, error *e);
int embed_widen(const run *r, error *e);

/* measure.c: reports each launch of a program (made ready for training or embedding, with data
 * set), its seconds, and the bytes and operations that it needs at least. The plug-in's symbol
 * cuda_plugin_measure. */
typedef void (*measure_report)(void *context, const char *name, double seconds, double bytes,
                               double operations);
int cuda_measure(program *p, measure_report report, void *context, error *e);

/* embedding.c, moments.c, linear.c */
int cuda_scores(backend *b, const float *embeddings, size_t rows, size_t dimension,
                const float *weights, size_t classes, float *scores, error *e);
int cuda_top_k(backend *b, const float *scores, size_t rows, size_t classes, size_t k,
               uint32_t *index, float *value, error *e);
int cuda_normalise(backend *b, float *embeddings, size_t rows, size_t dimension, error *e);
int cuda_features(backend *b, const float *embeddings, size_t rows, size_t dimension,
                  const float *projection, size_t count, float *features, error *e);
int cuda_assign(backend *b, const float *embeddings, size_t rows, size_t dimension,
                const float *centres, size_t count, uint32_t *nearest, float *similarity, error *e);
int cuda_moments_new(backend *b, size_t dimension, const float *projection, size_t count,
                     size_t classes, bool gram, moments **out, error *e);
int cuda_moments_add(backend *b, moments *m, const float *embeddings, const int32_t *labels,
                     size_t rows, error *e);
int cuda_moments_get(backend *b, moments *m, double *sums, double *counts, double *gram, error *e);
void cuda_moments_free(backend *b, moments *m);
int cuda_solve(backend *b, double *matrix, size_t n, double ridge, double *right, size_t columns,
               error *e);
int cuda_eigen(backend *b, double *matrix, size_t n, double *values, error *e);
/* On the device: scores[row][class] = embeddings . weights, all dense and row-major. */
int device_scores(struct cuda *g, const float *embeddings, size_t rows, size_t dimension,
                  const float *weights, size_t classes, float *scores, error *e);

#endif
