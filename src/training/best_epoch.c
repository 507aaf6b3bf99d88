#include "best_epoch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bool best_epoch_beaten(const best_epoch *best, double accuracy, double loss)
{
    if (best->epoch == 0 || accuracy != best->accuracy)
        return best->epoch == 0 || accuracy > best->accuracy;
    return loss < best->loss || (isnan(best->loss) && !isnan(loss));
}

int best_epoch_keep(best_epoch *best, const float *parameters, size_t total, error *e)
{
    if (!best->parameters && !(best->parameters = malloc((total ? total : 1) * sizeof(float))))
        return error_set(e, "out of memory for %zu parameters of the best epoch", total);
    memcpy(best->parameters, parameters, total * sizeof(float));
    return 0;
}
