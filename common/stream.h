/* stream.h: reading and writing tensor streams, the records of tensor-stream(5).
 *
 * A stream is a sequence of msgpack maps: a header {"tensor-stream": 1, "classes": [...], ...}, any
 * number of batches {"image": T, "label": T, ...} whose tensors agree in their first dimension, and
 * an end {"end": ROWS}. Streams concatenate. Tensors are encoded as Python's msgpack-numpy does. */
#ifndef COMMON_STREAM_H
#define COMMON_STREAM_H

#include "error.h"
#include "tensor.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STREAM_BATCH_BYTES_MAX ((size_t)1 << 30) /* a batch's tensors together */
#define STREAM_FIELDS_MAX 64
#define STREAM_CLASSES_MAX 1000000

/* Class names with places: an append-only list. Read the names freely; change them by these
 * functions only. */
typedef struct {
    size_t count;
    char **names; /* owned */
    size_t slot_count;
    uint32_t *slots; /* owned: a hash table of places + 1 */
} class_list;

/* Its index; -1 if the name is there already, the list is full or memory ran out. */
int class_list_add(class_list *list, const char *name);
int class_list_find(const class_list *list, const char *name); /* -1 if it is not there */
int class_list_copy(class_list *to, const class_list *from);   /* to need not be initialised */
bool class_list_equal(const class_list *a, const class_list *b);
void class_list_free(class_list *list);

/* Reads a choice such as "ship,8,0-7" against a list: names first, then numbers and ranges. Sets
 * chosen[i] for the classes meant (count flags, zeroed first). An unknown name or number is an
 * error that lists the known ones. */
int class_list_choose(const class_list *list, const char *words, bool *chosen, error *e);

/* A header's other keys, kept and written on as they came: msgpack key and value, encoded. */
typedef struct {
    class_list classes;
    char *extra; /* the encoded key-value pairs that are not tensor-stream or classes; owned */
    size_t extra_bytes, extra_pairs;
} stream_header;

/* Sets or replaces one extra key with a text; reads one back (NULL if absent or not a text; the
 * caller frees it). Other kinds of value go by encoded msgpack. */
int stream_header_set_text(stream_header *h, const char *key, const char *text);
char *stream_header_get_text(const stream_header *h, const char *key);
int stream_header_set_encoded(stream_header *h, const char *key, const void *value, size_t bytes);
/* The encoded value of a key within h->extra (borrowed), or NULL. */
const void *stream_header_get_encoded(const stream_header *h, const char *key, size_t *bytes);
int stream_header_copy(stream_header *to, const stream_header *from);
void stream_header_free(stream_header *h);

typedef struct {
    char name[64];
    tensor value;
} field;

/* One batch of rows. Its tensors' memory is the reader's, good until the next read; a tool may
 * write into it (to compact rows, say). A tool's own batch begins as zeros. */
typedef struct {
    size_t rows, field_count;
    field fields[STREAM_FIELDS_MAX];
    uint64_t first_row; /* the number of its first row, of all that were read */
    int32_t *labels;    /* batch_labels' own memory: freed by stream_close or batch_free */
    size_t label_room;
} batch;

void batch_free(batch *b); /* a tool's own: what batch_labels allocated; not the tensors */

tensor *batch_find(batch *b, const char *name); /* NULL if it has none */
/* Appends a field that borrows `value`, or replaces the one of that name in place. */
int batch_put(batch *b, const char *name, tensor value, error *e);
void batch_drop(batch *b, const char *name);
/* Keeps the rows whose flag is set, in order, in every field, in place. */
void batch_keep(batch *b, const bool *keep);
/* The field, or an error that says which tool makes it; checked for type, rank and finite floats.
 * rank 0: any rank. */
int batch_require(batch *b, const char *name, tensor_type type, size_t rank, tensor **out,
                  error *e);
/* `label` as int32 indices into the list, each checked 0 <= label < classes. Where the field has
 * another integer type it is converted, and replaced by the int32 one, so that batch_keep keeps
 * both. */
int batch_labels(batch *b, const class_list *classes, int32_t **out, error *e);

typedef struct stream_reader stream_reader;

/* Reads the files named, one after the other as if concatenated, or standard input where count is 0
 * or a name is "-". Nothing is read yet. */
int stream_open(char *const *paths, size_t count, stream_reader **out, error *e);
/* The same over memory (not copied). For tests and fuzzers. */
int stream_open_memory(const void *data, size_t bytes, const char *name, stream_reader **out,
                       error *e);

/* The first header, reading up to it if need be. No bytes at all is an error: nothing came. It
 * stands for all of the stream: other headers' extra keys are not kept, but a later one whose
 * "embedding-of" differs from the first's is an error. */
int stream_header_first(stream_reader *r, const stream_header **out, error *e);

/* The header of the stream that the latest batch came from, its classes as that stream lists them
 * (fields other than label and prediction are as its writer made them). Borrowed until the next
 * read; NULL before the first header. */
const stream_header *stream_header_latest(const stream_reader *r);

/* 1 and *out, a batch of at least 1 row; 0 at the end of the last stream; -1 on failure, also at an
 * end of file without an end record, or one that counts other rows than came. Where a later stream
 * has another class list, its names are appended to the reader's (stream_classes) and its labels
 * and predictions are renumbered, so that a label always is an index into stream_classes. */
int stream_read(stream_reader *r, batch **out, error *e);
const class_list *stream_classes(const stream_reader *r);
size_t stream_count(const stream_reader *r);         /* streams begun so far: headers read */
uint64_t stream_rows(const stream_reader *r);        /* read so far */
uint64_t stream_bytes(const stream_reader *r);       /* read so far */
uint64_t stream_bytes_total(const stream_reader *r); /* of all regular files; 0 if not known */
const char *stream_name(const stream_reader *r);     /* the file being read, "standard input" */
void stream_close(stream_reader *r);

typedef struct stream_writer stream_writer;
struct output;

/* Writes to an open output (output.h). Writing a header anew where one stands already (the class
 * list grew) ends the stream and begins the next one. */
int stream_create(struct output *out, stream_writer **w, error *e);
int stream_write_header(stream_writer *w, const stream_header *h, error *e);
int stream_write(stream_writer *w, const batch *b,
                 error *e); /* a batch of no rows is not written */
int stream_write_end(stream_writer *w, error *e);
void stream_writer_free(stream_writer *w); /* writes nothing */

#endif
