/* embed: pictures to embeddings. */
#include "../common/base/memory.h"
#include "../common/model/model.h"
#include "../common/stream/pictures.h"
#include "../common/stream/row_buffer.h"
#include "../common/stream/write.h"
#include "../kernels/embedder.h"
#include "device.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static const char *model_path;
static embedder_options work = {.views = 1, .seed = 1};
static bool augmented;

static void set_augment(const char *words)
{
    error e;
    if (augmentation_parse(words, &work.augment, &e) < 0)
        tool_usage("--augment: %s", e.text);
}

static picture_form form = {.layout = LAYOUT_UNSAID};
static bool keep_image;

static void set_range(const char *word)
{
    picture_form_range(&form, word);
}

static const tool_option options[] = {
    {"model", "MODEL", 'm', "the model whose network it is", OPTION_TO(model_path)},
    {"flip", NULL, 0, "take the mean of a picture's embedding and its mirror image's",
     OPTION_TO(work.mirror)},
    {"views", "N", 0, "rows a picture: the plain one and N - 1 augmented ones (default 1)",
     OPTION_TO(work.views), 1, 1000},
    {"augment", "LIST", 0, "of the augmented ones: any of flip,shift:PIXELS,cutout:PIXELS",
     OPTION_CALLS(set_augment), .given = &augmented},
    {"average", NULL, 0, "write one row a picture after all, the mean over its views",
     OPTION_TO(work.average)},
    {"keep-image", NULL, 0, "keep the pictures beside their embeddings", OPTION_TO(keep_image)},
    {"layout", LAYOUT_WORDS, 0, LAYOUT_HELP, OPTION_WORD_TO(form.layout)},
    {"range", RANGE_WORDS, 0, RANGE_HELP, OPTION_CALLS(set_range)},
    {"seed", "N", 0, "seed of the augmentation (default 1)", OPTION_TO(work.seed), 0, UINT64_MAX},
    {"batch", "N", 0, "pictures computed at once (default 256, on a GPU 1024, divided by N views)",
     OPTION_TO(work.batch), 1, 65536},
    {0}};

static const tool_description about = {
    .name = "embed",
    .summary = "Read records with pictures; write them with embeddings, by a model's network below "
               "its head.",
    .usage = "--model MODEL [OPTION]... [FILE]...",
    .example = "cifar-read test_batch.bin | embed --model base.model |\n"
               "      classify --model base.model | score",
    .options = options,
    .shared = device_options};

static void check_options(void)
{
    if (!model_path)
        tool_usage("--model MODEL is missing; cnn-train makes one");
    if ((work.views > 1) != augmented)
        tool_usage("--views N and --augment LIST belong together");
}

/* ---- the stream ---- */

/* Milliseconds without input after which part of a batch is embedded: more than a busy machine's
 * hiccups, as which rows are computed and written together depends on it. */
enum { PAUSE = 500 };

typedef struct {
    model of;
    stream_reader *reader;
    output *out;
    stream_writer *writer;
    embedder *embedder;
    row_buffer rows[EMBEDDER_SLOTS]; /* what goes with each slot's pictures */
    size_t filled;                   /* pictures in the slot that is being filled */
    bool waiting;                    /* rows came since all that had come was written */
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
        views[i] = (uint16_t)(i % work.views);
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
    while ((more = embedder_collect(w->embedder, all, &done, &e)) > 0)
        write_result(w, &done);
    must(more, &e);
}

static void submit(embedding *w)
{
    error e = {""};
    if (w->filled > 0)
        must(embedder_submit(w->embedder, w->filled, &e), &e);
    w->filled = 0;
    write_done(w, false);
}

/* Shares a batch's pictures out to slots. */
static void take_batch(embedding *w, batch *b, const tensor *image)
{
    error e = {""};
    size_t size = extent_size(w->of.net.input);
    for (size_t done = 0; done < b->rows;) {
        row_buffer *rows = &w->rows[embedder_slot(w->embedder)];
        if (!row_buffer_fits(rows, b)) {
            submit(w);
            continue;
        }
        size_t left = b->rows - done, room = work.batch - w->filled,
               count = left < room ? left : room;
        must(row_buffer_append(rows, b, done, count, &e), &e);
        memcpy(embedder_images(w->embedder) + w->filled * size,
               (uint8_t *)image->data + done * size, count * size);
        w->filled += count;
        done += count;
        if (w->filled == work.batch)
            submit(w);
    }
}

static int take_pictures(embedding *w, batch *b, tensor *image, error *e)
{
    tensor *found;
    extent own_size = w->of.net.input;
    /* What is not said, the model says. */
    picture_form order = form;
    order.layout = form.layout == LAYOUT_CHW ? LAYOUT_CHW : LAYOUT_HWC;
    if (batch_pictures(b, &order, &found, e) < 0)
        return -1;
    *image = *found;
    bool turned = form.layout == LAYOUT_UNSAID && image->shape[1] == own_size.channels &&
                  image->shape[2] == own_size.height && image->shape[3] == own_size.width;
    if (image->shape[1] != own_size.height || image->shape[2] != own_size.width ||
        image->shape[3] != own_size.channels)
        return error_set(e, "pictures of %zu x %zu x %zu; the model takes %zu x %zu x %zu%s",
                         image->shape[1], image->shape[2], image->shape[3], own_size.height,
                         own_size.width, own_size.channels,
                         turned ? "; --layout chw puts the channels last" : "");
    if (!keep_image)
        batch_drop(b, "image");
    return 0;
}

/* Where the input pauses, what came is not kept waiting for a whole batch. */
static int read_next(embedding *w, batch **b, error *e)
{
    if (w->waiting && stream_pauses(w->reader, PAUSE)) {
        submit(w);
        write_done(w, true);
        w->waiting = false;
    }
    int more = stream_read(w->reader, b, e);
    w->waiting = more > 0;
    return more;
}

static void embed_stream(embedding *w)
{
    error e = {""};
    batch *b;
    tensor image;
    progress shown;
    int more;
    progress_begin(&shown, "pictures", 0);
    while ((more = read_next(w, &b, &e)) > 0) {
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

/* Opens everything, so that what can be known to be wrong is said before the work begins. */
static backend *begin(embedding *w, tool_operands files)
{
    error e = {""};
    must(model_load_until(model_path, MODEL_NETWORK, &w->of, &e), &e);
    if (w->of.net.layer_count == 0)
        must(error_set(&e,
                       "%s: the model has no network, only a head for embeddings made elsewhere",
                       model_path),
             &e);
    must(stream_open(files.names, files.count, &w->reader, &e), &e);
    must(stream_create(w->out, &w->writer, &e), &e);
    write_header(w);
    backend *device = device_open();
    if (work.batch == 0)
        work.batch = ((strcmp(device->name, "cuda") == 0 ? 1024 : 256) - 1) / work.views + 1;
    float *parameters = memory_aligned(w->of.net.total * sizeof *parameters);
    if (!parameters)
        tool_fail(&(error){"out of memory for the model's parameters"});
    model_pack(&w->of, parameters);
    model_drop_all_but_scores(&w->of);
    must(embedder_new(device, &w->of.net, parameters, &work, &w->embedder, &e), &e);
    free(parameters);
    return device;
}

static void end(embedding *w, backend *device)
{
    embedder_free(w->embedder);
    device->close(device);
    stream_writer_free(w->writer);
    stream_close(w->reader);
    model_free(&w->of);
    for (size_t i = 0; i < EMBEDDER_SLOTS; i++)
        row_buffer_free(&w->rows[i]);
}

int main(int argc, char **argv)
{
    tool_operands files = tool_begin(&about, argc, argv);
    check_options();
    error e = {""};
    embedding w = {.out = tool_output("a stream of embeddings")};
    backend *device = begin(&w, files);
    embed_stream(&w);
    int status = stream_write_end(w.writer, &e);
    end(&w, device);
    return tool_end(w.out, status, &e);
}
