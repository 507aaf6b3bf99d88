#include "text.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

size_t text_mark(const char *text, size_t bytes)
{
    return bytes >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
}

size_t utf8_length(const unsigned char *at)
{
    if (at[0] < 0x80)
        return 1;
    size_t length = at[0] >= 0xC2 && at[0] <= 0xDF   ? 2
                    : at[0] >= 0xE0 && at[0] <= 0xEF ? 3
                    : at[0] >= 0xF0 && at[0] <= 0xF4 ? 4
                                                     : 0;
    for (size_t i = 1; i < length; i++)
        if (at[i] < 0x80 || at[i] > 0xBF)
            return 0;
    if ((at[0] == 0xE0 && at[1] < 0xA0) || (at[0] == 0xED && at[1] > 0x9F) ||
        (at[0] == 0xF0 && at[1] < 0x90) || (at[0] == 0xF4 && at[1] > 0x8F))
        return 0;
    return length;
}

size_t utf8_right(const char *text, size_t bytes)
{
    size_t done = 0;
    while (done < bytes) {
        /* No look past the end. */
        unsigned char next[5] = "";
        size_t left = bytes - done;
        memcpy(next, text + done, left < 4 ? left : 4);
        size_t length = utf8_length(next);
        if (length == 0 || length > left)
            break;
        done += length;
    }
    return done;
}

/* U+0080 to U+009F steer terminals; U+200E, U+200F, U+2028 to U+202E and U+2066 to U+2069 break
 * lines or turn their direction. */
static bool steers(unsigned character)
{
    return (character >= 0x80 && character <= 0x9F) || character == 0x200E || character == 0x200F ||
           (character >= 0x2028 && character <= 0x202E) ||
           (character >= 0x2066 && character <= 0x2069);
}

/* Writes the character at `at` as it is to be seen, in fewer than 8 bytes; returns its length. */
static size_t show(const unsigned char *at, char shown[8])
{
    size_t length = utf8_length(at);
    unsigned character = length == 2 ? (at[0] & 0x1Fu) << 6 | (at[1] & 0x3Fu)
                         : length == 3
                             ? (at[0] & 0xFu) << 12 | (at[1] & 0x3Fu) << 6 | (at[2] & 0x3Fu)
                             : 0;
    const char *named = at[0] == '\n'   ? "\\n"
                        : at[0] == '\t' ? "\\t"
                        : at[0] == '\r' ? "\\r"
                                        : NULL;
    if (named)
        strcpy(shown, named);
    else if (length == 0 || *at < ' ' || *at == 0x7F)
        snprintf(shown, 8, "\\x%02x", *at);
    else if (steers(character))
        snprintf(shown, 8, "\\u%04x", character);
    else
        snprintf(shown, 8, "%.*s", (int)length, (const char *)at);
    return length ? length : 1;
}

char *text_visible(const char *from, char *to, size_t room)
{
    size_t used = 0;
    char shown[8];
    for (const unsigned char *at = (const unsigned char *)from; *at;) {
        at += show(at, shown);
        size_t length = strlen(shown);
        if (used + length >= room)
            break;
        memcpy(to + used, shown, length);
        used += length;
    }
    to[used] = '\0';
    return to;
}
