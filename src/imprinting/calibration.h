/* calibration.h: which bias on novel classes' scores serves base and novel rows best.
 *
 * Calibrated stacking (Chao, Changpinyo, Gong, Sha: An empirical study and analysis of generalized
 * zero-shot learning for object recognition in the wild, ECCV 2016): a bias parts seen from unseen
 * classes, and the seen-unseen curve tells what accuracy on either side each bias leaves. Here base
 * classes are the seen ones, novel classes the unseen ones.
 *
 * No test data is used. A calibration row is a row that the model keeps, scored by classes that it
 * had no part in:
 *
 * - a base row by the base and the novel classes as they are;
 * - a novel row by its own class less the row itself;
 * - a row of an episode (episodes.h), in which some base classes are taken for novel ones. So there
 *   is something to go by even at one shot.
 *
 * Of its best base score and its best novel score only the margin matters, and whether either is
 * its own class's. A base row is right while bias < margin, a novel row while bias > margin.
 *
 * A bias costs a share of the base rows that were right. Shares, unlike scores, can be compared
 * between episodes and the real rows: a novel row has the share of its own episode's base rows that
 * a bias which makes it right must cost. The novel accuracy at a share is estimated from three
 * sources, weighed as numbers of rows: real novel rows, each one; episodes, together
 * CALIBRATION_EPISODE_ROWS; and a prior of CALIBRATION_PRIOR_ROWS. For a network tells the classes
 * that it was trained on better than new ones, so that episodes promise too much. The prior says:
 * where base classes are taken for each other, novel ones are taken for base ones, so that novel
 * rows lie at shares spread evenly from 0 to CALIBRATION_PRIOR_SPREAD times the base classes'
 * error, and CALIBRATION_PRIOR_RIGHT of them are told from the rows of one other novel class; the
 * odds of it are less by the root of the number of other novel classes. */
#ifndef SRC_IMPRINTING_CALIBRATION_H
#define SRC_IMPRINTING_CALIBRATION_H

#include "../../common/model/settings.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Found by examples/low-shot: `./peers.py --base K:ROWS SET.npz` on photos by two networks, glyphs,
 * CIFAR-10 8 + 2 and Fashion-MNIST 8 + 2: 3 did as well as 5 or better on all but CIFAR-10 5 + 5;
 * Fashion-MNIST gained 0.03 of harmonic mean at five shots. */
#define CALIBRATION_PRIOR_ROWS 3
/* Found there by `make CIFAR10=DIR`, the same with BASE=0-4 NOVEL=5-9, and `make DATA=fashion`; on
 * three splits that took no part, by `make held-out`, the default was within 0.014 of harmonic
 * mean of each column's best method (results/held-out.md, with a prior of 5 rows). */
#define CALIBRATION_EPISODE_ROWS 4
#define CALIBRATION_PRIOR_SPREAD 3
#define CALIBRATION_PRIOR_RIGHT 0.85

typedef struct {
    double margin;  /* best base score less best novel score */
    size_t episode; /* 0 for the real rows, else which episode it comes from, from 1 */
    bool novel;     /* the row's kind */
    bool right;     /* the best score within its kind is its own class's */
} calibration_row;

typedef struct {
    size_t count, room;
    calibration_row *rows; /* owned */
} calibration;

typedef struct {
    /* What novel classes' scores are best given; 0 where nothing is found to do better than none,
     * or there is nothing to go by. */
    double bias;
    double best;        /* the balance's figure at the best bias; 0 without real base rows */
    double base, novel; /* the accuracies expected at that bias; -1 without real base rows */
    double alone;       /* that of base rows where there are no novel classes; -1 likewise */
    double episodes;    /* the best harmonic mean by episodes alone; -1 where there are none */
} calibration_result;

/* Nothing is known. */
#define CALIBRATION_UNKNOWN                                                                        \
    ((calibration_result){.episodes = -1, .base = -1, .novel = -1, .alone = -1})

int calibration_add(calibration *c, calibration_row row, error *e);
void calibration_free(calibration *c);

/* Sorts the rows. classes: of base and of novel kind, by which BALANCE_ALL weighs and the prior
 * knows the other novel ones. */
int calibration_choose_bias(calibration *c, balance how, const size_t classes[2],
                            calibration_result *out, error *e);

/* For qsort: by the double that each begins with. */
int compare_doubles(const void *a, const void *b);

/* 2ab / (a + b); 0 where either is not above 0. */
double harmonic_mean(double a, double b);

#endif
