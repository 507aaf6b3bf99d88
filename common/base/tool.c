/* tool.c: see tool.h. */
#include "tool.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#ifndef VERSION
#define VERSION "unknown"
#endif

static const tool_description *description;
static bool line_shown; /* a progress line stands on the terminal, without its newline */

/* ---- beginning and end ---- */

static void die_clean(int number)
{
    output_clean();
    /* The default action is back in place (SA_RESETHAND): the parent sees what ended us. */
    raise(number);
}

void tool_begin(const tool_description *about)
{
    description = about;
    signal(SIGPIPE, SIG_IGN);
    const int ends[] = {SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        struct sigaction old, handler = {.sa_handler = die_clean, .sa_flags = (int)SA_RESETHAND};
        sigemptyset(&handler.sa_mask);
        /* What nohup or a background shell has told us to ignore stays ignored. */
        if (sigaction(ends[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(ends[i], &handler, NULL);
    }
}

static void finish_line(void)
{
    if (line_shown)
        fputc('\n', stderr);
    line_shown = false;
}

static void say(const char *format, va_list arguments)
{
    finish_line();
    char text[2048];
    vsnprintf(text, sizeof text, format, arguments);
    /* One call, so that the lines of a pipeline's tools do not mix. */
    fprintf(stderr, "%s: %s\n", description->name, text);
}

void tool_fail(const error *e)
{
    finish_line();
    fprintf(stderr, "%s: %s\n", description->name, e->text);
    exit(TOOL_FAILED);
}

void tool_fail_at(const char *where, error *e)
{
    error_prefix(e, "%s", where);
    tool_fail(e);
}

void tool_usage(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
    exit(TOOL_USAGE);
}

void tool_say(const tool_options *options, const char *format, ...)
{
    if (options->quiet)
        return;
    va_list arguments;
    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
}

/* ---- options ---- */

_Noreturn static void print_and_exit(void)
{
    if (fflush(stdout) == 0)
        exit(TOOL_OK);
    error e;
    error_system(&e, "cannot write to standard output");
    tool_fail(&e);
}

_Noreturn static void print_help(void)
{
    printf("usage: %s %s\n\n%s\n\n", description->name, description->usage, description->summary);
    const char *own = description->options ? description->options : "";
    printf("%s%s", own, *own && own[strlen(own) - 1] != '\n' ? "\n" : "");
    printf("  -o, --output FILE     write FILE, whole or not at all, in place of standard output\n"
           "      --progress        show progress even if standard error is no terminal\n"
           "      --quiet           no progress, no notes; errors only\n"
           "      --help            show this and exit\n"
           "      --version         show the version and exit\n");
    if (description->example)
        printf("\nexample:\n  %s\n", description->example);
    print_and_exit();
}

bool tool_option(int letter, tool_options *options)
{
    switch (letter) {
    case 'o':
        options->output = optarg;
        return true;
    case TOOL_QUIET:
        options->quiet = true;
        return true;
    case TOOL_PROGRESS:
        options->progress = true;
        return true;
    case TOOL_HELP:
        print_help();
    case TOOL_VERSION:
        printf("%s (lowshot) %s\n", description->name, VERSION);
        print_and_exit();
    case '?':
    case ':':
        /* getopt has said what is wrong. */
        fprintf(stderr, "Try '%s --help'.\n", description->name);
        exit(TOOL_USAGE);
    default:
        return false;
    }
}

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

/* ---- progress ---- */

double tool_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void progress_begin(progress *p, const tool_options *options, const char *what, uint64_t total)
{
    *p = (progress){.options = options, .what = what, .begun = tool_seconds(), .total = total};
    p->shown = p->begun;
    /* In a pipeline several tools would overwrite each other's line: the last one speaks for all.
     * */
    struct stat out;
    bool in_pipe = !options->output && fstat(STDOUT_FILENO, &out) == 0 && S_ISFIFO(out.st_mode);
    p->visible = !options->quiet && (options->progress || (isatty(STDERR_FILENO) && !in_pipe));
}

static void progress_show(const progress *p, double now, const char *more)
{
    double seconds = now - p->begun, rate = seconds > 0 ? (double)p->done / seconds : 0;
    char left[64] = "";
    if (p->total > p->done && rate > 0)
        snprintf(left, sizeof left, ", %.0f s left", (double)(p->total - p->done) / rate);
    char of[64] = "";
    if (p->total)
        snprintf(of, sizeof of, " of %llu", (unsigned long long)p->total);
    fprintf(stderr, "\r%s: %llu%s %s, %.0f/s%s%s%s\033[K", description->name,
            (unsigned long long)p->done, of, p->what, rate, left, *more ? ", " : "", more);
    fflush(stderr);
    line_shown = true;
}

void progress_update(progress *p, uint64_t done, const char *format, ...)
{
    p->done = done;
    if (!p->visible)
        return;
    double now = tool_seconds();
    if (now - p->shown < 0.2)
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
    finish_line();
}
