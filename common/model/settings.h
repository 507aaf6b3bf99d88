/* settings.h: the notes by which classes are fitted, and those of what came of it, by their types.
 * lowshot-model(5) says what each means. */
#ifndef COMMON_MODEL_SETTINGS_H
#define COMMON_MODEL_SETTINGS_H

#include "names.h"

typedef enum { METHOD_NONE, METHOD_AUTO, METHOD_MEAN, METHOD_PROXIES, METHOD_RIDGE } fit_method;
const char *method_name(fit_method method);          /* "" for none */
int method_parse(const char *word, fit_method *out); /* -1 for another word */

/* What a bias serves: the harmonic mean of base and novel accuracy; the accuracy over all classes,
 * each as often; or the best novel accuracy at no more than a loss of right base rows. */
typedef enum { BALANCE_HARMONIC, BALANCE_ALL, BALANCE_BASE } balance_kind;

typedef struct {
    balance_kind kind;
    double share; /* of BALANCE_BASE: what base classes may lose of their right rows, 0 to 1 */
} balance;

#define BALANCE_WORDS "harmonic, all or base:SHARE"
/* One of these; -1 for another word. */
int balance_parse(const char *word, balance *out);

/* How classes are to be fitted. A value in brackets stands for a note that is not there. */
typedef struct {
    fit_method method;   /* (METHOD_NONE) */
    int calibrate;       /* 0, 1 (-1) */
    const char *balance; /* (NULL), else borrowed */
    double lambda;       /* of ridge (0: chosen) */
    size_t proxies;      /* weights a class (0) */
    double proxies_seed; /* (-1) */
} fit_settings;

fit_settings fit_settings_of(const model *m);
int fit_settings_put(model *m, const fit_settings *s, error *e);

/* Which features (src/imprinting/projection.h) the model's sums and weights of features are of. */
typedef struct {
    size_t random, width; /* random ones, and all of them */
    bool plain;           /* the embedding itself stands before the random ones */
    uint64_t seed;
} feature_settings;

/* false where the notes do not say, and *out is zero. */
bool feature_settings_of(const model *m, feature_settings *out);
/* Of `out` the width is not read. */
int feature_settings_put(model *m, const feature_settings *s, error *e);

/* What came of a fit. */
typedef struct {
    fit_method method;  /* (METHOD_NONE) */
    const char *kind;   /* of ridge: balanced or discriminant (NULL), else borrowed */
    double lambda;      /* of ridge (0) */
    double scale;       /* one over the temperature (0) */
    double bias;        /* of imprinted novel classes (0) */
    bool bare;          /* it was found without rows of base classes */
    double base, novel; /* the accuracies expected (-1) */
    double alone;       /* that of base classes without novel ones beside them (-1) */
} fit_report;

fit_report fit_report_of(const model *m);
int fit_report_put(model *m, const fit_report *r, error *e);
void fit_report_drop(model *m);

#endif
