/* input.cu: out[r][y][x][c] = image[y'][x'][c] / 255, normalised if the network says so, where (y',
 * x') is what is seen at (y, x), and zero in the padding channels; (y, x) are in order of patches
 * where the first layer reads those. One block a row: its view is drawn once. */
#include "device.cuh"

/* A block's first thread finds, for all of them, which picture the row is of and how it is seen;
 * the row's first block puts its label in place. */
__device__ static void begin_row(const gather_task &t, size_t row, random_view *view, size_t *from)
{
    if (threadIdx.x == 0) {
        uint64_t step = t.state ? t.state->step : t.view;
        *from = t.order ? t.order[t.state->first + row] : row;
        *view = random_view{0, 0, 0, 0, 0};
        if (t.augmented)
            *view = random_augment(t.seed, step, t.first_row + row, t.flip, t.shift, t.cutout,
                                   t.height, t.width);
        if (t.labels && blockIdx.y == 0)
            t.batch_labels[row] = t.labels[*from];
    }
    __syncthreads();
}

/* A channel of the pixel that is seen at a place; seen < 0: none is. In bfloat16 a product does for
 * the quotient: all 256 come out the same. */
template <class T>
__device__ static inline float channel_of(const gather_task &t, const uint8_t *image, int seen,
                                          int c)
{
    if (c >= t.channels)
        return 0;
    float x = seen >= 0 ? (float)image[(size_t)seen * (size_t)t.channels + (size_t)c] : 0;
    x = sizeof(T) == sizeof(float) ? x / 255.0f : x * (1 / 255.0f);
    return t.normalised ? (x - t.mean[c]) * t.inverse[c] : x;
}

/* Where a place of the picture is written: patch by patch. */
__device__ static inline size_t target_of(const gather_task &t, int y, int x)
{
    if (t.patch_width == t.width)
        return (size_t)(y * t.width + x);
    int across = t.width / t.patch_width;
    int patch = y / t.patch_height * across + x / t.patch_width;
    return (size_t)((patch * t.patch_height + y % t.patch_height) * t.patch_width +
                    x % t.patch_width);
}

template <class T> __global__ static void gather(gather_task t)
{
    __shared__ random_view view;
    __shared__ size_t from;
    size_t row = blockIdx.x;
    begin_row(t, row, &view, &from);
    int places = t.height * t.width;
    const uint8_t *image = t.images + from * (size_t)places * (size_t)t.channels;
    T *out = (T *)t.out + row * (size_t)places * (size_t)t.stored;
    for (int place = (int)threadIdx.x; place < places; place += (int)blockDim.x) {
        int y = place / t.width, x = place % t.width;
        int seen = element_pixel(t.height, t.width, view, t.augmented ? t.cutout : 0, y, x);
        size_t to = target_of(t, y, x) * (size_t)t.stored;
        for (int c = 0; c < t.stored; c++)
            out[to + (size_t)c] = from_float<T>(channel_of<T>(t, image, seen, c));
    }
}

/* The same where a pixel is one vector of eight (up to eight channels in bfloat16): one 16-byte
 * write. */
__global__ static void gather_eight(gather_task t)
{
    __shared__ random_view view;
    __shared__ size_t from;
    size_t row = blockIdx.x;
    begin_row(t, row, &view, &from);
    int places = t.height * t.width, place = (int)(blockIdx.y * blockDim.x + threadIdx.x);
    if (place >= places)
        return;
    const uint8_t *image = t.images + from * (size_t)places * (size_t)t.channels;
    int y = place / t.width, x = place % t.width;
    int seen = element_pixel(t.height, t.width, view, t.augmented ? t.cutout : 0, y, x);
    pack<bfloat16, 8> pixel;
    for (int c = 0; c < 8; c++)
        pixel.v[c] = from_float<bfloat16>(channel_of<bfloat16>(t, image, seen, c));
    store((bfloat16 *)t.out + (row * (size_t)places + target_of(t, y, x)) * 8, pixel);
}

extern "C" int kernel_gather(element type, const gather_task *task, kernel_stream stream)
{
    if (type == ELEMENT_F32)
        return LAUNCH(gather<float>, dim3((unsigned)task->rows), THREADS, stream, *task);
    if (task->stored == 8) {
        unsigned parts = blocks_for((size_t)task->height * (size_t)task->width, THREADS);
        return LAUNCH(gather_eight, dim3((unsigned)task->rows, parts), THREADS, stream, *task);
    }
    return LAUNCH(gather<bfloat16>, dim3((unsigned)task->rows), THREADS, stream, *task);
}
