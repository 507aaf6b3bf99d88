#include "training_set.h"

#include "class_map.h"
#include "order.h"

#include <inttypes.h>
#include <stdlib.h>

/* Appends a whole stream and copies its class list. */
static int read_stream(stream_reader *reader, picture_set *pictures, class_list *classes,
                       training_watch *watch, void *context, error *e)
{
    batch *b;
    int more;
    while ((more = stream_read(reader, &b, e)) > 0) {
        uint64_t last = stream_rows(reader), first = last - b->rows + 1;
        if (picture_set_add(pictures, b, stream_classes(reader), e) < 0)
            return error_prefix(e, "%s: rows %" PRIu64 " to %" PRIu64, stream_name(reader), first,
                                last);
        if (watch)
            watch(context, reader);
    }
    if (more < 0)
        return -1;
    if (class_list_copy(classes, stream_classes(reader)) < 0)
        return error_set(e, "out of memory for the class names");
    return 0;
}

static int read_files(char *const *paths, size_t count, picture_set *pictures, class_list *classes,
                      training_watch *watch, void *context, error *e)
{
    stream_reader *reader;
    if (stream_open(paths, count, &reader, e) < 0)
        return -1;
    int status = read_stream(reader, pictures, classes, watch, context, e);
    stream_close(reader);
    return status;
}

static int order_rows(training_set *set, const training_split *split, error *e)
{
    size_t rows = set->pictures.rows;
    set->order = malloc(rows * sizeof *set->order);
    if (!set->order)
        return error_set(e, "out of memory for the order of %zu rows", rows);
    if (split->validation) {
        set->held = rows - set->split;
        if (set->held == 0)
            return error_set(e, "%s: no rows to validate on", split->validation);
    } else {
        set->held = split->held;
        if (set->held >= rows)
            return error_set(e, "%zu rows to validate on leave none of %zu to train on", set->held,
                             rows);
    }
    set->train = rows - set->held;
    if (!split->validation && split->random)
        order_hold_out(set->order, rows, set->held, split->seed);
    else
        for (size_t i = 0; i < rows; i++)
            set->order[i] = (uint32_t)i;
    return 0;
}

int training_set_read(char *const *paths, size_t count, const training_split *split,
                      training_watch *watch, void *context, training_set *out, error *e)
{
    training_set set = {.pictures.form = split->form};
    int status = read_files(paths, count, &set.pictures, &set.classes, watch, context, e);
    set.split = set.pictures.rows;
    if (status == 0 && set.pictures.rows == 0)
        status = error_set(e, "no rows to train on");
    char *validation[] = {(char *)split->validation};
    if (status == 0 && split->validation)
        status = read_files(validation, 1, &set.pictures, &set.held_classes, watch, context, e);
    if (status == 0)
        status = order_rows(&set, split, e);
    if (status < 0) {
        training_set_free(&set);
        return -1;
    }
    *out = set;
    return 0;
}

int training_set_classes(const training_set *set, class_list *classes, error *e)
{
    return class_map_extend(classes, &set->classes, set->pictures.labels, set->order, set->train,
                            e);
}

int training_set_number(training_set *set, const class_list *classes, error *e)
{
    size_t rows = set->pictures.rows;
    int32_t *labels = set->pictures.labels;
    if (class_map_apply(classes, &set->classes, labels, set->split, e) < 0 ||
        class_map_apply(classes, &set->held_classes, labels + set->split, rows - set->split, e) < 0)
        return error_prefix(e, "validation rows");
    return 0;
}

void training_set_free(training_set *set)
{
    picture_set_free(&set->pictures);
    free(set->order);
    class_list_free(&set->classes);
    class_list_free(&set->held_classes);
    *set = (training_set){0};
}
