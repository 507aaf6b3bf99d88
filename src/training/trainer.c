#include "trainer.h"

#include <math.h>
#include <stdlib.h>
#include <time.h>

/* A piece takes about this long: short beside a person's patience, long beside the cost of a call.
 * */
#define PIECE_SECONDS_MIN 0.05
#define PIECE_SECONDS_MAX 0.25

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int train_piece(trainer *t, const uint32_t *order, size_t rows, float *rates, metrics *total,
                       error *e)
{
    size_t steps = (rows + t->batch - 1) / t->batch;
    double begun = now();
    schedule_rates(t->rates, t->step, steps, rates);
    if (t->device->train(t->device, t->run, order, rows, rates, total, e) < 0)
        return -1;
    t->step += steps;
    double took = now() - begun;
    if (took < PIECE_SECONDS_MIN && steps == t->piece)
        t->piece *= 2;
    else if (took > PIECE_SECONDS_MAX && t->piece > 1)
        t->piece /= 2;
    if (!isfinite(total->loss))
        return error_set(e, "the loss is no number any more after step %llu; take a lower --rate",
                         (unsigned long long)t->step);
    return 0;
}

int trainer_epoch(trainer *t, const uint32_t *order, size_t rows, metrics *total, error *e)
{
    *total = (metrics){0};
    float *rates = malloc((rows / t->batch + 1) * sizeof *rates);
    if (!rates)
        return error_set(e, "out of memory");
    int status = 0;
    t->piece = t->piece ? t->piece : 1;
    for (size_t done = 0; status == 0 && done < rows;) {
        size_t left = rows - done;
        size_t count = left / t->batch >= t->piece ? t->piece * t->batch : left;
        status = train_piece(t, order + done, count, rates, total, e);
        done += count;
        if (status == 0 && t->proceed && !t->proceed(t->context, total))
            status = 1;
    }
    free(rates);
    return status;
}
