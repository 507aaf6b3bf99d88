/* tally.h: predictions counted against labels: accuracies, loss, confusion, open-set figures.
 *
 * Labels and predictions are indices into a list of classes whose first `classes` are the model's.
 * A row of another class is an unknown row: the model cannot be right about it, so it is left out
 * of the accuracies and the loss. A prediction of -1 says "none of mine"; for a known row that is
 * wrong. */
#ifndef SRC_SCORING_TALLY_H
#define SRC_SCORING_TALLY_H

#include "../../common/base/error.h"
#include "../../common/stream/kinds.h"

#include <stdint.h>

/* Up to so many classes the confusion matrix is kept (8 bytes for each of its entries). */
#define TALLY_CONFUSION_MAX 4096

typedef struct tally tally;

int tally_new(size_t classes, const class_kind *kinds, tally **out, error *e);
void tally_free(tally *t);

/* Counts rows. scores[row][class] over the model's classes, or NULL where there are none (then
 * there is no loss and no AUROC for these rows). Fails on a label < 0 or a prediction that is
 * neither -1 nor one of the model's classes, naming the row's number since tally_new. */
int tally_add(tally *t, const int32_t *labels, const int32_t *predictions, const float *scores,
              size_t rows, error *e);

/* Each is NaN where no row tells it.
 *   base, novel    hits among rows of base (novel) classes over all the model's classes
 *   all            the same among all known rows
 *   all_rows       the same among all rows, those of unknown classes counting as wrong: the figure
 *                  to compare models by that know other classes
 *   harmonic_mean  of base and novel, 2 b n / (b + n); 0 where both are 0
 *   loss           the mean over known rows of log(sum over c of exp(score[c])) - score[label],
 *                  nats
 *   top5           the share of known rows whose class is among the five of the best scores; NaN
 *                  for five classes and less
 *   calibration_error   the mean difference over known rows, by the probability of the best score
 *                  in CALIBRATION_BINS bins of one width, between how sure predictions are and how
 *                  many are right (ECE; Guo et al., ICML 2017)
 *   macro_precision, macro_recall, macro_f1   the means of class_quality over the classes that rows
 *                  or predictions came of, every class as heavy (scikit-learn's macro avg)
 *   auroc          the chance that a known row's largest score is above an unknown row's, ties
 *                  counting half; exact (auroc.h), and NaN for more rows than AUROC_ROWS_MAX: then
 *                  too_many_scores is set
 *   rejected_known, rejected_unknown   the share of such rows whose prediction is -1 */
typedef struct {
    uint64_t rows, unknown_rows, rejected;
    double base, novel, all, all_rows, harmonic_mean, loss, auroc, rejected_known, rejected_unknown;
    double top5, calibration_error, macro_precision, macro_recall, macro_f1;
    bool too_many_scores;
} tally_figures;
tally_figures tally_get(const tally *t);

/* The figures by name, as they stand in score's output: tally_figure_name(0), (1), ... up to NULL.
 * */
const char *tally_figure_name(size_t i);
double tally_figure(const tally_figures *f, size_t i);
bool tally_figure_is_count(size_t i); /* rows and unknown_rows: whole numbers */

size_t tally_classes(const tally *t);
/* Rows with that label and, of these, the ones predicted right. */
uint64_t tally_class_rows(const tally *t, size_t label);
uint64_t tally_class_hits(const tally *t, size_t label);
/* Of known rows: predicted as this class and right, by all predicted so (precision) or by all of
 * this class (recall); 0 where there are none, as in scikit-learn; f1 is their harmonic mean. */
typedef struct {
    double precision, recall, f1;
    uint64_t support; /* rows of the class */
} class_quality;
class_quality tally_quality(const tally *t, size_t label);
/* The mean over the classes that rows or predictions came of, every class as heavy, or with
 * `weighted` every row (support: all of them). NaN where there are none. */
class_quality tally_mean_quality(const tally *t, bool weighted);

/* Known rows by the probability of their best score, from 0 to 1. */
#define CALIBRATION_BINS 15
typedef struct {
    uint64_t rows, hits;
    double sum; /* of these probabilities */
} calibration_bin;
const calibration_bin *tally_calibration(const tally *t); /* CALIBRATION_BINS of them */

/* Rows of class `label` that were predicted as `prediction`. Only where tally_has_confusion. */
bool tally_has_confusion(const tally *t);
uint64_t tally_confusion(const tally *t, size_t label, size_t prediction);

#endif
