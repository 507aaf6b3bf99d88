/* image-read: pictures to records; see image-read(1). */
#include "../common/base/threads.h"
#include "../common/base/tool.h"
#include "../common/formats/picture_loader.h"
#include "../common/model/names.h"
#include "../common/stream/write.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIDE_MOST 16384
#define BATCH_BYTES ((size_t)4 << 20) /* a batch's pictures: a few MiB pass best through pipes */

static picture_recipe recipe = {.size = {.channels = 3}}; /* height 0: as the first picture */
static const char *model_path, *list_path;
static uint64_t edge, seed = 1;
static int threads, fit, filter;
static double share; /* of --split; 0 without it */
static bool last, grey, fast, skip;

/* "224" or "120x160" */
static void parse_size(const char *word)
{
    char *by = strchr(word, 'x'), first[32];
    snprintf(first, sizeof first, "%.*s", by ? (int)(by - word) : (int)strlen(word), word);
    extent *size = &recipe.size;
    size->height = (size_t)tool_integer("--size", first, 1, SIDE_MOST);
    size->width = by ? (size_t)tool_integer("--size", by + 1, 1, SIDE_MOST) : size->height;
}

/* "train=0.8" takes the first of a class's pictures, "test=0.2" the last. */
static void parse_split(const char *word)
{
    last = strncmp(word, "test=", 5) == 0;
    if (!last && strncmp(word, "train=", 6) != 0)
        tool_usage("--split %s: takes train=SHARE or test=SHARE", word);
    share = tool_number("--split", strchr(word, '=') + 1, 1e-6, 1);
}

static const tool_option options[] = {
    {"size", "SIZE", 0, "make every picture HEIGHTxWIDTH pixels large; one number for both",
     OPTION_CALLS(parse_size)},
    {"model", "FILE", 'm', "make pictures as the model's network takes them",
     OPTION_TO(model_path)},
    {"fit", "crop|pad|stretch", 0,
     "where the shape differs: cut both ends off (default), add black, or distort",
     OPTION_WORD_TO(fit)},
    {"edge", "N", 0, "with --fit crop: make the shorter edge N pixels long before cutting",
     OPTION_TO(edge), 1, SIDE_MOST},
    {"interpolation", "bilinear|bicubic", 0, "how to resize, antialiased (default bilinear)",
     OPTION_WORD_TO(filter)},
    {"grey", NULL, 0, "write one channel in place of red, green and blue", OPTION_TO(grey)},
    {"fast", NULL, 0, "decode large JPEGs only as finely as the size needs", OPTION_TO(fast)},
    {"split", "PART=SHARE", 0,
     "take a share of each class: train=SHARE the first in random order, test=SHARE the last",
     OPTION_CALLS(parse_split)},
    {"seed", "N", 0, "of --split (default 1)", OPTION_TO(seed), 0, UINT64_MAX},
    {"list", "FILE", 0, "read files' names, or name, tab, class, from FILE's lines",
     OPTION_TO(list_path)},
    {"skip", NULL, 0, "go on without the pictures that cannot be read", OPTION_TO(skip)},
    {"threads", "N", 0, "decode in N threads (default: all that the process may use)",
     OPTION_TO(threads), 1, 1024},
    {0}};

static const tool_description about = {
    .name = "image-read",
    .summary = "Read JPEG, PNG, WebP and PNM pictures; write records with the fields image (uint8, "
               "height x width x channels), path and, where folders or a list tell it, label. A "
               "folder's sub-folders are its classes. PATH - is a list on standard input.",
    .usage = "[OPTION]... PATH...",
    .example = "image-read --size 64 photos/ | class-filter --keep cat,dog > two.records",
    .options = options};

typedef struct {
    picture_list list;
    picture_loader *loader;
    stream_writer *writer;
    int32_t *labels;
    char *paths; /* a batch's column of texts, and its width */
    size_t path_width;
    progress progress;
    size_t failures;
} job;

static int read_list(picture_list *l, const char *path, error *e)
{
    bool standard = strcmp(path, "-") == 0;
    FILE *text = standard ? stdin : fopen(path, "r");
    if (!text)
        return error_system(e, "%s", path);
    int status = picture_list_read(l, text, standard ? "standard input" : path, e);
    if (!standard)
        fclose(text);
    return status;
}

static int find_pictures(picture_list *l, tool_operands paths, error *e)
{
    if (list_path && read_list(l, list_path, e) < 0)
        return -1;
    for (size_t i = 0; i < paths.count; i++) {
        const char *path = paths.names[i];
        if ((strcmp(path, "-") == 0 ? read_list(l, path, e) : picture_list_add(l, path, e)) < 0)
            return -1;
    }
    if (share > 0 && picture_list_split(l, share, last, seed, e) < 0)
        return -1;
    if (l->count == 0)
        return error_set(e, "no pictures are left to read");
    if (l->labelled > 0 && l->labelled < l->count)
        return error_set(e,
                         "%zu of %zu pictures have no class; give pictures with classes, or "
                         "without, in one run",
                         l->count - l->labelled, l->count);
    if (l->passed_over)
        tool_say("note: %zu file%s in folders not named as pictures: %s%s", l->passed_over,
                 l->passed_over > 1 ? "s" : "", l->passed_name, l->passed_over > 1 ? ", ..." : "");
    return 0;
}

static int size_of_model(error *e)
{
    model m;
    if (model_load(model_path, &m, e) < 0)
        return -1;
    double shorter;
    const char *how = model_get_text(&m, model_keys[KEY_INPUT_INTERPOLATION].key);
    recipe.size = m.net.input;
    if (edge == 0 && fit == FIT_CROP &&
        model_get_number(&m, model_keys[KEY_INPUT_EDGE].key, &shorter))
        edge = (uint64_t)shorter;
    if (how && strcmp(how, "bicubic") == 0 && !filter)
        filter = RESAMPLE_BICUBIC; /* bilinear is no note, but the default */
    model_free(&m);
    return recipe.size.height
               ? 0
               : error_set(e, "%s: has no network, so it takes no pictures", model_path);
}

/* The size of the first picture that can be read. */
static int size_of_first(const picture_list *l, error *e)
{
    for (size_t i = 0; i < l->count; i++) {
        uint8_t *data;
        size_t bytes;
        if (file_read(l->files[i].path, &data, &bytes, e) < 0)
            continue;
        int status = picture_extent(data, bytes, &recipe.size, e);
        free(data);
        if (status == 0)
            return 0;
        error_prefix(e, "%s", l->files[i].path);
    }
    return -1;
}

static int choose_recipe(const picture_list *l, error *e)
{
    const extent *size = &recipe.size;
    recipe.exact = !model_path && size->height == 0;
    if ((model_path ? size_of_model(e) : recipe.exact ? size_of_first(l, e) : 0) < 0)
        return -1;
    recipe.fit = (picture_fit)fit;
    recipe.filter = (resample_filter)filter;
    recipe.edge = (size_t)edge;
    recipe.fast = fast;
    if (!model_path)
        recipe.size.channels = grey ? 1 : 3;
    if (edge && (edge < size->height || edge < size->width))
        return error_set(e, "--edge %zu is shorter than what is cut from it, %zu x %zu",
                         recipe.edge, size->height, size->width);
    if (extent_size(*size) > STREAM_BATCH_BYTES_MAX)
        return error_set(e, "pictures of %zu x %zu are larger than a batch may be; give --size",
                         size->width, size->height);
    return 0;
}

/* A batch's paths, as a column of texts. */
static int reserve_paths(job *j, const loaded *in, error *e)
{
    size_t longest = 0;
    for (size_t i = 0; i < in->count; i++) {
        size_t bytes = strlen(j->list.files[in->first + i].path);
        longest = bytes > longest ? bytes : longest;
    }
    free(j->paths);
    j->path_width = text_width(longest);
    j->paths = calloc(in->count, j->path_width);
    return j->paths ? 0 : error_set(e, "out of memory for %zu paths", in->count);
}

/* Leaves the pictures that could be read, says what happened to the others. */
static size_t keep_read(job *j, const loaded *in)
{
    size_t bytes = extent_size(recipe.size), kept = 0;
    for (size_t i = 0; i < in->count; i++) {
        if (*in->failed[i].text) {
            tool_complain(&in->failed[i]);
            j->failures++;
            continue;
        }
        if (kept < i)
            memcpy(in->images + kept * bytes, in->images + i * bytes, bytes);
        strcpy(j->paths + kept * j->path_width, j->list.files[in->first + i].path);
        j->labels[kept++] = j->list.files[in->first + i].label;
    }
    return kept;
}

static int write_batch(job *j, const loaded *in, error *e)
{
    if (reserve_paths(j, in, e) < 0)
        return -1;
    batch b = {0};
    extent size = recipe.size;
    size_t rows = keep_read(j, in);
    tensor image = {TYPE_U8, 4, {rows, size.height, size.width, size.channels}, in->images};
    tensor label = {TYPE_I32, 1, {rows}, j->labels};
    tensor path = {TYPE_TEXT, 2, {rows, j->path_width}, j->paths};
    if (batch_put(&b, "image", image, e) < 0 || batch_put(&b, "path", path, e) < 0 ||
        (j->list.labelled && batch_put(&b, "label", label, e) < 0))
        return -1;
    progress_update(&j->progress, in->first + in->count, NULL);
    return stream_write(j->writer, &b, e);
}

static int convert(job *j, tool_operands paths, output *out, error *e)
{
    if (find_pictures(&j->list, paths, e) < 0 || choose_recipe(&j->list, e) < 0)
        return -1;
    size_t bytes = extent_size(recipe.size), batch = bytes < BATCH_BYTES ? BATCH_BYTES / bytes : 1;
    if (batch > 256)
        batch = 256;
    stream_header header = {.classes = j->list.classes};
    j->labels = malloc(batch * sizeof *j->labels);
    if (!j->labels)
        return error_set(e, "out of memory");
    if (picture_loader_new(&j->list, &recipe, batch, threads_usable(threads), &j->loader, e) < 0 ||
        stream_create(out, &j->writer, e) < 0 || stream_write_header(j->writer, &header, e) < 0)
        return -1;
    progress_begin(&j->progress, "pictures", j->list.count);
    loaded in;
    for (picture_loader_next(j->loader, &in); in.count > 0; picture_loader_next(j->loader, &in))
        if (write_batch(j, &in, e) < 0)
            return -1;
    progress_end(&j->progress);
    if (j->failures && (!skip || j->failures == j->list.count))
        return error_set(e, "%zu of %zu pictures could not be read%s", j->failures, j->list.count,
                         skip ? "" : "; --skip goes on without them");
    if (j->failures)
        tool_say("note: went on without %zu of %zu pictures", j->failures, j->list.count);
    return stream_write_end(j->writer, e);
}

static void check_options(tool_operands paths)
{
    if (paths.count == 0 && !list_path)
        tool_usage("no picture named; name files or folders, or - for a list on standard input");
    if (model_path && (recipe.size.height || grey))
        tool_usage("--model tells the size and the channels; --size and --grey go without it");
    if (edge && fit != FIT_CROP)
        tool_usage("--edge goes with --fit crop");
    if ((edge || fast || fit || filter) && !recipe.size.height && !model_path)
        tool_usage("nothing is resized without --size or --model");
}

int main(int argc, char **argv)
{
    tool_operands paths = tool_begin(&about, argc, argv);
    check_options(paths);
    error e;
    job j = {0};
    output *out = tool_output("a stream of pictures");
    int status = convert(&j, paths, out, &e);
    picture_loader_free(j.loader);
    picture_list_free(&j.list);
    stream_writer_free(j.writer);
    free(j.labels);
    free(j.paths);
    return tool_end(out, status, &e);
}
