#include "error.h"

#include "text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Formats apart first, since arguments may point into *e, then appends ": why" if there is one. */
static int fill(error *e, const char *why, const char *format, va_list list)
{
    error made;
    vsnprintf(made.text, sizeof made.text, format, list);
    size_t length = strlen(made.text);
    if (why)
        snprintf(made.text + length, sizeof made.text - length, ": %s", why);
    text_visible(made.text, e->text, sizeof e->text);
    return -1;
}

int error_set(error *e, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    fill(e, NULL, format, list);
    va_end(list);
    return -1;
}

int error_system(error *e, const char *format, ...)
{
    const char *why = strerror(errno);
    va_list list;
    va_start(list, format);
    fill(e, why, format, list);
    va_end(list);
    return -1;
}

int error_prefix(error *e, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    fill(e, e->text, format, list);
    va_end(list);
    return -1;
}
