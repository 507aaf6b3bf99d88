/* cifar.c: see cifar.h. */
#include "cifar.h"

#include "names.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#if defined __x86_64__ || defined __i386__
#include <immintrin.h>
#define HAVE_SHUFFLE 1
#endif

static const char *const names_10[] = {"airplane", "automobile", "bird",  "cat",  "deer",
                                       "dog",      "frog",       "horse", "ship", "truck"};

static const char *const names_100_coarse[] = {
    "aquatic_mammals", "fish", "flowers", "food_containers", "fruit_and_vegetables",
    "household_electrical_devices", "household_furniture", "insects", "large_carnivores",
    "large_man-made_outdoor_things", "large_natural_outdoor_scenes", "large_omnivores_and_herbivores",
    "medium_mammals", "non-insect_invertebrates", "people", "reptiles", "small_mammals", "trees",
    "vehicles_1", "vehicles_2"};

static const char *const names_100_fine[] = {
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle",
    "bowl", "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle",
    "chair", "chimpanzee", "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup",
    "dinosaur", "dolphin", "elephant", "flatfish", "forest", "fox", "girl", "hamster", "house",
    "kangaroo", "keyboard", "lamp", "lawn_mower", "leopard", "lion", "lizard", "lobster", "man",
    "maple_tree", "motorcycle", "mountain", "mouse", "mushroom", "oak_tree", "orange", "orchid",
    "otter", "palm_tree", "pear", "pickup_truck", "pine_tree", "plain", "plate", "poppy", "porcupine",
    "possum", "rabbit", "raccoon", "ray", "road", "rocket", "rose", "sea", "seal", "shark", "shrew",
    "skunk", "skyscraper", "snail", "snake", "spider", "squirrel", "streetcar", "sunflower",
    "sweet_pepper", "table", "tank", "telephone", "television", "tiger", "tractor", "train", "trout",
    "tulip", "turtle", "wardrobe", "whale", "willow_tree", "wolf", "woman", "worm"};

const cifar_kind cifar_10 = {"CIFAR-10", 1, 0, 10, "batches.meta.txt", names_10};
const cifar_kind cifar_100_fine = {"CIFAR-100", 2, 1, 100, "fine_label_names.txt", names_100_fine};
const cifar_kind cifar_100_coarse = {"CIFAR-100", 2, 0, 20, "coarse_label_names.txt",
                                     names_100_coarse};

size_t cifar_record(const cifar_kind *kind)
{
    return kind->label_bytes + CIFAR_IMAGE;
}

/* ---- pictures ------------------------------------------------------------------------------------ */

static void interleave_plain(const uint8_t *planes, size_t count, size_t from, uint8_t *pixels)
{
    for (size_t i = from; i < count; i++)
        for (size_t c = 0; c < 3; c++)
            pixels[3 * i + c] = planes[c * count + i];
}

#ifdef HAVE_SHUFFLE
/* 16 pixels at a time: each 16 bytes of the result take 5 or 6 from each plane, and one shuffle a plane
 * puts these where they belong and zeros elsewhere. */
__attribute__((target("ssse3"))) static size_t interleave_shuffle(const uint8_t *planes, size_t count,
                                                                  uint8_t *pixels)
{
    __m128i order[3][3];
    for (int part = 0; part < 3; part++) {
        for (int plane = 0; plane < 3; plane++) {
            uint8_t place[16];
            for (int i = 0; i < 16; i++) {
                int at = 16 * part + i; /* of the 48 bytes */
                place[i] = at % 3 == plane ? (uint8_t)(at / 3) : 0x80;
            }
            memcpy(&order[part][plane], place, sizeof place);
        }
    }
    size_t i = 0;
    for (; i + 16 <= count; i += 16) {
        __m128i red = _mm_loadu_si128((const __m128i *)(planes + i));
        __m128i green = _mm_loadu_si128((const __m128i *)(planes + count + i));
        __m128i blue = _mm_loadu_si128((const __m128i *)(planes + 2 * count + i));
        for (int part = 0; part < 3; part++) {
            __m128i mixed = _mm_or_si128(_mm_or_si128(_mm_shuffle_epi8(red, order[part][0]),
                                                      _mm_shuffle_epi8(green, order[part][1])),
                                         _mm_shuffle_epi8(blue, order[part][2]));
            _mm_storeu_si128((__m128i *)(pixels + 3 * i + 16 * (size_t)part), mixed);
        }
    }
    return i;
}
#endif

void cifar_interleave(const uint8_t *planes, size_t count, uint8_t *pixels)
{
    size_t done = 0;
#ifdef HAVE_SHUFFLE
    if (__builtin_cpu_supports("ssse3"))
        done = interleave_shuffle(planes, count, pixels);
#endif
    interleave_plain(planes, count, done, pixels);
}

size_t cifar_unpack(const cifar_kind *kind, const uint8_t *records, size_t rows, uint8_t *images,
                    int32_t *labels)
{
    for (size_t row = 0; row < rows; row++) {
        const uint8_t *record = records + row * cifar_record(kind);
        if (record[kind->label_place] >= kind->class_count)
            return row;
        labels[row] = record[kind->label_place];
        cifar_interleave(record + kind->label_bytes, CIFAR_PIXELS, images + row * CIFAR_IMAGE);
    }
    return rows;
}

/* ---- names --------------------------------------------------------------------------------------- */

static int built_in_names(const cifar_kind *kind, class_list *names, error *e)
{
    for (size_t i = 0; i < kind->class_count; i++)
        if (class_list_add(names, kind->names[i]) < 0)
            return error_set(e, "out of memory");
    return 0;
}

int cifar_names(const cifar_kind *kind, const char *path, class_list *names, error *e)
{
    char beside[4096];
    const char *slash = strrchr(path, '/');
    int folder = slash ? (int)(slash - path) + 1 : 0;
    *names = (class_list){0};
    if (strcmp(path, "-") == 0 ||
        snprintf(beside, sizeof beside, "%.*s%s", folder, path, kind->names_file) >= (int)sizeof beside)
        return built_in_names(kind, names, e);
    if (names_load(beside, names, e) != 0)
        return errno == ENOENT ? built_in_names(kind, names, e) : error_prefix(e, "%s", beside);
    if (names->count == kind->class_count)
        return 0;
    error_set(e, "%s: %zu class names; %s has %zu", beside, names->count, kind->title,
              kind->class_count);
    class_list_free(names);
    return -1;
}
