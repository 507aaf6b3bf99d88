#include "json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How many bytes the UTF-8 character at `at` has, 0 if it is none (RFC 3629: no overlong forms, no
 * surrogates, nothing past U+10FFFF). */
static size_t character_length(const unsigned char *at)
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

char *json_quote(const char *text)
{
    char *quoted = malloc(6 * strlen(text) + 3), *to = quoted;
    if (!quoted)
        return NULL;
    *to++ = '"';
    for (const unsigned char *at = (const unsigned char *)text; *at;) {
        size_t length = character_length(at);
        if (length == 0) {
            memcpy(to, "\\ufffd", 6);
            to += 6;
            at++;
        } else if (*at < 0x20 || *at == 0x7F) {
            to += sprintf(to, "\\u%04x", (unsigned)*at++);
        } else {
            if (*at == '"' || *at == '\\')
                *to++ = '\\';
            memcpy(to, at, length);
            to += length;
            at += length;
        }
    }
    *to++ = '"';
    *to = 0;
    return quoted;
}

char *json_number(double number, char *text)
{
    if (!isfinite(number))
        return strcpy(text, "null");
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, 32, "%.*g", digits, number);
        if (strtod(text, NULL) == number)
            break;
    }
    return text;
}
