/* batch.h: whole numbers of any type, for labels; what else batches do is in stream.h. */
#ifndef COMMON_BATCH_H
#define COMMON_BATCH_H

#include "stream.h"

bool type_is_integer(tensor_type type);
/* Element i of an integer tensor; INT64_MAX for what int64 cannot hold. */
int64_t tensor_integer(const tensor *t, size_t i);

#endif
