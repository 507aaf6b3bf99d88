#include "json.h"

#include "text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *json_quote(const char *text)
{
    char *quoted = malloc(6 * strlen(text) + 3), *to = quoted;
    if (!quoted)
        return NULL;
    *to++ = '"';
    for (const unsigned char *at = (const unsigned char *)text; *at;) {
        size_t length = utf8_length(at);
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
