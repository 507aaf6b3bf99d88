/* network_graph.h: a model's network as ONNX operators. */
#ifndef SRC_EXPORTING_NETWORK_GRAPH_H
#define SRC_EXPORTING_NETWORK_GRAPH_H

#include "../../common/formats/onnx_writer.h"
#include "../../common/model/model.h"

/* *out: from pictures, uint8 [rows][height][width][channel], to their embeddings, float
 * [rows][dimension], as kernels/ computes them; dropout is off and running statistics serve. */
int network_graph(onnx_writer *w, const model *m, onnx_value pictures, onnx_value *out, error *e);

#endif
