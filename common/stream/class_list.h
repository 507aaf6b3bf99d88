/* class_list.h: class names with places: an append-only list. */
#ifndef COMMON_STREAM_CLASS_LIST_H
#define COMMON_STREAM_CLASS_LIST_H

#include "../base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STREAM_CLASSES_MAX 1000000
#define CLASS_NAME_BYTES_MAX 1023

/* 0, or -1 and why a text is no class's name: it has 1 to 1023 bytes of UTF-8 and no control
 * character. Whoever takes a name in from outside asks. */
int class_name_check(const char *name, error *e);

/* Read the names freely; change them by these
 * functions only. */
typedef struct {
    size_t count;
    char **names; /* owned */
    size_t slot_count;
    uint32_t *slots; /* owned: a hash table of places + 1 */
} class_list;

/* Its index; -1 if the name is there already, the list is full or memory ran out. */
int class_list_add(class_list *list, const char *name);
int class_list_find(const class_list *list, const char *name); /* -1 if it is not there */
int class_list_copy(class_list *to, const class_list *from);   /* to need not be initialised */
bool class_list_equal(const class_list *a, const class_list *b);
void class_list_free(class_list *list);

/* Reads a choice such as "ship,8,0-7" against a list: names first, then numbers and ranges. Sets
 * chosen[i] for the classes meant (count flags, zeroed first). An unknown name or number is an
 * error that lists the known ones. */
int class_list_choose(const class_list *list, const char *words, bool *chosen, error *e);

#endif
