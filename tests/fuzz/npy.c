/* Any bytes as arrays, .npy, .npz or safetensors: read to the end as heads say, or refused with
 * one line. */
#include "../../common/formats/npy.h"

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

static int read_all(npy_array *a, error *e)
{
    size_t total = npy_head_of(a)->shape[0], row = npy_row_bytes(a),
           step = 1 + BYTES_MOST / 4 / row;
    char *to = malloc(step * row);
    int status = 0;
    /* Fortran's order is read whole: no more than its head may claim of a fuzzer's few bytes. */
    if (npy_head_of(a)->by_columns && total > BYTES_MOST / row)
        total = 0;
    for (size_t done = 0; done < total && done * row < BYTES_MOST && status == 0; done += step)
        status = npy_read(a, total - done < step ? total - done : step, to, e);
    if (status == 0)
        status = npy_finish(a, e);
    free(to);
    return status;
}

static void read_one(const char *path, const char *member)
{
    error e = {""};
    npy_array *a;
    int status = npy_open(path, member, &a, &e);
    if (status == 0) {
        const npy_head *h = npy_head_of(a);
        expect(h->rank >= 1 && h->rank <= TENSOR_RANK_MAX && npy_row_bytes(a) > 0);
        if (npy_row_bytes(a) <= ROW_BYTES_MOST)
            status = read_all(a, &e);
        npy_close(a);
    }
    expect(status == 0 || (*e.text && !strchr(e.text, '\n')));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    error e = {""};
    char path[64], **members;
    size_t count;
    int fd = memfd_create("file", 0);
    expect(fd >= 0 && write(fd, data, size) == (ssize_t)size && lseek(fd, 0, SEEK_SET) == 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int status = npz_names(path, &members, &count, &e);
    for (size_t i = 0; status == 0 && i < count && i < 8; i++)
        read_one(path, members[i]);
    if (status == 0 && !members)
        read_one(path, NULL);
    if (status == 0)
        free(members);
    expect(status == 0 || (*e.text && !strchr(e.text, '\n')));
    close(fd);
    return 0;
}
