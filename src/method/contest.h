/* contest.h: how well a way of scoring tells base rows from novel ones, and which bias serves it best.
 *
 * No test data is used. The rows are those samples that the model keeps, and each meets scores that it
 * had no part in:
 *
 * - base rows meet the base and the novel classes' scores as they are;
 * - novel rows meet their own class's score with themselves left out of it;
 * - plays: a base class is taken out and made a novel one from some of its rows; its other rows are novel
 *   then, the other base classes' rows are base rows. So there is something to go by even at one shot.
 *
 * Of a row's best base score and best novel score only the difference matters, and whether each is the
 * row's class. A row counts as right for base while bias < difference, for novel while bias > difference.
 * The figure of merit is the harmonic mean of base and novel accuracy. */
#ifndef METHOD_CONTEST_H
#define METHOD_CONTEST_H

#include "../../common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    double difference; /* best base score minus best novel score */
    bool novel;        /* the row's kind */
    bool played;       /* it comes from a play */
    bool right;        /* the best score within its kind is its own class's */
} contestant;

typedef struct {
    size_t count, room;
    contestant *rows; /* owned */
} contest;

int contest_add(contest *c, contestant row, error *e);
void contest_free(contest *c);

/* The harmonic mean at the best bias that novel scores are given, and that bias. Rows of novel classes
 * weigh against those of plays as their number against CONTEST_PLAYED, so that plays fade as shots come.
 * Where nothing better than no bias is found, it is 0; so too where a kind has no rows. */
#define CONTEST_PLAYED 20
double contest_best(contest *c, double *bias);

#endif
