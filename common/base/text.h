/* text.h: text from a file or a user, where it meets a terminal or a message. */
#ifndef COMMON_BASE_TEXT_H
#define COMMON_BASE_TEXT_H

#include <stddef.h>

/* How many bytes at its beginning are a byte-order mark, as editors on Windows put it: 3 or 0. */
size_t text_mark(const char *text, size_t bytes);
/* How many bytes the UTF-8 character at `at` has, 0 if it is none (RFC 3629: no overlong forms, no
 * surrogates, nothing past U+10FFFF). */
size_t utf8_length(const unsigned char *at);
/* How many of the text's bytes are UTF-8 up to the first that is not; `bytes` if all are. */
size_t utf8_right(const char *text, size_t bytes);
/* What an error about a text that is not ends with, where it enters. */
#define UTF8_CURE "is not UTF-8; `iconv -f LATIN1 -t UTF-8` converts it"

/* Copies a text so that it stays one line and moves no cursor: control characters, bytes that are
 * no UTF-8 and the characters that turn the writing's direction become \n, \t, \x1b, \u202e. What
 * is visible stays as it is, so that a text made visible twice is the same. Whole characters up to
 * `room` bytes with the final zero; `to` is returned. */
char *text_visible(const char *from, char *to, size_t room);

#endif
