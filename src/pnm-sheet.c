/* pnm-sheet: pictures to one sheet of them, to look at. */
#include "../common/base/tool.h"
#include "../common/formats/sheet.h"
#include "../common/stream/pictures.h"
#include "../common/stream/read.h"

#include <string.h>

static picture_form form = {.layout = LAYOUT_UNSAID};
static size_t rows = 3, columns = 10, zoom = 1, gap = 2;

static void set_range(const char *word)
{
    picture_form_range(&form, word);
}

static const tool_option options[] = {
    {"rows", "N", 0, "pictures down (default 3)", OPTION_TO(rows), 1, 10000},
    {"columns", "N", 0, "pictures across (default 10)", OPTION_TO(columns), 1, 10000},
    {"zoom", "N", 0, "pixels a side that each pixel becomes (default 1)", OPTION_TO(zoom), 1, 100},
    {"layout", LAYOUT_WORDS, 0, LAYOUT_HELP, OPTION_WORD_TO(form.layout)},
    {"range", RANGE_WORDS, 0, RANGE_HELP, OPTION_CALLS(set_range)},
    {"gap", "N", 0, "white pixels between pictures (default 2)", OPTION_TO(gap), 0, 1000},
    {0}};

static const tool_description about = {
    .name = "pnm-sheet",
    .summary = "Read records with pictures; write the first ones side by side on one PNM sheet.",
    .usage = "[OPTION]... [FILE]...",
    .example = "cifar-read data_batch_1.bin | pnm-sheet --zoom 3 -o first.ppm",
    .options = options};

/* Places a batch's pictures: 1, or 0 when the sheet is full. The first batch decides their size. */
static int place_batch(sheet *s, batch *b, error *e)
{
    tensor *image;
    if (batch_pictures(b, &form, &image, e) < 0)
        return -1;
    extent picture = {image->shape[1], image->shape[2], image->shape[3]};
    if (!s->pixels && sheet_new(rows, columns, zoom, gap, picture, s, e) < 0)
        return -1;
    if (memcmp(&picture, &s->picture, sizeof picture) != 0)
        return error_set(
            e, "pictures of %zu x %zu x %zu after ones of %zu x %zu x %zu; a sheet takes one size",
            picture.height, picture.width, picture.channels, s->picture.height, s->picture.width,
            s->picture.channels);
    const uint8_t *pixels = image->data;
    for (size_t i = 0; i < b->rows; i++)
        if (!sheet_place(s, pixels + i * extent_size(picture)))
            return 0;
    return s->filled < s->rows * s->columns;
}

static int fill_sheet(sheet *s, stream_reader *reader, error *e)
{
    batch *b;
    int more;
    while ((more = stream_read(reader, &b, e)) > 0) {
        int placed = place_batch(s, b, e);
        if (placed < 0)
            return error_prefix(e, "%s", stream_name(reader));
        if (placed == 0)
            return 0;
    }
    return more == 0 && !s->pixels ? error_set(e, "no pictures came") : more;
}

int main(int argc, char **argv)
{
    tool_operands files = tool_begin(&about, argc, argv);
    error e;
    sheet s = {0};
    stream_reader *reader;
    output *out = tool_output("a sheet of pictures");
    int status = stream_open(files.names, files.count, &reader, &e);
    if (status == 0) {
        status = fill_sheet(&s, reader, &e) < 0 ? -1 : sheet_write(&s, out, &e);
        stream_close(reader);
    }
    sheet_free(&s);
    return tool_end(out, status, &e);
}
