/* image-write: pictures to PNG and JPEG files; see image-write(1). */
#include "../common/base/text.h"
#include "../common/base/tool.h"
#include "../common/formats/encode.h"
#include "../common/stream/pictures.h"
#include "../common/stream/read.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { VALUE_MOST = 200 }; /* bytes of a value within a name; file systems take 255 in all */

static const char *dir = ".", *name_template = "{class}/{row}.png";
static picture_form form = {.layout = LAYOUT_UNSAID};
static int format;
static size_t quality = 95;

static void set_range(const char *word)
{
    picture_form_range(&form, word);
}

static const tool_option options[] = {
    {"dir", "DIR", 0, "where the files go (default: here)", OPTION_TO(dir)},
    {"name", "TEMPLATE", 0,
     "their names, .png or .jpg (default {class}/{row}.png): {class}, {prediction}, {row}, {path} "
     "without its folders and ending, and any other text or number of a row",
     OPTION_TO(name_template)},
    {"quality", "N", 0, "of JPEG files (default 95)", OPTION_TO(quality), 1, 100},
    {"layout", LAYOUT_WORDS, 0, LAYOUT_HELP, OPTION_WORD_TO(form.layout)},
    {"range", RANGE_WORDS, 0, RANGE_HELP, OPTION_CALLS(set_range)},
    {0}};

static const tool_description about = {
    .name = "image-write",
    .summary = "Read records with pictures; write each to a PNG or JPEG file, and the files' names "
               "to standard output.",
    .usage = "[OPTION]... [FILE]...",
    .example = "cifar-read test_batch.bin | image-write --dir photos\n"
               "row-filter --where wrong test.predictions |\n"
               "      image-write --dir wrong --name '{prediction}/{path}.jpg'",
    .options = options};

/* ---- names ---- */

/* Bytes of a name that is being made. */
typedef struct {
    char text[PATH_MAX];
    size_t length;
} file_name;

static int add_text(file_name *n, const char *text, size_t length, error *e)
{
    if (length >= sizeof n->text - n->length)
        return error_set(e, "--name gives a name of more than %zu bytes", sizeof n->text - 1);
    memcpy(n->text + n->length, text, length);
    n->text[n->length += length] = '\0';
    return 0;
}

/* A value is part of one name: no folder, no hidden file, no control characters. */
static int add_value(file_name *n, const char *value, error *e)
{
    char clean[VALUE_MOST + 1];
    size_t length = 0;
    for (const unsigned char *at = (const unsigned char *)value; *at;) {
        size_t step = utf8_length(at);
        if (length + (step ? step : 1) > VALUE_MOST)
            break;
        bool plain = step > 1 || (step == 1 && *at >= ' ' && *at != 0x7f && *at != '/');
        if (length == 0 && *at == '.')
            plain = false;
        if (plain)
            memcpy(clean + length, at, step);
        else
            clean[length] = '_';
        length += plain ? step : 1;
        at += step ? step : 1;
    }
    return length ? add_text(n, clean, length, e) : add_text(n, "_", 1, e);
}

/* The name of a file without its folders and ending. */
static int add_stem(file_name *n, const char *path, error *e)
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    char *stem = strdup(base), *dot = stem ? strrchr(stem, '.') : NULL;
    if (!stem)
        return error_set(e, "out of memory");
    if (dot && dot > stem)
        *dot = '\0';
    int status = add_value(n, stem, e);
    free(stem);
    return status;
}

/* One row of a batch. */
typedef struct {
    batch *of;
    size_t row;
    const class_list *classes;
} place;

static int add_class(file_name *n, const place *p, error *e)
{
    int32_t *labels;
    if (!batch_find(p->of, "label"))
        return add_value(n, "unlabelled", e);
    if (batch_labels(p->of, p->classes, &labels, e) < 0)
        return -1;
    return add_value(n, p->classes->names[labels[p->row]], e);
}

static int add_prediction(file_name *n, const place *p, error *e)
{
    tensor *t;
    int64_t predicted;
    if (batch_require(p->of, "prediction", TYPE_I32, 1, &t, e) < 0 ||
        prediction_at(t, p->row, p->classes->count, &predicted, e) < 0)
        return -1;
    return add_value(n, predicted < 0 ? "unknown" : p->classes->names[predicted], e);
}

static int add_field(file_name *n, const place *p, const char *name, error *e)
{
    char text[PATH_MAX];
    const tensor *t = batch_find(p->of, name);
    if (!t)
        return error_set(e, "the records have no field '%s' for --name", name);
    if (!tensor_row_text(t, p->row, text, sizeof text))
        return error_set(e,
                         "field '%s' has %zu numbers a row; --name takes texts and single numbers",
                         name, tensor_row_size(t));
    return strcmp(name, "path") == 0 ? add_stem(n, text, e) : add_value(n, text, e);
}

static int add_word(file_name *n, const place *p, const char *word, error *e)
{
    char number[24];
    snprintf(number, sizeof number, "%06" PRIu64, p->of->first_row + p->row);
    if (strcmp(word, "row") == 0)
        return add_value(n, number, e);
    if (strcmp(word, "class") == 0)
        return add_class(n, p, e);
    if (strcmp(word, "prediction") == 0)
        return add_prediction(n, p, e);
    return add_field(n, p, word, e);
}

/* The end of the word that begins after a "{" at `at`, or NULL. */
static const char *word_end(const char *at)
{
    const char *end = strchr(at, '}');
    return end && end > at + 1 && (size_t)(end - at) < sizeof((field *)0)->name ? end : NULL;
}

static int make_name(file_name *n, const place *p, error *e)
{
    n->length = 0;
    if (add_text(n, dir, strlen(dir), e) < 0 || add_text(n, "/", 1, e) < 0)
        return -1;
    for (const char *at = name_template; *at;) {
        char word[sizeof((field *)0)->name] = "";
        size_t plain = strcspn(at, "{");
        if (add_text(n, at, plain, e) < 0)
            return -1;
        at += plain;
        if (!*at)
            break;
        const char *end = word_end(at);
        memcpy(word, at + 1, (size_t)(end - at) - 1);
        if (add_word(n, p, word, e) < 0)
            return -1;
        at = end + 1;
    }
    return 0;
}

static void check_template(void)
{
    format = encode_format_named(name_template);
    if (format < 0)
        tool_usage("--name %s: a name ends in .png or .jpg", name_template);
    for (const char *at = strchr(name_template, '{'); at; at = strchr(at + 1, '{'))
        if (!word_end(at))
            tool_usage("--name %s: a word within braces stands there, as in {class}",
                       name_template);
}

/* ---- files ---- */

/* The folders of a name, as far as they are not there. */
static int make_folders(char *name, error *e)
{
    for (char *slash = strchr(name + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        bool made = mkdir(name, 0777) == 0 || errno == EEXIST;
        if (!made)
            error_system(e, "%s", name);
        *slash = '/';
        if (!made)
            return -1;
    }
    return 0;
}

static int open_file(file_name *n, error *e)
{
    int how = O_WRONLY | O_CREAT | O_CLOEXEC | (output_forced() ? O_TRUNC : O_EXCL);
    int fd = open(n->text, how, 0666);
    if (fd < 0 && errno == ENOENT) {
        if (make_folders(n->text, e) < 0)
            return -1;
        fd = open(n->text, how, 0666);
    }
    if (fd < 0 && errno == EEXIST)
        return error_set(e, "%s: is there already; --force replaces it", n->text);
    return fd < 0 ? error_system(e, "%s", n->text) : fd;
}

/* All of it or no file. */
static int write_file(file_name *n, const uint8_t *data, size_t bytes, error *e)
{
    int fd = open_file(n, e);
    if (fd < 0)
        return -1;
    int status = 0;
    for (size_t done = 0; done < bytes && status == 0;) {
        ssize_t wrote = write(fd, data + done, bytes - done);
        if (wrote < 0 && errno != EINTR)
            status = error_system(e, "%s", n->text);
        done += wrote > 0 ? (size_t)wrote : 0;
    }
    if (close(fd) != 0 && status == 0)
        status = error_system(e, "%s", n->text);
    if (status < 0)
        unlink(n->text);
    return status;
}

static int write_batch(batch *b, const class_list *classes, output *names, error *e)
{
    tensor *image;
    file_name n;
    uint8_t *data;
    size_t bytes;
    if (batch_pictures(b, &form, &image, e) < 0)
        return -1;
    extent picture = {image->shape[1], image->shape[2], image->shape[3]};
    const uint8_t *pixels = image->data;
    for (size_t row = 0; row < b->rows; row++, pixels += extent_size(picture)) {
        if (make_name(&n, &(place){b, row, classes}, e) < 0 ||
            encode_picture((encode_format)format, pixels, picture, (int)quality, &data, &bytes, e) <
                0)
            return -1;
        int status = write_file(&n, data, bytes, e);
        free(data);
        if (status < 0 || output_printf(names, e, "%s\n", n.text) < 0)
            return -1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    tool_operands files = tool_begin(&about, argc, argv);
    check_template();
    error e;
    batch *b;
    progress shown;
    stream_reader *reader;
    output *names = tool_output(NULL);
    if (stream_open(files.names, files.count, &reader, &e) < 0)
        return tool_end(names, -1, &e);
    int more, status = 0;
    progress_begin(&shown, "pictures", 0);
    while (status == 0 && (more = stream_read(reader, &b, &e)) != 0) {
        status = more < 0 ? -1 : write_batch(b, stream_classes(reader), names, &e);
        if (status < 0 && more > 0)
            error_prefix(&e, "%s", stream_name(reader));
        progress_update(&shown, stream_rows(reader), NULL);
    }
    progress_clear(&shown);
    stream_close(reader);
    return tool_end(names, status, &e);
}
