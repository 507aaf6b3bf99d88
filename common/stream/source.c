/* source.c: see source.h. */
#include "source.h"
#include "../base/output.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

int bytes_append(byte_array *to, const void *data, size_t bytes)
{
    if (bytes == 0)
        return 0;
    if (bytes > to->capacity - to->size) {
        size_t capacity = to->capacity ? to->capacity : 1024;
        while (capacity - to->size < bytes)
            capacity *= 2;
        uint8_t *grown = realloc(to->data, capacity);
        if (!grown)
            return -1;
        to->data = grown;
        to->capacity = capacity;
    }
    memcpy(to->data + to->size, data, bytes);
    to->size += bytes;
    return 0;
}

/* ---- opening ---- */

void source_memory(source *s, const void *data, size_t bytes, const char *name)
{
    s->fd = -1;
    s->name = name;
    s->offset = 0;
    s->size = bytes;
    s->data = data;
    s->start = 0;
    s->end = bytes;
    s->sum = NULL;
}

int source_open(source *s, const char *path, error *e)
{
    bool standard = !path || strcmp(path, "-") == 0;
    s->name = standard ? "standard input" : path;
    s->offset = 0;
    s->size = UINT64_MAX;
    s->data = s->buffer;
    s->start = s->end = 0;
    s->fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (s->fd < 0)
        return error_system(e, "%s: cannot open", path);
    if (standard && isatty(s->fd))
        return error_set(e, "standard input is a terminal; name a FILE or pipe records in");
    struct stat status;
    if (fstat(s->fd, &status) == 0 && S_ISREG(status.st_mode)) {
        off_t at = lseek(s->fd, 0, SEEK_CUR);
        s->size = (uint64_t)(status.st_size > at ? status.st_size - at : 0);
        posix_fadvise(s->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    } else {
        fcntl(s->fd, F_SETPIPE_SZ,
              SOURCE_PIPE_BYTES); /* fewer switches; as it was where not allowed */
    }
    return 0;
}

void source_close(source *s)
{
    if (s->fd > STDERR_FILENO)
        close(s->fd);
    s->fd = -1;
    s->start = s->end = 0;
}

uint64_t source_left(const source *s)
{
    if (s->size == UINT64_MAX)
        return UINT64_MAX;
    return s->size > s->offset ? s->size - s->offset : 0;
}

/* ---- bytes ---- */

static int cut_short(const source *s, error *e)
{
    (void)s;
    return error_set(e, "cut short within a record; the program that wrote it died, or the copy is "
                        "incomplete");
}

bool source_pauses(const source *s, int milliseconds)
{
    struct pollfd input = {s->fd, POLLIN, 0};
    return s->fd >= 0 && s->start == s->end && s->size == UINT64_MAX &&
           poll(&input, 1, milliseconds) == 0;
}

/* What read said, once it was not interrupted; 0 for memory, which is all there from the start. Who
 * has to wait for more passes on first what is done. */
static ssize_t read_parts(source *s, struct iovec *parts, int count, error *e)
{
    if (s->fd < 0)
        return 0;
    if (source_pauses(s, 0) && output_flush_all(e) < 0)
        return -1;
    for (;;) {
        ssize_t got = readv(s->fd, parts, count);
        if (got >= 0)
            return got;
        if (errno != EINTR)
            return error_system(e, "cannot read");
    }
}

/* Makes `bytes` (few) stand in the buffer. 1, 0 if the file ends before, -1. */
static int ensure(source *s, size_t bytes, error *e)
{
    while (s->end - s->start < bytes) {
        if (s->fd < 0)
            return 0;
        memmove(s->buffer, s->buffer + s->start, s->end - s->start);
        s->end -= s->start;
        s->start = 0;
        struct iovec part = {s->buffer + s->end, sizeof s->buffer - s->end};
        ssize_t got = read_parts(s, &part, 1, e);
        if (got <= 0)
            return (int)got;
        s->end += (size_t)got;
    }
    return 1;
}

/* Counts what was taken while it is in the caches still. */
static void took(source *s, const uint8_t *data, size_t bytes)
{
    s->offset += bytes;
    if (s->sum && bytes)
        checksum_add(s->sum, data, bytes);
}

int source_take(source *s, void *to, size_t bytes, error *e)
{
    uint8_t *at = to;
    size_t ready = s->end - s->start;
    if (ready > bytes)
        ready = bytes;
    if (ready)
        memcpy(at, s->data + s->start, ready);
    s->start += ready;
    took(s, at, ready);
    for (size_t left = bytes - ready; left > 0;) {
        /* Straight to its place; what comes after it, to the buffer, in the last part's call. */
        bool last = left <= CHECKSUM_PART;
        struct iovec parts[2] = {{at + (bytes - left), last ? left : CHECKSUM_PART},
                                 {s->buffer, sizeof s->buffer}};
        ssize_t got = read_parts(s, parts, last ? 2 : 1, e);
        if (got < 0)
            return -1;
        if (got == 0)
            return cut_short(s, e);
        size_t here = (size_t)got < left ? (size_t)got : left;
        took(s, at + (bytes - left), here);
        left -= here;
        s->start = 0;
        s->end = (size_t)got - here;
    }
    return 0;
}

/* ---- msgpack ---- */

static uint64_t big_endian(const uint8_t *at, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value = value << 8 | at[i];
    return value;
}

/* How many bytes follow the first one of a head. */
static size_t head_rest(uint8_t first)
{
    static const uint8_t rest[32] = {
        [0xc4 - 0xc0] = 1, [0xc5 - 0xc0] = 2, [0xc6 - 0xc0] = 4, /* bin */
        [0xc7 - 0xc0] = 1, [0xc8 - 0xc0] = 2, [0xc9 - 0xc0] = 4, /* ext */
        [0xca - 0xc0] = 4, [0xcb - 0xc0] = 8,                    /* float */
        [0xcc - 0xc0] = 1, [0xcd - 0xc0] = 2, [0xce - 0xc0] = 4, [0xcf - 0xc0] = 8,
        [0xd0 - 0xc0] = 1, [0xd1 - 0xc0] = 2, [0xd2 - 0xc0] = 4, [0xd3 - 0xc0] = 8,
        [0xd9 - 0xc0] = 1, [0xda - 0xc0] = 2, [0xdb - 0xc0] = 4, /* str */
        [0xdc - 0xc0] = 2, [0xdd - 0xc0] = 4, [0xde - 0xc0] = 2, [0xdf - 0xc0] = 4,
    };
    return first >= 0xc0 && first < 0xe0 ? rest[first - 0xc0] : 0;
}

static void set_signed(value_head *h, int64_t value)
{
    h->type = value < 0 ? HEAD_NEGATIVE : HEAD_UINT;
    h->value = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
}

static double float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* -1 for the one byte that msgpack leaves unused. */
static int decode(value_head *h)
{
    uint8_t first = h->raw[0];
    size_t rest = h->raw_bytes - 1;
    uint64_t value = big_endian(h->raw + 1, rest);
    h->value = value;
    if (first < 0x80 || first >= 0xe0)
        set_signed(h, (int8_t)first);
    else if (first < 0x90)
        h->type = HEAD_MAP, h->value = first & 15;
    else if (first < 0xa0)
        h->type = HEAD_ARRAY, h->value = first & 15;
    else if (first < 0xc0)
        h->type = HEAD_STR, h->value = first & 31;
    else if (first == 0xc0)
        h->type = HEAD_NIL;
    else if (first == 0xc1)
        return -1;
    else if (first <= 0xc3)
        h->type = HEAD_BOOL, h->value = first & 1;
    else if (first <= 0xc6)
        h->type = HEAD_BIN;
    else if (first <= 0xc9)
        h->type = HEAD_EXT, h->value = value + 1; /* a byte for its type */
    else if (first <= 0xcb) {
        double number = float_of((uint32_t)value);
        h->type = HEAD_FLOAT;
        if (first == 0xca)
            memcpy(&h->value, &number, sizeof number);
    } else if (first <= 0xcf)
        h->type = HEAD_UINT;
    else if (first <= 0xd3)
        set_signed(h, (int64_t)(value << (64 - 8 * rest)) >> (64 - 8 * rest));
    else if (first <= 0xd8)
        h->type = HEAD_EXT, h->value = 1 + ((uint64_t)1 << (first - 0xd4));
    else if (first <= 0xdb)
        h->type = HEAD_STR;
    else
        h->type = first <= 0xdd ? HEAD_ARRAY : HEAD_MAP;
    return 0;
}

int source_head(source *s, value_head *h, error *e)
{
    int status = ensure(s, 1, e);
    if (status <= 0)
        return status;
    h->raw[0] = s->data[s->start];
    h->raw_bytes = 1 + head_rest(h->raw[0]);
    status = ensure(s, h->raw_bytes, e);
    if (status <= 0)
        return status < 0 ? -1 : cut_short(s, e);
    memcpy(h->raw, s->data + s->start, h->raw_bytes);
    s->start += h->raw_bytes;
    took(s, h->raw, h->raw_bytes);
    return decode(h) == 0 ? 1 : error_set(e, "not msgpack (a byte 0xc1)");
}

int source_value(source *s, value_head *h, error *e)
{
    int status = source_head(s, h, e);
    return status > 0 ? 0 : status < 0 ? -1 : cut_short(s, e);
}

/* The bytes of a str, bin or ext. */
static int copy_payload(source *s, uint64_t bytes, byte_array *to, error *e)
{
    uint8_t part[4096];
    while (bytes > 0) {
        size_t take = bytes < sizeof part ? (size_t)bytes : sizeof part;
        if (source_take(s, part, take, e) < 0)
            return -1;
        if (to && bytes_append(to, part, take) < 0)
            return error_set(e, "out of memory");
        bytes -= take;
    }
    return 0;
}

static int copy_value(source *s, const value_head *h, byte_array *to, uint64_t limit, int depth,
                      error *e)
{
    bool text = h->type == HEAD_STR || h->type == HEAD_BIN || h->type == HEAD_EXT;
    uint64_t inside = h->type == HEAD_ARRAY ? h->value : h->type == HEAD_MAP ? 2 * h->value : 0;
    /* Every value within has at least one byte. */
    uint64_t least = text ? h->value : inside;
    if (s->offset > limit || least > limit - s->offset)
        return error_set(e, "a value larger than any this program takes");
    if (least > source_left(s))
        return cut_short(s, e);
    if (depth >= SOURCE_DEPTH_MAX)
        return error_set(e, "values within values, more than %d deep", SOURCE_DEPTH_MAX);
    if (to && bytes_append(to, h->raw, h->raw_bytes) < 0)
        return error_set(e, "out of memory");
    if (text)
        return copy_payload(s, h->value, to, e);
    for (uint64_t i = 0; i < inside; i++) {
        value_head next;
        if (source_value(s, &next, e) < 0 || copy_value(s, &next, to, limit, depth + 1, e) < 0)
            return -1;
    }
    return 0;
}

int source_copy(source *s, const value_head *h, byte_array *to, size_t most, error *e)
{
    return copy_value(s, h, to, s->offset + most, 0, e);
}

int source_text(source *s, const value_head *h, char *to, size_t room, error *e)
{
    if ((h->type != HEAD_STR && h->type != HEAD_BIN) || h->value >= room)
        return 1;
    if (source_take(s, to, (size_t)h->value, e) < 0)
        return -1;
    to[h->value] = '\0';
    if (strlen(to) != h->value)
        return error_set(e, "a zero byte within a text");
    return 0;
}
