/* report.h: what score prints, from a tally or from the JSON of several runs. */
#ifndef SRC_SCORING_REPORT_H
#define SRC_SCORING_REPORT_H

#include "../../common/base/error.h"
#include "../../common/base/output.h"
#include "../../common/stream/model_facts.h"
#include "tally.h"

/* The figures to print: a flag for each of tally_figure_name's. */
#define FIGURES_MAX 16
typedef struct {
    bool chosen[FIGURES_MAX];
} figure_choice;

/* "base,novel,all": figures by name. With both base and novel their harmonic mean comes too. -1 for
 * an unknown word; the error lists the known ones. */
int figure_choice_parse(const char *words, figure_choice *out, error *e);

/* For people. The confusion matrix too, if asked for. Names are those of the tally's classes. */
int report_table(output *out, const tally *t, const class_kind *kinds, char *const *names,
                 bool confusion, error *e);
/* One JSON object: rows, base, novel, all, all_rows, harmonic_mean, loss, per_class (name to
 * accuracy), classes, kinds, report (name to precision, recall, f1-score, support), macro avg and
 * weighted avg (the same), model (method, balance, seed, shots, shots_most, base_classes, classes
 * of the model that made the predictions), confusion ([label][prediction]; null for more than
 * TALLY_CONFUSION_MAX classes), unknown_rows, auroc, rejected_known, rejected_unknown. What no row
 * tells, or nothing is known of, is null. */
int report_json(output *out, const tally *t, const class_kind *kinds, char *const *names,
                const model_facts *facts, error *e);
/* Two lines, tab separated: the chosen figures' names and their values, "-" where there is none. */
int report_values(output *out, const tally *t, const figure_choice *choice, error *e);

/* Figures over several runs: reads each file's JSON object as report_json writes it ("-" is
 * standard input) and prints, for each figure that any has, its mean and 95 % interval over the
 * runs that have it: a table, JSON, or with a choice, tab separated lines. */
typedef enum { RUNS_TABLE, RUNS_JSON, RUNS_VALUES } runs_format;
int report_runs(output *out, char *const *paths, size_t count, runs_format format,
                const figure_choice *choice, error *e);

#endif
