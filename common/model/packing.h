/* packing.h: how tensors stand in a model's file where that is shorter than in memory: symmetric
 * sums as their lower triangle, and the network's weights, where the model's note weights/precision
 * says bf16, as the upper halves of their float32, which numpy reads as uint16. */
#ifndef COMMON_MODEL_PACKING_H
#define COMMON_MODEL_PACKING_H

#include "model.h"

/* Sets or drops that note. */
int weights_precision(model *m, bool bf16, error *e);

/* Whether that parameter of the network is to stand in the file as bf16; and numbers as they come
 * back from there. */
bool weight_is_rounded(const model *m, const char *name, size_t rank);
void round_to_bf16(const float *from, size_t count, float *to);

/* The type and shape that it is to be written with, and no numbers. */
tensor tensor_packed(const model *m, const model_tensor *t);
/* The tensor as it is to be written: the same, borrowed, or shorter in memory of its own, which is
 * *made then (else NULL): free it. */
int tensor_pack(const model *m, const model_tensor *t, tensor *out, void **made, error *e);

/* What was read, as it stands in memory. Takes over value->data, also on failure. */
int tensor_unpack(const char *name, tensor *value, error *e);

#endif
