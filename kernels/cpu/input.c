#include "input.h"

#include "../random.h"

ALWAYS_INLINE void load(const uint8_t *image, void *out, size_t count, bool bf16)
{
    for (size_t i = 0; i < count; i++)
        element_put(out, i, (float)image[i] / 255.0f, bf16);
}

ALWAYS_INLINE void load_scaled(const uint8_t *image, void *out, size_t count, picture_scale scale,
                               bool bf16)
{
    for (size_t i = 0; i < count; i++)
        element_put(out, i, (float)image[i] * scale.factor[i] + scale.offset[i], bf16);
}

/* Of whole lines of `line` elements. */
CLONES static void load_part(const uint8_t *image, void *restrict out, size_t count, size_t line,
                             picture_scale scale, element type)
{
    if (!scale.factor) {
        OF_TYPE(load, image, out, count);
        return;
    }
    for (size_t i = 0; i < count; i += line) {
        OF_TYPE(load_scaled, image + i, element_at(out, i, type), line, scale);
    }
}

void input_scale(const layer *normalize, extent shape, float *factor, float *offset)
{
    for (size_t i = 0; i < shape.width * shape.channels; i++) {
        double deviation = (double)normalize->input_deviation[i % shape.channels];
        factor[i] = (float)(1 / (255 * deviation));
        offset[i] = (float)(-(double)normalize->input_mean[i % shape.channels] / deviation);
    }
}

/* Row y of the picture as it is after the change, as bytes. */
static void changed_row(const uint8_t *image, extent shape, random_view view, int cutout, int y,
                        uint8_t *row)
{
    int width = (int)shape.width, from_y = y - view.dy;
    size_t channels = shape.channels;
    memset(row, 0, shape.width * channels);
    if (from_y < 0 || from_y >= (int)shape.height)
        return;
    const uint8_t *from = image + (size_t)from_y * shape.width * channels;
    bool cut_here = cutout && y >= view.cy - cutout / 2 && y < view.cy - cutout / 2 + cutout;
    for (int x = 0; x < width; x++) {
        int from_x = x - view.dx;
        bool cut = cut_here && x >= view.cx - cutout / 2 && x < view.cx - cutout / 2 + cutout;
        if (from_x < 0 || from_x >= width || cut)
            continue;
        if (view.flip)
            from_x = width - 1 - from_x;
        for (size_t c = 0; c < channels; c++)
            row[(size_t)x * channels + c] = from[(size_t)from_x * channels + c];
    }
}

static void load_changed(const uint8_t *image, extent shape, picture_scale scale, random_view view,
                         int cutout, uint8_t *row, void *out, element type)
{
    size_t count = shape.width * shape.channels;
    for (size_t y = 0; y < shape.height; y++) {
        changed_row(image, shape, view, cutout, (int)y, row);
        load_part(row, element_at(out, y * count, type), count, count, scale, type);
    }
}

void input_load(const uint8_t *images, const uint32_t *order, size_t rows, extent shape,
                picture_scale scale, const picture_change *change, uint8_t *scratch, void *out,
                element type)
{
    size_t size = extent_size(shape), width = shape.width * shape.channels;
#pragma omp parallel for schedule(static)
    for (size_t row = 0; row < rows; row++) {
        const uint8_t *image = images + (order ? order[row] : row) * size;
        void *to = element_at(out, row * size, type);
        if (!change) {
            load_part(image, to, size, width, scale, type);
            continue;
        }
        const augmentation *a = &change->kind;
        random_view view = random_augment(change->seed, change->step, change->row + row, a->flip,
                                          a->shift, a->cutout, (int)shape.height, (int)shape.width);
        load_changed(image, shape, scale, view, a->cutout,
                     scratch + (size_t)omp_get_thread_num() * width, to, type);
    }
}
