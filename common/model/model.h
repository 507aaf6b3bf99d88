/* model.h: a classifier as a file: a tensor stream whose header has the key `model`.
 *
 * The header's `classes` names the classes; `model` is a map {"version": 1, "network": TEXT,
 * "input": [height, width, channels], "dimension": D, "head": "cosine"|"softmax", "kinds":
 * ["base"|"novel", ...], "norm": "l2"|"none", ...}. Each named tensor is a batch of its own with
 * one field. A model without a network (TEXT empty) classifies embeddings made elsewhere.
 *
 * Tensors are float32 or float64. Those of the network have the names and shapes of network.h's
 * parameters, among them head/scale [1] and head/weight [classes, D]. Others are kept by name, and
 * the last word of a name (after the last '/' or '-') says what it is:
 *
 *   sum, count     [classes, ...]  a sum per class: model-merge adds those of its inputs
 *   gram           [N, N]          a sum over all rows: model-merge adds them too
 *   sample         [classes, K, D] a few rows of each class, zeros where there are fewer:
 *                                  model-merge takes the sample of its inputs' samples
 *   weight, bias   [classes, ...]  what classes are scored by; made anew from the sums where a
 *                                  merge changes them, else taken from the input that made the
 *                                  class
 *
 * and any other: no class dimension, the same in all models that are merged. Two groups keep apart
 * what came from where, so that a merge adds nothing twice:
 *
 *   statistics/... what the base model keeps of its own training rows. Never changed by an imprint;
 *                  the same in all models that are merged. Rows of novel classes are zero.
 *   imprint/...    what imprinting has added since: zero for classes and rows that were not
 *                  imprinted.
 *
 * The sums of a class, or of all rows, are those of both groups together. model_check knows these:
 *
 *   imprint/sum             float64 [classes, D]  the sum of the embeddings (normalised if norm is
 *                                                 l2) that each imprinted class was made from
 *   imprint/count           float64 [classes]     and their number
 *   imprint/feature-sum     float64 [classes, F]  the same of their F features
 *   imprint/feature-gram    float64 [F, F]        the sum of x x^T over all imprinted rows'
 *                           features x
 *   statistics/sum          float64 [classes, F]  of the features of the base model's training rows
 *   statistics/count        float64 [classes]
 *   statistics/gram         float64 [F, F]
 *   statistics/sample       float32 [classes, K, D]  some of those rows' embeddings, as they came
 *   imprint/sample          float32 [classes, K, D]  the same of imprinted rows
 *   head/bias               float32 [classes]     added to the logits (calibration); absent for
 *                           none
 *   base/bias               float32 [classes]     what head/bias was before anything was imprinted,
 *                           if there was one
 *   proxies/weight          float32 [classes, K, D]  a class of one weight repeats it
 *   ridge/weight            float32 [classes, F]
 *   made/known-scores       float32 [K]           the best scores of known rows that their class's
 *                                                 weight was made without, ascending, every class
 *                                                 as often
 *
 * Whatever imprinting makes (rows of head/weight, head/bias, ridge/weight, which method `auto`
 * picks) it makes from these sums and samples and the notes alone, by one function, weights_make of
 * src/imprinting/fit.h, that imprint calls after adding its rows and model-merge after adding its
 * inputs' sums. So a merge gives what imprinting all rows at once gives.
 *
 * Features are those of src/imprinting/projection.h, which the notes ridge/features (M),
 * ridge/plain and ridge/seed name: F = D + M where plain is 1, else M. */
#ifndef COMMON_MODEL_MODEL_H
#define COMMON_MODEL_MODEL_H

#include "../base/error.h"
#include "../base/output.h"
#include "../stream/kinds.h"
#include "../stream/read.h"
#include "../stream/tensor.h"
#include "network.h"

#define MODEL_VERSION 1

typedef enum { NORM_L2, NORM_NONE } norm_kind;
const char *norm_name(norm_kind norm); /* "l2", "none" */

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
    network net; /* parsed and checked; net.text is "" for a model without a network, and then
                         only head, class_count, dimension and the head's parameters mean anything
                         (no layers; total and the parameters' places are those of the head alone)
                         */
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
/* The same from an open reader, of which no more than the first header was read. It stays open. */
int model_read(stream_reader *r, model *m, error *e);
int model_load_memory(const void *data, size_t bytes, model *m, error *e); /* for fuzzers */
/* Checks and writes it as one stream; the caller commits the output. */
int model_save(const model *m, output *out, error *e);
int model_check(const model *m, error *e);
void model_free(model *m);
/* A whole copy; *to need not be initialised, and is set on success only. */
int model_copy(model *to, const model *from, error *e);

/* A new model of that network text (NULL or "" for none: then input is ignored and dimension
 * given), classes all of `kind`, all tensors zero, norm l2. A model without a network may begin
 * without classes, but has one at least when it is written. */
int model_new(const char *text, extent input, size_t dimension, head_kind head,
              const class_list *classes, class_kind kind, model *m, error *e);

tensor *model_find(const model *m, const char *name); /* NULL if absent */
/* Adds or replaces a tensor of zeros of that type and shape. */
int model_put(model *m, const char *name, tensor_type type, size_t rank, const size_t *shape,
              tensor **out, error *e);
void model_drop(model *m, const char *name);

/* What a tensor is, by its name alone, as said above. */
typedef enum {
    ROLE_NETWORK,      /* a parameter below the head, or head/scale */
    ROLE_CLASS,        /* weight, bias: a row a class */
    ROLE_CLASS_SUM,    /* sum, count: a row a class */
    ROLE_CLASS_SAMPLE, /* sample: a row a class */
    ROLE_SUM,          /* gram */
    ROLE_MADE, /* made/...: what weights_make found; no class dimension, made anew by a merge */
    ROLE_OTHER
} tensor_role;
tensor_role model_role(const char *name);

/* The network of that text, or for NULL or "" the head alone of that dimension, as model.net has
 * it. */
int model_network(const char *text, extent input, size_t dimension, head_kind head, size_t classes,
                  network *out, error *e);

/* Appends those classes of the list that are wanted (NULL: all) and that the model has not yet, in
 * the list's order, kinds[i] being class i's (NULL: novel). Every tensor whose first dimension is
 * the class gets rows of zeros for them, net is parsed anew. All or nothing. */
int model_add_classes(model *m, const class_list *from, const bool *wanted, const class_kind *kinds,
                      error *e);
/* Removes one, its row in every such tensor too. */
int model_remove_class(model *m, size_t index, error *e);
/* Fails if another class has that name, or if it is empty, longer than 1,023 bytes or has control
 * characters. */
int model_rename_class(model *m, size_t index, const char *name, error *e);

/* Sets or replaces a note; -1 without memory or for a key of more than 63 bytes. */
int model_note_number(model *m, const char *key, double value);
int model_note_text(model *m, const char *key, const char *value);
void model_note_drop(model *m, const char *key);
bool model_get_number(const model *m, const char *key, double *value);
const char *model_get_text(const model *m, const char *key); /* borrowed; NULL if absent */

/* The network's parameters as one flat array of net.total floats, and back. */
void model_pack(const model *m, float *parameters);
void model_unpack(model *m, const float *parameters);

/* A number that names everything below the head (text, input, all weights but head/...): embeddings
 * of models of the same fingerprint mean the same. `embed` writes it into its stream's header as
 * "embedding-of", and imprint and classify refuse other embeddings (a stream without it passes). 0
 * for a model without a network, which takes any embeddings of its dimension. */
uint64_t model_fingerprint(const model *m);

#endif
