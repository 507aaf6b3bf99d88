#include "class_map.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One flag a class; order NULL: all rows as they stand. */
static bool *find_occurring(const class_list *list, const int32_t *labels, const uint32_t *order,
                            size_t rows, error *e)
{
    bool *occurs = calloc(list->count ? list->count : 1, sizeof *occurs);
    if (!occurs) {
        error_set(e, "out of memory for %zu classes", list->count);
        return NULL;
    }
    for (size_t i = 0; i < rows; i++)
        occurs[labels[order ? order[i] : i]] = true;
    return occurs;
}

int class_map_extend(class_list *to, const class_list *from, const int32_t *labels,
                     const uint32_t *order, size_t rows, error *e)
{
    bool *occurs = find_occurring(from, labels, order, rows, e);
    if (!occurs)
        return -1;
    int status = 0;
    for (size_t i = 0; i < from->count && status == 0; i++)
        if (occurs[i] && class_list_find(to, from->names[i]) < 0 &&
            class_list_add(to, from->names[i]) < 0)
            status = error_set(e, "out of memory for %zu classes", from->count);
    free(occurs);
    return status;
}

char *class_map_names(const class_list *list, const bool *chosen, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < list->count; i++) {
        if (!chosen[i])
            continue;
        size_t need = strlen(list->names[i]) + 2;
        if (used + need + sizeof ", ..." > size) {
            snprintf(text + used, size - used, "%s...", used ? ", " : "");
            break;
        }
        used +=
            (size_t)snprintf(text + used, size - used, "%s%s", used ? ", " : "", list->names[i]);
    }
    return text;
}

/* Leaves flagged in `occurs` the classes that have no place in `to`; their number. */
static size_t build_map(const class_list *to, const class_list *from, bool *occurs, int32_t *map)
{
    size_t missing = 0;
    for (size_t i = 0; i < from->count; i++) {
        map[i] = (int32_t)class_list_find(to, from->names[i]);
        occurs[i] = occurs[i] && map[i] < 0;
        missing += occurs[i];
    }
    return missing;
}

int class_map_apply(const class_list *to, const class_list *from, int32_t *labels, size_t rows,
                    error *e)
{
    bool *occurs = find_occurring(from, labels, NULL, rows, e);
    int32_t *map = malloc((from->count ? from->count : 1) * sizeof *map);
    char names[512];
    int status = 0;
    if (!occurs || !map)
        status = error_set(e, "out of memory for %zu classes", from->count);
    else if (build_map(to, from, occurs, map) > 0)
        status =
            error_set(e, "classes that are not trained: %s; leave them out (class-filter --drop)",
                      class_map_names(from, occurs, names, sizeof names));
    for (size_t i = 0; status == 0 && i < rows; i++)
        labels[i] = map[labels[i]];
    free(map);
    free(occurs);
    return status;
}
