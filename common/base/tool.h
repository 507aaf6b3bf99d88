/* tool.h: what every program does the same way: options, messages, progress. Only src/ uses this.
 * */
#ifndef COMMON_BASE_TOOL_H
#define COMMON_BASE_TOOL_H

#include "error.h"
#include "output.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>

/* Exit statuses. */
enum { TOOL_OK = 0, TOOL_FAILED = 1, TOOL_USAGE = 2 };

typedef struct {
    const char *name;    /* "class-filter" */
    const char *summary; /* one line: what it reads and writes */
    const char *usage;   /* "[OPTION]... [FILE]..." */
    const char *options; /* the option table for --help, one line an option, as the tool words it */
    const char *example; /* one line */
} tool_description;

/* Values of the options that all tools share; a tool lists those it takes in its own tables. */
typedef struct {
    const char *output;   /* -o, --output FILE */
    bool quiet, progress; /* --quiet, --progress */
} tool_options;

/* Long options that every tool has: splice TOOL_OPTIONS into the array of struct option, and pass
 * what getopt_long returned to tool_option first: true if it was one of these (--help and --version
 * exit 0; `?` and `:` exit 2 after a line that points at --help). */
enum { TOOL_HELP = 1000, TOOL_VERSION, TOOL_QUIET, TOOL_PROGRESS, TOOL_OWN = 1100 };
#define TOOL_SHORT "o:"
#define TOOL_OPTIONS                                                                               \
    {"output", required_argument, NULL, 'o'}, {"help", no_argument, NULL, TOOL_HELP},              \
        {"version", no_argument, NULL, TOOL_VERSION}, {"quiet", no_argument, NULL, TOOL_QUIET},    \
    {                                                                                              \
        "progress", no_argument, NULL, TOOL_PROGRESS                                               \
    }

/* First thing in main: remembers the description, ignores SIGPIPE, sets up clean-up on signals. */
void tool_begin(const tool_description *about);
bool tool_option(int letter, tool_options *options);

/* One line on stderr, "NAME: text", and exit with the status; temporary outputs are removed. */
_Noreturn void tool_fail(const error *e); /* exit 1 */
_Noreturn void tool_fail_at(const char *where,
                            error *e); /* the same, "WHERE: " before it: a file */
_Noreturn void tool_usage(const char *format, ...)
    __attribute__((format(printf, 1, 2))); /* exit 2 */
/* "NAME: text" on stderr unless quiet. */
void tool_say(const tool_options *options, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Numbers in options, whole words only and within the bounds, else exit 2 with the option's name.
 * */
uint64_t tool_integer(const char *option, const char *word, uint64_t least, uint64_t most);
double tool_number(const char *option, const char *word, double least, double most);

/* Progress on stderr, one line rewritten a few times a second, when stderr is a terminal or
 * --progress was given and not --quiet: rows, rows a second, time left where the total is known. A
 * tool whose output is a pipe leaves the line to the pipeline's last one, unless --progress was
 * given. */
typedef struct {
    const tool_options *options;
    const char *what; /* "rows", "pictures" */
    double begun, shown;
    uint64_t done, total; /* total 0 if not known */
    bool visible;
} progress;
void progress_begin(progress *p, const tool_options *options, const char *what, uint64_t total);
void progress_update(progress *p, uint64_t done, const char *format, ...)
    __attribute__((format(printf, 3, 4))); /* format NULL or text to append */
void progress_end(progress *p);

double tool_seconds(void); /* a monotonic clock */

#endif
