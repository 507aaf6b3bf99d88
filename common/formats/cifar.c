/* cifar.c: see cifar.h. */
#include "cifar.h"

#include "../stream/class_names.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#if defined __x86_64__ || defined __i386__
#include <immintrin.h>
#define HAVE_SHUFFLE 1
#endif

static const char *const names_10[] = {"airplane", "automobile", "bird",  "cat",  "deer",
                                       "dog",      "frog",       "horse", "ship", "truck"};

static const char *const names_100_coarse[] = {"aquatic_mammals",
                                               "fish",
                                               "flowers",
                                               "food_containers",
                                               "fruit_and_vegetables",
                                               "household_electrical_devices",
                                               "household_furniture",
                                               "insects",
                                               "large_carnivores",
                                               "large_man-made_outdoor_things",
                                               "large_natural_outdoor_scenes",
                                               "large_omnivores_and_herbivores",
                                               "medium_mammals",
                                               "non-insect_invertebrates",
                                               "people",
                                               "reptiles",
                                               "small_mammals",
                                               "trees",
                                               "vehicles_1",
                                               "vehicles_2"};

static const char *const names_100_fine[] = {
    "apple",       "aquarium_fish", "baby",      "bear",       "beaver",       "bed",
    "bee",         "beetle",        "bicycle",   "bottle",     "bowl",         "boy",
    "bridge",      "bus",           "butterfly", "camel",      "can",          "castle",
    "caterpillar", "cattle",        "chair",     "chimpanzee", "clock",        "cloud",
    "cockroach",   "couch",         "crab",      "crocodile",  "cup",          "dinosaur",
    "dolphin",     "elephant",      "flatfish",  "forest",     "fox",          "girl",
    "hamster",     "house",         "kangaroo",  "keyboard",   "lamp",         "lawn_mower",
    "leopard",     "lion",          "lizard",    "lobster",    "man",          "maple_tree",
    "motorcycle",  "mountain",      "mouse",     "mushroom",   "oak_tree",     "orange",
    "orchid",      "otter",         "palm_tree", "pear",       "pickup_truck", "pine_tree",
    "plain",       "plate",         "poppy",     "porcupine",  "possum",       "rabbit",
    "raccoon",     "ray",           "road",      "rocket",     "rose",         "sea",
    "seal",        "shark",         "shrew",     "skunk",      "skyscraper",   "snail",
    "snake",       "spider",        "squirrel",  "streetcar",  "sunflower",    "sweet_pepper",
    "table",       "tank",          "telephone", "television", "tiger",        "tractor",
    "train",       "trout",         "tulip",     "turtle",     "wardrobe",     "whale",
    "willow_tree", "wolf",          "woman",     "worm"};

const cifar_kind cifar_10 = {"CIFAR-10", 1, 0, 10, "batches.meta.txt", names_10};
const cifar_kind cifar_100_fine = {"CIFAR-100", 2, 1, 100, "fine_label_names.txt", names_100_fine};
const cifar_kind cifar_100_coarse = {"CIFAR-100",     2, 0, 20, "coarse_label_names.txt",
                                     names_100_coarse};

size_t cifar_record(const cifar_kind *kind)
{
    return kind->label_bytes + CIFAR_IMAGE;
}

/* ---- pictures ---- */

static void interleave_plain(const uint8_t *planes, size_t count, size_t from, uint8_t *pixels)
{
    for (size_t i = from; i < count; i++)
        for (size_t c = 0; c < 3; c++)
            pixels[3 * i + c] = planes[c * count + i];
}

#ifdef HAVE_SHUFFLE
/* 16 pixels at a time: each 16 bytes of the result take 5 or 6 from each plane, and one shuffle a
 * plane puts these where they belong and zeros elsewhere. */
__attribute__((target("ssse3"))) static size_t interleave_shuffle(const uint8_t *planes,
                                                                  size_t count, uint8_t *pixels)
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

/* ---- names ---- */

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
    if (strcmp(path, "-") == 0 || snprintf(beside, sizeof beside, "%.*s%s", folder, path,
                                           kind->names_file) >= (int)sizeof beside)
        return built_in_names(kind, names, e);
    if (class_names_load(beside, names, e) < 0)
        return errno == ENOENT ? built_in_names(kind, names, e) : error_prefix(e, "%s", beside);
    if (names->count == kind->class_count)
        return 0;
    error_set(e,
              "%s: %zu class names; %s has %zu; mend the file, or move it away to have the usual "
              "names",
              beside, names->count, kind->title, kind->class_count);
    class_list_free(names);
    return -1;
}

/* ---- files ---- */

struct cifar_file {
    const cifar_kind *kind;
    int fd;
    char *name;
    uint64_t row, rows; /* the next one; of a regular file */
    uint8_t *records;   /* as they stand in the file */
    size_t record_room; /* how many fit */
};

static int check_size(const cifar_kind *kind, const char *name, uint64_t bytes, error *e)
{
    uint64_t record = cifar_record(kind), rows = bytes / record;
    if (bytes == 0)
        return error_set(e, "%s: empty; a %s batch has records of %" PRIu64 " bytes", name,
                         kind->title, record);
    if (bytes % record != 0)
        return error_set(e,
                         "%s: row %" PRIu64 ", byte %" PRIu64
                         ": the record is cut short, or this is no "
                         "%s batch: %" PRIu64 " bytes are no multiple of %" PRIu64,
                         name, rows, rows * record, kind->title, bytes, record);
    return 0;
}

void cifar_close(cifar_file *f)
{
    if (!f)
        return;
    close(f->fd);
    free(f->name);
    free(f->records);
    free(f);
}

/* What fstat says of a regular file that is read from byte `at` on: its rows, 0 where not known. */
static int count_rows(const cifar_kind *kind, const char *name, const struct stat *status, off_t at,
                      uint64_t *rows, error *e)
{
    *rows = 0;
    if (S_ISDIR(status->st_mode))
        return error_set(e, "%s: is a folder; name files", name);
    if (!S_ISREG(status->st_mode) || at < 0)
        return 0;
    uint64_t bytes = status->st_size > at ? (uint64_t)(status->st_size - at) : 0;
    *rows = bytes / cifar_record(kind);
    return check_size(kind, name, bytes, e);
}

int cifar_look(const cifar_kind *kind, const char *path, uint64_t *rows, error *e)
{
    struct stat status;
    if (strcmp(path, "-") == 0) {
        if (fstat(STDIN_FILENO, &status) != 0)
            return error_system(e, "standard input: cannot read");
        return count_rows(kind, "standard input", &status, lseek(STDIN_FILENO, 0, SEEK_CUR), rows,
                          e);
    }
    if (stat(path, &status) != 0 || faccessat(AT_FDCWD, path, R_OK, AT_EACCESS) != 0)
        return error_system(e, "%s: cannot open", path);
    return count_rows(kind, path, &status, 0, rows, e);
}

static int look_at_file(cifar_file *f, error *e)
{
    struct stat status;
    if (fstat(f->fd, &status) != 0)
        return error_system(e, "%s: cannot read", f->name);
    if (S_ISREG(status.st_mode))
        posix_fadvise(f->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    return count_rows(f->kind, f->name, &status, lseek(f->fd, 0, SEEK_CUR), &f->rows, e);
}

int cifar_open_fd(const cifar_kind *kind, int fd, const char *name, cifar_file **out, error *e)
{
    cifar_file *f = calloc(1, sizeof *f);
    if (f)
        *f = (cifar_file){.kind = kind, .fd = fd, .name = strdup(name)};
    if (!f || !f->name) {
        close(fd);
        free(f);
        return error_set(e, "%s: out of memory", name);
    }
    if (look_at_file(f, e) < 0) {
        cifar_close(f);
        return -1;
    }
    *out = f;
    return 0;
}

int cifar_open(const cifar_kind *kind, const char *path, cifar_file **out, error *e)
{
    bool standard = strcmp(path, "-") == 0;
    int fd = standard ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_system(e, "%s: cannot open", path);
    return cifar_open_fd(kind, fd, standard ? "standard input" : path, out, e);
}

uint64_t cifar_rows(const cifar_file *f)
{
    return f->rows;
}

/* Reads until `bytes` came or the file ends. The number, or -1. */
static ssize_t read_fully(int fd, uint8_t *to, size_t bytes)
{
    size_t have = 0;
    while (have < bytes) {
        ssize_t got = read(fd, to + have, bytes - have);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        have += (size_t)got;
    }
    return (ssize_t)have;
}

static int reserve_records(cifar_file *f, size_t rows, error *e)
{
    if (rows <= f->record_room)
        return 0;
    free(f->records);
    f->records = malloc(rows * cifar_record(f->kind));
    f->record_room = f->records ? rows : 0;
    return f->records ? 0 : error_set(e, "%s: out of memory for %zu records", f->name, rows);
}

int cifar_read(cifar_file *f, size_t most, uint8_t *images, int32_t *labels, error *e)
{
    size_t record = cifar_record(f->kind);
    if (reserve_records(f, most, e) < 0)
        return -1;
    ssize_t got = read_fully(f->fd, f->records, most * record);
    if (got < 0)
        return error_system(e, "%s: byte %" PRIu64 ": cannot read", f->name, f->row * record);
    /* Also where a file's size is not known before, or changed since. */
    if ((f->row == 0 || (size_t)got % record != 0) &&
        check_size(f->kind, f->name, f->row * record + (uint64_t)got, e) < 0)
        return -1;
    size_t rows = (size_t)got / record;
    size_t good = cifar_unpack(f->kind, f->records, rows, images, labels);
    if (good < rows)
        return error_set(
            e, "%s: row %" PRIu64 ", byte %" PRIu64 ": label %d is none of %s's %zu classes",
            f->name, f->row + good, (f->row + good) * record,
            f->records[good * record + f->kind->label_place], f->kind->title, f->kind->class_count);
    f->row += rows;
    return (int)rows;
}
