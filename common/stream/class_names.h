/* class_names.h: class names from a text: one a line, the first line class 0. Blanks at a line's
 * end, a byte-order mark and empty lines at the end do not count; an empty line with a name after
 * it would move all that follow, and is an error. */
#ifndef COMMON_STREAM_CLASS_NAMES_H
#define COMMON_STREAM_CLASS_NAMES_H

#include "../base/error.h"
#include "class_list.h"

/* Both set *names on success only, to be freed with class_list_free; errors do not name the file.
 * class_names_load takes files of at most 16 MiB, and says with errno ENOENT that there is none. */
int class_names_parse(const char *text, size_t bytes, class_list *names, error *e);
int class_names_load(const char *path, class_list *names, error *e);

#endif
