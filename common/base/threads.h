/* threads.h: how many threads a process should start, and how they wait for each other. */
#ifndef COMMON_BASE_THREADS_H
#define COMMON_BASE_THREADS_H

/* The least of `asked` (0: any number), $OMP_NUM_THREADS, $OMP_THREAD_LIMIT, the processors that
 * the process may run on, and those that its control group's quota pays for, rounded up; 1 at
 * least. */
int threads_usable(int asked);

/* OpenMP's threads spin for each other for many milliseconds, unless the environment says otherwise
 * before the program begins: beside other busy processes they then spin for a thread that has no
 * processor, and training takes ten times as long. This begins the program anew with a shorter
 * spin, before it has read anything, unless the environment has a word on it ($OMP_WAIT_POLICY,
 * $GOMP_SPINCOUNT). Returns where that cannot be done, too. */
void threads_wait_politely(char **argv);

#endif
