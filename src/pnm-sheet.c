/* pnm-sheet: pictures to one sheet of them, to look at. */
#include "../common/base/tool.h"
#include "../common/formats/sheet.h"
#include "../common/stream/read.h"

#include <string.h>

static const tool_description about = {
    .name = "pnm-sheet",
    .summary = "Puts a stream's first pictures side by side on one PNM sheet.",
    .usage = "[OPTION]... [FILE]...",
    .options = "  --rows N           pictures down (3)\n"
               "  --columns N        pictures across (10)\n"
               "  --zoom N           each pixel becomes N x N (1)\n"
               "  --gap N            white pixels between pictures (2)\n",
    .example = "cifar-read data_batch_1.bin | pnm-sheet --zoom 3 -o first.ppm",
};

static struct {
    tool_options tool;
    size_t rows, columns, zoom, gap;
} own = {.rows = 3, .columns = 10, .zoom = 1, .gap = 2};

enum { ROWS = TOOL_OWN, COLUMNS, ZOOM, GAP };

static const struct option options[] = {
    TOOL_OPTIONS,
    {"rows", required_argument, NULL, ROWS},
    {"columns", required_argument, NULL, COLUMNS},
    {"zoom", required_argument, NULL, ZOOM},
    {"gap", required_argument, NULL, GAP},
    {NULL, 0, NULL, 0},
};

static void read_options(int argc, char **argv)
{
    int letter;
    while ((letter = getopt_long(argc, argv, TOOL_SHORT, options, NULL)) != -1) {
        if (tool_option(letter, &own.tool))
            continue;
        switch (letter) {
        case ROWS:
            own.rows = tool_integer("--rows", optarg, 1, 10000);
            break;
        case COLUMNS:
            own.columns = tool_integer("--columns", optarg, 1, 10000);
            break;
        case ZOOM:
            own.zoom = tool_integer("--zoom", optarg, 1, 100);
            break;
        case GAP:
            own.gap = tool_integer("--gap", optarg, 0, 1000);
            break;
        }
    }
}

/* Places a batch's pictures; false when the sheet is full. The first batch decides their size. */
static bool place_batch(sheet *s, batch *b, const char *name)
{
    error e = {""};
    tensor *image;
    if (batch_require(b, "image", TYPE_U8, 4, &image, &e) < 0)
        tool_fail_at(name, &e);
    extent picture = {image->shape[1], image->shape[2], image->shape[3]};
    if (!s->pixels && sheet_new(own.rows, own.columns, own.zoom, own.gap, picture, s, &e) < 0)
        tool_fail(&e);
    if (memcmp(&picture, &s->picture, sizeof picture) != 0) {
        error_set(
            &e, "pictures of %zu x %zu x %zu after ones of %zu x %zu x %zu; a sheet takes one size",
            picture.height, picture.width, picture.channels, s->picture.height, s->picture.width,
            s->picture.channels);
        tool_fail_at(name, &e);
    }
    const uint8_t *pixels = image->data;
    for (size_t i = 0; i < b->rows; i++)
        if (!sheet_place(s, pixels + i * extent_size(picture)))
            return false;
    return s->filled < s->rows * s->columns;
}

int main(int argc, char **argv)
{
    tool_begin(&about);
    read_options(argc, argv);
    error e = {""};
    output *out;
    stream_reader *reader;
    batch *b;
    sheet s = {0};
    if (output_open(own.tool.output, true, &out, &e) < 0 ||
        stream_open(argv + optind, (size_t)(argc - optind), &reader, &e) < 0)
        tool_fail(&e);
    int more;
    while ((more = stream_read(reader, &b, &e)) > 0 && place_batch(&s, b, stream_name(reader)))
        ;
    if (more == 0 && !s.pixels)
        more = error_set(&e, "no pictures came");
    if (more < 0 || sheet_write(&s, out, &e) < 0 || output_commit(out, &e) < 0)
        tool_fail(&e);
    sheet_free(&s);
    stream_close(reader);
    return TOOL_OK;
}
