/* idx.c: see idx.h. */
#include "idx.h"

#include "../stream/batch.h"
#include "gunzip.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TYPE_BYTE = 8 };

struct idx_file {
    char *name;
    gunzip *file; /* plain or compressed */
    size_t rank, shape[IDX_RANK_MAX], row_bytes;
    uint64_t row; /* the next one */
};

/* ---- bytes ---- */

/* 1 if all bytes came, 0 if the file ended before, -1. */
static int read_bytes(idx_file *f, void *to, size_t bytes, error *e)
{
    ssize_t got = gunzip_read(f->file, to, bytes, e);
    return got < 0 ? -1 : (size_t)got == bytes;
}

static int cut_short(const idx_file *f, error *e)
{
    return error_set(
        e,
        "%s: row %" PRIu64 ", byte %" PRIu64 " (uncompressed): cut short; its head says "
        "%zu rows of %zu bytes",
        f->name, f->row, 4 + 4 * f->rank + f->row * f->row_bytes, f->shape[0], f->row_bytes);
}

/* ---- head ---- */

static int check_type(const idx_file *f, const uint8_t *magic, error *e)
{
    if (magic[0] != 0 || magic[1] != 0 || magic[2] < 8 || magic[2] > 14 || magic[2] == 10)
        return error_set(e, "%s: not an IDX file", f->name);
    if (magic[2] != TYPE_BYTE)
        return error_set(e,
                         "%s: an IDX file of type 0x%02x; only unsigned bytes (0x08) can be read",
                         f->name, magic[2]);
    if (magic[3] < 1 || magic[3] > IDX_RANK_MAX)
        return error_set(e, "%s: an IDX file with %u dimensions; 1 to %d can be read", f->name,
                         magic[3], IDX_RANK_MAX);
    return 0;
}

static int read_head(idx_file *f, error *e)
{
    uint8_t head[4 + 4 * IDX_RANK_MAX];
    int status = read_bytes(f, head, 4, e);
    if (status < 0 || (status > 0 && check_type(f, head, e) < 0))
        return -1;
    if (status == 0)
        return error_set(e, "%s: empty, or too short for an IDX file", f->name);
    f->rank = head[3];
    status = read_bytes(f, head + 4, 4 * f->rank, e);
    if (status <= 0)
        return status < 0 ? -1 : error_set(e, "%s: cut short within its head", f->name);
    f->row_bytes = 1;
    for (size_t i = 0; i < f->rank; i++) {
        const uint8_t *at = head + 4 + 4 * i;
        f->shape[i] = (size_t)at[0] << 24 | (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3];
        if (f->shape[i] == 0)
            return error_set(e, i ? "%s: its dimension %zu is 0" : "%s: no rows in it", f->name, i);
        if (i > 0 && (__builtin_mul_overflow(f->row_bytes, f->shape[i], &f->row_bytes) ||
                      f->row_bytes > STREAM_BATCH_BYTES_MAX))
            return error_set(e, "%s: rows of more than %zu bytes, the most a batch may have",
                             f->name, STREAM_BATCH_BYTES_MAX);
    }
    return 0;
}

/* A plain file that cannot hold what its head says is refused before anything is written. */
static int check_size(const idx_file *f, const struct stat *status, error *e)
{
    if (!gunzip_plain(f->file) || !S_ISREG(status->st_mode))
        return 0;
    uint64_t wanted = 4 + 4 * f->rank + (uint64_t)f->shape[0] * f->row_bytes;
    if ((uint64_t)status->st_size != wanted)
        return error_set(e,
                         "%s: %s: its head says %zu rows of %zu bytes, %" PRIu64
                         " bytes in all, and "
                         "it has %" PRIu64,
                         f->name, (uint64_t)status->st_size < wanted ? "cut short" : "too long",
                         f->shape[0], f->row_bytes, wanted, (uint64_t)status->st_size);
    return 0;
}

/* ---- files ---- */

void idx_close(idx_file *f)
{
    if (!f)
        return;
    gunzip_close(f->file);
    free(f->name);
    free(f);
}

int idx_open_fd(int fd, const char *name, idx_file **out, error *e)
{
    struct stat status = {0};
    idx_file *f = calloc(1, sizeof *f);
    bool known = fstat(fd, &status) == 0;
    if (f)
        f->name = strdup(name);
    if (!f || !f->name) {
        close(fd);
        idx_close(f);
        return error_set(e, "%s: out of memory", name);
    }
    if (!known) {
        error_system(e, "%s: cannot read", name);
        close(fd);
    }
    if (!known || gunzip_open(fd, f->name, &f->file, e) < 0 || read_head(f, e) < 0 ||
        check_size(f, &status, e) < 0) {
        idx_close(f);
        return -1;
    }
    *out = f;
    return 0;
}

int idx_open(const char *path, idx_file **out, error *e)
{
    bool standard = strcmp(path, "-") == 0;
    int fd = standard ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_system(e, "%s: cannot open", path);
    return idx_open_fd(fd, standard ? "standard input" : path, out, e);
}

const char *idx_name(const idx_file *f)
{
    return f->name;
}

size_t idx_rank(const idx_file *f)
{
    return f->rank;
}

const size_t *idx_shape(const idx_file *f)
{
    return f->shape;
}

size_t idx_row_bytes(const idx_file *f)
{
    return f->row_bytes;
}

int idx_read(idx_file *f, size_t rows, void *to, error *e)
{
    for (size_t i = 0; i < rows; i++, f->row++) {
        int status = read_bytes(f, (char *)to + i * f->row_bytes, f->row_bytes, e);
        if (status <= 0)
            return status < 0 ? -1 : cut_short(f, e);
    }
    return 0;
}

int idx_finish(idx_file *f, error *e)
{
    char more;
    int status = read_bytes(f, &more, 1, e);
    if (status > 0)
        return error_set(e, "%s: too long: more follows the %zu rows that its head says", f->name,
                         f->shape[0]);
    return status;
}
