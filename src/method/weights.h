/* weights.h: what classes are scored by, made from the sums that the model keeps.
 *
 * Both imprint, after adding its rows' sums, and model-merge, after adding its inputs' sums, end with
 * this: so the order and the grouping of rows do not matter. */
#ifndef METHOD_WEIGHTS_H
#define METHOD_WEIGHTS_H

#include "../../common/error.h"
#include "../../common/model.h"
#include "../../kernels/backend.h"

/* Makes anew what follows from the sums and notes of m, `changed` flagging the classes whose sums have
 * changed (one flag a class; their imprint/count is above 0). The backend may be NULL for a model that
 * keeps no sums of random features. */
int weights_make(backend *b, model *m, const bool *changed, error *e);

/* Whether weights_make sets the note of that key: such notes may differ between models that are merged. */
bool weights_makes_note(const char *key);

#endif
