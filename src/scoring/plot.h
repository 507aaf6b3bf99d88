/* plot.h: score's figures as a picture, drawn by gnuplot.
 *
 * Three panels: the confusion matrix (a row a class, its rows' shares by colour), beside each row
 * the class's accuracy, and the calibration curve. Of more classes than PLOT_CLASSES_MAX the matrix
 * gives way to their accuracies, the lowest first. */
#ifndef SRC_SCORING_PLOT_H
#define SRC_SCORING_PLOT_H

#include "../../common/base/error.h"
#include "../../common/base/output.h"
#include "tally.h"

#define PLOT_CLASSES_MAX 100

/* Whether there is a gnuplot to run. */
int plot_check(error *e);

/* Writes a PNG. Names are those of the tally's classes. */
int plot_write(output *out, const tally *t, const class_kind *kinds, char *const *names, error *e);

#endif
