/* picture_list.c: see picture_list.h. */
#include "picture_list.h"

#include "../base/text.h"

#include "../base/hash.h"
#include "../base/random.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { DEPTH_MOST = 64 };

static int out_of_memory(const picture_list *l, error *e)
{
    return error_set(e, "out of memory for %zu files' names", l->count + 1);
}

void picture_list_free(picture_list *l)
{
    for (size_t i = 0; i < l->count; i++)
        free(l->files[i].path);
    free(l->files);
    free(l->passed_name);
    class_list_free(&l->classes);
    *l = (picture_list){0};
}

static int add_file(picture_list *l, const char *path, int32_t label, error *e)
{
    if (utf8_right(path, strlen(path)) < strlen(path))
        return error_set(e, "%s: the name is not UTF-8; `convmv -f LATIN1 -t UTF-8` renames files",
                         path);
    if (l->count == l->room) {
        size_t room = l->room ? 2 * l->room : 256;
        picture_file *files = realloc(l->files, room * sizeof *files);
        if (!files)
            return out_of_memory(l, e);
        l->files = files;
        l->room = room;
    }
    char *own = strdup(path);
    if (!own)
        return out_of_memory(l, e);
    l->files[l->count++] = (picture_file){own, label};
    l->labelled += label >= 0;
    return 0;
}

static int find_class(picture_list *l, const char *name, int32_t *label, error *e)
{
    *label = class_list_find(&l->classes, name);
    if (*label < 0 && class_name_check(name, e) < 0)
        return -1;
    if (*label < 0)
        *label = class_list_add(&l->classes, name);
    return *label < 0
               ? error_set(e, "class '%.60s' cannot be added to %zu others", name, l->classes.count)
               : 0;
}

/* ---- folders ---- */

bool picture_list_named(const char *name)
{
    static const char *const endings[] = {".jpg", ".jpeg", ".png", ".webp",
                                          ".ppm", ".pgm",  ".pbm", ".pnm"};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < sizeof endings / sizeof *endings; i++)
        if (strcasecmp(dot, endings[i]) == 0)
            return true;
    return false;
}

typedef struct {
    char **names;
    size_t count;
} entries;

static void entries_free(entries *in)
{
    for (size_t i = 0; i < in->count; i++)
        free(in->names[i]);
    free(in->names);
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names in a folder, ordered, without hidden ones. */
static int read_folder(const char *path, entries *out, error *e)
{
    DIR *folder = opendir(path);
    size_t room = 0;
    *out = (entries){0};
    if (!folder)
        return error_system(e, "%s", path);
    errno = 0;
    for (struct dirent *d; (d = readdir(folder)); errno = 0) {
        if (d->d_name[0] == '.')
            continue;
        if (out->count == room) {
            room = room ? 2 * room : 64;
            char **names = realloc(out->names, room * sizeof *names);
            if (!names)
                break;
            out->names = names;
        }
        out->names[out->count] = strdup(d->d_name);
        if (!out->names[out->count])
            break;
        out->count++;
    }
    int why = errno;
    closedir(folder);
    if (why) {
        entries_free(out);
        errno = why;
        return error_system(e, "%s", path);
    }
    if (out->count > 1)
        qsort(out->names, out->count, sizeof *out->names, by_bytes);
    return 0;
}

static char *join(const char *folder, const char *name)
{
    char *path;
    size_t length = strlen(folder);
    const char *slash = length > 0 && folder[length - 1] == '/' ? "" : "/";
    return asprintf(&path, "%s%s%s", folder, slash, name) < 0 ? NULL : path;
}

static int pass_over(picture_list *l, const char *path, error *e)
{
    if (l->passed_over++ == 0 && !(l->passed_name = strdup(path)))
        return out_of_memory(l, e);
    return 0;
}

static int add_folder(picture_list *l, const char *path, int32_t label, int depth, error *e);

/* What stands at `path`, within a class (label) or in the folder of classes (label -1): a folder
 * in that is the class of its name. */
static int add_entry(picture_list *l, const char *path, const char *name, int32_t label, int depth,
                     error *e)
{
    struct stat status;
    if (stat(path, &status) < 0)
        return error_system(e, "%s", path);
    if (S_ISDIR(status.st_mode)) {
        if (depth >= DEPTH_MOST)
            return error_set(e, "%s: folders within %d folders; a link that goes round?", path,
                             depth);
        if (label < 0 && find_class(l, name, &label, e) < 0)
            return error_prefix(e, "%s", path);
        return add_folder(l, path, label, depth + 1, e);
    }
    if (!picture_list_named(name))
        return pass_over(l, path, e);
    return add_file(l, path, label, e);
}

static int add_folder(picture_list *l, const char *path, int32_t label, int depth, error *e)
{
    entries in;
    if (read_folder(path, &in, e) < 0)
        return -1;
    int status = 0;
    for (size_t i = 0; status == 0 && i < in.count; i++) {
        char *below = join(path, in.names[i]);
        status = below ? add_entry(l, below, in.names[i], label, depth, e) : out_of_memory(l, e);
        free(below);
    }
    entries_free(&in);
    return status;
}

int picture_list_add(picture_list *l, const char *path, error *e)
{
    struct stat status;
    if (stat(path, &status) < 0)
        return error_system(e, "%s", path);
    if (!S_ISDIR(status.st_mode))
        return add_file(l, path, -1, e);
    size_t before = l->count;
    if (add_folder(l, path, -1, 0, e) < 0)
        return -1;
    if (l->count == before)
        return error_set(e, "%s: no pictures in it; files named " PICTURE_ENDINGS " are", path);
    return 0;
}

/* ---- lists ---- */

int picture_list_read(picture_list *l, FILE *text, const char *name, error *e)
{
    char *line = NULL;
    size_t room = 0, number = 0;
    int status = 0;
    for (ssize_t length; status == 0 && (length = getline(&line, &room, text)) >= 0;) {
        number++;
        while (length > 0 && (line[length - 1] == '\n' || line[length - 1] == '\r'))
            line[--length] = 0;
        int32_t label = -1;
        char *tab = strchr(line, '\t');
        if (tab)
            *tab = 0;
        char *file = line + (number == 1 ? text_mark(line, (size_t)length) : 0);
        if (strlen(line) + (tab ? 1 + strlen(tab + 1) : 0) != (size_t)length)
            status = error_set(e, "%s: line %zu: it has a byte of zero", name, number);
        else if (!*file)
            status = error_set(e, "%s: line %zu: no file's name", name, number);
        else if (tab && find_class(l, tab + 1, &label, e) < 0)
            status = error_prefix(e, "%s: line %zu", name, number);
        else
            status = add_file(l, file, label, e);
    }
    if (status == 0 && ferror(text))
        status = error_system(e, "%s", name);
    free(line);
    return status;
}

/* ---- shares ---- */

typedef struct {
    int32_t label;
    uint64_t draw;
    size_t place;
} drawn_file;

static int by_class_and_draw(const void *a, const void *b)
{
    const drawn_file *x = a, *y = b;
    if (x->label != y->label)
        return x->label < y->label ? -1 : 1;
    if (x->draw != y->draw)
        return x->draw < y->draw ? -1 : 1;
    return x->place < y->place ? -1 : 1;
}

int picture_list_split(picture_list *l, double share, bool last, uint64_t seed, error *e)
{
    drawn_file *drawn = malloc((l->count + 1) * sizeof *drawn);
    bool *kept = calloc(l->count + 1, sizeof *kept);
    if (!drawn || !kept) {
        free(drawn);
        free(kept);
        return out_of_memory(l, e);
    }
    for (size_t i = 0; i < l->count; i++) {
        const char *path = l->files[i].path;
        random_block b = random_philox(seed, hash_bytes(HASH_BEGIN, path, strlen(path)),
                                       random_stream(RANDOM_SPLIT, 0, 0));
        drawn[i] = (drawn_file){l->files[i].label, (uint64_t)b.v[0] << 32 | b.v[1], i};
    }
    if (l->count > 1)
        qsort(drawn, l->count, sizeof *drawn, by_class_and_draw);
    for (size_t from = 0, to; from < l->count; from = to) {
        for (to = from; to < l->count && drawn[to].label == drawn[from].label;)
            to++;
        /* The first ones and the last ones meet, whichever way halves are rounded. */
        size_t all = to - from,
               first = (size_t)floor((double)all * (last ? 1 - share : share) + 0.5);
        for (size_t i = from; i < to; i++)
            kept[drawn[i].place] = (i - from < first) != last;
    }
    size_t count = 0;
    l->labelled = 0;
    for (size_t i = 0; i < l->count; i++) {
        if (!kept[i]) {
            free(l->files[i].path);
            continue;
        }
        l->labelled += l->files[i].label >= 0;
        l->files[count++] = l->files[i];
    }
    l->count = count;
    free(drawn);
    free(kept);
    return 0;
}

/* ---- as a source ---- */

static int next(picture_source *s, picture_item *out, error *e)
{
    picture_list_reader *r = (picture_list_reader *)s;
    (void)e;
    if (r->next == r->list->count)
        return 0;
    const picture_file *file = &r->list->files[r->next++];
    char *name = file->label >= 0 ? r->list->classes.names[file->label] : NULL;
    *out = (picture_item){.path = file->path, .class_name = name};
    return 1;
}

picture_list_reader picture_list_read_all(const picture_list *l)
{
    return (picture_list_reader){{next}, l, 0};
}
