/* kinds.h: which classes are base and which novel. */
#ifndef COMMON_STREAM_KINDS_H
#define COMMON_STREAM_KINDS_H

#include "header.h"

typedef enum { CLASS_BASE, CLASS_NOVEL } class_kind;
const char *class_kind_name(class_kind kind); /* "base", "novel" */

/* A stream of predictions says in its header, key "kinds", which of the model's classes are base
 * and which novel: ["base"|"novel", ...]. The header's list of classes begins with the model's, in
 * the model's order; classes of the input that the model does not know follow. Writing: -1 without
 * memory. Reading: *kinds has *count entries and is the caller's to free; without the key all
 * classes count as base. */
int kinds_write(stream_header *h, const class_kind *kinds, size_t count);
int kinds_read(const stream_header *h, class_kind **kinds, size_t *count, error *e);

#endif
