/* temperature.h: how far scores are to be spread so that their softmax fits as probabilities. */
#ifndef SRC_IMPRINTING_TEMPERATURE_H
#define SRC_IMPRINTING_TEMPERATURE_H

#include "episodes.h"

/* The factor (one over the temperature: Guo et al.: On calibration of modern neural networks, ICML
 * 2017) by which scores [rows][classes], each row's own class scored without the row, have the
 * least cross-entropy over the set's rows, base and novel ones counting the same, and none quite
 * sure; 1 where there is none. *loss: that cross-entropy in nats (NULL: not wanted); the logarithm
 * of the number of classes where there is no row. */
double temperature_factor(const episodes *set, const float *scores, double *loss);

#endif
