/* output.c: see output.h. */
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BUFFER_BYTES = 1 << 16, PIPE_BYTES = 1 << 20, TEMPORARIES_MAX = 16, LINKS_MAX = 40 };

struct output {
    int fd;
    bool own_fd;     /* close it at the end */
    bool immediate;  /* a terminal: nothing waits in the buffer */
    char *path;      /* the final name; NULL when written directly */
    char *temporary; /* the name until then, or at the end alone */
    bool unnamed;    /* it has none yet */
    int slot;        /* its place in `temporaries` */
    const char *shown;
    char note[320]; /* what else is to be said of the file */
    size_t used;
    output *next; /* of those that are open */
    char buffer[BUFFER_BYTES];
};

static output *open_ones;

/* What a dying process must remove: read by a signal handler, so nothing but names. */
static char *volatile temporaries[TEMPORARIES_MAX];
static char nothing[] = ""; /* of a file without a name */

void output_clean(void)
{
    for (int i = 0; i < TEMPORARIES_MAX; i++) {
        char *name = temporaries[i];
        if (name) {
            unlink(name);
            temporaries[i] = NULL;
        }
    }
}

static void output_free(output *o)
{
    output **at = &open_ones;
    while (*at && *at != o)
        at = &(*at)->next;
    if (*at)
        *at = o->next;
    if (o->temporary)
        temporaries[o->slot] = NULL;
    if (o->own_fd && o->fd >= 0)
        close(o->fd);
    free(o->temporary);
    free(o->path);
    free(o);
}

static bool forced;

void output_force(void)
{
    forced = true;
}

bool output_forced(void)
{
    return forced;
}

const char *output_note(const output *o)
{
    return o->note;
}

/* The folder that a path's last name stands in; NULL without memory. */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
}

/* In a folder such as /tmp only a file's owner, or the folder's, may replace it. */
static bool is_kept_by_folder(const char *path, uid_t owner)
{
    struct stat folder;
    char *name = folder_of(path);
    bool known = name && stat(name, &folder) == 0;
    free(name);
    return known && folder.st_mode & S_ISVTX && geteuid() != 0 && owner != geteuid() &&
           folder.st_uid != geteuid();
}

/* The file's attributes, STATX_ATTR_*; none is known of where the C library has no statx (musl
 * before 1.2.5). */
static uint64_t attributes_of(const char *path)
{
#ifdef STATX_BASIC_STATS
    struct statx found;
    return statx(AT_FDCWD, path, 0, STATX_BASIC_STATS, &found) == 0 ? found.stx_attributes : 0;
#else
#define STATX_ATTR_MOUNT_ROOT 0
#define STATX_ATTR_IMMUTABLE 0
#define STATX_ATTR_APPEND 0
    (void)path;
    return 0;
#endif
}

/* What would stop the renaming at the end, or what it would override, is told before the work. */
static int check_replaceable(output *o, const char *path, const struct stat *old, error *e)
{
    uint64_t attributes = attributes_of(path);
    if (attributes & STATX_ATTR_MOUNT_ROOT)
        return error_set(e,
                         "%s: is a mount of its own, which no other file can replace; mount its "
                         "folder, or write with > in place of -o",
                         path);
    if (attributes & (STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND))
        return error_set(e, "%s: may not be replaced; chattr -ia allows it", path);
    if (is_kept_by_folder(path, old->st_uid))
        return error_set(
            e, "%s: is another user's, in a folder where only its owner may replace it", path);
    if (!forced && faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) != 0)
        return error_set(e, "%s: is write-protected; --force replaces it all the same", path);
    if (old->st_nlink > 1)
        snprintf(o->note, sizeof o->note,
                 "%.200s: is replaced under this name; under its %u other names it stays as it was",
                 path, (unsigned)old->st_nlink - 1);
    return 0;
}

/* The new file is the old one's owner's, with its permissions. */
static int keep_owner(output *o, const struct stat *old, error *e)
{
    if ((old->st_uid != geteuid() || old->st_gid != getegid()) &&
        fchown(o->fd, old->st_uid, old->st_gid) != 0 && fchown(o->fd, (uid_t)-1, old->st_gid) != 0)
        snprintf(o->note, sizeof o->note,
                 "%.200s: belonged to user %u and group %u, and will be yours", o->shown,
                 old->st_uid, old->st_gid);
    else if (old->st_uid != geteuid() && geteuid() != 0)
        snprintf(o->note, sizeof o->note, "%.200s: belonged to user %u, and will be yours",
                 o->shown, old->st_uid);
    if (fchmod(o->fd, old->st_mode & 07777) != 0)
        return error_system(e, "%s: cannot set permissions", o->shown);
    return 0;
}

static int set_new_mode(output *o, error *e)
{
    mode_t mask = umask(0);
    umask(mask);
    if (fchmod(o->fd, 0666 & ~mask) != 0)
        return error_system(e, "%s: cannot set permissions", o->shown);
    return 0;
}

/* Through links, the file they name is the one to write, whether it is there yet or not. NULL
 * without memory. */
static char *final_path(const char *path)
{
    char target[PATH_MAX];
    char *found = realpath(path, NULL), *next = found ? NULL : strdup(path);
    for (int links = 0; next && links < LINKS_MAX; links++) {
        ssize_t length = readlink(next, target, sizeof target - 1);
        if (length <= 0)
            break;
        target[length] = '\0';
        const char *slash = target[0] == '/' ? NULL : strrchr(next, '/');
        int folder = slash ? (int)(slash - next) + 1 : 0;
        char *through = malloc((size_t)folder + (size_t)length + 1);
        if (through)
            sprintf(through, "%.*s%s", folder, next, target);
        free(next);
        next = through;
    }
    return found ? found : next;
}

/* ---- files without a name: of them nothing is left, however the process dies ---- */

/* Gives the file its temporary name, which ends in X's. */
static int give_name(int fd, char *name)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    char own[32], *end = name + strlen(name) - 6;
    unsigned char drawn[6];
    snprintf(own, sizeof own, "/proc/self/fd/%d", fd);
    for (int tries = 0; tries < 100; tries++) {
        if (getrandom(drawn, sizeof drawn, 0) != sizeof drawn)
            return -1;
        for (size_t i = 0; i < sizeof drawn; i++)
            end[i] = letters[drawn[i] % (sizeof letters - 1)];
        if (linkat(AT_FDCWD, own, AT_FDCWD, name, AT_SYMLINK_FOLLOW) == 0)
            return 0;
        if (errno != EEXIST)
            return -1;
    }
    return -1;
}

/* A file without a name beside `name`, or -1 where the file system has none that could be given one
 * at the end: that is tried, with another. */
static int open_unnamed(const char *name)
{
    char *folder = folder_of(name), *trial = strdup(name);
    int fd = -1, tried = -1;
    if (folder && trial && (tried = open(folder, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600)) >= 0 &&
        give_name(tried, trial) == 0) {
        unlink(trial);
        fd = open(folder, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
    }
    if (tried >= 0)
        close(tried);
    free(folder);
    free(trial);
    return fd;
}

static int open_temporary(output *o, const char *path, error *e)
{
    static bool at_exit;
    if (!at_exit) {
        atexit(output_clean);
        at_exit = true;
    }
    for (o->slot = 0; o->slot < TEMPORARIES_MAX && temporaries[o->slot]; o->slot++)
        ;
    if (o->slot == TEMPORARIES_MAX)
        return error_set(e, "%s: more than %d files written at once", path, TEMPORARIES_MAX);
    struct stat old = {0};
    o->path = final_path(path);
    bool there = o->path && stat(o->path, &old) == 0;
    if (o->path && !there && errno != ENOENT)
        return error_system(e, "%s: cannot make a file there", path);
    if (there && check_replaceable(o, o->path, &old, e) < 0)
        return -1;
    size_t room = o->path ? strlen(o->path) + 16 : 0;
    o->temporary = o->path ? malloc(room) : NULL;
    if (!o->temporary)
        return error_set(e, "%s: out of memory", path);
    const char *slash = strrchr(o->path, '/');
    int folder = slash ? (int)(slash - o->path) + 1 : 0;
    snprintf(o->temporary, room, "%.*s.%.200s.XXXXXX", folder, o->path, o->path + folder);
    o->fd = open_unnamed(o->temporary);
    o->unnamed = o->fd >= 0;
    if (!o->unnamed)
        o->fd = mkostemp(o->temporary, O_CLOEXEC);
    if (o->fd < 0) {
        free(o->temporary);
        o->temporary = NULL;
        return error_system(e, "%s: cannot make a file there", path);
    }
    o->own_fd = true;
    temporaries[o->slot] = o->unnamed ? nothing : o->temporary;
    return there ? keep_owner(o, &old, e) : set_new_mode(o, e);
}

/* ---- names of descriptors ---- */

static bool is_number(const char *text)
{
    return *text && text[strspn(text, "0123456789")] == '\0';
}

/* Whether the path, perhaps through links, is an entry of a process's folder of descriptors, which
 * is left in `found`: /proc/12/fd/1. That entry is a link too, to the file itself; to follow it
 * would be to write another file of that name, where the descriptor has its own place in it. */
static bool find_descriptor(const char *path, char found[PATH_MAX])
{
    char at[PATH_MAX], folder[PATH_MAX], target[PATH_MAX];
    if (strlen(path) >= sizeof at)
        return false;
    strcpy(at, path);
    for (int links = 0; links < LINKS_MAX; links++) {
        char *slash = strrchr(at, '/');
        const char *name = slash ? slash + 1 : at;
        char *real = realpath(slash == at ? "/" : slash ? (*slash = '\0', at) : ".", folder);
        if (!real || snprintf(found, PATH_MAX, "%s/%s", folder, name) >= PATH_MAX)
            return false;
        if (is_number(name) && (fnmatch("/proc/[0-9]*/fd", folder, FNM_PATHNAME) == 0 ||
                                fnmatch("/proc/[0-9]*/task/*/fd", folder, FNM_PATHNAME) == 0))
            return true;
        ssize_t length = readlink(found, target, sizeof target - 1);
        if (length <= 0)
            return false;
        target[length] = '\0';
        int wrote = target[0] == '/' ? snprintf(at, sizeof at, "%s", target)
                                     : snprintf(at, sizeof at, "%s/%s", folder, target);
        if (wrote >= (int)sizeof at)
            return false;
    }
    return false;
}

/* One of this process's own. What the process itself opened, and not who started it, closes on
 * exec. */
static int copy_descriptor(const char *path, int number, error *e)
{
    int flags = fcntl(number, F_GETFL), closes = fcntl(number, F_GETFD);
    if (flags < 0 || closes < 0 || closes & FD_CLOEXEC)
        return error_set(e, "%s: the tool was started without a file descriptor %d", path, number);
    if ((flags & O_ACCMODE) == O_RDONLY)
        return error_set(e, "%s: is open for reading only", path);
    int fd = fcntl(number, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    return fd < 0 ? error_system(e, "%s: cannot write", path) : fd;
}

int output_descriptor(const char *path, int *fd, error *e)
{
    char found[PATH_MAX];
    long process;
    if (!find_descriptor(path, found) || sscanf(found, "/proc/%ld", &process) != 1)
        return 0;
    if (process == (long)getpid())
        *fd = copy_descriptor(path, atoi(strrchr(found, '/') + 1), e);
    else if ((*fd = open(found, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY)) < 0)
        error_system(e, "%s: cannot write", path);
    return *fd < 0 ? -1 : 1;
}

static int open_named(output *o, const char *path, error *e)
{
    struct stat status;
    int named = output_descriptor(path, &o->fd, e);
    if (named != 0) {
        o->own_fd = named > 0;
        return named < 0 ? -1 : 0;
    }
    if (stat(path, &status) != 0 || S_ISREG(status.st_mode)) {
        if (path[0] == '\0' || path[strlen(path) - 1] == '/')
            return error_set(e, "'%s' is no name for a file", path);
        return open_temporary(o, path, e);
    }
    if (S_ISDIR(status.st_mode))
        return error_set(e, "%s: is a folder; name a file to write", path);
    o->fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    if (o->fd < 0)
        return error_system(e, "%s: cannot write", path);
    o->own_fd = true;
    return 0;
}

int output_open(const char *path, bool records, output **out, error *e)
{
    output *o = calloc(1, sizeof *o);
    if (!o)
        return error_set(e, "out of memory");
    bool standard = !path || strcmp(path, "-") == 0;
    o->fd = STDOUT_FILENO;
    o->shown = standard ? "standard output" : path;
    if (!standard && open_named(o, path, e) < 0) {
        output_abandon(o);
        return -1;
    }
    o->immediate = isatty(o->fd);
    if (records && o->immediate) {
        error_set(e,
                  "%s is a terminal and records are not for reading; send them to another tool "
                  "with |, or to a file with -o FILE",
                  o->shown);
        output_abandon(o);
        return -1;
    }
    /* A pipe of a whole batch halves the switches between its two ends. Where the system does not
     * allow it, it stays as it is. */
    fcntl(o->fd, F_SETPIPE_SZ, PIPE_BYTES);
    o->next = open_ones;
    open_ones = o;
    *out = o;
    return 0;
}

int output_check(const char *path, error *e)
{
    struct stat status;
    output *o;
    /* A fifo or a device is there for whoever opens it first. */
    if (stat(path, &status) == 0 && !S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode))
        return 0;
    if (output_open(path, false, &o, e) < 0)
        return -1;
    output_abandon(o);
    return 0;
}

/* Nobody wants the rest: the process ends as the reader did, quietly. */
_Noreturn static void end_quietly(void)
{
    output_clean();
    _exit(0);
}

static int write_all(output *o, const char *data, size_t bytes, error *e)
{
    while (bytes > 0) {
        ssize_t wrote = write(o->fd, data, bytes);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0 && errno == EPIPE)
            end_quietly();
        if (wrote < 0)
            return error_system(e, "cannot write to %s", o->shown);
        data += wrote;
        bytes -= (size_t)wrote;
    }
    return 0;
}

int output_flush(output *o, error *e)
{
    size_t bytes = o->used;
    o->used = 0;
    return write_all(o, o->buffer, bytes, e);
}

int output_flush_all(error *e)
{
    for (output *o = open_ones; o; o = o->next)
        if (o->used > 0 && output_flush(o, e) < 0)
            return -1;
    return 0;
}

int output_write(output *o, const void *data, size_t bytes, error *e)
{
    if (bytes > BUFFER_BYTES - o->used && output_flush(o, e) < 0)
        return -1;
    if (bytes > BUFFER_BYTES / 2)
        return output_flush(o, e) == 0 ? write_all(o, data, bytes, e) : -1;
    if (bytes)
        memcpy(o->buffer + o->used, data, bytes);
    o->used += bytes;
    return o->immediate ? output_flush(o, e) : 0;
}

int output_printf(output *o, error *e, const char *format, ...)
{
    char text[4096], *longer = NULL;
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length < 0)
        return error_set(e, "cannot format a line for %s", o->shown);
    if ((size_t)length >= sizeof text) {
        va_start(arguments, format);
        length = vasprintf(&longer, format, arguments);
        va_end(arguments);
        if (length < 0)
            return error_set(e, "out of memory");
    }
    int status = output_write(o, longer ? longer : text, (size_t)length, e);
    free(longer);
    return status;
}

/* A renamed file outlives a power cut only once its folder is on the disk too. */
static void sync_folder(const char *path)
{
    char *folder = folder_of(path);
    int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    free(folder);
    if (fd < 0)
        return;
    (void)fsync(fd);
    close(fd);
}

static int commit_file(output *o, error *e)
{
    if (fsync(o->fd) != 0)
        return error_system(e, "cannot write to %s", o->shown);
    if (o->unnamed && give_name(o->fd, o->temporary) < 0)
        return error_system(e, "cannot name the finished file %s", o->shown);
    o->unnamed = false;
    temporaries[o->slot] = o->temporary;
    int fd = o->fd;
    o->fd = -1;
    if (close(fd) != 0)
        return error_system(e, "cannot write to %s", o->shown);
    if (rename(o->temporary, o->path) != 0)
        return error_system(e, "cannot rename the finished file to %s", o->shown);
    temporaries[o->slot] = NULL;
    sync_folder(o->path);
    return 0;
}

int output_commit(output *o, error *e)
{
    if (output_flush(o, e) < 0 || (o->temporary && commit_file(o, e) < 0)) {
        output_abandon(o);
        return -1;
    }
    output_free(o);
    return 0;
}

void output_abandon(output *o)
{
    if (!o)
        return;
    if (o->temporary && !o->unnamed)
        unlink(o->temporary);
    output_free(o);
}
