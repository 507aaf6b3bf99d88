/* calibration.h: how well a way of scoring tells base rows from novel ones, and which bias serves
 * it best.
 *
 * No test data is used. The rows are those samples that the model keeps, and each meets scores that
 * it had no part in:
 *
 * - base rows meet the base and the novel classes' scores as they are;
 * - novel rows meet their own class's score with themselves left out of it;
 * - plays: one or two base classes are taken out and made novel ones from some of their rows; their
 *   other rows are novel then, the other base classes' rows are base rows. So there is something to
 *   go by even at one shot.
 *
 * Of a row's best base score and best novel score only the difference matters, and whether each is
 * the row's class. A row counts as right for base while bias < difference, for novel while bias >
 * difference.
 *
 * A bias costs a share of the base rows that were right. In these shares, unlike in scores, plays
 * of different classes can be compared with each other and with the real thing: each novel row has
 * the share of its own play's base rows that a bias which makes it right must cost. The accuracy of
 * novel classes at a share is estimated from three sources, weighed as numbers of rows: real novel
 * rows, each one; plays, together CONTEST_PLAYED; and CONTEST_PRIOR for what is expected of any
 * class. For a network tells classes that it was trained on better than new ones, so that plays
 * promise too much. What is expected: where base classes are taken for each other, novel ones are
 * taken for base ones, so that novel rows lie at shares spread evenly from 0 to CONTEST_SPREAD
 * times the base classes' error, and CONTEST_RIGHT of them are told from other novel classes'. The
 * numbers were found on CIFAR-10 and Fashion-MNIST (examples/low-shot); of CONTEST_PRIOR 3 did as
 * well as 5 or better on five of six sets (./peers.py --base there: photos by two networks, glyphs,
 * CIFAR-10 8 + 2 and Fashion-MNIST; not 5 + 5).
 *
 * The figure of merit is the user's choice: the harmonic mean of base and novel accuracy; the
 * accuracy over all classes, each as often; or the best novel accuracy at no more than a given loss
 * of right base rows. */
#ifndef SRC_IMPRINTING_CALIBRATION_H
#define SRC_IMPRINTING_CALIBRATION_H

#include "../../common/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONTEST_PRIOR 3
#define CONTEST_PLAYED 4
#define CONTEST_SPREAD 3
#define CONTEST_RIGHT 0.85

typedef struct {
    double difference; /* best base score minus best novel score */
    size_t play;       /* 0 for the real rows, else which play it comes from, from 1 */
    bool novel;        /* the row's kind */
    bool right;        /* the best score within its kind is its own class's */
} contestant;

typedef enum { BALANCE_HARMONIC, BALANCE_ALL, BALANCE_BASE } balance_kind;

typedef struct {
    balance_kind kind;
    double share; /* of BALANCE_BASE: what base classes may lose of their right rows, 0 to 1 */
} balance;

/* "harmonic", "all", "base:SHARE"; -1 for another word. */
int balance_parse(const char *word, balance *out);

typedef struct {
    size_t count, room;
    contestant *rows; /* owned */
} contest;

/* What a contest comes to. */
typedef struct {
    /* That novel classes' scores are best given; 0 where nothing better than none is found, or
     * there is nothing to go by. */
    double bias;
    double merit;       /* at the best bias, by all sources; 0 without real base rows */
    double base, novel; /* the accuracies expected at that bias; -1 without real base rows */
    double plays;       /* the best by plays alone; -1 where there are none */
} outcome;

int contest_add(contest *c, contestant row, error *e);
void contest_free(contest *c);

/* Sorts the rows. classes: of base and of novel kind, by which BALANCE_ALL weighs. */
int contest_judge(contest *c, balance how, const size_t classes[2], outcome *out, error *e);

#endif
