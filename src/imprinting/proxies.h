/* proxies.h: several weights a class, for classes of several looks.
 *
 * A class's rows are grouped into K by spherical k-means (Dhillon, Modha: Concept decompositions
 * for large sparse text data using clustering, Machine Learning 42, 2001) from k-means++ seeds
 * (Arthur, Vassilvitskii, SODA 2007), and each group's normalised mean is a proxy; the class's
 * score is the largest of its proxies' (Westerhoff et al., arXiv 2503.14572). Unlike means and
 * ridge this needs rows and not sums of them: exemplars (exemplars.h) stand for all. */
#ifndef SRC_IMPRINTING_PROXIES_H
#define SRC_IMPRINTING_PROXIES_H

#include "../../common/model/settings.h"
#include "../../kernels/algebra.h"

/* count unit vectors [count][dimension] of rows [rows][dimension], unit vectors too, rows >= 1.
 * Fewer different rows than `count` give some proxies twice. Same seed, same proxies. */
int proxies_of_rows(algebra *a, const float *unit, size_t rows, size_t dimension, size_t count,
                    uint64_t seed, float *out, error *e);

#define PROXIES_MOST 1000

/* Makes proxies/weight [classes][proxies][dimension]: of imprinted classes from their exemplars, of
 * which there must be as many; of the others from head/weight. */
int proxies_make(algebra *a, model *m, const fit_settings *s, error *e);

#endif
