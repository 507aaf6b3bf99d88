/* threads.c: see threads.h. */
#include "threads.h"

#include "restart.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Turns before a waiting thread sleeps. tests/bench/waiting finds it: on two cores 5,000 turns take
 * as long alone as OpenMP's own 300,000 (0.93 to 1.0 times), and beside a busy process a core 2.4
 * times that, where 50,000 take 11 times as long and none at all 1.2 times as long alone. */
#define SPIN_TURNS "5000"

/* The number that an environment variable begins with ("4,2" is 4); 0 for none. */
static int environment_number(const char *name)
{
    const char *word = getenv(name);
    long value = word ? strtol(word, NULL, 10) : 0;
    return value > 0 && value < 1 << 20 ? (int)value : 0;
}

/* Quota and period from a group's file: "max 100000" or "150000 100000". 0 where there is none. */
static int group_processors(const char *folder)
{
    char path[4200];
    long long quota = 0, period = 0;
    snprintf(path, sizeof path, "%s/cpu.max", folder);
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    int got = fscanf(file, "%lld %lld", &quota, &period);
    fclose(file);
    return got == 2 && quota > 0 && period > 0 ? (int)((quota + period - 1) / period) : 0;
}

/* A quota binds all groups below the one that has it. */
static int quota_processors(void)
{
    char line[4096], folder[4128];
    int least = 0;
    FILE *file = fopen("/proc/self/cgroup", "re");
    if (!file)
        return 0;
    *folder = 0;
    while (fgets(line, sizeof line, file))
        if (strncmp(line, "0::", 3) == 0)
            snprintf(folder, sizeof folder, "/sys/fs/cgroup%.*s", (int)strcspn(line + 3, "\n"),
                     line + 3);
    fclose(file);
    for (char *slash = folder; *folder && slash; slash = strrchr(folder, '/')) {
        int here = group_processors(folder);
        if (here > 0 && (least == 0 || here < least))
            least = here;
        if (strcmp(folder, "/sys/fs/cgroup") == 0)
            break;
        *strrchr(folder, '/') = 0;
    }
    return least;
}

int threads_usable(int asked)
{
    cpu_set_t set;
    int limits[] = {
        asked, environment_number("OMP_NUM_THREADS"), environment_number("OMP_THREAD_LIMIT"),
        sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1, quota_processors()};
    int least = 0;
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        if (limits[i] > 0 && (least == 0 || limits[i] < least))
            least = limits[i];
    return least;
}

void threads_wait_politely(char **argv)
{
    if (getenv("OMP_WAIT_POLICY") || getenv("GOMP_SPINCOUNT"))
        return;
    if (setenv("GOMP_SPINCOUNT", SPIN_TURNS, 1) == 0)
        restart(argv);
}
