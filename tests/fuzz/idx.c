/* Any bytes as an IDX file, plain or gzip: read to its end as its head says, or refused with one
 * line. */
#include "../../common/formats/idx.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ROW_BYTES_MOST = 1 << 16, BYTES_MOST = 1 << 20 };

static void expect(int holds)
{
    if (!holds)
        abort();
}

static int read_all(idx_file *f, error *e)
{
    size_t total = idx_shape(f)[0], row = idx_row_bytes(f), step = 1 + BYTES_MOST / 4 / row;
    char *to = malloc(step * row);
    int status = 0;
    /* Compressed, a few bytes may stand for very many: some of them will do. */
    for (size_t done = 0; done < total && done * row < BYTES_MOST && status == 0; done += step)
        status = idx_read(f, total - done < step ? total - done : step, to, e);
    if (status == 0)
        status = idx_finish(f, e);
    free(to);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    error e = {""};
    idx_file *f;
    int fd = memfd_create("file", 0);
    expect(fd >= 0 && write(fd, data, size) == (ssize_t)size && lseek(fd, 0, SEEK_SET) == 0);
    int status = idx_open_fd(fd, "file", &f, &e);
    if (status == 0) {
        expect(idx_rank(f) >= 1 && idx_rank(f) <= IDX_RANK_MAX && idx_row_bytes(f) > 0);
        if (idx_row_bytes(f) <= ROW_BYTES_MOST)
            status = read_all(f, &e);
        idx_close(f);
    }
    expect(status == 0 || (*e.text && !strchr(e.text, '\n')));
    return 0;
}
