/* onnx_writer.h: a graph of ONNX operators (onnx.ai, operator set 17) as a file.
 *
 * Values are named by the writer, and a name serves until onnx_writer_free. Without memory a value
 * is "", and onnx_writer_write fails: no call needs a check of its own. */
#ifndef COMMON_FORMATS_ONNX_WRITER_H
#define COMMON_FORMATS_ONNX_WRITER_H

#include "../base/output.h"
#include "../stream/tensor.h"

typedef struct onnx_writer onnx_writer;
typedef const char *onnx_value;

/* NULL without memory. */
onnx_writer *onnx_writer_new(void);
void onnx_writer_free(onnx_writer *w); /* NULL is harmless */

/* What the graph takes and gives: TYPE_U8 or TYPE_F32, [rows][shape...], any number of rows. An
 * output gets the name given. */
onnx_value onnx_put_input(onnx_writer *w, const char *name, tensor_type type, size_t rank,
                          const size_t *shape);
void onnx_put_output(onnx_writer *w, onnx_value value, const char *name, size_t columns);

/* Constants. Floats are the caller's to fill, zeros at first: NULL without memory. Whole numbers
 * are a vector: shapes, axes. */
float *onnx_put_floats(onnx_writer *w, size_t rank, const size_t *shape, onnx_value *name);
onnx_value onnx_put_number(onnx_writer *w, float number);
onnx_value onnx_put_whole(onnx_writer *w, size_t count, const int64_t *numbers);

/* An operator of one output, which is returned, and the attributes of the one put last. */
#define onnx_put(w, operator, ...)                                                                 \
    onnx_put_node(w, operator, sizeof((onnx_value[]){__VA_ARGS__}) / sizeof(onnx_value),           \
                  (onnx_value[]){__VA_ARGS__})
onnx_value onnx_put_node(onnx_writer *w, const char *operator, size_t count,
                         const onnx_value *inputs);
void onnx_set_whole(onnx_writer *w, const char *attribute, int64_t number);
void onnx_set_float(onnx_writer *w, const char *attribute, float number);
void onnx_set_list(onnx_writer *w, const char *attribute, size_t count, const int64_t *numbers);

/* Goes with the file: a key and a text. */
void onnx_put_metadata(onnx_writer *w, const char *key, const char *text);

/* Writes the file; the caller commits the output. */
int onnx_writer_write(onnx_writer *w, output *out, error *e);

#endif
