/* rehearsal.h: the rows that a model's samples hold, and the plays that stand for new classes, with which
 * a way of scoring is tried before it is taken (contest.h). */
#ifndef METHOD_REHEARSAL_H
#define METHOD_REHEARSAL_H

#include "../../common/error.h"
#include "../../common/model.h"
#include "contest.h"

/* A base class played as a novel one of `shots` rows: its mean is that of rows [first, first + taken) of
 * the rehearsal, where taken < shots moved towards the class's mean as far as more rows would have. Where the
 * model has several novel classes two are played at a time, each the other's mate, since novel classes are
 * taken for each other, too. */
typedef struct {
    size_t class_index, first, taken;
    double shots;
    size_t mate; /* the other's place among the plays; its own where it plays alone */
} play;

typedef struct {
    size_t dimension, classes;
    size_t base_rows, rows; /* those of base classes come first */
    float *embeddings;      /* [rows][dimension], as they came */
    size_t *class_of;       /* [rows] */
    double *shots;          /* [classes]: rows that the class was imprinted from, 0 for none */
    bool *is_base;          /* [classes]: not imprinted; a novel class that was trained since counts as one */
    size_t base_classes, play_count;
    play *plays;
} rehearsal;

/* Gathers them from the model's samples. There may be none. */
int rehearsal_new(const model *m, rehearsal *out, error *e);
void rehearsal_free(rehearsal *r);

/* sums and counts of rows of `width` numbers each: a play's mean of rows [rows][width], the same rows as
 * the rehearsal's or made from them, into mean [width]. */
void rehearsal_play_mean(const rehearsal *r, const play *p, const float *rows, size_t width, double *mean);

/* Judges scores [rows][classes], where a novel row's own class has been scored without the row, and
 * played [play_count][base_rows], the scores of each play's class. Rows of a novel class of one row take
 * no part, since nothing is left of it without them. */
int rehearsal_contest(const rehearsal *r, const float *scores, const float *played, contest *out, error *e);

/* The share of novel rows whose best score is their own class's, for a model without base classes. */
double rehearsal_accuracy(const rehearsal *r, const float *scores);

#endif
