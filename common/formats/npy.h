/* npy.h: numpy's arrays in files: .npy, plain or compressed by gzip, and .npz, a zip archive of
 * .npy files by name; and safetensors files, in whose place an archive may stand everywhere here
 * (safetensors.h). Source: numpy's documentation, "numpy.lib.format". Zip archives are read and
 * written by libarchive, which compares their check sums.
 *
 * Read are numbers of 1 to 8 bytes, in either order of bytes, truth values, and texts of fixed
 * width (numpy's U and S); not objects of Python, which only Python can make of their bytes. */
#ifndef COMMON_FORMATS_NPY_H
#define COMMON_FORMATS_NPY_H

#include "../base/output.h"
#include "../stream/tensor.h"

#include <stdio.h>

/* What an array's head says. A text has width units of 1 byte (S) or 4 (U) and no tensor's type. */
typedef struct {
    bool is_text, swapped, by_columns; /* swapped: big-endian; by_columns: Fortran's order */
    tensor_type type;                  /* of numbers */
    size_t unit, width;                /* bytes that are swapped together; units an element */
    size_t rank, shape[TENSOR_RANK_MAX];
} npy_head;

typedef struct npy_array npy_array;

/* The names of an archive's arrays, without ".npy", in its order: *names is one block, freed by the
 * caller. 0 of them, and *names NULL, where the file is no archive. */
int npz_names(const char *path, char ***names, size_t *count, error *e);

/* Opens a file ("-": standard input; no archive can come there), or, where `member` is not NULL, an
 * archive's array, and reads its head. An array of no dimension has one row. Errors name the
 * file. */
int npy_open(const char *path, const char *member, npy_array **out, error *e);
void npy_close(npy_array *a); /* NULL is harmless */

const char *npy_name(const npy_array *a); /* "features.npz: labels" */
const npy_head *npy_head_of(const npy_array *a);
size_t npy_row_bytes(const npy_array *a); /* at most 1 GiB */

/* The next `rows` rows, exactly, row-major and little-endian. */
int npy_read(npy_array *a, size_t rows, void *to, error *e);
/* After the last row: nothing may follow, and the archive's check sum is right. */
int npy_finish(npy_array *a, error *e);

/* ---- writing ---- */

/* The head of an array of numbers ("<f4", "|u1", "<U12"), a multiple of 64 bytes; freed by the
 * caller. NULL without memory. */
char *npy_head_text(const char *descr, size_t rank, const size_t *shape, size_t *bytes);

typedef struct npz_writer npz_writer;
int npz_create(output *to, npz_writer **out, error *e);
/* An array: its head, then `bytes` of data from the file's beginning. */
int npz_add(npz_writer *w, const char *name, const char *head, size_t head_bytes, FILE *data,
            uint64_t bytes, error *e);
int npz_end(npz_writer *w, error *e); /* the archive's own end; commits nothing */
void npz_free(npz_writer *w);

#endif
