/* reservoir.h: a fixed number of rows of each class, drawn at random from a stream that is read
 * once.
 *
 * Algorithm R (Vitter, "Random Sampling with a Reservoir", ACM TOMS 11, 1985), one reservoir a
 * class. Memory is that of the rows kept, however long the stream. */
#ifndef COMMON_STREAM_RESERVOIR_H
#define COMMON_STREAM_RESERVOIR_H

#include "../base/error.h"
#include "write.h"

typedef struct sample sample;

/* At most `per_class` rows of each class. The same seed and rows give the same choice, however the
 * rows are cut into batches. */
int sample_new(size_t per_class, uint64_t seed, sample **out, error *e);
/* Offers the batch's rows whose flag is set; labels has one class a row. All batches must have the
 * same fields, with rows of the same shape. */
int sample_offer(sample *s, const batch *b, const int32_t *labels, const bool *wanted, error *e);
/* Writes what was kept, in the order it came. */
int sample_write(sample *s, stream_writer *w, error *e);
/* The numbers of the rows that were kept, in that order, counted from 0 over all that were offered
 * or not; *numbers is the caller's. */
int sample_numbers(sample *s, uint64_t **numbers, size_t *count, error *e);
void sample_free(sample *s);

#endif
