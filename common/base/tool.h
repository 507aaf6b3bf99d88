/* tool.h: what every program does the same way: options, --help, messages, output, progress. Only
 * src/ uses this. A tool's main reads
 *
 *     tool_operands files = tool_begin(&about, argc, argv);
 *     output *out = tool_output("records");
 *     ... status = work(files, out, &e) ...
 *     return tool_end(out, status, &e); */
#ifndef COMMON_BASE_TOOL_H
#define COMMON_BASE_TOOL_H

#include "error.h"
#include "output.h"

#include <stdbool.h>
#include <stdint.h>

/* Exit statuses. */
enum { TOOL_OK = 0, TOOL_FAILED = 1, TOOL_USAGE = 2 };

/* ---- options ---- */

typedef enum {
    OPTION_END,
    OPTION_FLAG,    /* bool: becomes true */
    OPTION_STRING,  /* const char *: the word as it is */
    OPTION_INT,     /* int, from least to most */
    OPTION_32,      /* uint32_t, from least to most */
    OPTION_64,      /* uint64_t or size_t, from least to most */
    OPTION_FLOAT,   /* float, from least to most */
    OPTION_DOUBLE,  /* double, from least to most */
    OPTION_VALUE,   /* int: becomes least */
    OPTION_CHOICE,  /* int: the word's place in "a|b|c", the row's argument */
    OPTION_FUNCTION /* is called with the word, NULL for an option without */
} option_kind;

/* An option stands once, as a row of a table that {0} ends: what getopt_long takes and what --help
 * prints is made of it. */
typedef struct {
    const char *name, *argument; /* "seed"; its argument's word in --help, "N"; NULL for none */
    char letter;                 /* of the short form, or 0 */
    const char *help;            /* what it does or is; --help breaks the lines */
    option_kind kind;
    union {
        void *variable;
        void (*function)(const char *word);
    } to;
    long double least, most; /* holds every uint64_t */
    bool *given;             /* becomes true; may be NULL */
} tool_option;

/* Where an option goes, the rest of its row: a variable, for a number followed by its least and
 * most; a value of an int; the place of a word among those of the row's argument; a function. */
#define OPTION_TO(target)                                                                          \
    .kind = _Generic(&(target),                                                                    \
                     bool *: OPTION_FLAG,                                                          \
                     const char **: OPTION_STRING,                                                 \
                     int *: OPTION_INT,                                                            \
                     uint32_t *: OPTION_32,                                                        \
                     uint64_t *: OPTION_64,                                                        \
                     float *: OPTION_FLOAT,                                                        \
                     double *: OPTION_DOUBLE),                                                     \
    .to = {.variable = &(target)}
#define OPTION_SETS(target, value)                                                                 \
    .kind = _Generic(&(target), int *: OPTION_VALUE), .to = {.variable = &(target)},               \
    .least = (value)
#define OPTION_WORD_TO(target)                                                                     \
    .kind = _Generic(&(target), int * : OPTION_CHOICE), .to = {.variable = &(target)}
#define OPTION_CALLS(called) .kind = OPTION_FUNCTION, .to = {.function = called}

typedef struct {
    const char *name;           /* "class-filter" */
    const char *summary;        /* one sentence: what it reads and writes */
    const char *usage;          /* "[OPTION]... [FILE]..." */
    const char *example;        /* lines */
    const tool_option *options; /* its own */
    const tool_option *shared;  /* those of several tools (device.h), or NULL */
} tool_description;

/* What is no option: files, models. */
typedef struct {
    char **names;
    size_t count;
} tool_operands;

/* First thing in main: sees to it that file descriptors 0 to 2 are open and that signals leave
 * nothing behind, ignores SIGPIPE, and reads the options, the tool's own and those that all have
 * (--output, --force, --progress, --quiet; --help and --version exit 0). What is wrong exits 2,
 * after one line that points at --help. */
tool_operands tool_begin(const tool_description *about, int argc, char **argv);

/* Numbers within words, whole words only, within the bounds, else exit 2 with the option's name. */
uint64_t tool_integer(const char *option, const char *word, uint64_t least, uint64_t most);
double tool_number(const char *option, const char *word, double least, double most);

/* ---- messages and the end ---- */

/* One line on stderr, "NAME: text", and exit with the status; temporary outputs are removed. */
_Noreturn void tool_fail(const error *e);                       /* exit 1 */
_Noreturn void tool_fail_at(const char *where, const error *e); /* "WHERE: " before it: a file */
_Noreturn void tool_usage(const char *format, ...)
    __attribute__((format(printf, 1, 2))); /* exit 2 */
/* The same, but ends by the signal, so that a shell or make sees what ended it. */
_Noreturn void tool_fail_by(int signal, const error *e);
/* One line on stderr, "NAME: text", also with --quiet: for one failure of several. */
void tool_complain(const error *e);
/* "NAME: text" on stderr unless --quiet. */
void tool_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* While on, a reader of the output that goes away ends the tool by SIGPIPE, with a line that says
 * so: half of a model is of no use, and hours went into it. */
void tool_miss_reader(bool on);

/* Opens -o FILE, else standard output, or exits 1. `what` it will be ("records", "a model") is not
 * written to a terminal; NULL for text, which is. */
output *tool_output(const char *what);
/* Commits the output where status >= 0 and returns TOOL_OK; else abandons it and fails. */
int tool_end(output *out, int status, const error *e);

bool tool_on_terminal(void);    /* whether notes meet a person's eye: stderr is a terminal */
bool tool_shows_progress(void); /* --progress was given, and not --quiet */

/* ---- progress ---- */

/* Progress on stderr when it is a terminal or --progress was given, and not --quiet: rows, rows a
 * second, time left where the total is known. On a terminal it is one line, rewritten a few times
 * a second and no wider; elsewhere a new line every ten seconds, as in a log. A tool whose output
 * is a pipe leaves the line to the pipeline's last one, unless --progress was given. */
typedef struct {
    const char *what; /* "rows", "pictures" */
    double begun, shown;
    uint64_t done, total;    /* total 0 if not known */
    uint64_t later;          /* of parts that follow, for the time left; the caller's to set */
    bool visible, rewritten; /* on a terminal */
} progress;
void progress_begin(progress *p, const char *what, uint64_t total);
void progress_update(progress *p, uint64_t done, const char *format, ...)
    __attribute__((format(printf, 3, 4))); /* format NULL or text to append */
void progress_end(progress *p);            /* leaves the line, with what was done in all */
void progress_clear(progress *p);          /* takes it away: the tool says the same in a line */

double tool_seconds(void); /* a monotonic clock */

#endif
