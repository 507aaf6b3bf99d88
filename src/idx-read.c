/* idx-read: MNIST's family of IDX files to records; see idx-read(1). */
#include "../common/base/tool.h"
#include "../common/formats/idx.h"
#include "../common/stream/class_names.h"
#include "../common/stream/write.h"

#include <stdlib.h>
#include <string.h>

enum { BATCH_BYTES = 1 << 20 };

static const char *names_path;
static bool transpose;

static const tool_option options[] = {
    {"names", "FILE", 0,
     "the classes' names, one a line (default: Fashion-MNIST's where the path of IMAGES has "
     "`fashion` in it, else 0 to 9)",
     OPTION_TO(names_path)},
    {"transpose", NULL, 0, "pictures come column by column, as EMNIST's do: put them upright",
     OPTION_TO(transpose)},
    {0}};

static const tool_description about = {
    .name = "idx-read",
    .summary = "Read pictures and labels from IDX files, plain or gzip; write records with the "
               "fields image (uint8, height x width x channels) and label. - is standard input.",
    .usage = "[OPTION]... IMAGES LABELS",
    .example = "idx-read train-images-idx3-ubyte.gz train-labels-idx1-ubyte.gz > train.records",
    .options = options};

static const char *const fashion_names[10] = {"T-shirt/top", "Trouser",   "Pullover", "Dress",
                                              "Coat",        "Sandal",    "Shirt",    "Sneaker",
                                              "Bag",         "Ankle boot"};
static const char *const digit_names[10] = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};

typedef struct {
    idx_file *images, *labels;
    stream_header header;
    stream_writer *writer;
    size_t batch_rows;
    uint8_t *image, *small; /* one batch's pictures, and its labels as they come */
    uint8_t *turned;        /* one picture */
    int32_t *label;
} job;

static void check_options(tool_operands files)
{
    if (files.count != 2)
        tool_usage("name two files, IMAGES and LABELS");
    if (strcmp(files.names[0], "-") == 0 && strcmp(files.names[1], "-") == 0)
        tool_usage("only one of IMAGES and LABELS can be standard input");
}

static int open_files(job *j, char *const *paths, error *e)
{
    if (idx_open(paths[0], &j->images, e) < 0 || idx_open(paths[1], &j->labels, e) < 0)
        return -1;
    size_t image_rank = idx_rank(j->images);
    if (image_rank != 3 && image_rank != 4)
        return error_set(e, "%s: %zu dimensions where pictures have 3 or 4%s", paths[0], image_rank,
                         image_rank == 1 ? "; are IMAGES and LABELS exchanged?" : "");
    if (idx_rank(j->labels) != 1)
        return error_set(e, "%s: %zu dimensions where labels have 1", paths[1],
                         idx_rank(j->labels));
    if (idx_shape(j->images)[0] != idx_shape(j->labels)[0])
        return error_set(e, "%s has %zu pictures, %s has %zu labels; they do not belong together",
                         paths[0], idx_shape(j->images)[0], paths[1], idx_shape(j->labels)[0]);
    return 0;
}

static int find_names(const char *path, class_list *names, error *e)
{
    if (names_path)
        return class_names_load(names_path, names, e) == 0 ? 0 : error_prefix(e, "%s", names_path);
    char *whole = realpath(path, NULL);
    bool fashion = strcasestr(whole ? whole : path, "fashion");
    free(whole);
    for (size_t i = 0; i < 10; i++)
        if (class_list_add(names, fashion ? fashion_names[i] : digit_names[i]) < 0)
            return error_set(e, "out of memory");
    return 0;
}

static int convert_labels(job *j, size_t rows, uint64_t first, error *e)
{
    size_t classes = j->header.classes.count;
    for (size_t i = 0; i < rows; i++) {
        if (j->small[i] >= classes)
            return error_set(e, "%s: row %llu, byte %llu: label %u is none of %zu classes%s",
                             idx_name(j->labels), (unsigned long long)(first + i),
                             (unsigned long long)(8 + first + i), j->small[i], classes,
                             names_path ? "" : "; name them all with --names FILE");
        j->label[i] = j->small[i];
    }
    return 0;
}

/* Columns become rows; a pixel's channels stay together. */
static void transpose_pictures(job *j, size_t count, size_t height, size_t width, size_t channels)
{
    size_t size = height * width * channels;
    for (uint8_t *picture = j->image; count-- > 0; picture += size) {
        memcpy(j->turned, picture, size);
        for (size_t y = 0; y < height; y++)
            for (size_t x = 0; x < width; x++)
                memcpy(picture + (x * height + y) * channels,
                       j->turned + (y * width + x) * channels, channels);
    }
}

static int convert_rows(job *j, size_t rows, uint64_t first, error *e)
{
    const size_t *shape = idx_shape(j->images);
    if (idx_read(j->images, rows, j->image, e) < 0 || idx_read(j->labels, rows, j->small, e) < 0 ||
        convert_labels(j, rows, first, e) < 0)
        return -1;
    batch b = {0};
    /* A file of three dimensions has grey pictures: one channel. */
    size_t channels = idx_rank(j->images) == 4 ? shape[3] : 1;
    tensor image = {TYPE_U8, 4, {rows, shape[1], shape[2], channels}, j->image};
    if (transpose) {
        transpose_pictures(j, rows, shape[1], shape[2], channels);
        image.shape[1] = shape[2];
        image.shape[2] = shape[1];
    }
    tensor label = {TYPE_I32, 1, {rows}, j->label};
    if (batch_put(&b, "image", image, e) < 0 || batch_put(&b, "label", label, e) < 0)
        return -1;
    return stream_write(j->writer, &b, e);
}

static int reserve(job *j, error *e)
{
    size_t row = idx_row_bytes(j->images), rows = idx_shape(j->images)[0];
    j->batch_rows = row < BATCH_BYTES ? BATCH_BYTES / row : 1;
    if (j->batch_rows > rows)
        j->batch_rows = rows;
    j->image = malloc(j->batch_rows * row);
    j->small = malloc(j->batch_rows);
    j->turned = malloc(row);
    j->label = malloc(j->batch_rows * sizeof *j->label);
    return j->image && j->small && j->turned && j->label
               ? 0
               : error_set(e, "out of memory for %zu rows", j->batch_rows);
}

static int convert(job *j, char *const *paths, output *out, error *e)
{
    if (open_files(j, paths, e) < 0 || find_names(paths[0], &j->header.classes, e) < 0 ||
        reserve(j, e) < 0 || stream_create(out, &j->writer, e) < 0 ||
        stream_write_header(j->writer, &j->header, e) < 0)
        return -1;
    size_t total = idx_shape(j->images)[0];
    progress p;
    progress_begin(&p, "pictures", total);
    for (size_t row = 0; row < total; row += j->batch_rows) {
        size_t rows = total - row < j->batch_rows ? total - row : j->batch_rows;
        if (convert_rows(j, rows, row, e) < 0)
            return -1;
        progress_update(&p, row + rows, NULL);
    }
    if (idx_finish(j->images, e) < 0 || idx_finish(j->labels, e) < 0 ||
        stream_write_end(j->writer, e) < 0)
        return -1;
    progress_end(&p);
    return 0;
}

static void job_free(job *j)
{
    idx_close(j->images);
    idx_close(j->labels);
    stream_header_free(&j->header);
    stream_writer_free(j->writer);
    free(j->image);
    free(j->small);
    free(j->turned);
    free(j->label);
}

int main(int argc, char **argv)
{
    tool_operands files = tool_begin(&about, argc, argv);
    check_options(files);
    error e;
    job j = {0};
    output *out = tool_output("a stream of pictures");
    int status = convert(&j, files.names, out, &e);
    job_free(&j);
    return tool_end(out, status, &e);
}
