/* gunzip.c: see gunzip.h. */
#include "gunzip.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

enum { IN_BYTES = 1 << 16, OUT_BYTES = 1 << 18, MAGIC_1 = 0x1f, MAGIC_2 = 0x8b };

typedef enum {
    PART_UNKNOWN, /* nothing read yet */
    PART_PLAIN,
    PART_MEMBER,
    PART_BETWEEN, /* a member has ended, whole */
    PART_PADDING  /* zeros after the last one */
} part;

struct gunzip {
    int fd;
    const char *name;
    part at;
    uint64_t taken;    /* bytes read from fd */
    z_stream z;        /* next_in, avail_in: what of `in` is not used yet, also of a plain file */
    size_t start, end; /* what of `out` is not taken yet */
    uint8_t in[IN_BYTES], out[OUT_BYTES];
};

int gunzip_open(int fd, const char *name, gunzip **out, error *e)
{
    gunzip *g = calloc(1, sizeof *g);
    /* 15 bits of window, and 16 to say that gzip's head and trailer stand around the data. */
    if (!g || inflateInit2(&g->z, 15 + 16) != Z_OK) {
        close(fd);
        free(g);
        return error_set(e, "%s: out of memory", name);
    }
    g->fd = fd;
    g->name = name;
    *out = g;
    return 0;
}

void gunzip_close(gunzip *g)
{
    if (!g)
        return;
    inflateEnd(&g->z);
    close(g->fd);
    free(g);
}

bool gunzip_plain(const gunzip *g)
{
    return g->at == PART_PLAIN;
}

/* The place in the file of the next byte to be used. */
static uint64_t place(const gunzip *g)
{
    return g->taken - g->z.avail_in;
}

/* Adds what the file has next to `in`. 1, 0 where it ends, -1. */
static int refill(gunzip *g, error *e)
{
    size_t left = g->z.avail_in;
    if (left)
        memmove(g->in, g->z.next_in, left);
    g->z.next_in = g->in;
    for (;;) {
        ssize_t got = read(g->fd, g->in + left, IN_BYTES - left);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_system(e, "%s: byte %" PRIu64 ": cannot read", g->name, g->taken);
        g->taken += (uint64_t)got;
        g->z.avail_in += (unsigned)got;
        return got > 0;
    }
}

/* gzip's two bytes say what the file is; 0, or -1. */
static int look(gunzip *g, error *e)
{
    int more = 1;
    while (more > 0 && g->z.avail_in < 2)
        more = refill(g, e);
    if (more < 0)
        return -1;
    bool magic = g->z.avail_in >= 2 && g->in[0] == MAGIC_1 && g->in[1] == MAGIC_2;
    g->at = magic ? PART_MEMBER : PART_PLAIN;
    return 0;
}

/* After a member: another one, or zeros to the end. */
static int begin_next(gunzip *g, error *e)
{
    uint8_t first = *g->z.next_in;
    if (g->at == PART_BETWEEN && first == MAGIC_1) {
        g->at = PART_MEMBER;
        return inflateReset(&g->z) == Z_OK ? 0 : error_set(e, "%s: zlib failed", g->name);
    }
    if (first != 0)
        return error_set(e,
                         "%s: byte %" PRIu64 ": damaged gzip data: something else follows the end "
                         "of the compressed data",
                         g->name, place(g));
    g->at = PART_PADDING;
    g->z.next_in++;
    g->z.avail_in--;
    return 0;
}

static int inflate_part(gunzip *g, error *e)
{
    int status = inflate(&g->z, Z_NO_FLUSH);
    if (status == Z_STREAM_END)
        g->at = PART_BETWEEN;
    else if (status == Z_MEM_ERROR)
        return error_set(e, "%s: out of memory", g->name);
    else if (status != Z_OK && status != Z_BUF_ERROR)
        return error_set(e, "%s: byte %" PRIu64 ": damaged gzip data (%s); fetch the file again",
                         g->name, place(g), g->z.msg ? g->z.msg : "no deflated data");
    return 0;
}

/* What a compressed file holds next, to `out`. 1, 0 at its end, -1. */
static int unpack(gunzip *g, error *e)
{
    g->z.next_out = g->out;
    g->z.avail_out = OUT_BYTES;
    while (g->z.avail_out == OUT_BYTES) {
        int more = g->z.avail_in > 0 ? 1 : refill(g, e);
        if (more < 0)
            return -1;
        if (more == 0 && g->at == PART_MEMBER)
            return error_set(e,
                             "%s: byte %" PRIu64 ": cut short: the gzip data ends without its "
                             "check sum; fetch the file again",
                             g->name, place(g));
        if (more == 0)
            return 0;
        if ((g->at == PART_MEMBER ? inflate_part(g, e) : begin_next(g, e)) < 0)
            return -1;
    }
    g->start = 0;
    g->end = OUT_BYTES - g->z.avail_out;
    return 1;
}

/* Takes up to `bytes` of `from`, which holds `*ready`. */
static size_t take(void *to, const uint8_t *from, size_t ready, size_t bytes)
{
    size_t count = ready < bytes ? ready : bytes;
    if (count)
        memcpy(to, from, count);
    return count;
}

ssize_t gunzip_read(gunzip *g, void *to, size_t bytes, error *e)
{
    char *at = to;
    size_t have = 0;
    if (g->at == PART_UNKNOWN && look(g, e) < 0)
        return -1;
    while (have < bytes) {
        size_t got;
        int more = 1;
        if (g->at == PART_PLAIN) {
            got = take(at + have, g->z.next_in, g->z.avail_in, bytes - have);
            g->z.next_in += got;
            g->z.avail_in -= (unsigned)got;
            if (got == 0)
                more = refill(g, e);
        } else {
            got = take(at + have, g->out + g->start, g->end - g->start, bytes - have);
            g->start += got;
            if (got == 0)
                more = unpack(g, e);
        }
        if (more <= 0)
            return more < 0 ? -1 : (ssize_t)have;
        have += got;
    }
    return (ssize_t)have;
}
