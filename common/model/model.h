/* model.h: a classifier as a file: a tensor stream whose header has the key `model`, with the
 * network, the kind of each class and notes; each tensor follows as a batch of its own. A model
 * without a network classifies embeddings made elsewhere. lowshot-model(5) has the format in full;
 * names.h has every tensor and note that tools rely on, sums.h and settings.h have them by type.
 *
 * Whatever imprinting makes (rows of head/weight, head/bias, ridge/weight, which method `auto`
 * picks) it makes from the sums, exemplars and notes that the model keeps, by one function,
 * fit_make of src/imprinting/fit.h: imprint calls it after adding its rows, model-merge after
 * adding its inputs' sums. So a merge gives what imprinting all rows at once gives. */
#ifndef COMMON_MODEL_MODEL_H
#define COMMON_MODEL_MODEL_H

#include "../base/error.h"
#include "../base/output.h"
#include "../stream/kinds.h"
#include "../stream/read.h"
#include "../stream/tensor.h"
#include "network.h"

#define MODEL_VERSION                                                                              \
    3 /* written; read as well: 2, without packing.h's short forms, and 1, with \
                           other names of tensors (names.c) */

/* A file has its tensors in three sections, so that who needs the first alone reads no more: what
 * scores of embeddings need, the network below the head, and what imprinting and training go on
 * from. */
typedef enum { MODEL_SCORES, MODEL_NETWORK, MODEL_SUMS, MODEL_SECTIONS } model_section;

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
                         (no layers; total and parameters' places are those of the head alone) */
    class_list classes;
    class_kind *kinds; /* one a class */
    norm_kind norm;    /* how embeddings enter the imprinted weights */
    unsigned version;  /* of the file that it was read from */
    unsigned unread;   /* how many of its last sections were not read: their tensors are not here,
                          and it cannot be written */
    uint64_t fingerprint; /* where the network's section was not read */
    size_t tensor_count;
    model_tensor *tensors;
    size_t note_count;
    model_note *notes;
} model;

/* Reads a whole model and checks it: version, text, every shape, finite numbers, nothing missing,
 * nothing after its end. *m is set on success only; free it with model_free. */
int model_load(const char *path, model *m, error *e);
/* Reads no further than that section, of a file that has sections (older ones, and those that other
 * programs wrote, are read whole). Of what follows it sees alone that it is as long as it was. */
int model_load_until(const char *path, model_section last, model *m, error *e);
/* As model_load, from an open reader, of which no more than the first header was read. It stays
 * open. */
int model_read(stream_reader *r, model *m, error *e);
/* For tests and fuzzers. */
int model_load_memory(const void *data, size_t bytes, model_section last, model *m, error *e);
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
bool model_lacks(const model *m, const char *name);   /* it would stand in a section not read */
/* Adds or replaces a tensor of zeros of that type and shape. */
int model_put(model *m, const char *name, tensor_type type, size_t rank, const size_t *shape,
              tensor **out, error *e);
/* Adds or replaces a tensor, taking over its memory, of aligned_alloc; on failure it is freed. */
int model_adopt(model *m, const char *name, tensor value, error *e);
void model_drop(model *m, const char *name);
/* Drops what a model read up to its scores has not: the network's weights, whose fingerprint it
 * keeps, and sums. */
void model_drop_all_but_scores(model *m);

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
/* Whether those hexadecimal digits are its fingerprint, or FNV-1a over the same, as older programs
 * wrote it (which cannot be told without the network's section). */
bool model_is_named(const model *m, const char *fingerprint);

#endif
