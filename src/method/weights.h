/* weights.h: what classes are scored by, made from the sums that the model keeps.
 *
 * Both imprint, after adding its rows' sums, and model-merge, after adding its inputs' sums, end with
 * this: so the order and the grouping of rows do not matter. The notes say how:
 *
 *   imprint/method     mean, proxies, ridge or auto; mean where there is none
 *   imprint/calibrate  1: novel classes get the bias that serves best (contest.h)
 *   ridge/lambda       of ridge; chosen (ridge.h) where there is none
 *   proxies/count, proxies/seed       of proxies
 *
 * and these are notes of what was made: made/method, made/lambda, made/bias.
 *
 * `auto` is ridge where the model has sums of random features of every class and ridge does as well as the mean
 * where base classes play novel ones of as many rows (contest.h), or nearly: plays favour the mean by up to
 * WEIGHTS_MARGIN, since it is the network that was trained on them. Where nothing can be played it is ridge from
 * WEIGHTS_RIDGE_SHOTS rows a novel class on. Else it is the mean: with few rows its errors outweigh what the
 * covariance knows (examples/low-shot has the measurements). */
#ifndef METHOD_WEIGHTS_H
#define METHOD_WEIGHTS_H

#include "../../common/error.h"
#include "../../common/model.h"
#include "../../kernels/backend.h"

#define WEIGHTS_MARGIN 0.0165
#define WEIGHTS_RIDGE_SHOTS 4

/* Makes anew what follows from the sums and notes of m, `changed` flagging the classes whose sums have
 * changed (one flag a class; their imprint/count is above 0). The backend may be NULL where
 * weights_need_backend says so, however many rows have been added since it was asked. */
int weights_make(backend *b, model *m, const bool *changed, error *e);
bool weights_need_backend(const model *m);

/* Removes a class and what the sums over all rows hold of its mean; the scatter of its rows around it stays a
 * part of the covariance within classes. With the last imprinted class goes all that imprinting has added. The
 * other classes keep their weights. */
int weights_remove_class(model *m, size_t class_index, error *e);

/* Whether weights_make sets the note of that key: such notes may differ between models that are merged. */
bool weights_makes_note(const char *key);

#endif
