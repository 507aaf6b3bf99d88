/* episodes.h: the rows that a model's samples hold, and the plays that stand for new classes, with
 * which a way of scoring is tried before it is taken (contest.h). */
#ifndef SRC_IMPRINTING_EPISODES_H
#define SRC_IMPRINTING_EPISODES_H

#include "../../common/base/error.h"
#include "../../common/model/model.h"
#include "calibration.h"

/* A base class played as a novel one of `shots` rows: its mean is that of rows [first, first +
 * taken) of the rehearsal, where taken < shots moved towards the class's mean as far as more rows
 * would have. */
typedef struct {
    size_t class_index, first, taken;
    double shots;
} play;

/* Plays [first, first + count), whose classes are novel together: as many as there are novel
 * classes, or a third of the base classes, since novel classes are taken for each other, too. */
typedef struct {
    size_t first, count;
} episode;

#define REHEARSAL_TOGETHER 8 /* plays in an episode, at most */

typedef struct {
    size_t dimension, classes;
    balance how;
    size_t base_rows, rows; /* those of base classes come first */
    float *embeddings;      /* [rows][dimension], as they came */
    size_t *class_of;       /* [rows] */
    double *shots;          /* [classes]: rows that the class was imprinted from, 0 for none */
    bool
        *is_base; /* [classes]: not imprinted; a novel class that was trained since counts as one */
    bool trained; /* the network was trained on the base classes */
    size_t base_classes, play_count, episode_count;
    play *plays;
    episode *episodes;
} rehearsal;

/* Gathers them from the model's samples. There may be none. */
int rehearsal_new(const model *m, rehearsal *out, error *e);
void rehearsal_free(rehearsal *r);

/* A play's mean of rows [rows][width], the same rows as the rehearsal's or made from them, into
 * mean [width]. */
int rehearsal_play_mean(const rehearsal *r, const play *p, const float *rows, size_t width,
                        double *mean, error *e);

/* Whether something is left of the row's class without it: not of one that was imprinted from one
 * row. */
bool rehearsal_leaves_out(const rehearsal *r, size_t row);

/* Adds a row's result to a contest: scores [classes], where its own class has been scored without
 * the row. A row of whose class nothing is left takes no part. */
int rehearsal_judge_row(const rehearsal *r, size_t row, const float *scores, contest *out,
                        error *e);

/* Whether the row takes part in episode k: a base row that none of its plays was made of. */
bool rehearsal_plays_row(const rehearsal *r, size_t k, size_t row);
/* Adds such a row's result: scores [classes] as above, and those of the episode's plays. */
int rehearsal_judge_episode(const rehearsal *r, size_t k, size_t row, const float *scores,
                            const float *played, contest *out, error *e);

/* The contest's best bias by the balance that the model's note imprint/balance names. */
int rehearsal_judge(const rehearsal *r, contest *c, outcome *out, error *e);

/* Every row, of scores [rows][classes] and played [play_count][base_rows], the scores of each
 * play's class. */
int rehearsal_contest(const rehearsal *r, const float *scores, const float *played, contest *out,
                      error *e);

#endif
