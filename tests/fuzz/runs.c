/* Any bytes as what `score --format json` wrote: printed in all three ways, or refused with one
 * line. */
#include "../../src/scoring/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    figure_choice choice;
    error e = {""};
    output *out;
    int fd = memfd_create("runs", 0);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size ||
        figure_choice_parse("base,novel,all", &choice, &e) < 0)
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    char *paths[] = {path, path};
    for (runs_format format = RUNS_TABLE; format <= RUNS_VALUES; format++) {
        e = (error){""};
        if (output_open("/dev/null", false, &out, &e) < 0)
            abort();
        if (report_runs(out, paths, 2, format, format == RUNS_VALUES ? &choice : NULL, &e) < 0 &&
            (!*e.text || strchr(e.text, '\n')))
            abort();
        output_abandon(out);
    }
    close(fd);
    return 0;
}
