/* cifar-read: CIFAR-10 and CIFAR-100 binary batches to records; see cifar-read(1). */
#include "../common/cifar.h"
#include "../common/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* About a mebibyte of pictures: measured best through a pipe of that size. */
enum { BATCH_ROWS = 256 };

static const tool_description about = {
    .name = "cifar-read",
    .summary = "Reads CIFAR-10 or CIFAR-100 binary batches and writes records with the fields\n"
               "image (uint8, 32 x 32 x 3) and label. FILE - is standard input.",
    .usage = "[OPTION]... FILE...",
    .options = "      --cifar100        the files are CIFAR-100; labels are its 100 fine classes\n"
               "      --coarse          with --cifar100: labels are its 20 coarse classes\n",
    .example = "cifar-read data_batch_*.bin | class-filter --keep 0-7 > eight.records",
};

static tool_options options;
static const cifar_kind *kind = &cifar_10;

typedef struct {
    stream_writer *writer;
    progress progress;
    uint8_t *records, *images; /* of one batch */
    int32_t *labels;
    uint64_t rows;
} job;

static void parse_options(int argc, char **argv)
{
    static const struct option table[] = {{"cifar100", no_argument, NULL, TOOL_OWN},
                                          {"coarse", no_argument, NULL, TOOL_OWN + 1},
                                          TOOL_OPTIONS,
                                          {0}};
    bool hundred = false, coarse = false;
    for (int letter; (letter = getopt_long(argc, argv, TOOL_SHORT, table, NULL)) != -1;) {
        if (tool_option(letter, &options))
            continue;
        hundred |= letter == TOOL_OWN;
        coarse |= letter == TOOL_OWN + 1;
    }
    if (coarse && !hundred)
        tool_usage("--coarse needs --cifar100; CIFAR-10 has one kind of label");
    if (optind == argc)
        tool_usage("no file named; name CIFAR's binary batches, or - for standard input");
    if (hundred)
        kind = coarse ? &cifar_100_coarse : &cifar_100_fine;
}

/* Reads until `bytes` came or the file ends. The number, or -1. */
static ssize_t read_fully(int fd, uint8_t *to, size_t bytes)
{
    size_t have = 0;
    while (have < bytes) {
        ssize_t got = read(fd, to + have, bytes - have);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        have += (size_t)got;
    }
    return (ssize_t)have;
}

static int check_size(const char *path, uint64_t bytes, error *e)
{
    uint64_t record = cifar_record(kind), rows = bytes / record;
    if (bytes == 0)
        return error_set(e, "%s: empty; a %s batch has records of %llu bytes", path, kind->title,
                         (unsigned long long)record);
    if (bytes % record != 0)
        return error_set(e, "%s: row %llu, byte %llu: the record is cut short, or this is no %s batch: "
                            "%llu bytes are no multiple of %llu", path, (unsigned long long)rows,
                         (unsigned long long)(rows * record), kind->title, (unsigned long long)bytes,
                         (unsigned long long)record);
    return 0;
}

/* All that can be known before anything is written; the rows in all files, 0 where not known. */
static int check_files(char *const *paths, size_t count, class_list *names, uint64_t *rows, error *e)
{
    uint64_t bytes = 0;
    bool known = true;
    for (size_t i = 0; i < count; i++) {
        struct stat status;
        class_list own;
        bool standard = strcmp(paths[i], "-") == 0;
        if ((standard ? fstat(STDIN_FILENO, &status) : stat(paths[i], &status)) != 0)
            return error_system(e, "%s: cannot open", paths[i]);
        if (S_ISREG(status.st_mode) && !standard && check_size(paths[i], (uint64_t)status.st_size, e) != 0)
            return -1;
        known = known && S_ISREG(status.st_mode);
        bytes += (uint64_t)status.st_size;
        if (cifar_names(kind, paths[i], &own, e) != 0)
            return -1;
        if (i > 0 && !class_list_equal(names, &own))
            return error_set(e, "%s: the %s beside it names other classes than that of %s", paths[i],
                             kind->names_file, paths[0]);
        class_list_free(names);
        *names = own;
    }
    *rows = known ? bytes / cifar_record(kind) : 0;
    return 0;
}

static int write_rows(job *j, size_t rows, error *e)
{
    batch b = {0};
    tensor image = {TYPE_U8, 4, {rows, CIFAR_SIDE, CIFAR_SIDE, 3}, j->images};
    tensor label = {TYPE_I32, 1, {rows}, j->labels};
    if (batch_put(&b, "image", image, e) != 0 || batch_put(&b, "label", label, e) != 0)
        return -1;
    j->rows += rows;
    progress_update(&j->progress, j->rows, NULL);
    return stream_write(j->writer, &b, e);
}

static int convert_file(job *j, const char *path, int fd, error *e)
{
    size_t record = cifar_record(kind);
    for (uint64_t row = 0;;) {
        ssize_t got = read_fully(fd, j->records, BATCH_ROWS * record);
        if (got < 0)
            return error_system(e, "%s: byte %llu: cannot read", path, (unsigned long long)(row * record));
        if ((row == 0 || (size_t)got % record != 0) && check_size(path, row * record + (uint64_t)got, e) != 0)
            return -1;
        size_t rows = (size_t)got / record, good = cifar_unpack(kind, j->records, rows, j->images, j->labels);
        if (good < rows)
            return error_set(e, "%s: row %llu, byte %llu: label %d is none of %s's %zu classes", path,
                             (unsigned long long)(row + good), (unsigned long long)((row + good) * record),
                             j->records[good * record + kind->label_place], kind->title,
                             kind->class_count);
        if (rows > 0 && write_rows(j, rows, e) != 0)
            return -1;
        row += rows;
        if (rows < BATCH_ROWS)
            return 0;
    }
}

static int convert_path(job *j, const char *path, error *e)
{
    bool standard = strcmp(path, "-") == 0;
    int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_system(e, "%s: cannot open", path);
    posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    int status = convert_file(j, standard ? "standard input" : path, fd, e);
    if (!standard)
        close(fd);
    return status;
}

static int convert(job *j, char *const *paths, size_t count, output *out, error *e)
{
    stream_header header = {0};
    uint64_t total = 0;
    int status = check_files(paths, count, &header.classes, &total, e);
    if (status == 0)
        status = stream_create(out, &j->writer, e);
    if (status == 0)
        status = stream_write_header(j->writer, &header, e);
    progress_begin(&j->progress, &options, "pictures", total);
    for (size_t i = 0; i < count && status == 0; i++)
        status = convert_path(j, paths[i], e);
    if (status == 0)
        status = stream_write_end(j->writer, e);
    if (status == 0)
        progress_end(&j->progress);
    stream_header_free(&header);
    stream_writer_free(j->writer);
    return status;
}

int main(int argc, char **argv)
{
    tool_begin(&about);
    parse_options(argc, argv);
    error e;
    output *out;
    job j = {.records = malloc(BATCH_ROWS * cifar_record(kind)),
             .images = malloc(BATCH_ROWS * CIFAR_IMAGE),
             .labels = malloc(BATCH_ROWS * sizeof *j.labels)};
    if (!j.records || !j.images || !j.labels) {
        error_set(&e, "out of memory");
        tool_fail(&e);
    }
    if (output_open(options.output, true, &out, &e) != 0)
        tool_fail(&e);
    int status = convert(&j, argv + optind, (size_t)(argc - optind), out, &e);
    if (status != 0)
        output_abandon(out);
    else
        status = output_commit(out, &e);
    free(j.records);
    free(j.images);
    free(j.labels);
    if (status != 0)
        tool_fail(&e);
    return TOOL_OK;
}
