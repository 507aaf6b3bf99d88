/* class_map.h: from the labels of one class list to those of another, by name. */
#ifndef SRC_TRAINING_CLASS_MAP_H
#define SRC_TRAINING_CLASS_MAP_H

#include "../../common/base/error.h"
#include "../../common/stream/class_list.h"

#include <stddef.h>
#include <stdint.h>

/* Adds to `to` those names of `from` that occur among labels[order[0 .. rows)] and that it lacks,
 * in from's order. */
int class_map_extend(class_list *to, const class_list *from, const int32_t *labels,
                     const uint32_t *order, size_t rows, error *e);

/* Renumbers labels[0 .. rows), indices into `from`, to indices into `to`. A label whose class `to`
 * lacks is an error that names all such classes; then nothing is changed. */
int class_map_apply(const class_list *to, const class_list *from, int32_t *labels, size_t rows,
                    error *e);

/* The names of the flagged classes, separated by ", "; a long list ends in "...". Fits `size`. */
char *class_map_names(const class_list *list, const bool *chosen, char *text, size_t size);

#endif
