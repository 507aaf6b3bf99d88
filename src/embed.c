/* embed: pictures to embeddings. */
#include "../common/model/model.h"
#include "../common/stream/row_buffer.h"
#include "../common/stream/write.h"
#include "../kernels/embedder.h"
#include "device.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static const tool_description about = {
    .name = "embed",
    .summary = "Turns pictures (records) into embeddings, by a model's network below its head.",
    .usage = "--model FILE [OPTION]... [FILE]...",
    .options = "  -m, --model FILE   the model whose network it is\n"
               "  --flip             the mean of a picture's embedding and its mirror image's\n"
               "  --views N          N rows a picture: the plain one and N - 1 augmented ones\n"
               "  --augment LIST     how: any of flip,shift:PIXELS,cutout:PIXELS\n"
               "  --average          one row a picture after all, the mean over its views\n"
               "  --seed N           of the augmentation (1)\n"
               "  --batch N          pictures computed at once (256, on a GPU 1024)\n" DEVICE_HELP,
    .example =
        "cifar-read test_batch.bin | embed --model base.model | classify --model base.model | "
        "score",
};

static struct {
    tool_options tool;
    backend_options device;
    embedder_options work;
    const char *model;
    bool augmented;
} own = {.device = DEVICE_DEFAULTS, .work = {.views = 1, .seed = 1}};

enum { FLIP = TOOL_OWN, VIEWS, AUGMENT, AVERAGE, SEED, BATCH };

static const struct option options[] = {
    TOOL_OPTIONS,
    DEVICE_OPTIONS,
    {"model", required_argument, NULL, 'm'},
    {"flip", no_argument, NULL, FLIP},
    {"views", required_argument, NULL, VIEWS},
    {"augment", required_argument, NULL, AUGMENT},
    {"average", no_argument, NULL, AVERAGE},
    {"seed", required_argument, NULL, SEED},
    {"batch", required_argument, NULL, BATCH},
    {NULL, 0, NULL, 0},
};

static void own_option(int letter)
{
    error e = {""};
    switch (letter) {
    case 'm':
        own.model = optarg;
        break;
    case FLIP:
        own.work.mirror = true;
        break;
    case VIEWS:
        own.work.views = (uint32_t)tool_integer("--views", optarg, 1, 1000);
        break;
    case AUGMENT:
        if (augmentation_parse(optarg, &own.work.augment, &e) < 0)
            tool_usage("--augment: %s", e.text);
        own.augmented = true;
        break;
    case AVERAGE:
        own.work.average = true;
        break;
    case SEED:
        own.work.seed = tool_integer("--seed", optarg, 0, UINT64_MAX);
        break;
    case BATCH:
        own.work.batch = tool_integer("--batch", optarg, 1, 65536);
        break;
    }
}

static void read_options(int argc, char **argv)
{
    int letter;
    while ((letter = getopt_long(argc, argv, TOOL_SHORT "m:", options, NULL)) != -1)
        if (!tool_option(letter, &own.tool) && !device_option(letter, &own.device))
            own_option(letter);
    if (!own.model)
        tool_usage("--model FILE is missing; cnn-train makes one");
    if ((own.work.views > 1) != own.augmented)
        tool_usage("--views N and --augment LIST belong together");
}

/* ---- the stream ---- */

typedef struct {
    model of;
    stream_reader *reader;
    output *out;
    stream_writer *writer;
    embedder *work;
    row_buffer rows[EMBEDDER_SLOTS]; /* what goes with each slot's pictures */
    size_t filled;                   /* pictures in the slot that is being filled */
    size_t classes;                  /* in the header last written */
} embedding;

static void must(int status, const error *e)
{
    if (status < 0)
        tool_fail(e);
}

/* The reader's header, with its classes as they are by now, and which network made the embeddings.
 * */
static void write_header(embedding *w)
{
    error e = {""};
    const stream_header *first;
    stream_header header;
    char fingerprint[20];
    must(stream_header_first(w->reader, &first, &e), &e);
    snprintf(fingerprint, sizeof fingerprint, "%016" PRIx64, model_fingerprint(&w->of));
    if (stream_header_copy(&header, first) < 0)
        tool_fail(&(error){"out of memory for the header"});
    class_list_free(&header.classes);
    if (class_list_copy(&header.classes, stream_classes(w->reader)) < 0 ||
        stream_header_set_text(&header, "embedding-of", fingerprint) < 0)
        tool_fail(&(error){"out of memory for the header"});
    must(stream_write_header(w->writer, &header, &e), &e);
    w->classes = header.classes.count;
    stream_header_free(&header);
}

/* Numbers a picture's rows 0, 1, ... where there are several. */
static uint16_t *number_views(size_t rows)
{
    uint16_t *views = malloc(rows * sizeof *views);
    for (size_t i = 0; views && i < rows; i++)
        views[i] = (uint16_t)(i % own.work.views);
    return views;
}

static void write_result(embedding *w, const embedder_result *done)
{
    error e = {""};
    row_buffer *rows = &w->rows[done->slot];
    uint16_t *views = NULL;
    if (done->rows > done->pictures) {
        must(row_buffer_repeat(rows, done->rows / done->pictures, &e), &e);
        if (!(views = number_views(done->rows)))
            tool_fail(&(error){"out of memory"});
    }
    batch b = rows->held;
    b.rows = done->rows;
    must(batch_put(
             &b, "embedding",
             (tensor){TYPE_F32, 2, {done->rows, w->of.net.dimension}, (void *)done->embeddings},
             &e),
         &e);
    if (done->plain)
        must(batch_put(
                 &b, "plain",
                 (tensor){TYPE_F32, 2, {done->rows, w->of.net.dimension}, (void *)done->plain}, &e),
             &e);
    if (views)
        must(batch_put(&b, "view", (tensor){TYPE_U16, 1, {done->rows}, views}, &e), &e);
    must(stream_write(w->writer, &b, &e), &e);
    free(views);
    row_buffer_clear(rows);
}

/* Writes what is done; `all`: waits for everything under way. */
static void write_done(embedding *w, bool all)
{
    error e = {""};
    embedder_result done;
    int more;
    while ((more = embedder_collect(w->work, all, &done, &e)) > 0)
        write_result(w, &done);
    must(more, &e);
}

static void submit(embedding *w)
{
    error e = {""};
    if (w->filled > 0)
        must(embedder_submit(w->work, w->filled, &e), &e);
    w->filled = 0;
    write_done(w, false);
}

/* Shares a batch's pictures out to slots. */
static void take_batch(embedding *w, batch *b, const tensor *image)
{
    error e = {""};
    size_t size = extent_size(w->of.net.input);
    for (size_t done = 0; done < b->rows;) {
        row_buffer *rows = &w->rows[embedder_slot(w->work)];
        if (!row_buffer_fits(rows, b)) {
            submit(w);
            continue;
        }
        size_t left = b->rows - done, room = own.work.batch - w->filled,
               count = left < room ? left : room;
        must(row_buffer_append(rows, b, done, count, &e), &e);
        memcpy(embedder_images(w->work) + w->filled * size, (uint8_t *)image->data + done * size,
               count * size);
        w->filled += count;
        done += count;
        if (w->filled == own.work.batch)
            submit(w);
    }
}

static int take_pictures(embedding *w, batch *b, tensor *image, error *e)
{
    tensor *found;
    extent own_size = w->of.net.input;
    if (batch_require(b, "image", TYPE_U8, 4, &found, e) < 0)
        return -1;
    *image = *found;
    if (image->shape[1] != own_size.height || image->shape[2] != own_size.width ||
        image->shape[3] != own_size.channels)
        return error_set(e, "pictures of %zu x %zu x %zu; the model takes %zu x %zu x %zu",
                         image->shape[1], image->shape[2], image->shape[3], own_size.height,
                         own_size.width, own_size.channels);
    batch_drop(b, "image");
    return 0;
}

static void embed_stream(embedding *w)
{
    error e = {""};
    batch *b;
    tensor image;
    progress shown;
    int more;
    progress_begin(&shown, &own.tool, "pictures", 0);
    while ((more = stream_read(w->reader, &b, &e)) > 0) {
        uint64_t last = stream_rows(w->reader), first = last - b->rows + 1;
        if (take_pictures(w, b, &image, &e) < 0) {
            error_prefix(&e, "%s: rows %" PRIu64 " to %" PRIu64, stream_name(w->reader), first,
                         last);
            tool_fail(&e);
        }
        if (stream_classes(w->reader)->count > w->classes) {
            submit(w);
            write_done(w, true);
            write_header(w);
        }
        take_batch(w, b, &image);
        progress_update(&shown, last, NULL);
    }
    must(more, &e);
    submit(w);
    write_done(w, true);
    progress_end(&shown);
}

int main(int argc, char **argv)
{
    tool_begin(&about);
    read_options(argc, argv);
    static embedding w;
    error e = {""};
    must(output_open(own.tool.output, true, &w.out, &e), &e);
    must(model_load(own.model, &w.of, &e), &e);
    if (w.of.net.layer_count == 0) {
        error_set(&e, "%s: the model has no network, only a head for embeddings made elsewhere",
                  own.model);
        tool_fail(&e);
    }
    must(stream_open(argv + optind, (size_t)(argc - optind), &w.reader, &e), &e);
    must(stream_create(w.out, &w.writer, &e), &e);
    write_header(&w);
    backend *device = device_open(&own.device, &own.tool);
    if (own.work.batch == 0)
        own.work.batch =
            ((strcmp(device->name, "cuda") == 0 ? 1024 : 256) - 1) / own.work.views + 1;
    float *parameters = malloc(w.of.net.total * sizeof *parameters);
    if (!parameters)
        tool_fail(&(error){"out of memory for the model's parameters"});
    model_pack(&w.of, parameters);
    must(embedder_new(device, &w.of.net, parameters, &own.work, &w.work, &e), &e);
    free(parameters);
    embed_stream(&w);
    must(stream_write_end(w.writer, &e), &e);
    must(output_commit(w.out, &e), &e);
    embedder_free(w.work);
    device->close(device);
    stream_writer_free(w.writer);
    stream_close(w.reader);
    model_free(&w.of);
    for (size_t i = 0; i < EMBEDDER_SLOTS; i++)
        row_buffer_free(&w.rows[i]);
    return TOOL_OK;
}
