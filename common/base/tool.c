/* tool.c: see tool.h. */
#include "tool.h"

#include "text.h"
#include "threads.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#ifndef VERSION
#define VERSION "unknown"
#endif

static const tool_description *description;
static bool line_shown; /* a progress line stands on the terminal, without its newline */

_Noreturn static void print_help(const char *word);
_Noreturn static void print_version(const char *word);

static struct {
    const char *output;
    bool force, quiet, progress;
} common;

static const tool_option common_options[] = {
    {"output", "FILE", 'o', "write FILE, whole or not at all, in place of standard output",
     OPTION_TO(common.output)},
    {"force", NULL, 0, "let -o replace a file that is write-protected", OPTION_TO(common.force)},
    {"progress", NULL, 0, "show progress even if standard error is no terminal",
     OPTION_TO(common.progress)},
    {"quiet", NULL, 0, "print no progress and no notes, errors only", OPTION_TO(common.quiet)},
    {"help", NULL, 'h', "print this and exit", OPTION_CALLS(print_help)},
    {"version", NULL, 0, "print the version and exit", OPTION_CALLS(print_version)},
    {0}};

/* ---- messages ---- */

/* A line that is repeated or goes on makes way for the message. */
static void finish_line(void)
{
    if (line_shown)
        fputs("\r\033[K", stderr);
    line_shown = false;
}

static void print_line(const char *text)
{
    char shown[2048];
    finish_line();
    /* One call, so that the lines of a pipeline's tools do not mix. */
    fprintf(stderr, "%s: %s\n", description->name, text_visible(text, shown, sizeof shown));
}

static void say(const char *format, va_list arguments)
{
    char text[2048];
    vsnprintf(text, sizeof text, format, arguments);
    print_line(text);
}

void tool_fail(const error *e)
{
    print_line(e->text);
    exit(TOOL_FAILED);
}

void tool_fail_at(const char *where, const error *e)
{
    error whole = *e;
    error_prefix(&whole, "%s", where);
    tool_fail(&whole);
}

void tool_usage(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
    exit(TOOL_USAGE);
}

void tool_complain(const error *e)
{
    print_line(e->text);
}

void tool_say(const char *format, ...)
{
    if (common.quiet)
        return;
    va_list arguments;
    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
}

bool tool_on_terminal(void)
{
    return isatty(STDERR_FILENO);
}

bool tool_shows_progress(void)
{
    return common.progress && !common.quiet;
}

/* ---- signals ---- */

_Noreturn static void end_by(int number)
{
    sigset_t this;
    output_clean();
    signal(number, SIG_DFL);
    sigemptyset(&this);
    sigaddset(&this, number);
    sigprocmask(SIG_UNBLOCK, &this, NULL);
    raise(number);
    _exit(TOOL_FAILED);
}

void tool_fail_by(int signal, const error *e)
{
    print_line(e->text);
    end_by(signal);
}

static void miss_reader(int number)
{
    static char text[] = ": the output's reader went away before it had all of it\n";
    struct iovec line[] = {{(char *)description->name, strlen(description->name)},
                           {text, sizeof text - 1}};
    ssize_t said = writev(STDERR_FILENO, line, 2);
    (void)said; /* it ends all the same */
    end_by(number);
}

void tool_miss_reader(bool on)
{
    signal(SIGPIPE, on ? miss_reader : SIG_IGN);
}

static void watch_signals(void)
{
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* writing fails, with a reason */
    const int ends[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGXCPU};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        struct sigaction old, handler = {.sa_handler = end_by};
        sigemptyset(&handler.sa_mask);
        /* What nohup or a background shell has told us to ignore stays ignored. */
        if (sigaction(ends[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(ends[i], &handler, NULL);
    }
}

/* ---- help ---- */

enum { HELP_WIDTH = 80, HELP_COLUMN = 26 };

/* Prints a text from the column where the line stands on, broken between words. */
static void print_wrapped(const char *text, int column)
{
    int at = column;
    while (*text) {
        int length = (int)strcspn(text, " ");
        if (at > column && at + 1 + length > HELP_WIDTH) {
            printf("\n%*s", column, "");
            at = column;
        }
        at += printf("%s%.*s", at > column ? " " : "", length, text);
        text += length + (text[length] == ' ');
    }
    putchar('\n');
}

/* A table's lines, and an empty one; nothing of an empty table. */
static void print_options(const tool_option *table)
{
    for (const tool_option *o = table; o && o->name; o++) {
        char letter[] = {'-', o->letter, ',', '\0'};
        int at = printf("  %3s --%s%s%s", o->letter ? letter : "", o->name, o->argument ? " " : "",
                        o->argument ? o->argument : "");
        if (at + 2 > HELP_COLUMN)
            at = printf("\n") - 1;
        printf("%*s", HELP_COLUMN - at, "");
        print_wrapped(o->help, HELP_COLUMN);
    }
    if (table && table->name)
        putchar('\n');
}

_Noreturn static void print_and_exit(void)
{
    if (fflush(stdout) == 0)
        exit(TOOL_OK);
    error e;
    error_system(&e, "cannot write to standard output");
    tool_fail(&e);
}

static void print_help(const char *word)
{
    (void)word;
    printf("usage: %s %s\n\n", description->name, description->usage);
    print_wrapped(description->summary, 0);
    putchar('\n');
    const tool_option *tables[] = {description->options, description->shared, common_options};
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        print_options(tables[t]);
    printf("example:\n  %s\n", description->example);
    print_and_exit();
}

static void print_version(const char *word)
{
    (void)word;
    printf("%s (lowshot) %s\n", description->name, VERSION);
    print_and_exit();
}

/* ---- options ---- */

uint64_t tool_integer(const char *option, const char *word, uint64_t least, uint64_t most)
{
    char *end = NULL;
    errno = 0;
    unsigned long long value = strtoull(word, &end, 10);
    /* strtoull takes blanks and signs; a count has neither. */
    if (*word < '0' || *word > '9' || *end || errno || value < least || value > most)
        tool_usage("%s: '%s' is no whole number from %llu to %llu", option, word,
                   (unsigned long long)least, (unsigned long long)most);
    return value;
}

double tool_number(const char *option, const char *word, double least, double most)
{
    char *end = NULL;
    double value = strtod(word, &end);
    if (end == word || *end || !isfinite(value) || value < least || value > most)
        tool_usage("%s: '%s' is no number from %g to %g", option, word, least, most);
    return value;
}

/* The place of a word among those of "a|b|c". */
static int place_of(const char *option, const char *word, const char *words)
{
    char known[128] = "";
    int place = 0;
    for (const char *at = words;; at += strcspn(at, "|") + 1, place++) {
        size_t length = strcspn(at, "|"), used = strlen(known);
        if (strlen(word) == length && strncmp(word, at, length) == 0)
            return place;
        snprintf(known + used, sizeof known - used, "%s%.*s",
                 place == 0   ? ""
                 : at[length] ? ", "
                              : " or ",
                 (int)length, at);
        if (!at[length])
            tool_usage("%s takes %s, not %s", option, known, word);
    }
}

static void take_option(const tool_option *o, const char *word)
{
    char name[64];
    snprintf(name, sizeof name, "--%s", o->name);
    bool whole = o->kind == OPTION_INT || o->kind == OPTION_32 || o->kind == OPTION_64;
    bool real = o->kind == OPTION_FLOAT || o->kind == OPTION_DOUBLE;
    uint64_t integer = whole ? tool_integer(name, word, (uint64_t)o->least, (uint64_t)o->most) : 0;
    double number = real ? tool_number(name, word, (double)o->least, (double)o->most) : 0;
    void *to = o->to.variable;
    switch (o->kind) {
    case OPTION_FLAG:
        *(bool *)to = true;
        break;
    case OPTION_STRING:
        *(const char **)to = word;
        break;
    case OPTION_INT:
        *(int *)to = (int)integer;
        break;
    case OPTION_32:
        *(uint32_t *)to = (uint32_t)integer;
        break;
    case OPTION_64:
        *(uint64_t *)to = integer;
        break;
    case OPTION_FLOAT:
        *(float *)to = (float)number;
        break;
    case OPTION_DOUBLE:
        *(double *)to = number;
        break;
    case OPTION_VALUE:
        *(int *)to = (int)o->least;
        break;
    case OPTION_CHOICE:
        *(int *)to = place_of(name, word, o->argument);
        break;
    case OPTION_FUNCTION:
        o->to.function(word);
        break;
    case OPTION_END:
        break;
    }
    if (o->given)
        *o->given = true;
}

enum { OPTIONS_MAX = 64, LONG_OPTION = 256 /* past every letter */ };

/* A closed 0, 1 or 2 would be the number of the next file opened, and messages would land in it. In
 * its place comes what reads and writes fail on, as they would on the closed one; only messages
 * have nobody to hear them. */
static void fill_standard(void)
{
    static const int against[] = {O_WRONLY, O_RDONLY, O_WRONLY};
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) >= 0)
            continue;
        /* The lowest free number is this one. Without /dev, as in a bare chroot, a folder does. */
        int got = open("/dev/null", against[fd] | O_NOCTTY);
        if (got < 0)
            got = open("/", O_RDONLY | O_DIRECTORY);
        if (got != fd)
            _exit(TOOL_FAILED);
    }
}

tool_operands tool_begin(const tool_description *about, int argc, char **argv)
{
    description = about;
    fill_standard();
    watch_signals();
    const tool_option *tables[] = {about->options, common_options, about->shared};
    const tool_option *all[OPTIONS_MAX];
    struct option names[OPTIONS_MAX + 1] = {0};
    char letters[2 * OPTIONS_MAX + 1] = "", *letter = letters;
    int count = 0, found;
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (const tool_option *o = tables[t]; o && o->name; o++) {
            int argument = o->argument ? required_argument : no_argument;
            names[count] = (struct option){o->name, argument, NULL, LONG_OPTION + count};
            all[count++] = o;
            if (o->letter)
                letter += sprintf(letter, o->argument ? "%c:" : "%c", o->letter);
        }
    while ((found = getopt_long(argc, argv, letters, names, NULL)) != -1) {
        int i = 0;
        if (found == '?') { /* getopt has said what is wrong */
            fprintf(stderr, "Try '%s --help'.\n", description->name);
            exit(TOOL_USAGE);
        }
        while (found != LONG_OPTION + i && found != all[i]->letter)
            i++;
        take_option(all[i], optarg);
    }
    if (about->shared) /* it computes */
        threads_wait_politely(argv);
    return (tool_operands){argv + optind, (size_t)(argc - optind)};
}

/* ---- output ---- */

output *tool_output(const char *what)
{
    output *out;
    error e;
    bool standard = !common.output || strcmp(common.output, "-") == 0;
    if (what && standard && isatty(STDOUT_FILENO)) {
        error_set(&e,
                  "standard output is a terminal and %s is not for reading; send it to another "
                  "tool with |, or to a file with -o FILE",
                  what);
        tool_fail(&e);
    }
    if (common.force)
        output_force();
    if (output_open(common.output, what != NULL, &out, &e) < 0)
        tool_fail(&e);
    if (*output_note(out))
        tool_say("%s", output_note(out));
    return out;
}

int tool_end(output *out, int status, const error *e)
{
    error late;
    if (status < 0) {
        output_abandon(out);
        tool_fail(e);
    }
    if (output_commit(out, &late) < 0)
        tool_fail(&late);
    return TOOL_OK;
}

/* ---- progress ---- */

#define REWRITE_SECONDS 0.2
#define LINE_SECONDS 10.0

double tool_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void progress_begin(progress *p, const char *what, uint64_t total)
{
    *p = (progress){.what = what, .begun = tool_seconds(), .total = total};
    p->shown = p->begun;
    p->rewritten = isatty(STDERR_FILENO);
    /* In a pipeline several tools would overwrite each other's line: the last one speaks. */
    struct stat out;
    bool in_pipe = !common.output && fstat(STDOUT_FILENO, &out) == 0 && S_ISFIFO(out.st_mode);
    p->visible = !common.quiet && (common.progress || (p->rewritten && !in_pipe));
}

static void time_left(double seconds, char text[64])
{
    if (seconds < 100)
        snprintf(text, 64, ", %.0f s left", seconds);
    else if (seconds < 6000)
        snprintf(text, 64, ", %.0f min left", seconds / 60);
    else
        snprintf(text, 64, ", %.1f h left", seconds / 3600);
}

/* A line of the terminal's whole width would go on in the next one. */
static int line_room(void)
{
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col - 1 : 79;
}

static void progress_show(const progress *p, double now, const char *more)
{
    double seconds = now - p->begun, rate = seconds > 0 ? (double)p->done / seconds : 0;
    char left[64] = "", of[64] = "", line[512];
    if (p->total > p->done && rate > 0)
        time_left((double)(p->total - p->done + p->later) / rate, left);
    if (p->total)
        snprintf(of, sizeof of, " of %llu", (unsigned long long)p->total);
    snprintf(line, sizeof line, "%s: %llu%s %s, %.0f/s%s%s%s", description->name,
             (unsigned long long)p->done, of, p->what, rate, left, *more ? ", " : "", more);
    if (p->rewritten)
        fprintf(stderr, "\r%.*s\033[K", line_room(), line);
    else
        fprintf(stderr, "%s\n", line);
    fflush(stderr);
    line_shown = p->rewritten;
}

void progress_update(progress *p, uint64_t done, const char *format, ...)
{
    p->done = done;
    if (!p->visible)
        return;
    double now = tool_seconds();
    if (now - p->shown < (p->rewritten ? REWRITE_SECONDS : LINE_SECONDS))
        return;
    p->shown = now;
    char more[256] = "";
    if (format) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(more, sizeof more, format, arguments);
        va_end(arguments);
    }
    progress_show(p, now, more);
}

void progress_end(progress *p)
{
    if (!p->visible)
        return;
    progress_show(p, tool_seconds(), "");
    if (p->rewritten)
        fputc('\n', stderr);
    line_shown = false;
}

void progress_clear(progress *p)
{
    if (p->visible)
        finish_line();
}
