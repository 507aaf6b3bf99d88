/* model_facts.h: what a stream of predictions tells of the model that made them. */
#ifndef COMMON_STREAM_MODEL_FACTS_H
#define COMMON_STREAM_MODEL_FACTS_H

#include "header.h"

/* The header's key "made-by" of such a stream, a map (tensor-stream(5)). What a model does not
 * know stays out: "" or a number below 0. */
typedef struct {
    char method[16];              /* by which its classes were fitted: mean, proxies, ridge */
    char balance[32];             /* what its bias serves */
    double seed;                  /* of the training of its network */
    double shots, shots_most;     /* rows of the novel class that had fewest, and most */
    double base_classes, classes; /* how many of each */
} model_facts;

#define MODEL_FACTS_NONE ((model_facts){"", "", -1, -1, -1, -1, -1})

int model_facts_write(stream_header *h, const model_facts *f); /* -1 without memory */
/* Whatever the key does not hold, or holds as another type, is not known. */
void model_facts_read(const stream_header *h, model_facts *f);
bool model_facts_equal(const model_facts *a, const model_facts *b);

/* Each by name, for who prints them: model_fact_name(0), (1), ... up to NULL, in the map's order.
 * Its text, or NULL for a number, or for what is not known, when *number is -1. */
const char *model_fact_name(size_t i);
const char *model_fact(const model_facts *f, size_t i, double *number);

#endif
