/* picture_tar.h: pictures of tar streams, as tar packs folders of them and as WebDataset writes
 * them; plain or compressed (gzip, bzip2, xz, zstd).
 *
 * Members are pictures by their names' ends, as in folders (picture_list.h); a hidden one, or one
 * within a hidden folder, is passed over. A picture's class is what the member of the same name
 * that ends in .cls says, if one stands beside it, else the name of the folder that it lies in. */
#ifndef COMMON_FORMATS_PICTURE_TAR_H
#define COMMON_FORMATS_PICTURE_TAR_H

#include "../stream/class_list.h"
#include "picture_source.h"

typedef struct picture_tar picture_tar;

/* Of these files, - being standard input, one after the other. Where there are names, .cls members
 * have numbers, and mean the name at that place. Paths and names are borrowed. */
int picture_tar_open(char *const *paths, size_t count, const class_list *names, picture_tar **out,
                     error *e);
void picture_tar_close(picture_tar *t); /* NULL is harmless */
picture_source *picture_tar_source(picture_tar *t);

/* How many members were no pictures, nor what belongs to one (.cls, .json, .txt), and the first's
 * name. */
size_t picture_tar_passed_over(const picture_tar *t, const char **first);

#endif
