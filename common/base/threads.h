/* threads.h: how many threads a process should start. */
#ifndef COMMON_BASE_THREADS_H
#define COMMON_BASE_THREADS_H

/* The least of `asked` (0: any number), $OMP_NUM_THREADS, $OMP_THREAD_LIMIT, the processors that
 * the process may run on, and those that its control group's quota pays for, rounded up; 1 at
 * least. */
int threads_usable(int asked);

#endif
