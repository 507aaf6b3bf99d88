#include "picture_set.h"

#include "../../common/base/hash.h"

#include <string.h>
#include <sys/mman.h>

#define GROWTH_MIN ((size_t)64 << 20)

/* Makes room for `bytes` in *memory. Pages cost nothing until something is written to them, so the
 * room may run ahead of the need. */
static int reserve(void **memory, size_t *room, size_t bytes, error *e)
{
    if (bytes <= *room)
        return 0;
    size_t extra = *room / 4 > GROWTH_MIN ? *room / 4 : GROWTH_MIN;
    size_t want = (bytes + extra) / 4096 * 4096;
    void *moved =
        *memory ? mremap(*memory, *room, want, MREMAP_MAYMOVE)
                : mmap(NULL, want, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (moved == MAP_FAILED)
        return error_system(e,
                            "no memory for %zu MB of training pictures; train on fewer rows "
                            "(class-filter --per-class)",
                            bytes >> 20);
    *memory = moved;
    *room = want;
    return 0;
}

static int check_extent(picture_set *set, const tensor *image, error *e)
{
    extent came = {image->shape[1], image->shape[2], image->shape[3]}, had = set->picture;
    if (extent_size(came) == 0)
        return error_set(e, "pictures of %zu x %zu x %zu have no pixels", came.height, came.width,
                         came.channels);
    if (set->rows == 0)
        set->picture = came;
    else if (came.height != had.height || came.width != had.width || came.channels != had.channels)
        return error_set(e,
                         "pictures of %zu x %zu x %zu after ones of %zu x %zu x %zu; all must have "
                         "one size",
                         came.height, came.width, came.channels, had.height, had.width,
                         had.channels);
    return 0;
}

int picture_set_add(picture_set *set, batch *b, const class_list *classes, error *e)
{
    tensor *image;
    int32_t *labels;
    if (batch_pictures(b, &set->form, &image, e) < 0 || batch_labels(b, classes, &labels, e) < 0 ||
        check_extent(set, image, e) < 0)
        return -1;
    if (b->rows > UINT32_MAX - set->rows)
        return error_set(e, "more than %u rows of training pictures", UINT32_MAX);
    size_t size = extent_size(set->picture), rows = set->rows + b->rows;
    if (reserve((void **)&set->images, &set->image_room, rows * size, e) < 0 ||
        reserve((void **)&set->labels, &set->label_room, rows * sizeof *labels, e) < 0)
        return -1;
    memcpy(set->images + set->rows * size, image->data, b->rows * size);
    memcpy(set->labels + set->rows, labels, b->rows * sizeof *labels);
    set->rows = rows;
    return 0;
}

void picture_set_free(picture_set *set)
{
    if (set->images)
        munmap(set->images, set->image_room);
    if (set->labels)
        munmap(set->labels, set->label_room);
    *set = (picture_set){0};
}

uint64_t picture_set_digest(const picture_set *set, size_t first, size_t rows)
{
    size_t size = extent_size(set->picture);
    uint64_t shape[4] = {set->picture.height, set->picture.width, set->picture.channels, rows};
    uint64_t hash = hash_words(HASH_BEGIN, shape, sizeof shape);
    if (rows == 0)
        return hash;
    hash = hash_words(hash, set->images + first * size, rows * size);
    return hash_words(hash, set->labels + first, rows * sizeof *set->labels);
}
