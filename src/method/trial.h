/* trial.h: the bias that serves novel classes best whose weights are means or proxies. */
#ifndef METHOD_TRIAL_H
#define METHOD_TRIAL_H

#include "../../common/error.h"
#include "../../common/model.h"
#include "../../kernels/backend.h"
#include "rehearsal.h"

/* The model has its weights, and no bias. A row is scored by its own class without itself: by the mean of the
 * others, or by the proxies of the three quarters of its class's rows that it is not in. Of the best bias
 * found, n shots a class give n / (n + 4); 0 where there is nothing to go by. */
int trial_bias(backend *b, const model *m, const rehearsal *r, double *bias, error *e);

#endif
