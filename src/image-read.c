/* image-read: pictures to records; see image-read(1). */
#include "../common/base/threads.h"
#include "../common/base/tool.h"
#include "../common/formats/picture_list.h"
#include "../common/formats/picture_loader.h"
#include "../common/formats/picture_tar.h"
#include "../common/model/names.h"
#include "../common/stream/class_names.h"
#include "../common/stream/write.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIDE_MOST 16384
#define BATCH_BYTES ((size_t)4 << 20) /* a batch's pictures: a few MiB pass best through pipes */

static picture_recipe recipe = {.size = {.channels = 3}}; /* height 0: as the first picture */
static const char *model_path, *list_path, *names_path;
static uint64_t edge, seed = 1;
static int threads, fit, filter;
static double share; /* of --split; 0 without it */
static bool last, grey, fast, skip, tar;

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
    {"tar", NULL, 0,
     "PATHs are tars (-, or none: standard input) of folders, or WebDataset's with .cls members",
     OPTION_TO(tar)},
    {"names", "FILE", 0, "with --tar: names of the classes whose numbers .cls has, one a line",
     OPTION_TO(names_path)},
    {"skip", NULL, 0, "go on without the pictures that cannot be read", OPTION_TO(skip)},
    {"threads", "N", 0, "decode in N threads (default: all that the process may use)",
     OPTION_TO(threads), 1, 1024},
    {0}};

static const tool_description about = {
    .name = "image-read",
    .summary = "Read JPEG, PNG, WebP and PNM pictures; write records with the fields image (uint8, "
               "height x width x channels), path and, where folders or a list tell it, label. A "
               "folder's sub-folders are its classes. PATH - is a list on standard input.",
    .usage = "[OPTION]... PATH...\n       image-read --tar [OPTION]... [TAR]...",
    .example = "image-read --size 64 photos/ | class-filter --keep cat,dog > two.records",
    .options = options};

/* A source whose first picture is looked at before it is asked for. */
typedef struct {
    picture_source source;
    picture_source *rest;
    picture_item first;
    bool held;
    size_t passed; /* pictures before it that could not be read */
} peeked_source;

typedef struct {
    picture_list list;
    picture_list_reader reader;
    picture_tar *tar;
    class_list names; /* of --names */
    peeked_source source;
    picture_loader *loader;
    stream_writer *writer;
    stream_header header;
    size_t classes_written, seen; /* classes of the header that was written; pictures */
    bool labelled;                /* pictures have classes: all, or none */
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
    if (model_load_until(model_path, MODEL_SCORES, &m, e) < 0)
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

/* Reads the first picture that can be read, for its size; it stays to be given. Those before it are
 * named and counted. */
static int size_of_first(peeked_source *s, error *e)
{
    picture_item *p = &s->first;
    for (;;) {
        int more = s->rest->next(s->rest, p, e);
        if (more <= 0)
            return more < 0 ? -1 : error_set(e, "no picture can be read");
        s->held = true;
        if ((p->data || file_read(p->path, &p->data, &p->bytes, e) == 0)) {
            if (picture_extent(p->data, p->bytes, &recipe.size, e) == 0)
                return 0;
            error_prefix(e, "%s", p->path);
        }
        tool_complain(e);
        picture_item_free(p);
        s->held = false;
        s->passed++;
    }
}

static int next_picture(picture_source *source, picture_item *out, error *e)
{
    peeked_source *s = (peeked_source *)source;
    if (!s->held)
        return s->rest->next(s->rest, out, e);
    *out = s->first;
    s->first = (picture_item){0};
    s->held = false;
    return 1;
}

static int choose_recipe(peeked_source *s, error *e)
{
    const extent *size = &recipe.size;
    recipe.exact = !model_path && size->height == 0;
    if ((model_path ? size_of_model(e) : recipe.exact ? size_of_first(s, e) : 0) < 0)
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
        size_t bytes = strlen(in->items[i].path);
        longest = bytes > longest ? bytes : longest;
    }
    free(j->paths);
    j->path_width = text_width(longest);
    j->paths = calloc(in->count, j->path_width);
    return j->paths ? 0 : error_set(e, "out of memory for %zu paths", in->count);
}

static int find_label(job *j, const picture_item *p, int32_t *label, error *e)
{
    class_list *classes = &j->header.classes;
    bool first = j->seen == 0;
    if (first)
        j->labelled = p->class_name != NULL;
    if (j->labelled != (p->class_name != NULL))
        return error_set(e, "%s has %s class, unlike pictures before it", p->path,
                         j->labelled ? "no" : "a");
    *label = p->class_name ? class_list_find(classes, p->class_name) : -1;
    if (p->class_name && *label < 0 && (*label = class_list_add(classes, p->class_name)) < 0)
        return error_set(e, "class '%.60s' cannot be added to %zu others", p->class_name,
                         classes->count);
    j->seen++;
    return 0;
}

/* Leaves the pictures that could be read, says what happened to the others. Returns their number;
 * -1 for classes that do not go together. */
static ssize_t keep_read(job *j, const loaded *in, error *e)
{
    size_t bytes = extent_size(recipe.size), kept = 0;
    for (size_t i = 0; i < in->count; i++) {
        int32_t label = -1;
        if (find_label(j, &in->items[i], &label, e) < 0)
            return -1;
        if (*in->failed[i].text) {
            tool_complain(&in->failed[i]);
            j->failures++;
            continue;
        }
        if (kept < i)
            memcpy(in->images + kept * bytes, in->images + i * bytes, bytes);
        strcpy(j->paths + kept * j->path_width, in->items[i].path);
        j->labels[kept++] = label;
    }
    return (ssize_t)kept;
}

/* The header, where there is none yet or it lacks classes. */
static int write_classes(job *j, error *e)
{
    if (j->classes_written > 0 && j->classes_written == j->header.classes.count + 1)
        return 0;
    j->classes_written = j->header.classes.count + 1;
    return stream_write_header(j->writer, &j->header, e);
}

static int write_batch(job *j, const loaded *in, error *e)
{
    if (reserve_paths(j, in, e) < 0)
        return -1;
    batch b = {0};
    extent size = recipe.size;
    ssize_t kept = keep_read(j, in, e);
    if (kept < 0 || write_classes(j, e) < 0)
        return -1;
    size_t rows = (size_t)kept;
    tensor image = {TYPE_U8, 4, {rows, size.height, size.width, size.channels}, in->images};
    tensor label = {TYPE_I32, 1, {rows}, j->labels};
    tensor path = {TYPE_TEXT, 2, {rows, j->path_width}, j->paths};
    if (batch_put(&b, "image", image, e) < 0 || batch_put(&b, "path", path, e) < 0 ||
        (j->labelled && batch_put(&b, "label", label, e) < 0))
        return -1;
    progress_update(&j->progress, j->seen, NULL);
    return stream_write(j->writer, &b, e);
}

/* What the pictures come from, and the classes that are known before them. */
static int open_source(job *j, tool_operands paths, error *e)
{
    static char *standard[] = {"-"};
    int status;
    if (!tar) {
        status = find_pictures(&j->list, paths, e);
        j->reader = picture_list_read_all(&j->list);
        j->source = (peeked_source){.source = {next_picture}, .rest = &j->reader.source};
    } else {
        if (names_path && class_names_load(names_path, &j->names, e) < 0)
            return error_prefix(e, "%s", names_path);
        if (paths.count == 0)
            paths = (tool_operands){standard, 1};
        status =
            picture_tar_open(paths.names, paths.count, names_path ? &j->names : NULL, &j->tar, e);
        if (status == 0)
            j->source =
                (peeked_source){.source = {next_picture}, .rest = picture_tar_source(j->tar)};
    }
    const class_list *known = tar ? &j->names : &j->list.classes;
    if (status == 0 && class_list_copy(&j->header.classes, known) < 0)
        status = error_set(e, "out of memory for the classes");
    return status;
}

static int end_stream(job *j, error *e)
{
    const char *first;
    size_t others = j->tar ? picture_tar_passed_over(j->tar, &first) : 0;
    if (others)
        tool_say("note: %zu member%s not named as pictures: %s%s", others, others > 1 ? "s" : "",
                 first, others > 1 ? ", ..." : "");
    j->seen += j->source.passed;
    j->failures += j->source.passed;
    if (j->seen == 0)
        return error_set(e, "no pictures came; members named " PICTURE_ENDINGS " are");
    if (j->failures && (!skip || j->failures == j->seen))
        return error_set(e, "%zu of %zu pictures could not be read%s", j->failures, j->seen,
                         skip ? "" : "; --skip goes on without them");
    if (j->failures)
        tool_say("note: went on without %zu of %zu pictures", j->failures, j->seen);
    return stream_write_end(j->writer, e);
}

static int convert(job *j, tool_operands paths, output *out, error *e)
{
    if (open_source(j, paths, e) < 0 || choose_recipe(&j->source, e) < 0)
        return -1;
    size_t bytes = extent_size(recipe.size), batch = bytes < BATCH_BYTES ? BATCH_BYTES / bytes : 1;
    if (batch > 256)
        batch = 256;
    j->labels = malloc(batch * sizeof *j->labels);
    if (!j->labels)
        return error_set(e, "out of memory");
    if (picture_loader_new(&j->source.source, &recipe, batch, threads_usable(threads), &j->loader,
                           e) < 0 ||
        stream_create(out, &j->writer, e) < 0)
        return -1;
    progress_begin(&j->progress, "pictures", j->list.count);
    loaded in;
    int status;
    while ((status = picture_loader_next(j->loader, &in, e)) == 0 && in.count > 0)
        if (write_batch(j, &in, e) < 0)
            return -1;
    progress_end(&j->progress);
    return status < 0 ? -1 : end_stream(j, e);
}

static void check_options(tool_operands paths)
{
    if (tar && (list_path || share > 0))
        tool_usage("--tar goes without %s: a tar is read as it comes",
                   list_path ? "--list" : "--split");
    if (names_path && !tar)
        tool_usage("--names goes with --tar; folders have their names themselves");
    if (paths.count == 0 && !list_path && !tar)
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
    picture_item_free(&j.source.first);
    picture_tar_close(j.tar);
    picture_list_free(&j.list);
    class_list_free(&j.names);
    stream_header_free(&j.header);
    stream_writer_free(j.writer);
    free(j.labels);
    free(j.paths);
    return tool_end(out, status, &e);
}
