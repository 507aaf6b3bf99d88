/* state.h: what a network that is compiled for the GPU holds, and one pass over it. */
#ifndef KERNELS_CUDA_STATE_H
#define KERNELS_CUDA_STATE_H

#include "check.h"
#include "cuda.h"
#include "places.h"

typedef enum {
    MODE_INFER,
    MODE_GRADIENT,
    MODE_TRAIN
} run_mode; /* only MODE_TRAIN changes anything */

/* A convolution made ready for a number of rows. */
typedef struct {
    size_t layer, rows; /* layer: the fused layer */
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
    size_t layer, rows;
    product_ready products[3]; /* by direction, as conv_direction */
} dense_ready;

/* A captured piece of training or evaluation. */
typedef struct {
    run_mode mode;
    size_t rows, steps;
    cudaGraphExec_t graph;
} captured;

/* submitted: by submission, by stream */
enum { EVENT_FORKED, EVENT_JOINED, EVENT_SUBMITTED, EVENTS = EVENT_SUBMITTED + 4 };

struct program {
    struct cuda *gpu;
    program_spec spec;
    const network *net;
    plan plan;
    places places;
    char *base[2]; /* the arena's memory, for each slot; the second when first wanted */
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
    cudaEvent_t events[EVENTS];
    size_t submissions, chunks;
    bool embeds;                  /* made ready for a batch of embeddings */
    bool warm[2];                 /* by slot: one has been computed, */
    cudaGraphExec_t embedding[2]; /* and captured */
};

/* One pass over the network. What is enqueued by functions of a run is waited for by its caller. */
typedef struct {
    program *p;
    run_mode mode;
    size_t rows;
    int slot; /* whose memory, stream and handle */
    int side; /* the stream of the weights' gradients */
} run;

/* The address of a block of the plan's arena; NULL for NOWHERE. */
static inline void *place(const run *r, size_t block)
{
    bool there = block != NOWHERE;
    return there ? r->p->base[r->slot] + r->p->plan.arena.blocks[block].offset : NULL;
}
static inline size_t layer_index(const run *r, const fused_layer *f)
{
    return (size_t)(f - r->p->plan.layers);
}
static inline const layer_places *places_of(const run *r, const fused_layer *f)
{
    return &r->p->places.layers[layer_index(r, f)];
}
/* Parameter `index` of the network in the flat array of masters. */
static inline float *master_of(const run *r, size_t index)
{
    if (index == SIZE_MAX)
        return NULL;
    return (float *)place(r, r->p->places.master) + r->p->net->parameters[index].start;
}
static inline step_state *state_of(const run *r)
{
    return place(r, r->p->places.state);
}

/* check_kernel on the run's own stream. */
static inline int run_check(const run *r, int status, const char *kernel, error *e)
{
    return check_kernel(r->p->gpu, status, kernel, r->p->gpu->streams[r->slot], e);
}

#endif
