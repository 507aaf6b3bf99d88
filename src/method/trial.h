/* trial.h: how well classes are told whose weights are means or proxies, and the bias that serves them best. */
#ifndef METHOD_TRIAL_H
#define METHOD_TRIAL_H

#include "../../common/error.h"
#include "../../common/model.h"
#include "../../kernels/backend.h"
#include "rehearsal.h"

/* The model has its weights, and no bias. A row is scored by its own class without itself: by the mean of the
 * others, or by the proxies of the three quarters of its class's rows that it is not in. */
int trial_judge(backend *b, const model *m, const rehearsal *r, outcome *out, error *e);

#endif
