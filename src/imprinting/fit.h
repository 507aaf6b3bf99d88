/* fit.h: what classes are scored by, made from the sums that the model keeps.
 *
 * Both imprint, after adding its rows' sums, and model-merge, after adding its inputs' sums, end
 * with this: so the order and the grouping of rows do not matter. The notes say how:
 *
 *   imprint/method     mean, proxies, ridge or auto; mean where there is none
 *   imprint/calibrate  1: novel classes get the bias that serves best (contest.h), and scores fit
 *                      as log-probabilities
 *   imprint/balance    what serves best: harmonic (where there is none), all, base:SHARE
 *   ridge/lambda       of ridge; chosen (ridge.h) where there is none
 *   proxies/count, proxies/seed       of proxies
 *
 * and these are notes of what was made: made/method, made/kind, made/lambda, made/scale, made/bias,
 * and the accuracies expected, made/base-accuracy and made/novel-accuracy.
 *
 * `auto` is ridge where there are two classes or more and the model has sums of features of every
 * class; else the mean. */
#ifndef SRC_IMPRINTING_FIT_H
#define SRC_IMPRINTING_FIT_H

#include "../../common/base/error.h"
#include "../../common/model/model.h"
#include "../../kernels/algebra.h"

/* Makes anew what follows from the sums and notes of m, `changed` flagging the classes whose sums
 * have changed (one flag a class; their imprint/count is above 0). The algebra may be NULL where
 * weights_need_algebra says so, however many rows have been added since it was asked. */
int weights_make(algebra *a, model *m, const bool *changed, error *e);
bool weights_need_algebra(const model *m);

/* Removes a class and what the sums over all rows hold of its mean; the scatter of its rows around
 * it stays a part of the covariance within classes. With the last imprinted class goes all that
 * imprinting has added. The other classes keep their weights. */
int weights_remove_class(model *m, size_t class_index, error *e);

/* Whether weights_make sets the note of that key: such notes may differ between models that are
 * merged. */
bool weights_makes_note(const char *key);

#endif
