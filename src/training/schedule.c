#include "schedule.h"

double schedule_rate(const schedule *s, uint64_t step)
{
    double rate = s->rate / (1.0 + s->decay * (double)step);
    if (s->kind == SCHEDULE_CONSTANT)
        return rate;
    double peak = s->warm_up * (double)s->steps, at = (double)step + 1;
    if (at <= peak)
        return rate * at / peak;
    /* step == steps would be 0; the last step, steps - 1, still learns. */
    double left = (double)s->steps + 1 - at, fall = (double)s->steps + 1 - (peak > 1 ? peak : 1);
    return left > 0 ? rate * left / fall : 0;
}

void schedule_rates(const schedule *s, uint64_t first_step, size_t count, float *rates)
{
    for (size_t i = 0; i < count; i++)
        rates[i] = (float)schedule_rate(s, first_step + i);
}

static const char *const names[] = {"constant", "one-cycle"};

const char *schedule_name(schedule_kind kind)
{
    return names[kind];
}
