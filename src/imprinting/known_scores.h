/* known_scores.h: how high known rows score, so that a threshold for unknown ones can be set later.
 *
 * made/known-scores in the model: the best scores, ascending, of the rehearsal's rows, each scored
 * without itself, as the classifier would give them. */
#ifndef SRC_IMPRINTING_KNOWN_SCORES_H
#define SRC_IMPRINTING_KNOWN_SCORES_H

#include "episodes.h"

/* scores [rows][classes], to be multiplied by `scale`; `centred`: less each row's mean over classes
 * first. Nothing is put where no row could be left out. */
int known_put(model *m, const rehearsal *r, const float *scores, double scale, bool centred,
              error *e);

#endif
