/* training_set.h: the labelled pictures of one training run, some of them kept for validation. */
#ifndef SRC_TRAINING_TRAINING_SET_H
#define SRC_TRAINING_TRAINING_SET_H

#include "../../common/base/error.h"
#include "../../common/stream/read.h"
#include "picture_set.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    const char *validation; /* a file of validation pictures, or NULL */
    size_t held;            /* or this many rows of the training stream: the last ones, */
    bool random;            /* or some at random, */
    uint64_t seed;          /* the same for the same seed */
    picture_form form;      /* of all pictures */
} training_split;

typedef struct {
    picture_set pictures;    /* training and validation together */
    uint32_t *order;         /* rows of `pictures`: the training ones, then the validation ones */
    size_t train, held;      /* how many of each */
    class_list classes;      /* what labels mean, until training_set_number */
    class_list held_classes; /* the same for rows from `split` on, of a validation file */
    size_t split;
} training_set;

/* Called after every batch that was read. */
typedef void training_watch(void *context, const stream_reader *reader);

/* Reads the files named (count 0: standard input) and the validation file. Fails on anything that
 * is not labelled pictures of one size, and where no row is left to train on. The errors name
 * stream and rows. The caller frees the set. */
int training_set_read(char *const *paths, size_t count, const training_split *split,
                      training_watch *watch, void *context, training_set *out, error *e);

/* Adds to `classes` those that occur in the training rows and that it lacks, in the stream's order.
 * */
int training_set_classes(const training_set *set, class_list *classes, error *e);

/* Makes every label an index into `classes`. A row of another class is an error that names it. */
int training_set_number(training_set *set, const class_list *classes, error *e);

void training_set_free(training_set *set);

#endif
