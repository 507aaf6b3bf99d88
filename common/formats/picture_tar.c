/* picture_tar.c: see picture_tar.h. */
#include "picture_tar.h"

#include "../base/text.h"
#include "picture_list.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { BLOCK = 1 << 16, CLS_BYTES_MOST = 4096 };
#define MEMBER_BYTES_MOST ((size_t)1 << 30)

struct picture_tar {
    picture_source source;
    char *const *paths;
    size_t count, next; /* tars, and the next to be opened */
    const class_list *names;
    struct archive *archive; /* the one being read, or NULL */
    const char *name;        /* its own */
    char *member;            /* one whose head was read but not its bytes, or NULL */
    int64_t end;             /* where in the tar the member's bytes end */
    /* The sample: members in a row of one name up to its first dot. */
    char *key;
    picture_item picture;
    char *cls;
    size_t passed_over;
    char *passed_name;
};

static int refuse(const picture_tar *t, error *e)
{
    const char *why = archive_error_string(t->archive);
    return error_set(e, "%s: %s", t->name, why ? why : "no tar that can be read");
}

/* ---- tars ---- */

static int open_next(picture_tar *t, error *e)
{
    const char *path = t->paths[t->next++];
    bool standard = strcmp(path, "-") == 0;
    struct archive *a = t->archive = archive_read_new();
    t->name = standard ? "standard input" : path;
    t->end = 0;
    if (!a)
        return error_set(e, "out of memory");
    /* No filter or format that would run another program. */
    if (archive_read_support_format_tar(a) != ARCHIVE_OK ||
        archive_read_support_filter_gzip(a) != ARCHIVE_OK ||
        archive_read_support_filter_bzip2(a) != ARCHIVE_OK ||
        archive_read_support_filter_xz(a) != ARCHIVE_OK ||
        archive_read_support_filter_zstd(a) != ARCHIVE_OK ||
        archive_read_set_format_option(a, "tar", "read_concatenated_archives", "1") != ARCHIVE_OK)
        return refuse(t, e);
    if ((standard ? archive_read_open_fd(a, STDIN_FILENO, BLOCK)
                  : archive_read_open_filename(a, path, BLOCK)) != ARCHIVE_OK)
        return refuse(t, e);
    return 0;
}

static void close_archive(picture_tar *t)
{
    archive_read_free(t->archive);
    t->archive = NULL;
}

/* The end of a tar is two blocks of zeros: without them it may be cut off between two members. */
static int end_archive(picture_tar *t, error *e)
{
    bool whole = archive_filter_bytes(t->archive, 0) > t->end;
    if (whole) {
        close_archive(t);
        return 0;
    }
    return error_set(e, "%s: no mark of a tar's end; was it cut off, or its writer stopped?",
                     t->name);
}

/* A member that is a regular file becomes t->member: 1; 0 at the end of all tars. */
static int next_member(picture_tar *t, error *e)
{
    for (;;) {
        if (!t->archive && t->next == t->count)
            return 0;
        if (!t->archive && open_next(t, e) < 0)
            return -1;
        struct archive_entry *entry;
        int status = archive_read_next_header(t->archive, &entry);
        if (status == ARCHIVE_EOF) {
            if (end_archive(t, e) < 0)
                return -1;
            continue;
        }
        if (status != ARCHIVE_OK && status != ARCHIVE_WARN)
            return refuse(t, e);
        t->end = archive_filter_bytes(t->archive, 0);
        if (archive_entry_filetype(entry) != AE_IFREG)
            continue;
        /* Names are taken for UTF-8 where the tar does not say what they are. */
        const char *name = archive_entry_pathname_utf8(entry);
        name = name ? name : archive_entry_pathname(entry);
        if (!name || utf8_right(name, strlen(name)) < strlen(name))
            return error_set(
                e,
                "%s: the name of a member is not UTF-8; `convmv -f LATIN1 -t UTF-8` renames files",
                t->name);
        t->member = strdup(name);
        return t->member ? 1 : error_set(e, "out of memory");
    }
}

/* The member's bytes, at most `most`, and a zero behind them; the caller frees them. */
static int read_member(picture_tar *t, size_t most, uint8_t **data, size_t *bytes, error *e)
{
    size_t room = most < BLOCK ? most + 2 : BLOCK, used = 0;
    uint8_t *all = malloc(room);
    while (all) {
        ssize_t got = archive_read_data(t->archive, all + used, room - used - 1);
        if (got < 0) {
            free(all);
            return refuse(t, e);
        }
        used += (size_t)got;
        if (got == 0 || used > most)
            break;
        if (used + 1 == room) {
            uint8_t *more = realloc(all, 2 * room);
            if (!more)
                free(all);
            all = more;
            room *= 2;
        }
    }
    t->end = archive_filter_bytes(t->archive, 0);
    if (!all)
        return error_set(e, "%s: %s: out of memory", t->name, t->member);
    if (used > most) {
        free(all);
        return error_set(e, "%s: %s: more than %zu bytes", t->name, t->member, most);
    }
    all[used] = 0;
    *data = all;
    *bytes = used;
    return 0;
}

/* ---- names ---- */

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool is_hidden(const char *path)
{
    for (const char *part = path; part; part = strchr(part, '/')) {
        part += *part == '/';
        size_t length = strcspn(part, "/");
        bool here = length == 1 || (length == 2 && part[1] == '.');
        if (*part == '.' && !here)
            return true;
    }
    return false;
}

/* Of "a/b/1.left.jpg" WebDataset's key is "a/b/1". */
static size_t key_length(const char *path)
{
    const char *name = last_part(path);
    return (size_t)(name - path) + strcspn(name, ".");
}

static bool ends_in(const char *path, const char *ending)
{
    const char *dot = strrchr(last_part(path), '.');
    return dot && strcasecmp(dot, ending) == 0;
}

/* The name of the folder that it lies in: *out is NULL where there is none. */
static int folder_name(const char *path, char **out, error *e)
{
    const char *end = last_part(path), *begin;
    *out = NULL;
    while (end > path && end[-1] == '/')
        end--;
    for (begin = end; begin > path && begin[-1] != '/';)
        begin--;
    size_t length = (size_t)(end - begin);
    if (length == 0 || strncmp(begin, "..", length) == 0)
        return 0;
    *out = strndup(begin, length);
    return *out ? 0 : error_set(e, "out of memory");
}

/* ---- samples ---- */

static void end_sample(picture_tar *t)
{
    picture_item_free(&t->picture);
    free(t->key);
    free(t->cls);
    t->picture = (picture_item){0};
    t->key = t->cls = NULL;
}

/* What a .cls member says: with names a number, which becomes the name at that place. */
static int read_cls(picture_tar *t, error *e)
{
    uint8_t *text;
    size_t bytes;
    if (read_member(t, CLS_BYTES_MOST, &text, &bytes, e) < 0)
        return -1;
    char *word = (char *)text + strspn((char *)text, " \t\r\n"), *end;
    size_t length = strlen(word);
    while (length > 0 && strchr(" \t\r\n", word[length - 1]))
        word[--length] = 0;
    free(t->cls);
    if (t->names) {
        unsigned long place = strtoul(word, &end, 10);
        bool number = *word >= '0' && *word <= '9' && *end == 0 && place < t->names->count;
        t->cls = strdup(number ? t->names->names[place] : "");
        if (!number)
            error_set(e, "%s: %s: '%.40s' is no number of the %zu names", t->name, t->member, word,
                      t->names->count);
        free(text);
        return number && t->cls ? 0 : number ? error_set(e, "out of memory") : -1;
    }
    t->cls = strdup(word);
    free(text);
    return t->cls ? 0 : error_set(e, "out of memory");
}

static int take_picture(picture_tar *t, error *e)
{
    picture_item p = {.owned = true};
    if (read_member(t, MEMBER_BYTES_MOST, &p.data, &p.bytes, e) < 0)
        return -1;
    p.path = t->member;
    t->member = NULL;
    t->picture = p;
    return 0;
}

/* The member joins the sample. */
static int take_member(picture_tar *t, error *e)
{
    int status = 0;
    const char *name = t->member;
    if (picture_list_named(name))
        return take_picture(t, e);
    if (ends_in(name, ".cls"))
        status = read_cls(t, e);
    else if (!ends_in(name, ".json") && !ends_in(name, ".txt") && t->passed_over++ == 0)
        status = (t->passed_name = strdup(name)) ? 0 : error_set(e, "out of memory");
    free(t->member);
    t->member = NULL;
    return status;
}

static int give_picture(picture_tar *t, picture_item *out, error *e)
{
    picture_item *p = &t->picture;
    if (t->cls) {
        p->class_name = strdup(t->cls);
        if (!p->class_name)
            return error_set(e, "out of memory");
    } else if (folder_name(p->path, &p->class_name, e) < 0) {
        return -1;
    }
    if (p->class_name && class_name_check(p->class_name, e) < 0)
        return error_prefix(e, "%s: %s", t->name, p->path);
    *out = *p;
    t->picture = (picture_item){0};
    return 1;
}

static int next(picture_source *s, picture_item *out, error *e)
{
    picture_tar *t = (picture_tar *)s;
    for (;;) {
        int more = t->member ? 1 : next_member(t, e);
        if (more < 0)
            return -1;
        size_t length = more ? key_length(t->member) : 0;
        bool same =
            more && t->key && strlen(t->key) == length && strncmp(t->key, t->member, length) == 0;
        /* A second picture of the same key is a row of its own. */
        if (t->picture.path && (!same || picture_list_named(t->member)))
            return give_picture(t, out, e);
        if (!same)
            end_sample(t);
        if (!more)
            return 0;
        if (is_hidden(t->member)) {
            free(t->member);
            t->member = NULL;
            continue;
        }
        if (!t->key && !(t->key = strndup(t->member, length)))
            return error_set(e, "out of memory");
        if (take_member(t, e) < 0)
            return -1;
    }
}

/* ---- open and close ---- */

int picture_tar_open(char *const *paths, size_t count, const class_list *names, picture_tar **out,
                     error *e)
{
    picture_tar *t = calloc(1, sizeof *t);
    if (!t)
        return error_set(e, "out of memory");
    *t = (picture_tar){.source = {next}, .paths = paths, .count = count, .names = names};
    *out = t;
    return 0;
}

void picture_tar_close(picture_tar *t)
{
    if (!t)
        return;
    end_sample(t);
    if (t->archive)
        close_archive(t);
    free(t->member);
    free(t->passed_name);
    free(t);
}

picture_source *picture_tar_source(picture_tar *t)
{
    return &t->source;
}

size_t picture_tar_passed_over(const picture_tar *t, const char **first)
{
    *first = t->passed_name;
    return t->passed_over;
}
