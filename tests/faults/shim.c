/* shim.c: preloaded into a tool, fails one of its calls: FAULT names the kind (malloc, open, read,
 * write, close, sync, rename, map), FAULT_AT which of them, from 1 on. Counted are the calls that
 * the program makes itself, not those of libraries. Without FAULT_AT nothing fails; then, and also
 * where fewer calls came, the file FAULT_COUNT gets their number at the end. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct {
    uintptr_t begin, end; /* the program's code */
    const char *kind, *count_path;
    long at;
    atomic_long calls;
} fault;

static int find_program(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size, (void)context;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type == PT_LOAD && p->p_flags & PF_X) {
            fault.begin = info->dlpi_addr + p->p_vaddr;
            fault.end = fault.begin + p->p_memsz;
        }
    }
    return 1; /* the first object is the program */
}

__attribute__((constructor)) static void begin(void)
{
    const char *at = getenv("FAULT_AT");
    dl_iterate_phdr(find_program, NULL);
    fault.count_path = getenv("FAULT_COUNT");
    fault.at = at ? atol(at) : 0;
    fault.kind = getenv("FAULT");
}

__attribute__((destructor)) static void end(void)
{
    char text[32];
    int fd = fault.count_path ? open(fault.count_path, O_WRONLY | O_CREAT | O_TRUNC, 0666) : -1;
    if (fd < 0)
        return;
    int length = snprintf(text, sizeof text, "%ld\n", atomic_load(&fault.calls));
    if (write(fd, text, (size_t)length) != length)
        abort();
    close(fd);
}

/* Whether this call is the one to fail. */
static int fails(const char *kind, const void *caller)
{
    uintptr_t from = (uintptr_t)caller;
    if (!fault.kind || strcmp(kind, fault.kind) != 0 || from < fault.begin || from >= fault.end)
        return 0;
    return atomic_fetch_add(&fault.calls, 1) + 1 == fault.at;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define CALLER __builtin_return_address(0)
/* A function of that kind, and what it gives where it fails. */
#define FAILING(kind, result, error, type, name, parameters, arguments)                            \
    type name parameters                                                                           \
    {                                                                                              \
        static __typeof__(&name) real;                                                             \
        if (!real)                                                                                 \
            real = REAL(name);                                                                     \
        if (fails(kind, CALLER)) {                                                                 \
            errno = error;                                                                         \
            return result;                                                                         \
        }                                                                                          \
        return real arguments;                                                                     \
    }

/* dlsym itself allocates, so malloc's own names inside the C library are used. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
#define NO_MEMORY(made)                                                                            \
    if (fails("malloc", CALLER)) {                                                                 \
        errno = ENOMEM;                                                                            \
        return NULL;                                                                               \
    }                                                                                              \
    return made

void *malloc(size_t size)
{
    NO_MEMORY(__libc_malloc(size));
}
void *calloc(size_t count, size_t size)
{
    NO_MEMORY(__libc_calloc(count, size));
}
void *realloc(void *old, size_t size)
{
    NO_MEMORY(__libc_realloc(old, size));
}
void *aligned_alloc(size_t alignment, size_t size)
{
    NO_MEMORY(__libc_memalign(alignment, size));
}
FAILING("malloc", NULL, ENOMEM, char *, strdup, (const char *text), (text))
FAILING("malloc", NULL, ENOMEM, char *, strndup, (const char *text, size_t size), (text, size))
FAILING("malloc", -1, ENOMEM, int, vasprintf, (char **to, const char *format, va_list list),
        (to, format, list))
FAILING("map", MAP_FAILED, ENOMEM, void *, mmap,
        (void *at, size_t bytes, int how, int flags, int fd, off_t offset),
        (at, bytes, how, flags, fd, offset))
FAILING("open", NULL, EMFILE, FILE *, fopen, (const char *path, const char *how), (path, how))
FAILING("open", NULL, EMFILE, FILE *, fdopen, (int fd, const char *how), (fd, how))
FAILING("read", -1, EIO, ssize_t, read, (int fd, void *to, size_t bytes), (fd, to, bytes))
FAILING("read", -1, EIO, ssize_t, pread, (int fd, void *to, size_t bytes, off_t at),
        (fd, to, bytes, at))
FAILING("write", -1, ENOSPC, ssize_t, write, (int fd, const void *from, size_t bytes),
        (fd, from, bytes))
FAILING("write", EOF, ENOSPC, int, fflush, (FILE * file), (file))
FAILING("sync", -1, EIO, int, fsync, (int fd), (fd))
FAILING("sync", -1, EIO, int, fdatasync, (int fd), (fd))
FAILING("rename", -1, EXDEV, int, rename, (const char *from, const char *to), (from, to))
FAILING("rename", -1, EXDEV, int, linkat,
        (int a, const char *from, int b, const char *to, int flags), (a, from, b, to, flags))

/* What fails to close is closed all the same. */
int close(int fd)
{
    int status = REAL(close)(fd);
    if (!fails("close", CALLER))
        return status;
    errno = EIO;
    return -1;
}
int fclose(FILE *file)
{
    int status = REAL(fclose)(file);
    if (!fails("close", CALLER))
        return status;
    errno = EIO;
    return EOF;
}

int open(const char *path, int flags, ...)
{
    mode_t mode = 0;
    if (flags & (O_CREAT | O_TMPFILE)) {
        va_list list;
        va_start(list, flags);
        mode = va_arg(list, mode_t);
        va_end(list);
    }
    if (fails("open", CALLER)) {
        errno = EMFILE;
        return -1;
    }
    return REAL(open)(path, flags, mode);
}
