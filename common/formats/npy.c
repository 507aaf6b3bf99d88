/* npy.c: see npy.h. */
#include "npy.h"

#include "../stream/batch.h"
#include "gunzip.h"
#include "safetensors.h"

#include <archive.h>
#include <archive_entry.h>
#include <ctype.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEAD_MOST = 1 << 16, BLOCK = 1 << 16, MAGIC = 6 };

struct npy_array {
    char *name;
    struct archive *archive; /* of an archive's array; else file */
    gunzip *file;
    FILE *tensors; /* a safetensors file, where the array begins */
    npy_head head;
    size_t element, row_bytes;
    uint64_t row; /* the next one */
    bool halves;  /* float32 of which the file has the upper halves, bfloat16 */
    char *whole;  /* by_columns: all of it, once the first row is wanted */
};

/* ---- bytes ---- */

static int archive_refuse(struct archive *a, const char *name, error *e)
{
    const char *why = archive_error_string(a);
    if (!why || strcmp(why, "Unrecognized archive format") == 0)
        why = "an archive without its directory, which stands at the end; it is cut short";
    return error_set(e, "%s: %s", name, why);
}

/* Their number, fewer only where the array ends; -1. */
static ssize_t bytes_read(npy_array *a, void *to, size_t bytes, error *e)
{
    size_t done = 0;
    if (a->file)
        return gunzip_read(a->file, to, bytes, e);
    if (a->tensors) {
        done = fread(to, 1, bytes, a->tensors);
        return ferror(a->tensors) ? error_system(e, "%s", a->name) : (ssize_t)done;
    }
    while (done < bytes) {
        ssize_t got = archive_read_data(a->archive, (char *)to + done, bytes - done);
        if (got < 0)
            return archive_refuse(a->archive, a->name, e);
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

/* ---- the head ---- */

/* What stands behind 'key': in the head's dictionary; NULL if it is not there. */
static const char *value_of(const char *text, const char *key)
{
    size_t length = strlen(key);
    for (const char *at = text; (at = strstr(at, key)); at += length) {
        char quote = at > text ? at[-1] : 0;
        if ((quote != '\'' && quote != '"') || at[length] != quote)
            continue;
        at += length + 1;
        at += strspn(at, " ");
        if (*at++ != ':')
            return NULL;
        return at + strspn(at, " ");
    }
    return NULL;
}

static int numbers_type(npy_head *h, char kind, size_t bytes)
{
    char code[16];
    snprintf(code, sizeof code, "%c%c%zu", bytes == 1 ? '|' : '<', kind, bytes);
    h->unit = bytes;
    h->width = 1;
    return bytes > 8 ? -1 : type_parse(code, strlen(code), &h->type);
}

/* "<f4", "|u1", ">i8", "<U12". */
static int descr_parse(npy_array *a, const char *at, error *e)
{
    npy_head *h = &a->head;
    char order, kind, after[2] = "";
    unsigned long bytes = 0;
    if (*at == '[')
        return error_set(e, "%s: rows of named fields; save each field as an array", a->name);
    if (*at != '\'' && *at != '"')
        return error_set(e, "%s: its head has no type", a->name);
    bool object = at[1] && at[2] == 'O';
    int read = sscanf(at + 1, "%c%c%6lu%1s", &order, &kind, &bytes, after);
    if (object)
        return error_set(
            e,
            "%s: objects of Python, which only Python can read; save numbers, or texts "
            "by .astype('U')",
            a->name);
    h->swapped = order == '>';
    h->is_text = kind == 'U' || kind == 'S';
    h->unit = kind == 'U' ? 4 : 1;
    h->width = bytes;
    bool known = read == 4 && *after == *at && strchr("<>|=", order) &&
                 (h->is_text || numbers_type(h, kind, bytes) == 0);
    int length = (int)strcspn(at + 1, "'\"");
    return known ? 0
                 : error_set(e, "%s: an array of type %.*s, which is not read", a->name,
                             length < 20 ? length : 20, at + 1);
}

static int shape_parse(npy_array *a, const char *at, error *e)
{
    npy_head *h = &a->head;
    if (*at++ != '(')
        return error_set(e, "%s: its head has no shape", a->name);
    for (at += strspn(at, " "); *at != ')'; at += strspn(at, "L, ")) {
        char *end;
        unsigned long long side = strtoull(at, &end, 10);
        if (!isdigit((unsigned char)*at) || h->rank == TENSOR_RANK_MAX || side > SIZE_MAX / 2)
            return error_set(e, "%s: a shape that is not read: %.40s", a->name, at);
        h->shape[h->rank++] = (size_t)side;
        at = end;
    }
    if (h->rank == 0)
        h->shape[h->rank++] = 1;
    return 0;
}

static int size_check(npy_array *a, error *e)
{
    const npy_head *h = &a->head;
    size_t all;
    if (h->shape[0] == 0)
        return error_set(e, "%s: no rows in it", a->name);
    a->element = a->row_bytes = h->unit * h->width;
    for (size_t i = 1; i < h->rank; i++)
        if (__builtin_mul_overflow(a->row_bytes, h->shape[i], &a->row_bytes))
            a->row_bytes = SIZE_MAX;
    if (a->row_bytes == 0)
        return error_set(e, "%s: rows of no elements, or texts of no width", a->name);
    if (a->row_bytes > STREAM_BATCH_BYTES_MAX ||
        __builtin_mul_overflow(a->row_bytes, h->shape[0], &all))
        return error_set(e, "%s: rows of more than %zu bytes, the most a batch may have", a->name,
                         STREAM_BATCH_BYTES_MAX);
    return 0;
}

static int head_parse(npy_array *a, const char *text, error *e)
{
    const char *descr = value_of(text, "descr"), *order = value_of(text, "fortran_order");
    const char *shape = value_of(text, "shape");
    if (!descr || !order || !shape)
        return error_set(e, "%s: its head lacks descr, fortran_order or shape", a->name);
    if (descr_parse(a, descr, e) < 0 || shape_parse(a, shape, e) < 0)
        return -1;
    a->head.by_columns = strncmp(order, "True", 4) == 0 && a->head.rank > 1;
    return size_check(a, e);
}

static int head_read(npy_array *a, error *e)
{
    unsigned char begin[MAGIC + 6] = "";
    ssize_t got = bytes_read(a, begin, MAGIC + 4, e);
    if (got < 0)
        return -1;
    if (got >= 2 && memcmp(begin, "PK", 2) == 0)
        return error_set(e, "%s: an archive of arrays cannot come through a pipe; name the file",
                         a->name);
    if (got < MAGIC + 4 || memcmp(begin, "\x93NUMPY", MAGIC) != 0)
        return error_set(e, "%s: not an array of numpy's (.npy, .npz)", a->name);
    size_t length = begin[8] | (size_t)begin[9] << 8;
    if (begin[6] < 1 || begin[6] > 3)
        return error_set(e, "%s: an array of version %u; 1 to 3 are read", a->name, begin[6]);
    if (begin[6] > 1) {
        if ((got = bytes_read(a, begin + MAGIC + 4, 2, e)) < 0)
            return -1;
        length |= (size_t)begin[10] << 16 | (size_t)begin[11] << 24;
    }
    if (length > HEAD_MOST)
        return error_set(e, "%s: a head of %zu bytes; at most %d are read", a->name, length,
                         HEAD_MOST);
    char *text = calloc(1, length + 1);
    int status = text ? 0 : error_set(e, "out of memory");
    if (status == 0 && (got = bytes_read(a, text, length, e)) < 0)
        status = -1;
    if (status == 0 && (size_t)got < length)
        status = error_set(e, "%s: cut short within its head", a->name);
    if (status == 0)
        status = head_parse(a, text, e);
    free(text);
    return status;
}

/* ---- opening ---- */

/* By the directory at an archive's end: read as a stream, one that was cut between two arrays would
 * be whole. */
static struct archive *zip_new(void)
{
    struct archive *a = archive_read_new();
    if (a && archive_read_support_format_zip_seekable(a) != ARCHIVE_OK) {
        archive_read_free(a);
        return NULL;
    }
    return a;
}

static int zip_open(const char *path, struct archive **out, error *e)
{
    struct archive *a = zip_new();
    if (!a)
        return error_set(e, "out of memory");
    if (archive_read_open_filename(a, path, BLOCK) != ARCHIVE_OK) {
        archive_refuse(a, path, e);
        archive_read_free(a);
        return -1;
    }
    *out = a;
    return 0;
}

/* 1, 0 at the end, -1. */
static int zip_next(struct archive *a, const char *path, const char **name, error *e)
{
    struct archive_entry *entry;
    int status = archive_read_next_header(a, &entry);
    if (status == ARCHIVE_EOF)
        return 0;
    if (status != ARCHIVE_OK && status != ARCHIVE_WARN)
        return archive_refuse(a, path, e);
    *name = archive_entry_pathname_utf8(entry);
    return *name ? 1 : error_set(e, "%s: an array whose name is not UTF-8", path);
}

/* The length of an array's name without ".npy"; 0 for a file that is none. */
static size_t member_length(const char *name)
{
    size_t length = strlen(name);
    return length > 4 && strcmp(name + length - 4, ".npy") == 0 ? length - 4 : 0;
}

/* Whether the file begins as an archive does. A fifo is left alone: who opens it has its bytes. */
static bool is_archive(const char *path)
{
    char begin[4];
    struct stat status;
    bool regular = stat(path, &status) == 0 && S_ISREG(status.st_mode);
    int fd = regular ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    bool is = fd >= 0 && pread(fd, begin, 4, 0) == 4 && memcmp(begin, "PK\3\4", 4) == 0;
    if (fd >= 0)
        close(fd);
    return is;
}

typedef struct {
    char *text; /* names, each ended by a zero */
    size_t bytes, room, count;
} name_list;

static int name_add(name_list *n, const char *name, size_t length, error *e)
{
    if (n->bytes + length + 1 > n->room) {
        size_t room = 2 * n->room + length + 1;
        char *more = realloc(n->text, room);
        if (!more)
            return error_set(e, "out of memory");
        n->text = more;
        n->room = room;
    }
    memcpy(n->text + n->bytes, name, length);
    n->text[n->bytes + length] = '\0';
    n->bytes += length + 1;
    n->count++;
    return 0;
}

/* Pointers, and behind them the names, as one block. */
static int names_join(const name_list *n, char ***names, error *e)
{
    char **all = malloc(n->count * sizeof *all + n->bytes + 1);
    if (!all)
        return error_set(e, "out of memory");
    char *at = (char *)(all + n->count);
    if (n->bytes > 0)
        memcpy(at, n->text, n->bytes);
    for (size_t i = 0; i < n->count; i++, at += strlen(at) + 1)
        all[i] = at;
    *names = all;
    return 0;
}

static int tensors_list(const char *path, char ***names, size_t *count, error *e)
{
    name_list n = {0};
    safetensors *s;
    if (safetensors_open(path, &s, e) < 0)
        return -1;
    int status = 0;
    for (size_t i = 0; status == 0 && i < safetensors_count(s); i++)
        status = name_add(&n, safetensors_name(s, i), strlen(safetensors_name(s, i)), e);
    if (status == 0 && n.count == 0)
        status = error_set(e, "%s: a safetensors file with no tensors in it", path);
    if (status == 0)
        status = names_join(&n, names, e);
    *count = status == 0 ? n.count : 0;
    free(n.text);
    safetensors_close(s);
    return status;
}

int npz_names(const char *path, char ***names, size_t *count, error *e)
{
    struct archive *a = NULL;
    name_list n = {0};
    const char *name = NULL;
    int more = 0;
    *names = NULL;
    *count = 0;
    if (safetensors_is(path))
        return tensors_list(path, names, count, e);
    if (!is_archive(path))
        return 0;
    if (zip_open(path, &a, e) < 0)
        return -1;
    while ((more = zip_next(a, path, &name, e)) > 0)
        if (member_length(name) > 0 && name_add(&n, name, member_length(name), e) < 0)
            break;
    int status = more == 0 ? names_join(&n, names, e) : -1;
    if (status == 0 && n.count == 0) {
        free(*names);
        status = error_set(e, "%s: an archive with no arrays (.npy) in it", path);
    }
    *count = status == 0 ? n.count : 0;
    free(n.text);
    archive_read_free(a);
    return status;
}

static int member_find(npy_array *a, const char *path, const char *member, error *e)
{
    const char *name = NULL;
    int more;
    if (zip_open(path, &a->archive, e) < 0)
        return -1;
    while ((more = zip_next(a->archive, path, &name, e)) > 0)
        if (member_length(name) == strlen(member) && strncmp(name, member, strlen(member)) == 0)
            return 0;
    return more < 0 ? -1 : error_set(e, "%s: no array %s in it", path, member);
}

/* Its head too; the file stands where its data begins. */
static int tensor_open(npy_array *a, const char *path, const char *member, error *e)
{
    safetensors *s;
    safetensor t;
    if (safetensors_open(path, &s, e) < 0)
        return -1;
    int status = safetensors_find(s, member, &t, e);
    safetensors_close(s);
    if (status < 0)
        return error_prefix(e, "%s", path);
    a->head = (npy_head){.type = t.type, .unit = type_size(t.type), .width = 1, .rank = t.rank};
    a->halves = t.is_bf16;
    memcpy(a->head.shape, t.shape, sizeof t.shape);
    a->tensors = fopen(path, "rbe");
    if (!a->tensors || fseeko(a->tensors, (off_t)t.begin, SEEK_SET) != 0)
        return error_system(e, "%s", path);
    return size_check(a, e);
}

static int file_open(npy_array *a, const char *path, error *e)
{
    int fd = strcmp(path, "-") == 0 ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_system(e, "%s: cannot open", path);
    return gunzip_open(fd, a->name, &a->file, e);
}

int npy_open(const char *path, const char *member, npy_array **out, error *e)
{
    npy_array *a = calloc(1, sizeof *a);
    const char *shown = strcmp(path, "-") == 0 ? "standard input" : path;
    if (!a || (member ? asprintf(&a->name, "%s: %s", shown, member)
                      : asprintf(&a->name, "%s", shown)) < 0) {
        free(a);
        return error_set(e, "out of memory");
    }
    bool tensors = member && safetensors_is(path);
    if (tensors ? tensor_open(a, path, member, e) < 0
                : (member ? member_find(a, path, member, e) : file_open(a, path, e)) < 0 ||
                      head_read(a, e) < 0) {
        npy_close(a);
        return -1;
    }
    *out = a;
    return 0;
}

void npy_close(npy_array *a)
{
    if (!a)
        return;
    gunzip_close(a->file);
    archive_read_free(a->archive);
    if (a->tensors)
        fclose(a->tensors);
    free(a->whole);
    free(a->name);
    free(a);
}

const char *npy_name(const npy_array *a)
{
    return a->name;
}
const npy_head *npy_head_of(const npy_array *a)
{
    return &a->head;
}
size_t npy_row_bytes(const npy_array *a)
{
    return a->row_bytes;
}

/* ---- rows ---- */

/* Of what stands in the upper half of `to`: each goes to a place that was read before. */
static void halves_widen(void *to, size_t count)
{
    uint32_t *whole = to;
    const uint16_t *half = (const uint16_t *)to + count;
    for (size_t i = 0; i < count; i++)
        whole[i] = (uint32_t)half[i] << 16;
}

static int exactly(npy_array *a, void *to, size_t rows, error *e)
{
    size_t row = a->halves ? a->row_bytes / 2 : a->row_bytes;
    ssize_t got = bytes_read(a, (char *)to + rows * (a->row_bytes - row), rows * row, e);
    if (got < 0)
        return -1;
    if ((size_t)got < rows * row)
        return error_set(e, "%s: cut short: %" PRIu64 " rows came of the %zu that its head says",
                         a->name, a->row + (uint64_t)got / row, a->head.shape[0]);
    if (a->halves)
        halves_widen(to, rows * row / 2);
    return 0;
}

static void units_swap(char *at, size_t bytes, size_t unit)
{
    for (; bytes >= unit; bytes -= unit, at += unit)
        for (size_t i = 0; i < unit / 2; i++) {
            char kept = at[i];
            at[i] = at[unit - 1 - i];
            at[unit - 1 - i] = kept;
        }
}

/* Rows out of Fortran's order, in which the first index runs fastest. */
static void rows_gather(const npy_array *a, size_t rows, char *to)
{
    const npy_head *h = &a->head;
    size_t size = a->row_bytes / a->element, step[TENSOR_RANK_MAX];
    step[0] = 1;
    for (size_t d = 1; d < h->rank; d++)
        step[d] = step[d - 1] * h->shape[d - 1];
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < size; i++, to += a->element) {
            size_t from = (size_t)a->row + r, left = i;
            for (size_t d = h->rank; d-- > 1; left /= h->shape[d])
                from += left % h->shape[d] * step[d];
            memcpy(to, a->whole + from * a->element, a->element);
        }
}

static int whole_read(npy_array *a, error *e)
{
    size_t rows = a->head.shape[0];
    a->whole = malloc(rows * a->row_bytes);
    if (!a->whole)
        return error_set(e, "%s: out of memory: an array in Fortran's order is read whole",
                         a->name);
    return exactly(a, a->whole, rows, e);
}

int npy_read(npy_array *a, size_t rows, void *to, error *e)
{
    if (a->head.by_columns) {
        if (!a->whole && whole_read(a, e) < 0)
            return -1;
        rows_gather(a, rows, to);
    } else if (exactly(a, to, rows, e) < 0) {
        return -1;
    }
    if (a->head.swapped)
        units_swap(to, rows * a->row_bytes, a->head.unit);
    a->row += rows;
    return 0;
}

int npy_finish(npy_array *a, error *e)
{
    char more;
    ssize_t got = a->tensors ? 0 : bytes_read(a, &more, 1, e); /* other tensors may follow */
    if (got > 0)
        return error_set(e, "%s: too long: more follows the %zu rows that its head says", a->name,
                         a->head.shape[0]);
    return (int)got;
}

/* ---- writing ---- */

char *npy_head_text(const char *descr, size_t rank, const size_t *shape, size_t *bytes)
{
    char sides[TENSOR_RANK_MAX * 24] = "", *text;
    size_t used = 0;
    for (size_t i = 0; i < rank; i++)
        used += (size_t)snprintf(sides + used, sizeof sides - used, i ? ", %zu" : "%zu", shape[i]);
    int length =
        asprintf(&text, "          {'descr': '%s', 'fortran_order': False, 'shape': (%s%s), }",
                 descr, sides, rank == 1 ? "," : "");
    if (length < 0)
        return NULL;
    *bytes = ((size_t)length + 64) / 64 * 64; /* a line's end, and blanks before it */
    char *whole = realloc(text, *bytes);
    if (!whole) {
        free(text);
        return NULL;
    }
    memset(whole + length, ' ', *bytes - (size_t)length);
    whole[*bytes - 1] = '\n';
    memcpy(whole, "\x93NUMPY\1\0", 8);
    whole[8] = (char)((*bytes - 10) & 0xFF);
    whole[9] = (char)((*bytes - 10) >> 8);
    return whole;
}

struct npz_writer {
    struct archive *archive;
    output *to;
    error failed; /* what writing said */
};

static ssize_t archive_bytes(struct archive *archive, void *context, const void *data, size_t bytes)
{
    npz_writer *w = context;
    (void)archive;
    return output_write(w->to, data, bytes, &w->failed) < 0 ? -1 : (ssize_t)bytes;
}

static int written(npz_writer *w, int status, error *e)
{
    if (status >= ARCHIVE_WARN)
        return 0;
    if (w->failed.text[0])
        return error_set(e, "%s", w->failed.text);
    return archive_refuse(w->archive, "the archive", e);
}

int npz_create(output *to, npz_writer **out, error *e)
{
    npz_writer *w = calloc(1, sizeof *w);
    if (!w || !(w->archive = archive_write_new())) {
        free(w);
        return error_set(e, "out of memory");
    }
    w->to = to;
    archive_write_set_bytes_in_last_block(w->archive, 1); /* nothing behind the end */
    if (archive_write_set_format_zip(w->archive) != ARCHIVE_OK ||
        archive_write_set_format_option(w->archive, "zip", "compression", "store") != ARCHIVE_OK ||
        archive_write_open(w->archive, w, NULL, archive_bytes, NULL) != ARCHIVE_OK) {
        archive_refuse(w->archive, "the archive", e);
        npz_free(w);
        return -1;
    }
    *out = w;
    return 0;
}

static int data_copy(npz_writer *w, FILE *data, uint64_t bytes, error *e)
{
    static char block[BLOCK];
    rewind(data);
    while (bytes > 0) {
        size_t count = bytes < sizeof block ? (size_t)bytes : sizeof block;
        if (fread(block, 1, count, data) != count)
            return error_system(e, "a temporary file");
        ssize_t got = archive_write_data(w->archive, block, count);
        if (got != (ssize_t)count)
            return written(w, got < 0 ? (int)got : ARCHIVE_FATAL, e);
        bytes -= count;
    }
    return 0;
}

int npz_add(npz_writer *w, const char *name, const char *head, size_t head_bytes, FILE *data,
            uint64_t bytes, error *e)
{
    struct archive_entry *entry = archive_entry_new();
    char *path;
    if (!entry || asprintf(&path, "%s.npy", name) < 0) {
        archive_entry_free(entry);
        return error_set(e, "out of memory");
    }
    archive_entry_set_pathname_utf8(entry, path);
    free(path);
    archive_entry_set_size(entry, (la_int64_t)(head_bytes + bytes));
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_mtime(entry, 315532800, 0); /* 1980: the same input gives the same bytes */
    int status = written(w, archive_write_header(w->archive, entry), e);
    archive_entry_free(entry);
    if (status < 0)
        return -1;
    ssize_t got = archive_write_data(w->archive, head, head_bytes);
    if (got != (ssize_t)head_bytes)
        return written(w, got < 0 ? (int)got : ARCHIVE_FATAL, e);
    return data_copy(w, data, bytes, e);
}

int npz_end(npz_writer *w, error *e)
{
    return written(w, archive_write_close(w->archive), e);
}

void npz_free(npz_writer *w)
{
    if (!w)
        return;
    archive_write_free(w->archive);
    free(w);
}
