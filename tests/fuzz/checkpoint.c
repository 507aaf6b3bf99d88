/* Any bytes as a checkpoint: loaded with a whole state of training, or refused with one line. */
#include "../../src/training/checkpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    model m;
    training_state s;
    error e = {""};
    int fd = memfd_create("checkpoint", 0);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (checkpoint_load(path, &m, &s, &e) < 0) {
        if (!*e.text || strchr(e.text, '\n'))
            abort();
    } else {
        float *parameters = malloc((m.net.total + 1) * sizeof *parameters);
        if (!parameters || checkpoint_epoch(&m) >= 0)
            abort();
        model_pack(&m, parameters);
        /* Every number of the state is one that training may go on from. */
        for (size_t i = 0; i < m.net.total; i++)
            if (s.parameters[i] - s.parameters[i] != 0 || s.first[i] - s.first[i] != 0 ||
                s.second[i] - s.second[i] != 0)
                abort();
        free(parameters);
        training_state_free(&s);
        model_free(&m);
    }
    close(fd);
    return 0;
}
