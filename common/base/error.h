/* error.h: how a failure travels up to the tool, which prints it once and exits.
 *
 * Every function that can fail takes an `error *` last and returns 0 (or a count) on success and -1
 * on failure, having filled the error. A text is one line: what went wrong, where (file, row,
 * byte), and, after a semicolon, what to do about it. No full stop, no newline, no tool name. */
#ifndef COMMON_BASE_ERROR_H
#define COMMON_BASE_ERROR_H

typedef struct {
    char text[1024]; /* empty when nothing failed */
} error;

/* Fills *e from a printf format and returns -1, so that `return error_set(e, ...)` reads well. */
int error_set(error *e, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same, followed by ": " and the text of the current errno. */
int error_system(error *e, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts "text: " before what *e holds already (a file's name, say) and returns -1. */
int error_prefix(error *e, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
