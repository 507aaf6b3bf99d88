/* idx.h: IDX files, plain or compressed by gzip, as MNIST and its family come in: a head (two zero
 * bytes, the numbers' type, the number of dimensions, each dimension as big-endian uint32), then
 * the numbers, row-major. Source: "THE MNIST DATABASE of handwritten digits" (LeCun, Cortes,
 * Burges). */
#ifndef COMMON_FORMATS_IDX_H
#define COMMON_FORMATS_IDX_H

#include "../base/error.h"

#include <stddef.h>
#include <stdint.h>

enum { IDX_RANK_MAX = 4 };

typedef struct idx_file idx_file;

/* Opens and reads the head; "-" is standard input. Only unsigned bytes (type 8) are read. A plain
 * file's size is checked against the head. Errors name the file. */
int idx_open(const char *path, idx_file **out, error *e);
int idx_open_fd(int fd, const char *name, idx_file **out, error *e); /* closes fd in any case */
void idx_close(idx_file *f);

const char *idx_name(const idx_file *f);
size_t idx_rank(const idx_file *f);
const size_t *idx_shape(const idx_file *f); /* the first dimension counts rows */
size_t idx_row_bytes(const idx_file *f);    /* at most 1 GiB */

/* The next `rows` rows, exactly. */
int idx_read(idx_file *f, size_t rows, void *to, error *e);
/* After the last row: nothing may follow. */
int idx_finish(idx_file *f, error *e);

#endif
