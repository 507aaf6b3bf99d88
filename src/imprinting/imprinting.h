/* imprinting.h: new classes for a model from sums over their embeddings.
 *
 * Qi, Brown, Lowe: Low-Shot Learning with Imprinted Weights (CVPR 2018): the weight of a new class
 * is the mean of its normalised embeddings, normalised again. The sums and counts stay in the model
 * (imprint/sum, imprint/count; of random features too where ridge may need them), so that examples
 * added later give the weights that all of them at once would have given. Nothing here depends on
 * the order of rows but for rounding in double. */
#ifndef SRC_IMPRINTING_IMPRINTING_H
#define SRC_IMPRINTING_IMPRINTING_H

#include "../../common/model/settings.h"
#include "../../kernels/algebra.h"

/* Found by examples/low-shot's `make reservoirs`: harmonic mean 0.602 of 100 rows, 0.616 of 200,
 * 0.625 of 500, 0.630 of 1,000, 0.627 of 5,000. */
#define IMPRINTING_RESERVOIR 500
#define IMPRINTING_EXEMPLAR_BYTES ((size_t)256 << 20)

typedef struct {
    /* Rows are those of the base classes' training, and others are left out: they make SUMS_BASE,
     * in place of what the model had, and nothing is imprinted. */
    bool training_rows;
    /* Classes that are new become base classes; rows of base classes take part, too. */
    bool as_base;
    /* Classes of kind base take part, too; otherwise their rows are left out. */
    bool update_base;
    /* Keep sums of features, as ridge needs them: of the model's feature settings, or for training
     * rows of those chosen. */
    bool features;
    feature_settings chosen;
    /* Rows of each class to keep as exemplars; 0 for the usual few. A model that keeps another
     * number of its imprinted classes already stays with that. */
    size_t reservoir;
    /* As many as proxies like, not the few: IMPRINTING_RESERVOIR, fewer where there are so many
     * classes that they would pass IMPRINTING_EXEMPLAR_BYTES. */
    bool many;
} imprinting_options;

typedef struct imprinting imprinting;

/* Begins on a model whose `norm` says how embeddings enter the sums. Backend and model are
 * borrowed. */
int imprinting_new(algebra *a, model *m, const imprinting_options *o, imprinting **out, error *e);
void imprinting_free(imprinting *i);

/* Adds rows: embeddings [rows][dimension], labels indices into `classes` (-1 for none), which may
 * have grown since the last call but not changed otherwise. plain [rows][dimension] is what stands
 * for them in the exemplars and in the sums of features, where it is not the embeddings themselves
 * (NULL): those of plain pictures, where embeddings are means over views. For base classes' rows,
 * which these stand beside, are plain ones too. */
int imprinting_add(imprinting *i, const class_list *classes, const float *embeddings,
                   const float *plain, const int32_t *labels, size_t rows, error *e);

/* Rows that came so far: those that count; those left out because their class is a base class;
 * those without a direction (zeros under norm l2), which count for nothing. */
typedef struct {
    uint64_t used, base, zeros;
} imprinting_rows;
imprinting_rows imprinting_counted(const imprinting *i);

/* Rows of one class of the list that count. */
double imprinting_class_rows(const imprinting *i, size_t class_index);

/* Brings the model up to date: adds the classes that had rows and are new to it, in the list's
 * order, as novel ones; adds up sums and counts; makes those classes' weights. Fails where no
 * training rows came. On failure the model is to be thrown away. */
int imprinting_finish(imprinting *i, error *e);

#endif
