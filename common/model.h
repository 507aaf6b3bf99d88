/* model.h: a classifier as a file: a tensor stream whose header has the key `model`.
 *
 * The header's `classes` names the classes; `model` is a map {"version": 1, "network": TEXT, "input":
 * [height, width, channels], "dimension": D, "head": "cosine"|"softmax", "kinds": ["base"|"novel", ...],
 * "norm": "l2"|"none", ...}. Each named tensor is a batch of its own with one field. A model without a
 * network (TEXT empty) classifies embeddings made elsewhere.
 *
 * Tensors are float32 or float64. Those of the network have the names and shapes of network.h's
 * parameters, among them head/scale [1] and head/weight [classes, D]. Others (imprint/sum, ...) are
 * kept by name; model_check knows the shapes of those below.
 *
 *   imprint/sum    float64 [classes, D]  the sum of the embeddings (normalised if norm is l2) that each
 *                                        imprinted class was made from; zeros for other classes
 *   imprint/count  float64 [classes]     and their number
 *   head/bias      float32 [classes]     added to the logits (calibration); absent for none */
#ifndef COMMON_MODEL_H
#define COMMON_MODEL_H

#include "error.h"
#include "network.h"
#include "stream.h"
#include "tensor.h"

#define MODEL_VERSION 1

typedef enum { CLASS_BASE, CLASS_NOVEL } class_kind;
typedef enum { NORM_L2, NORM_NONE } norm_kind;

typedef struct {
    char name[64];
    tensor value; /* owned by the model */
} model_tensor;

/* A number or text in the `model` map beyond those named above ("ridge/lambda", "augment"). */
typedef struct {
    char key[64];
    bool is_number;
    double number;
    char *text; /* owned; NULL for a number */
} model_note;

typedef struct {
    network net;      /* parsed and checked; net.text is "" for a model without a network, and then
                         only head, class_count, dimension and the head's parameters mean anything */
    class_list classes;
    class_kind *kinds; /* one a class */
    norm_kind norm;    /* how embeddings enter the imprinted weights */
    size_t tensor_count;
    model_tensor *tensors;
    size_t note_count;
    model_note *notes;
} model;

/* Reads a whole model and checks it: version, text, every shape, finite numbers, nothing missing,
 * nothing after its end. *m is set on success only; free it with model_free. */
int model_load(const char *path, model *m, error *e);
int model_load_memory(const void *data, size_t bytes, model *m, error *e); /* for fuzzers */
/* Checks and writes it as one stream; the caller commits the output. */
struct output;
int model_save(const model *m, struct output *out, error *e);
int model_check(const model *m, error *e);
void model_free(model *m);

/* A new model of that network text (NULL for none: then input is ignored and dimension given), classes
 * all of `kind`, all tensors zero. */
int model_new(const char *text, extent input, size_t dimension, head_kind head,
              const class_list *classes, class_kind kind, model *m, error *e);

tensor *model_find(const model *m, const char *name); /* NULL if absent */
/* Adds or replaces a tensor of zeros of that type and shape. */
int model_put(model *m, const char *name, tensor_type type, size_t rank, const size_t *shape,
              tensor **out, error *e);
void model_drop(model *m, const char *name);

/* Appends a class: every tensor whose first dimension is the class gets one more row, of zeros, net is
 * parsed anew. Its index, or -1. */
int model_add_class(model *m, const char *name, class_kind kind, error *e);
/* Removes one, its row in every such tensor too. */
int model_remove_class(model *m, size_t index, error *e);

int model_note_number(model *m, const char *key, double value);
int model_note_text(model *m, const char *key, const char *value);
bool model_get_number(const model *m, const char *key, double *value);
const char *model_get_text(const model *m, const char *key); /* borrowed; NULL if absent */

/* The network's parameters as one flat array of net.total floats, and back. */
void model_pack(const model *m, float *parameters);
void model_unpack(model *m, const float *parameters);

/* A number that names everything below the head (text, input, all weights but head/...): embeddings of
 * models of the same fingerprint mean the same. `embed` writes it into its stream's header as
 * "embedding-of", and imprint and classify refuse other embeddings (a stream without it passes). */
uint64_t model_fingerprint(const model *m);

#endif
