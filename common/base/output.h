/* output.h: a tool's output, standard output or a file that appears whole or not at all.
 *
 * A file is written without a name, or under a temporary one beside it where the file system has
 * no such files; at the end it is synced, named and renamed. If the tool fails or dies, what was
 * there before stays untouched. */
#ifndef COMMON_BASE_OUTPUT_H
#define COMMON_BASE_OUTPUT_H

#include "error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct output output;

/* path NULL or "-" is standard output. `records` refuses a terminal. A path that is no regular file
 * (/dev/null, a fifo) is written directly, and so is a descriptor that is named by its path. What
 * would keep the file from being replaced at the end is an error now. */
int output_open(const char *path, bool records, output **out, error *e);
/* Whether output_open would take a path that is to be written later; nothing is left there. */
int output_check(const char *path, error *e);
/* From now on also files that are write-protected are replaced, as with mv -f. */
void output_force(void);
bool output_forced(void);
/* What the user may want to know of a file that was opened: other hard links that it leaves behind,
 * another owner that it loses. "" where there is nothing. */
const char *output_note(const output *o);
/* 1 and *fd, the caller's to close, where the path names a descriptor (/dev/stdout, /dev/fd/3,
 * /proc/self/fd/1, a link to one): a copy of it, which goes on where it stands in its file. 0 for
 * any other path. */
int output_descriptor(const char *path, int *fd, error *e);
/* Writes it all. A reader that went away (EPIPE) ends the process quietly with exit status 0 after
 * removing temporary files: nobody wants the rest. */
int output_write(output *o, const void *data, size_t bytes, error *e);
int output_printf(output *o, error *e, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Writes what waits in the buffer, which output_write does by itself once there is much. */
int output_flush(output *o, error *e);
/* The same of every open output: the input pauses, and what is done should not wait for more. */
int output_flush_all(error *e);
/* Flushes, syncs, renames. Frees o whether it succeeds or not. */
int output_commit(output *o, error *e);
/* Removes the temporary file. Frees o. NULL is harmless. */
void output_abandon(output *o);
/* Removes every temporary file there is. Runs at exit by itself; tool_begin calls it on SIGINT,
 * SIGTERM and their like (it is safe in a signal handler). */
void output_clean(void);

#endif
