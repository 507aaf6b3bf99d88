/* temperature.h: how far scores are to be spread so that their softmax fits as probabilities. */
#ifndef SRC_IMPRINTING_TEMPERATURE_H
#define SRC_IMPRINTING_TEMPERATURE_H

#include "episodes.h"

/* Whose losses count the same: base and novel ones together, by which penalties are compared; or
 * each class, by which probabilities fit. */
typedef enum { WEIGHTS_KINDS, WEIGHTS_CLASSES } temperature_weights;

/* The factor (one over the temperature: Guo et al.: On calibration of modern neural networks, ICML
 * 2017) by which scores [rows][classes], each row's own class scored without the row, have the
 * least cross-entropy over the set's rows, none quite sure; 1 where there is none. With weights by
 * classes it is that of new rows: a row left out is scored by the mean of n - 1 rows of its class
 * where a new one is by that of n, which is surer by about sqrt(n / (n - 1)). *loss: the
 * cross-entropy in nats (NULL: not wanted); the logarithm of the number of classes where there is
 * no row. */
double temperature_factor(const episodes *set, const float *scores, temperature_weights weights,
                          double *loss);

#endif
