/* embed.c: embeddings of pictures that stream in. Batches go to two slots in turn, each with a
 * stream and memory of its own, so that one's copies run beside the other's computing. */
#include "cuda.h"

/* The second slot's memory is a copy of the first's: parameters lie in both. A program for training
 * has only one. */
static int slot_ready(program *p, int slot, error *e)
{
    if (slot == 0 || (p->base[1] && !p->second_stale))
        return 0;
    if (!p->base[1]) {
        void *memory;
        if (device_take(p->plan.bytes, "a second batch under way", "take a smaller --batch",
                        &memory, e) != 0)
            return -1;
        p->base[1] = memory;
    }
    p->second_stale = false;
    if (check_cuda((int)cudaDeviceSynchronize(), "waiting for the device", e) != 0 ||
        check_cuda((int)cudaMemcpy(p->base[1], p->base[0], p->plan.bytes, cudaMemcpyDeviceToDevice),
                   "copying the network", e) != 0)
        return -1;
    return check_cuda((int)cudaDeviceSynchronize(), "copying the network", e);
}

/* Readies convolutions and products, at the first batch. All batches are computed whole, also the
 * last, of fewer rows: what the library needs for another size takes longer. */
static int batch_ready(program *p, error *e)
{
    if (p->embeds)
        return 0;
    if (check_cuda((int)cudaDeviceSynchronize(), "waiting for the device", e) != 0 ||
        run_prepare(p, p->spec.batch, e) != 0 ||
        check_cuda((int)cudaDeviceSynchronize(), "trying convolutions", e) != 0)
        return -1;
    p->embeds = true;
    return 0;
}

int embed_gather(const run *r, uint64_t first_row, uint32_t view, error *e)
{
    const program *p = r->p;
    const augmentation *a = &p->spec.augment;
    gather_task t = {.images = place(r, p->plan.staging),
                     .height = (int)p->net->input.height,
                     .width = (int)p->net->input.width,
                     .channels = (int)p->net->input.channels,
                     .stored = (int)p->plan.input_channels,
                     .augmented = view > 0,
                     .flip = a->flip,
                     .shift = a->shift,
                     .cutout = a->cutout,
                     .seed = p->spec.seed,
                     .view = view,
                     .first_row = first_row,
                     .rows = r->rows,
                     .out = place(r, p->plan.input)};
    kernel_stream stream = p->gpu->streams[r->slot];
    return check_kernel(p->gpu, kernel_gather(p->gpu->type, &t, stream), "gather", stream, e);
}

int embed_widen(const run *r, error *e)
{
    const program *p = r->p;
    cudaStream_t stream = p->gpu->streams[r->slot];
    return check_kernel(p->gpu,
                        kernel_widen(p->gpu->type, place(r, p->plan.embedding),
                                     place(r, p->plan.embeddings), r->rows * p->net->dimension,
                                     stream),
                        "widen", stream, e);
}

static int forward_pass(const run *r, const operation *o, error *e)
{
    (void)o;
    return run_forward(r, e) != 0 ? -1 : embed_widen(r, e);
}

int embed_compute(const run *r, uint64_t first_row, uint32_t view, error *e)
{
    return embed_gather(r, first_row, view, e) != 0 ? -1 : forward_pass(r, NULL, e);
}

/* From gathered pictures to embeddings: launch by launch at a slot's first batch, which loads what
 * is needed, then by a graph, since the libraries' calls can take the host longer than the card. */
static int forward_launch(const run *r, error *e)
{
    program *p = r->p;
    int slot = r->slot;
    if (!p->warm[slot] || p->gpu->wait) {
        p->warm[slot] = true;
        return forward_pass(r, NULL, e);
    }
    if (!p->embedding[slot] && graph_capture(r, forward_pass, NULL, 1, &p->embedding[slot], e) != 0)
        return -1;
    return check_cuda((int)cudaGraphLaunch(p->embedding[slot], p->gpu->streams[slot]), "embedding",
                      e);
}

static int embed_batch(const run *r, const uint8_t *images, size_t rows, uint64_t first_row,
                       uint32_t view, float *embeddings, error *e)
{
    const program *p = r->p;
    cudaStream_t stream = p->gpu->streams[r->slot];
    if (check_cuda((int)cudaMemcpyAsync(place(r, p->plan.staging), images,
                                        rows * extent_size(p->net->input), cudaMemcpyHostToDevice,
                                        stream),
                   "copying pictures", e) != 0 ||
        embed_gather(r, first_row, view, e) != 0 || forward_launch(r, e) != 0)
        return -1;
    return check_cuda((int)cudaMemcpyAsync(embeddings, place(r, p->plan.embeddings),
                                           rows * p->net->dimension * sizeof *embeddings,
                                           cudaMemcpyDeviceToHost, stream),
                      "copying embeddings", e);
}

/* The submission before the last is over: its arrays are the caller's again. */
static int submission_begin(program *p, error *e)
{
    if (p->submissions < 2)
        return 0;
    for (int i = 0; i < 2; i++)
        if (check_cuda((int)cudaEventSynchronize(p->submitted[p->submissions % 2][i]), "embedding",
                       e) != 0)
            return -1;
    return 0;
}

static int submission_end(program *p, error *e)
{
    for (int i = 0; i < 2; i++)
        if (check_cuda(
                (int)cudaEventRecord(p->submitted[p->submissions % 2][i], p->gpu->streams[i]),
                "embedding", e) != 0)
            return -1;
    p->submissions++;
    return 0;
}

int cuda_embed_submit(backend *b, program *p, const uint8_t *images, size_t rows,
                      uint64_t first_row, uint32_t view, float *embeddings, error *e)
{
    (void)b;
    if (submission_begin(p, e) != 0)
        return -1;
    for (size_t at = 0; at < rows; at += p->spec.batch) {
        size_t count = rows - at < p->spec.batch ? rows - at : p->spec.batch;
        int slot = p->spec.training ? 0 : (int)(p->chunks++ % 2);
        run r = {.p = p, .mode = MODE_INFER, .rows = p->spec.batch, .slot = slot, .side = slot};
        if (batch_ready(p, e) != 0 || slot_ready(p, slot, e) != 0 ||
            embed_batch(&r, images + at * extent_size(p->net->input), count, first_row + at, view,
                        embeddings + at * p->net->dimension, e) != 0)
            return -1;
    }
    return submission_end(p, e);
}

int cuda_embed_wait(backend *b, program *p, error *e)
{
    (void)b;
    for (int i = 0; i < 2; i++)
        if (check_cuda((int)cudaStreamSynchronize(p->gpu->streams[i]), "embedding", e) != 0)
            return -1;
    return 0;
}
