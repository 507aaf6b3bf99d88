/* class_names.c: see class_names.h. */
#include "class_names.h"
#include "../base/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_BYTES_MAX = 16 << 20 };

static int add_name(const char *line, size_t length, class_list *names, error *e)
{
    char name[CLASS_NAME_BYTES_MAX + 1];
    if (length >= sizeof name)
        return error_set(e, "a name of more than %d bytes", CLASS_NAME_BYTES_MAX);
    if (memchr(line, '\0', length))
        return error_set(e, "a zero byte; if it is UTF-16, `iconv -f UTF-16 -t UTF-8` converts it");
    memcpy(name, line, length);
    name[length] = '\0';
    if (class_name_check(name, e) < 0)
        return -1;
    if (class_list_find(names, name) >= 0)
        return error_set(e, "class '%.200s' stands there twice", name);
    return class_list_add(names, name) < 0 ? error_set(e, "too many class names") : 0;
}

/* The names of all lines, the first of which is line 1. */
static int add_lines(const char *text, size_t bytes, class_list *names, error *e)
{
    size_t blank = 0, number = 1;
    for (size_t start = 0; start < bytes; number++) {
        const char *newline = memchr(text + start, '\n', bytes - start);
        size_t whole = newline ? (size_t)(newline - text) - start : bytes - start, length = whole;
        while (length > 0 && memchr("\r\t ", text[start + length - 1], 3))
            length--;
        if (length == 0)
            blank = blank ? blank : number;
        else if (blank)
            return error_set(e, "line %zu is blank, and names follow it; each line is a class",
                             blank);
        else if (add_name(text + start, length, names, e) < 0)
            return error_prefix(e, "line %zu", number);
        start += whole + 1;
    }
    return names->count ? 0 : error_set(e, "no class names in it");
}

int class_names_parse(const char *text, size_t bytes, class_list *names, error *e)
{
    class_list made = {0};
    size_t mark = text_mark(text, bytes);
    if (add_lines(text + mark, bytes - mark, &made, e) < 0) {
        class_list_free(&made);
        return -1;
    }
    *names = made;
    return 0;
}

int class_names_load(const char *path, class_list *names, error *e)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return error_system(e, "cannot open");
    char *text = malloc(FILE_BYTES_MAX + 1);
    size_t bytes = text ? fread(text, 1, FILE_BYTES_MAX + 1, file) : 0;
    int status;
    if (!text)
        status = error_set(e, "out of memory");
    else if (ferror(file))
        status = error_system(e, "cannot read");
    else if (bytes > FILE_BYTES_MAX)
        status = error_set(e, "too large for a list of class names");
    else
        status = class_names_parse(text, bytes, names, e);
    free(text);
    fclose(file);
    if (status != 0)
        errno = 0;
    return status;
}
