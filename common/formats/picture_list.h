/* picture_list.h: which picture files there are, and of which classes. */
#ifndef COMMON_FORMATS_PICTURE_LIST_H
#define COMMON_FORMATS_PICTURE_LIST_H

#include "../stream/class_list.h"
#include "picture_source.h"

#include <stdio.h>

typedef struct {
    char *path;
    int32_t label; /* -1: none */
} picture_file;

typedef struct {
    class_list classes;
    size_t count, room, labelled; /* files, how many fit, those with a label */
    picture_file *files;
    size_t passed_over; /* files in folders whose names are not those of pictures */
    char *passed_name;  /* the first of them */
} picture_list;

void picture_list_free(picture_list *l);

/* Whether a file's name ends as a picture's does. */
bool picture_list_named(const char *name);
#define PICTURE_ENDINGS ".jpg, .png, .webp or .ppm" /* the usual ones, for messages */

/* A file, or a folder: each of its sub-folders is a class, in the order of their names (byte by
 * byte), with all pictures within, however deep, ordered likewise. A folder without sub-folders
 * gives its files without a class. In folders files count whose names end in .jpg, .jpeg, .png,
 * .webp, .ppm, .pgm, .pbm or .pnm, capitals or not; hidden ones do not. */
int picture_list_add(picture_list *l, const char *path, error *e);

/* A line a file: its path, or its path, a tab and its class. `name` is the text's own. */
int picture_list_read(picture_list *l, FILE *text, const char *name, error *e);

/* Leaves a share of each class's files, in their order: of a random order by `seed` and the files'
 * paths, the first ones, or the last ones. Two shares that add up to 1, one of each end, leave
 * every file once. */
int picture_list_split(picture_list *l, double share, bool last, uint64_t seed, error *e);

/* The list's pictures in their order. It borrows the list. */
typedef struct {
    picture_source source;
    const picture_list *list;
    size_t next;
} picture_list_reader;
picture_list_reader picture_list_read_all(const picture_list *l);

#endif
