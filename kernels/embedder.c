#include "embedder.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    uint8_t *images, *mirrored; /* from the backend's host_alloc; mirrored only if asked for */
    float *embeddings;          /* [view][plain, mirrored][row][dimension] */
    size_t rows;
} slot;

struct embedder {
    backend *device;
    const network *net;
    program *run;
    embedder_options options;
    slot slots[EMBEDDER_SLOTS];
    uint64_t submitted, collected; /* slots */
    uint64_t pictures;             /* in them */
    float *result; /* of the slot collected last; NULL where its own order will do */
};

static size_t passes(const embedder *m)
{
    return m->options.mirror ? 2 : 1;
}

static size_t result_views(const embedder *m)
{
    return m->options.average ? 1 : m->options.views;
}

static int take_memory(embedder *m, error *e)
{
    size_t pictures = m->options.batch * extent_size(m->net->input);
    size_t row = m->options.batch * m->net->dimension * sizeof(float);
    size_t embeddings = row * m->options.views * passes(m);
    bool complete = true;
    for (size_t i = 0; i < EMBEDDER_SLOTS; i++) {
        slot *s = &m->slots[i];
        s->images = m->device->host_alloc(m->device, pictures);
        s->embeddings = m->device->host_alloc(m->device, embeddings);
        if (m->options.mirror)
            s->mirrored = m->device->host_alloc(m->device, pictures);
        complete = complete && s->images && s->embeddings && (s->mirrored || !m->options.mirror);
    }
    if (m->options.views * passes(m) > 1) {
        m->result = malloc(row * result_views(m));
        complete = complete && m->result;
    }
    return complete
               ? 0
               : error_set(e,
                           "out of memory for %zu pictures and their embeddings at once; use a "
                           "smaller --batch",
                           m->options.batch);
}

int embedder_new(backend *b, const network *net, const float *parameters,
                 const embedder_options *options, embedder **out, error *e)
{
    embedder *m = calloc(1, sizeof *m);
    if (!m)
        return error_set(e, "out of memory");
    *m = (embedder){.device = b, .net = net, .options = *options};
    program_spec spec = {
        .net = net, .batch = options->batch, .seed = options->seed, .augment = options->augment};
    if (augmentation_check(&options->augment, net->input, e) < 0 ||
        b->program_new(b, &spec, &m->run, e) < 0 ||
        b->parameters_set(b, m->run, parameters, e) < 0 || take_memory(m, e) < 0) {
        embedder_free(m);
        return -1;
    }
    *out = m;
    return 0;
}

void embedder_free(embedder *m)
{
    if (!m)
        return;
    error ignored = {""};
    if (m->run) {
        /* A failed caller may leave work under way, which still writes into the slots. */
        m->device->embed_wait(m->device, m->run, &ignored);
        m->device->program_free(m->device, m->run);
    }
    for (size_t i = 0; i < EMBEDDER_SLOTS; i++) {
        slot *s = &m->slots[i];
        void *memory[] = {s->images, s->mirrored, s->embeddings};
        for (size_t k = 0; k < 3; k++)
            if (memory[k])
                m->device->host_free(m->device, memory[k]);
    }
    free(m->result);
    free(m);
}

size_t embedder_slot(const embedder *m)
{
    return m->submitted % EMBEDDER_SLOTS;
}

uint8_t *embedder_images(const embedder *m)
{
    return m->slots[embedder_slot(m)].images;
}

void pictures_mirror(const uint8_t *from, size_t rows, extent picture, uint8_t *to)
{
    size_t lines = rows * picture.height, width = picture.width, channels = picture.channels;
    for (size_t line = 0; line < lines; line++, from += width * channels, to += width * channels)
        for (size_t x = 0; x < width; x++)
            memcpy(to + (width - 1 - x) * channels, from + x * channels, channels);
}

int embedder_submit(embedder *m, size_t rows, error *e)
{
    slot *s = &m->slots[embedder_slot(m)];
    size_t size = rows * m->net->dimension;
    s->rows = rows;
    if (m->options.mirror)
        pictures_mirror(s->images, rows, m->net->input, s->mirrored);
    float *to = s->embeddings;
    for (uint32_t view = 0; view < m->options.views; view++)
        for (size_t pass = 0; pass < passes(m); pass++, to += size)
            if (m->device->embed_submit(m->device, m->run, pass ? s->mirrored : s->images, rows,
                                        m->pictures, view, to, e) < 0)
                return -1;
    m->submitted++;
    m->pictures += rows;
    return 0;
}

static void add_scaled(float *to, const float *from, size_t count, float factor, bool first)
{
    for (size_t i = 0; i < count; i++)
        to[i] = (first ? 0 : to[i]) + from[i] * factor;
}

/* Brings [view][pass][row] into [row][view], the mean over passes and, if averaged, over views. */
static void arrange(embedder *m, const slot *s)
{
    size_t dimension = m->net->dimension, views = m->options.views, folds = passes(m);
    size_t kept = result_views(m);
    float factor = 1.0f / (float)(folds * (m->options.average ? views : 1));
    for (size_t row = 0; row < s->rows; row++)
        for (size_t view = 0; view < views; view++)
            for (size_t pass = 0; pass < folds; pass++) {
                const float *from =
                    s->embeddings + ((view * folds + pass) * s->rows + row) * dimension;
                float *to = m->result + (row * kept + (m->options.average ? 0 : view)) * dimension;
                bool first = pass == 0 && (view == 0 || !m->options.average);
                add_scaled(to, from, dimension, factor, first);
            }
}

/* The plain views, which come first, with their mirror images taken in: in place of the first of
 * them. */
static const float *plain_views(const embedder *m, const slot *s)
{
    size_t size = s->rows * m->net->dimension;
    for (size_t i = 0; passes(m) > 1 && i < size; i++)
        s->embeddings[i] = (s->embeddings[i] + s->embeddings[size + i]) / 2;
    return s->embeddings;
}

int embedder_collect(embedder *m, bool all, embedder_result *out, error *e)
{
    uint64_t under_way = m->submitted - m->collected;
    if (under_way == 0 || (!all && under_way < EMBEDDER_SLOTS))
        return 0;
    /* With every slot in use the oldest is done: two submissions after it have returned. */
    if (under_way < EMBEDDER_SLOTS && m->device->embed_wait(m->device, m->run, e) < 0)
        return -1;
    size_t index = m->collected++ % EMBEDDER_SLOTS;
    const slot *s = &m->slots[index];
    if (m->result)
        arrange(m, s);
    *out = (embedder_result){.slot = index,
                             .pictures = s->rows,
                             .rows = s->rows * result_views(m),
                             .embeddings = m->result ? m->result : s->embeddings,
                             .plain = m->options.average ? plain_views(m, s) : NULL};
    return 1;
}
