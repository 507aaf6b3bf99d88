/* names.c: see names.h. */
#include "names.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_ROOM = 1024, FILE_BYTES_MAX = 16 << 20 };

static int add_name(const char *line, size_t length, class_list *names, error *e)
{
    char name[NAME_ROOM];
    while (length > 0 && strchr("\r\t ", line[length - 1]) && line[length - 1])
        length--;
    if (length == 0)
        return 0;
    if (length >= sizeof name)
        return error_set(e, "class %zu: a name of more than %d bytes", names->count, NAME_ROOM - 1);
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)line[i] < ' ' || line[i] == 127)
            return error_set(e, "class %zu: a name with a control character", names->count);
    memcpy(name, line, length);
    name[length] = '\0';
    if (class_list_find(names, name) >= 0)
        return error_set(e, "class '%.200s' stands there twice", name);
    return class_list_add(names, name) < 0 ? error_set(e, "too many class names") : 0;
}

int names_parse(const char *text, size_t bytes, class_list *names, error *e)
{
    class_list made = {0};
    for (size_t start = 0; start < bytes;) {
        const char *newline = memchr(text + start, '\n', bytes - start);
        size_t length = newline ? (size_t)(newline - text) - start : bytes - start;
        if (add_name(text + start, length, &made, e) < 0) {
            class_list_free(&made);
            return -1;
        }
        start += length + 1;
    }
    if (made.count == 0)
        return error_set(e, "no class names in it");
    *names = made;
    return 0;
}

int names_load(const char *path, class_list *names, error *e)
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
        status = names_parse(text, bytes, names, e);
    free(text);
    fclose(file);
    if (status != 0)
        errno = 0;
    return status;
}
