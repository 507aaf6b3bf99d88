/* gunzip.h: the bytes of a file, plain or compressed by gzip (RFC 1952), with gzip's own judgement:
 * what `gzip -t` refuses is refused here.
 *
 * Members follow one another as one file, and zeros may fill up the end. Each member's
 * check sum and length are compared; a file that ends within a member, or goes on with anything
 * else, is an error that names the byte of the compressed file. zlib's own gzread takes a file that
 * ends too early for one that ends. */
#ifndef COMMON_FORMATS_GUNZIP_H
#define COMMON_FORMATS_GUNZIP_H

#include "../base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

typedef struct gunzip gunzip;

/* Takes fd over, closing it in any case. Errors of every function name the file, which is not
 * copied. */
int gunzip_open(int fd, const char *name, gunzip **out, error *e);
void gunzip_close(gunzip *g); /* NULL is harmless */

/* `bytes` bytes, fewer only where the file ends, whole. Their number, or -1. */
ssize_t gunzip_read(gunzip *g, void *to, size_t bytes, error *e);
/* Whether the file is a plain one; known from the first read on. */
bool gunzip_plain(const gunzip *g);

#endif
