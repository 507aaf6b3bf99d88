/* cifar-read: CIFAR-10 and CIFAR-100 binary batches to records; see cifar-read(1). */
#include "../common/base/tool.h"
#include "../common/formats/cifar.h"
#include "../common/stream/write.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* About a mebibyte of pictures: measured best through a pipe of that size. */
enum { BATCH_ROWS = 256 };

static bool hundred, coarse;
static const cifar_kind *kind = &cifar_10;

static const tool_option options[] = {
    {"cifar100", NULL, 0, "read CIFAR-100; labels are its 100 fine classes", OPTION_TO(hundred)},
    {"coarse", NULL, 0, "with --cifar100, make labels its 20 coarse classes", OPTION_TO(coarse)},
    {0}};

static const tool_description about = {
    .name = "cifar-read",
    .summary = "Read CIFAR-10 or CIFAR-100 binary batches; write records with the fields image "
               "(uint8, 32 x 32 x 3) and label. FILE - is standard input.",
    .usage = "[OPTION]... FILE...",
    .example = "cifar-read data_batch_*.bin | class-filter --keep 0-7 > eight.records",
    .options = options};

typedef struct {
    class_list names;
    stream_writer *writer;
    progress progress;
    uint8_t *images; /* of one batch */
    int32_t *labels;
    uint64_t rows, total; /* written so far; in all files, 0 where not known */
} job;

static void check_options(tool_operands files)
{
    if (coarse && !hundred)
        tool_usage("--coarse needs --cifar100; CIFAR-10 has one kind of label");
    if (files.count == 0)
        tool_usage("no file named; name CIFAR's binary batches, or - for standard input");
    if (hundred)
        kind = coarse ? &cifar_100_coarse : &cifar_100_fine;
}

/* What could not be read may be packed still: then that is what is said of it. */
static int name_packed(const char *path, error *e)
{
    struct stat status;
    uint8_t head[262] = {0};
    FILE *file = stat(path, &status) == 0 && S_ISREG(status.st_mode) ? fopen(path, "rb") : NULL;
    if (!file)
        return -1;
    size_t bytes = fread(head, 1, sizeof head, file);
    fclose(file);
    bool packed = bytes > 6 && (memcmp(head, "\x1f\x8b", 2) == 0 || /* gzip */
                                memcmp(head,
                                       "\xfd"
                                       "7zXZ",
                                       5) == 0 ||                     /* xz */
                                memcmp(head + 257, "ustar", 5) == 0); /* tar */
    return packed ? error_set(e,
                              "%s: is packed, an archive and no batch; unpack it with tar -xf %s, "
                              "and name the .bin files in it",
                              path, path)
                  : -1;
}

/* Looks at every file, so that what can be known to be wrong is said before anything is written. A
 * pipe is opened once only, when its turn comes: its writer would not stand two readers. */
static int check_files(job *j, tool_operands files, error *e)
{
    bool known = true;
    for (size_t i = 0; i < files.count; i++) {
        const char *path = files.names[i];
        uint64_t rows;
        class_list own;
        if (cifar_look(kind, path, &rows, e) < 0)
            return name_packed(path, e);
        known = known && rows > 0;
        j->total += rows;
        if (cifar_names(kind, path, &own, e) < 0)
            return -1;
        bool same = i == 0 || class_list_equal(&j->names, &own);
        class_list_free(&j->names);
        j->names = own;
        if (!same)
            return error_set(e, "%s: the %s beside it names other classes than that of %s", path,
                             kind->names_file, files.names[0]);
    }
    if (!known)
        j->total = 0;
    return 0;
}

static int write_rows(job *j, size_t rows, error *e)
{
    batch b = {0};
    tensor image = {TYPE_U8, 4, {rows, CIFAR_SIDE, CIFAR_SIDE, 3}, j->images};
    tensor label = {TYPE_I32, 1, {rows}, j->labels};
    if (batch_put(&b, "image", image, e) < 0 || batch_put(&b, "label", label, e) < 0)
        return -1;
    j->rows += rows;
    progress_update(&j->progress, j->rows, NULL);
    return stream_write(j->writer, &b, e);
}

static int convert_file(job *j, const char *path, error *e)
{
    cifar_file *file;
    if (cifar_open(kind, path, &file, e) < 0)
        return -1;
    int rows;
    while ((rows = cifar_read(file, BATCH_ROWS, j->images, j->labels, e)) > 0) {
        if (write_rows(j, (size_t)rows, e) < 0) {
            rows = -1;
            break;
        }
    }
    cifar_close(file);
    return rows;
}

static int convert(job *j, tool_operands files, output *out, error *e)
{
    if (check_files(j, files, e) < 0 || stream_create(out, &j->writer, e) < 0)
        return -1;
    j->images = malloc(BATCH_ROWS * CIFAR_IMAGE);
    j->labels = malloc(BATCH_ROWS * sizeof *j->labels);
    if (!j->images || !j->labels)
        return error_set(e, "out of memory");
    stream_header header = {.classes = j->names};
    if (stream_write_header(j->writer, &header, e) < 0)
        return -1;
    progress_begin(&j->progress, "pictures", j->total);
    for (size_t i = 0; i < files.count; i++)
        if (convert_file(j, files.names[i], e) < 0)
            return name_packed(files.names[i], e);
    if (stream_write_end(j->writer, e) < 0)
        return -1;
    progress_end(&j->progress);
    return 0;
}

static void job_free(job *j)
{
    class_list_free(&j->names);
    stream_writer_free(j->writer);
    free(j->images);
    free(j->labels);
}

int main(int argc, char **argv)
{
    tool_operands files = tool_begin(&about, argc, argv);
    check_options(files);
    error e;
    job j = {0};
    output *out = tool_output("a stream of pictures");
    int status = convert(&j, files, out, &e);
    job_free(&j);
    return tool_end(out, status, &e);
}
