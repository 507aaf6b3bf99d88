/* classifier_graph.h: a model's classes as ONNX operators. */
#ifndef SRC_EXPORTING_CLASSIFIER_GRAPH_H
#define SRC_EXPORTING_CLASSIFIER_GRAPH_H

#include "../../common/formats/onnx_writer.h"
#include "../imprinting/classifier.h"

/* From embeddings, float [rows][dimension], to scores, float [rows][classes], as classifier.h has
 * them. */
onnx_value classifier_graph(onnx_writer *w, const classifier_form *f, onnx_value embeddings);

#endif
