/* leave_one_out.h: how well the head's weights, or proxies, tell base rows from novel ones. */
#ifndef SRC_IMPRINTING_LEAVE_ONE_OUT_H
#define SRC_IMPRINTING_LEAVE_ONE_OUT_H

#include "../../kernels/algebra.h"
#include "episodes.h"

/* Calibrates the model as it stands, its bias left out: novel rows are scored without themselves
 * (proxies: without a fourth of their class's rows). *scores [rows][classes] are those, the
 * caller's to free; NULL where there are no rows. Where the model keeps no rows of its base
 * classes, out->bias is one that they survive. */
int leave_one_out_calibrate(algebra *a, const model *m, const episodes *set,
                            calibration_result *out, float **scores, error *e);

#endif
