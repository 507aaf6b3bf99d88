/* cifar.h: CIFAR-10 and CIFAR-100 binary batches: records of one or two label bytes and 3 x 32 x 32
 * bytes, the red plane, the green one, the blue one, each row by row.
 * Source of the layout: the data sets' page, "Binary version" (Krizhevsky, 2009). */
#ifndef COMMON_FORMATS_CIFAR_H
#define COMMON_FORMATS_CIFAR_H

#include "../base/error.h"
#include "../stream/class_list.h"

enum { CIFAR_SIDE = 32, CIFAR_PIXELS = CIFAR_SIDE * CIFAR_SIDE, CIFAR_IMAGE = 3 * CIFAR_PIXELS };

typedef struct {
    const char *title;  /* "CIFAR-10" */
    size_t label_bytes; /* before the picture */
    size_t label_place; /* which of them is the label */
    size_t class_count;
    const char *names_file;   /* that stands beside the batches: one name a line */
    const char *const *names; /* built in */
} cifar_kind;

extern const cifar_kind cifar_10, cifar_100_fine, cifar_100_coarse;

size_t cifar_record(const cifar_kind *kind); /* bytes */

/* Takes `rows` records apart: pictures [rows][32][32][3], labels [rows]. Returns the first row
 * whose label is no class (the rest is not read), or `rows`. */
size_t cifar_unpack(const cifar_kind *kind, const uint8_t *records, size_t rows, uint8_t *images,
                    int32_t *labels);

/* Three planes of `count` bytes to `count` pixels of three bytes; the planes follow each other. */
void cifar_interleave(const uint8_t *planes, size_t count, uint8_t *pixels);

/* The class names: from the file beside the batch `path`, else (and for "-") those built in. */
int cifar_names(const cifar_kind *kind, const char *path, class_list *names, error *e);

/* ---- files ---- */

typedef struct cifar_file cifar_file;

/* What is known of a file without opening it, "-" being standard input: its rows, 0 where not
 * known. A folder, a file that is missing or may not be read, and what cifar_open refuses are
 * errors. */
int cifar_look(const cifar_kind *kind, const char *path, uint64_t *rows, error *e);

/* "-" is standard input. A regular file's size is checked: empty or no multiple of a record is an
 * error. */
int cifar_open(const cifar_kind *kind, const char *path, cifar_file **out, error *e);
int cifar_open_fd(const cifar_kind *kind, int fd, const char *name, cifar_file **out,
                  error *e);              /* closes fd */
uint64_t cifar_rows(const cifar_file *f); /* in a regular file; 0 where not known */
/* The next rows, at most `most`, as cifar_unpack leaves them. Their number, 0 at the end, -1.
 * Errors name file, row and byte. */
int cifar_read(cifar_file *f, size_t most, uint8_t *images, int32_t *labels, error *e);
void cifar_close(cifar_file *f);

#endif
