/* fit.h: what classes are scored by, made from the sums that the model keeps.
 *
 * Both imprint, after adding its rows' sums, and model-merge, after adding its inputs' sums, end
 * with this: so the order and the grouping of rows do not matter. How, fit_settings says
 * (common/model/settings.h): calibrated, novel classes get the bias that serves best
 * (calibration.h), and scores fit as log-probabilities. `auto` is ridge where there are two classes
 * or more and the model has sums of features of every class; else the mean. What came of it,
 * fit_report says. */
#ifndef SRC_IMPRINTING_FIT_H
#define SRC_IMPRINTING_FIT_H

#include "../../common/model/model.h"
#include "../../kernels/algebra.h"

/* Makes anew what follows from the sums and notes of m, `changed` flagging the classes whose sums
 * have changed (one flag a class; their imprint/count is above 0). The algebra may be NULL where
 * fit_needs_algebra says so, however many rows have been added since it was asked. */
int fit_make(algebra *a, model *m, const bool *changed, error *e);
bool fit_needs_algebra(const model *m);

/* Removes a class and what the sums over all rows hold of its mean; the scatter of its rows around
 * it stays a part of the covariance within classes. With the last imprinted class goes all that
 * imprinting has added. The other classes keep their weights. */
int fit_remove_class(model *m, size_t class_index, error *e);

#endif
