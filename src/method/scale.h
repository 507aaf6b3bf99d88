/* scale.h: how strongly scores speak. */
#ifndef METHOD_SCALE_H
#define METHOD_SCALE_H

#include "rehearsal.h"

/* The factor at which scores [rows][classes], as rehearsal_contest takes them, fit the rows best as
 * log-probabilities: the least mean cross-entropy, every kind of rows weighing the same (temperature
 * scaling: Guo, Pleiss, Sun, Weinberger: On calibration of modern neural networks, ICML 2017). 1 where
 * there are no rows to tell. */
double scale_fit(const rehearsal *r, const float *scores);

#endif
