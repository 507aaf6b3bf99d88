/* backend.h: the only door to the arithmetic of networks; with algebra.h, to all arithmetic.
 *
 * A backend is one struct of functions, none of which may be left out. Three keep this contract:
 * reference (plain C loops, double sums), cpu (oneDNN, OpenBLAS) and cuda (cuDNN, cuBLAS, own
 * kernels; a plug-in loaded at run time). A backend compiles a network for a batch size and a
 * precision into a program, and then runs training steps or inference on it; what it needs stays on
 * its side between calls.
 *
 * All arrays that cross this door are in host memory, dense and row-major: images uint8
 * [row][height] [width][channel], embeddings float [row][dimension], weights float
 * [class][dimension], parameters one flat float array as network.h lays it out. The network's input
 * is pixel / 255.
 *
 * Functions return 0, or -1 with *e filled. Nothing here prints or exits. A backend is used from
 * one thread at a time. */
#ifndef KERNELS_BACKEND_H
#define KERNELS_BACKEND_H

#include "../common/base/error.h"
#include "../common/model/network.h"
#include "algebra.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Raised whenever this file or algebra.h changes; a plug-in of another number is refused. */
#define BACKEND_ABI 4

typedef enum { PRECISION_AUTO, PRECISION_FP32, PRECISION_TF32, PRECISION_BF16 } precision_kind;

typedef struct {
    const char *device;       /* "auto", "cpu", "cuda", "cuda:N", "reference" */
    precision_kind precision; /* auto: bf16 where the device computes it faster, else fp32 */
    int threads;              /* CPU threads; 0 for all that the process may run on */
    bool deterministic; /* only algorithms that give the same bytes each time (always so on CPUs) */
} backend_options;

typedef enum { OPTIMIZER_ADAM, OPTIMIZER_ADAMW, OPTIMIZER_SGD } optimizer_kind;

/* One step with gradient g (the mean over the batch's rows) at step t = 1, 2, ... and rate r:
 *   adam   m = b1 m + (1-b1) g;  v = b2 v + (1-b2) g^2;
 *          w -= r sqrt(1-b2^t)/(1-b1^t) m / (sqrt(v) + epsilon)              (as Keras computes it)
 *   adamw  first w -= r weight_decay w, then adam
 *   sgd    g += weight_decay w;  m = momentum m + g;  w -= r (g + momentum m)           (Nesterov)
 * Weight decay is for parameters of INITIAL_GLOROT: it leaves biases, batchnorm's gamma and beta,
 * and head/scale alone. */
typedef struct {
    optimizer_kind kind;
    float beta1, beta2, epsilon; /* adam, adamw */
    float momentum;              /* sgd */
    float weight_decay;
} optimizer;

/* random.h's random_augment says exactly what these do. */
typedef struct {
    bool flip;
    int shift, cutout; /* pixels; 0 for none */
} augmentation;

typedef struct {
    const network *net; /* borrowed; must outlive the program */
    size_t batch;       /* rows a step (training), or rows computed at once (embedding) */
    bool training;      /* false: embed only, and less memory */
    uint64_t seed;      /* of dropout and augmentation */
    augmentation augment;
    optimizer optimizer;
    float label_smoothing; /* targets (1 - a) onehot + a / classes */
    size_t frozen;         /* so many layers from the input do not learn; network.layer_count: only
                              the head does. Dropout and batchnorm still act as in training there,
                              but running statistics stay */
} program_spec;

/* Sums over the rows seen. loss is the softmax cross-entropy in nats (with label smoothing in
 * training, without in evaluation); hits counts rows whose largest logit is the label's (the first
 * of equals). */
typedef struct {
    double loss;
    uint64_t hits, rows;
} metrics;

typedef struct program program; /* a backend's own */

typedef struct backend backend;
struct backend {
    const char *name;         /* "reference", "cpu", "cuda" */
    char device[128];         /* for people: "2 threads, AVX512-BF16", "cuda:0, NVIDIA H200" */
    precision_kind precision; /* what the options came to; never auto */

    void (*close)(backend *b);

    int (*program_new)(backend *b, const program_spec *spec, program **out, error *e);
    void (*program_free)(backend *b, program *p);

    /* All net->total floats. A program must be given its parameters before it runs. */
    int (*parameters_set)(backend *b, program *p, const float *parameters, error *e);
    int (*parameters_get)(backend *b, program *p, float *parameters, error *e);

    /* The optimizer's state: steps done, and first and second moments, net->total floats each (zero
     * where a parameter has none; sgd keeps its momentum in `first`). A new program starts at
     * zeros. */
    int (*optimizer_set)(backend *b, program *p, uint64_t step, const float *first,
                         const float *second, error *e);
    int (*optimizer_get)(backend *b, program *p, uint64_t *step, float *first, float *second,
                         error *e);

    /* Training pictures and labels (0 <= label < classes; the caller has checked). Both arrays are
     * borrowed until the next call or program_free: the CPU reads them in place, a GPU copies them
     * once. */
    int (*data_set)(backend *b, program *p, const uint8_t *images, const int32_t *labels,
                    size_t rows, error *e);

    /* Trains on data rows order[0 .. rows), `batch` of them a step, the last step with what is
     * left; rate[s] is the learning rate of the s-th step of this call, ceil(rows / batch) of them.
     * Adds to *total. A caller that wants to stop early or show progress passes an epoch in pieces
     * (multiples of the batch); the result does not depend on the pieces. */
    int (*train)(backend *b, program *p, const uint32_t *order, size_t rows, const float *rate,
                 metrics *total, error *e);

    /* As one step of train, rows <= batch, but leaves the parameters (running statistics too) and
     * the step alone and gives the gradient, net->total floats (zero where not trainable or
     * frozen). For tests. */
    int (*gradients)(backend *b, program *p, const uint32_t *order, size_t rows, float *gradient,
                     metrics *total, error *e);

    /* Loss and hits over data rows order[0 .. rows) with dropout off and running statistics, any
     * number of rows. Adds to *total. For a program with training set. */
    int (*evaluate)(backend *b, program *p, const uint32_t *order, size_t rows, metrics *total,
                    error *e);

    /* The embeddings of `rows` pictures (any number), not normalised; dropout off, running
     * statistics. View 0 is plain; view v > 0 is augmented by random_augment(seed, v, first_row +
     * row, ...). submit may return before the work is done: images and embeddings stay in use until
     * wait returns (it ends everything submitted). Two submissions may be under way; a third waits
     * for the first: when it returns, the first one's embeddings are in place and its arrays free
     * again. */
    int (*embed_submit)(backend *b, program *p, const uint8_t *images, size_t rows,
                        uint64_t first_row, uint32_t view, float *embeddings, error *e);
    int (*embed_wait)(backend *b, program *p, error *e);

    /* Host memory that the device copies from quickly (page-locked with CUDA, ordinary else), for
     * embed_submit's arrays. Any host memory works there; NULL when there is none left. */
    void *(*host_alloc)(backend *b, size_t bytes);
    void (*host_free)(backend *b, void *memory);

    algebra algebra; /* on embeddings */

    void *own; /* the backend's */
};

/* Opens what options->device names. "auto" takes CUDA if the plug-in loads and a device works, else
 * the CPU; then *notice (if not NULL), a static or owned text, says in one line why there is no
 * GPU, and is NULL where the GPU was taken. "cuda" without one fails and says what is missing: the
 * plug-in, CUDA's libraries, the driver, or a device. The plug-in is looked for beside the program,
 * or where $LOWSHOT_PLUGIN says. options->device NULL is "auto". */
int backend_open(const backend_options *options, backend **out, const char **notice, error *e);

/* Submits and waits. */
int backend_embed(backend *b, program *p, const uint8_t *images, size_t rows, float *embeddings,
                  error *e);

/* "fp32", "tf32", "bf16", "auto" and back; -1 for another word. */
const char *precision_name(precision_kind precision);
int precision_parse(const char *word, precision_kind *out);

/* "flip,shift:4,cutout:8" (any of them) and back; "" for none (that alone is not parsed). */
int augmentation_parse(const char *words, augmentation *out, error *e);
char *augmentation_text(const augmentation *augment, char *text, size_t size); /* 48 are enough */
/* Fails where a shift or a cutout is as large as the picture. */
int augmentation_check(const augmentation *augment, extent picture, error *e);

/* What each backend's folder offers, and the one symbol of the plug-in. */
typedef struct {
    int abi; /* BACKEND_ABI */
    /* device: N of "cuda:N", 0 for "cuda"; without meaning for the others. */
    int (*open)(const backend_options *options, int device, backend **out, error *e);
} backend_driver;

extern const backend_driver backend_reference, backend_cpu;
#define BACKEND_PLUGIN_FILE "backend-cuda.so"  /* beside the tools */
#define BACKEND_PLUGIN_SYMBOL "backend_plugin" /* a const backend_driver */

#endif
