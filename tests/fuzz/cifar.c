/* Any bytes as a CIFAR batch and as a list of class names: taken as they stand, or refused with one
 * line. The first byte chooses the kind of batch and how many rows are read at once. */
#include "../../common/formats/cifar.h"
#include "../../common/stream/class_names.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void expect(int holds)
{
    if (!holds)
        abort();
}

static void read_names(const uint8_t *data, size_t size)
{
    class_list names;
    error e = {""};
    if (class_names_parse((const char *)data, size, &names, &e) != 0) {
        expect(*e.text && !strchr(e.text, '\n'));
        return;
    }
    expect(names.count > 0);
    class_list_free(&names);
}

/* Row by row as the layout says, without the shuffles. */
static void check_rows(const cifar_kind *kind, const uint8_t *records, size_t rows,
                       const uint8_t *images, const int32_t *labels)
{
    for (size_t row = 0; row < rows; row++) {
        const uint8_t *record = records + row * cifar_record(kind);
        expect(labels[row] == record[kind->label_place]);
        expect(labels[row] < (int32_t)kind->class_count);
        for (size_t i = 0; i < CIFAR_IMAGE; i++)
            expect(images[row * CIFAR_IMAGE + i] ==
                   record[kind->label_bytes + i % 3 * CIFAR_PIXELS + i / 3]);
    }
}

static void read_batch(const cifar_kind *kind, size_t most, const uint8_t *data, size_t size)
{
    int fd = memfd_create("batch", 0);
    expect(fd >= 0 && write(fd, data, size) == (ssize_t)size && lseek(fd, 0, SEEK_SET) == 0);
    cifar_file *file;
    error e = {""};
    if (cifar_open_fd(kind, fd, "batch", &file, &e) != 0) {
        expect(*e.text && (size == 0 || size % cifar_record(kind) != 0));
        return;
    }
    uint8_t *images = malloc(most * CIFAR_IMAGE);
    int32_t *labels = malloc(most * sizeof *labels);
    size_t done = 0;
    int rows;
    while ((rows = cifar_read(file, most, images, labels, &e)) > 0) {
        check_rows(kind, data + done * cifar_record(kind), (size_t)rows, images, labels);
        done += (size_t)rows;
    }
    expect(rows < 0 ? *e.text && !strchr(e.text, '\n') : done == cifar_rows(file));
    free(images);
    free(labels);
    cifar_close(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const cifar_kind *const kinds[] = {&cifar_10, &cifar_100_fine, &cifar_100_coarse};
    read_names(data, size);
    if (size > 0)
        read_batch(kinds[data[0] % 3], 1 + data[0] / 3 % 8, data + 1, size - 1);
    return 0;
}
