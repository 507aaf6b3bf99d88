/* episodes.h: the rows that a model keeps, and the episodes made of them, by which a way of scoring
 * is judged before it is taken (calibration.h).
 *
 * In an episode some base classes are taken for novel ones, each made from a few of its rows. They
 * are partners: the rest of their rows is then novel, and rows of the other base classes are base
 * rows. There are as many partners as novel classes, or a third of the base classes, since novel
 * classes are taken for each other, too. */
#ifndef SRC_IMPRINTING_EPISODES_H
#define SRC_IMPRINTING_EPISODES_H

#include "../../common/base/memory.h"
#include "../../common/model/model.h"
#include "calibration.h"

/* A base class as a novel one of `shots` rows: its mean is that of rows [first, first + taken),
 * where taken < shots moved towards the class's mean as far as more rows would have. */
typedef struct {
    size_t class_index, first, taken;
    double shots;
} partner;

/* Partners [first, first + count). */
typedef struct {
    size_t first, count;
} episode;

#define EPISODE_PARTNERS 8 /* at most */

typedef struct {
    memory held; /* all that follows */
    size_t dimension, classes;
    balance how;
    size_t base_rows, rows; /* those of base classes come first */
    float *embeddings;      /* [rows][dimension], as they came */
    size_t *class_of;       /* [rows] */
    double *shots;          /* [classes]: rows that the class was imprinted from, 0 for none */
    bool *is_base;          /* [classes]: a novel class counts as base unless it was imprinted */
    bool trained;           /* the network was trained on the base classes */
    size_t base_classes, partner_count, episode_count;
    partner *partners;
    episode *episodes;
} episodes;

/* Makes them from the model's exemplars. There may be no rows. */
int episodes_new(const model *m, episodes *out, error *e);
void episodes_free(episodes *set);

/* The episode's partner of that class; NULL for none. */
const partner *episode_partner(const episodes *set, const episode *x, size_t class_index);

/* A partner's mean of rows [rows][width], the same rows as the set's or made from them, into mean
 * [width]. */
int episodes_partner_mean(const episodes *set, const partner *p, const float *rows, size_t width,
                          double *mean, error *e);

/* Whether something is left of the row's class without it: not of one that was imprinted from one
 * row. */
bool episodes_can_leave_out(const episodes *set, size_t row);

/* Adds a real row to a calibration: scores [classes], its own class scored without the row. A row
 * of whose class nothing is left takes no part. */
int episodes_add_row(const episodes *set, size_t row, const float *scores, calibration *out,
                     error *e);

/* Adds every row, real and of each episode: scores [rows][classes], partners' [partner_count]
 * [base_rows]. */
int episodes_add_rows(const episodes *set, const float *scores, const float *by_partner,
                      calibration *out, error *e);

/* The best bias by the balance that the model asks for. */
int episodes_calibrate(const episodes *set, calibration *c, calibration_result *out, error *e);

#endif
