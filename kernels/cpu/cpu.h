/* cpu.h: the backend on the CPU: convolutions and matrix products by oneDNN, statistics of
 * embeddings by OpenBLAS, the rest by our own loops (loops.h), all on OpenMP's threads.
 *
 * network -> nodes (nodes.c): what is done in one pass, and where each result lies
 *         -> plan (plan.c): oneDNN's primitives for one number of rows; convolutions of 3x3 are our
 *            own where the processor has AVX512 (winograd.h) and not AMX for their type
 *         -> steps (program.c) */
#ifndef KERNELS_CPU_CPU_H
#define KERNELS_CPU_CPU_H

#include "dnnl_compat.h"
#include "head.h"
#include "loops.h"
#include "narrow.h"
#include "optimizers.h"
#include "winograd.h"

typedef struct {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    int threads;
    element type; /* of activations and of what is multiplied */
} cpu;

/* Whether the processor multiplies tiles of bf16 (AMX): there oneDNN's convolutions need no saving
 * of multiplications. */
bool cpu_has_tiles(void);

/* ---- nodes ---- */

/* A layer with those that are done in the same pass. Data of rows x extent; in_data is the out_data
 * of the node before, or another view of it. */
typedef struct {
    const layer *word;
    bool relu;        /* ReLU follows, in the same pass */
    bool relu_passed; /* the gradient comes back through it already: the node above saw to it */
    dropout drop;     /* of training, in the same pass; threshold 0 for none. Set anew each step. */
    extent in, out;
    element in_type, out_type;
    void *in_data, *out_data;
    void *in_gradient, *out_gradient; /* training; in_gradient NULL where nothing below learns */
    uint8_t *codes;                   /* maxpool */
    batchnorm norm;                   /* batchnorm */
    void *kept;                       /* save: the gradient that reached its add */
    size_t partner;                   /* add: the node of its save; save: that of its add */
    bool learns;
    bool narrow;             /* in place of oneDNN's gradient of the weights */
    bool winograd;           /* in place of oneDNN's convolution */
    bool gates_below;        /* winograd: its gradient goes through the ReLU of the node below */
    float *filters, *turned; /* winograd: of the parameters of program.filter_version */
} node;

/* An operation of oneDNN with what it reads and writes. */
#define OPERATION_ARGUMENTS 6
typedef struct {
    dnnl_primitive_desc_t pd;
    dnnl_primitive_t primitive;
    int count; /* of arguments */
    dnnl_exec_arg_t arguments[OPERATION_ARGUMENTS];
} operation;

/* A parameter as an operation wants it: `data` in the operation's layout and type. */
typedef struct {
    size_t parameter;
    layout want;
    void *data;
    operation reorder;
} prepared;

typedef struct {
    operation forward, backward_data, backward_weights;
    void *weight_gradient; /* in the operation's layout, where that is not the flat array's */
    operation weight_gradient_reorder;
} node_operations;

/* All operations for one number of rows. */
typedef struct {
    size_t rows, node_count;
    bool training;
    node_operations *nodes; /* empty for nodes that are loops */
    prepared *weights;
    size_t weight_count;
    void *scratch;
    uint64_t version; /* of the parameters that `weights` were made from */
    uint64_t used;
} plan;

#define PLANS 4

/* Where a program's time went, in seconds; tests/bench shows it. */
typedef struct {
    double since; /* when the last of them ended */
    double outside, pictures, weights, head,
        optimizer; /* between steps, loading, reordering, ... */
    struct node_times {
        double forward, mask, weights, back; /* mask: ReLU's and dropout's way back */
    } * nodes;
} program_times;

struct program {
    cpu *own;
    program_spec spec;
    const network *net;
    size_t chunk;              /* rows at once: the batch in training */
    size_t node_count, lowest; /* lowest: the first node that learns; node_count if none does */
    node *nodes;
    void **memory; /* every allocation of the activations and gradients */
    size_t memory_count;
    void *input;
    uint8_t *picture_row; /* scratch of pictures_load */
    void *converted;      /* a gradient in the operations' type */
    float *features, *feature_gradient;
    head_space head;
    bool has_head;
    /* As network.h lays them out, but for weights whose gradient oneDNN makes in another order: all
     * four keep those in that order (`stored`, one a parameter, NULL for the plain one), since the
     * optimizer does not care. */
    float *parameters, *gradient, *first, *second;
    layout *stored;
    learning_part *parts;
    size_t part_count;
    uint64_t step, version, filter_version;
    float *conv_scratch; /* of winograd and narrow nodes; NULL if there are none */
    plan *plans[PLANS];
    uint64_t uses;
    const uint8_t *images;
    const int32_t *labels;
    size_t data_rows;
    program_times times;
};

/* Makes p->nodes, and the memory for p->chunk rows. */
int nodes_new(program *p, error *e);
void nodes_free(program *p);

/* Zeroed memory of the program's own, aligned; NULL with *e filled if there is none. */
void *program_memory(program *p, size_t bytes, const char *what, error *e);

/* Chooses p->stored, before the first plan. */
int storage_new(program *p, error *e);
void storage_free(program *p);
/* All parameters (or what is one a parameter) from the network's order to the program's, and back.
 */
int storage_put(program *p, const float *plain, float *stored, error *e);
int storage_get(program *p, const float *stored, float *plain, error *e);

/* The plan for that many rows, made if need be; NULL with *e filled. */
plan *plan_get(program *p, size_t rows, bool training, error *e);
/* Brings the plan's weights up to date. */
int plan_refresh(program *p, plan *s, error *e);
void plan_free(plan *s);
int operation_run(program *p, const operation *o, error *e);

/* For nodes of our own convolutions: memory, and bringing their filters up to date. */
int filters_new(program *p, error *e);
void filters_refresh(program *p);

/* ---- the rest of backend.h ---- */

void cpu_programs(backend *b); /* fills in their functions */
void cpu_embeddings(backend *b);
void cpu_begin(const backend *b); /* makes OpenMP use the backend's threads */

#endif
