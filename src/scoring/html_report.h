/* html_report.h: a run's figures as one HTML page that needs nothing else: accuracies, the classes,
 * the confusion matrix, the calibration curve, and the mistakes made most surely, with their
 * pictures where the records have them. */
#ifndef SRC_SCORING_HTML_REPORT_H
#define SRC_SCORING_HTML_REPORT_H

#include "../../common/base/output.h"
#include "../../common/stream/batch.h"
#include "tally.h"

typedef struct html_report html_report;

int html_report_new(size_t classes, html_report **out, error *e);
void html_report_free(html_report *r); /* NULL is harmless */

/* Looks at rows that tally_add took. `scores` [row][class] may be NULL: then nothing is known of
 * how sure a prediction was. b->fields image (uint8, 1 or 3 channels) and path are used where they
 * are. */
int html_report_add(html_report *r, batch *b, const int32_t *labels, const int32_t *predictions,
                    const float *scores, error *e);

/* Names are those of the tally's classes. */
int html_report_write(const html_report *r, const tally *t, const class_kind *kinds,
                      char *const *names, output *out, error *e);

#endif
