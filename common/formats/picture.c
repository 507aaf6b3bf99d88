/* picture.c: from a file's bytes to pixels; see picture.h. */
#include "picture.h"

#include "decode.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- which format ---- */

typedef int decoder(const uint8_t *data, size_t bytes, sink *s, extent *size, error *e);

static bool begins(const uint8_t *data, size_t bytes, size_t at, const char *with)
{
    size_t length = strlen(with);
    return bytes >= at + length && memcmp(data + at, with, length) == 0;
}

static decoder *find_decoder(const uint8_t *d, size_t n, error *e)
{
    static const struct {
        size_t at;
        const char *with, *name;
    } others[] = {{0, "GIF8", "a GIF"},    {0, "BM", "a BMP"},         {0, "II*", "a TIFF"},
                  {0, "MM", "a TIFF"},     {4, "ftypavif", "AVIF"},    {4, "ftyphei", "HEIC"},
                  {4, "ftypmif1", "HEIC"}, {0, "\xff\x0a", "JPEG XL"}, {0, "%PDF", "a PDF"},
                  {0, "\x1f\x8b", "gzip"}, {0, "<svg", "an SVG"},      {0, "<?xml", "XML"}};
    if (begins(d, n, 0, "\xff\xd8\xff"))
        return decode_jpeg;
    if (begins(d, n, 0, "\x89PNG\r\n\x1a\n"))
        return decode_png;
    if (begins(d, n, 0, "RIFF") && begins(d, n, 8, "WEBP"))
        return decode_webp;
    if (n > 2 && d[0] == 'P' && d[1] >= '1' && d[1] <= '6')
        return decode_pnm;
    if (n == 0)
        error_set(e, "empty");
    else
        error_set(e, "neither JPEG, PNG, WebP nor PNM");
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (begins(d, n, others[i].at, others[i].with))
            error_set(e, "%s; convert it to JPEG, PNG, WebP or PNM first", others[i].name);
    return NULL;
}

int picture_extent(const void *data, size_t bytes, extent *size, error *e)
{
    decoder *decode = find_decoder(data, bytes, e);
    return decode ? decode(data, bytes, NULL, size, e) : -1;
}

/* How pixels as they are stored become pixels as they are seen, by the EXIF orientation: rows may
 * run from the bottom, columns from the right, and rows may be columns. */
static bool rows_reversed(int orientation)
{
    return orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
}

static bool columns_reversed(int orientation)
{
    return orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
}

static bool transposed(int orientation)
{
    return orientation >= 5;
}

static extent seen(size_t height, size_t width, int orientation)
{
    return transposed(orientation) ? (extent){width, height, 3} : (extent){height, width, 3};
}

int decode_size(size_t height, size_t width, int orientation, bool whole, extent *size, error *e)
{
    uint64_t most = whole ? PIXELS_WHOLE : PIXELS_MOST;
    if (height == 0 || width == 0)
        return error_set(e, "%zu x %zu pixels", width, height);
    if (height > most || width > most || (uint64_t)height * width > most)
        return error_set(e, "%zu x %zu pixels; at most %llu are read%s", width, height,
                         (unsigned long long)most,
                         whole ? " of a progressive or interlaced picture or WebP" : "");
    *size = seen(height, width, orientation);
    return 0;
}

int exif_orientation(const uint8_t *tiff, size_t bytes)
{
    if (bytes < 8 || (memcmp(tiff, "II*\0", 4) != 0 && memcmp(tiff, "MM\0*", 4) != 0))
        return 1;
    bool little = tiff[0] == 'I';
#define TWO(at) (size_t)(little ? tiff[at] | tiff[(at) + 1] << 8 : tiff[at] << 8 | tiff[(at) + 1])
    size_t start = little ? TWO(4) | TWO(6) << 16 : TWO(4) << 16 | TWO(6);
    if (start > bytes - 2)
        return 1;
    size_t entries = TWO(start);
    for (size_t at = start + 2; entries > 0 && at + 12 <= bytes; entries--, at += 12)
        if (TWO(at) == 0x0112) { /* of type SHORT: the value stands in the entry */
            size_t value = TWO(at + 8);
            return value >= 1 && value <= 8 ? (int)value : 1;
        }
#undef TWO
    return 1;
}

/* ---- to the size that is wanted ---- */

typedef struct {
    sink sink;
    const picture_recipe *recipe;
    uint8_t *out, *grey;  /* out: of the size wanted; grey: a row */
    uint8_t *stored;      /* pixels before they are turned; out where they need no turning */
    extent wanted, shown; /* the recipe's size, and the part of it that has pixels */
    size_t top, left;     /* where that part stands */
    size_t width;         /* of a row as it comes */
    int orientation;
    resampler *resampler;
} fitting;

/* What a picture of that size (turned) becomes as a whole, by the recipe. */
static void fit(const picture_recipe *r, extent size, size_t *height, size_t *width)
{
    *height = r->size.height;
    *width = r->size.width;
    if (r->size.height == 0) {
        *height = size.height;
        *width = size.width;
    } else if (r->fit != FIT_STRETCH) {
        /* Edges are cut to whole pixels, as torchvision's Resize cuts the longer one. */
        bool by_height = (uint64_t)size.height * *width < (uint64_t)size.width * *height;
        if (r->fit == FIT_PAD)
            by_height = !by_height;
        size_t edge = r->fit == FIT_CROP ? r->edge : 0;
        if (edge)
            by_height = size.height <= size.width;
        double scale = by_height ? (double)(edge ? edge : *height) / (double)size.height
                                 : (double)(edge ? edge : *width) / (double)size.width;
        size_t high = (size_t)((double)size.height * scale + 1e-9);
        size_t wide = (size_t)((double)size.width * scale + 1e-9);
        *height = high > 0 ? high : 1;
        *width = wide > 0 ? wide : 1;
    }
}

static void enough(const sink *s, size_t height, size_t width, int orientation,
                   size_t *least_height, size_t *least_width)
{
    const fitting *f = (const fitting *)s;
    *least_height = height;
    *least_width = width;
    if (!f->recipe->fast)
        return;
    extent turned = seen(height, width, orientation);
    size_t high, wide;
    fit(f->recipe, turned, &high, &wide);
    *least_height = 2 * (transposed(orientation) ? wide : high);
    *least_width = 2 * (transposed(orientation) ? high : wide);
}

/* The part of the picture as it is stored that is seen as `shown` from (top, left) on, where the
 * whole is seen as full_height x full_width. */
static resample_plan plan_stored(const fitting *f, extent from, size_t full_height,
                                 size_t full_width, size_t top, size_t left)
{
    resample_plan plan = {from, full_height,     full_width,     top,
                          left, f->shown.height, f->shown.width, f->recipe->filter};
    if (transposed(f->orientation))
        plan = (resample_plan){from, full_width,     full_height,     left,
                               top,  f->shown.width, f->shown.height, f->recipe->filter};
    if (rows_reversed(f->orientation))
        plan.top = plan.full_height - plan.top - plan.height;
    if (columns_reversed(f->orientation))
        plan.left = plan.full_width - plan.left - plan.width;
    return plan;
}

static int begin(sink *s, size_t height, size_t width, int orientation, error *e)
{
    fitting *f = (fitting *)s;
    const picture_recipe *r = f->recipe;
    size_t channels = r->size.channels, full_height, full_width;
    extent turned = seen(height, width, orientation);
    if (r->exact && (turned.height != r->size.height || turned.width != r->size.width))
        return error_set(e, "%zu x %zu pixels where the first picture has %zu x %zu; give --size",
                         turned.width, turned.height, r->size.width, r->size.height);
    f->orientation = orientation;
    f->width = width;
    fit(r, turned, &full_height, &full_width);
    f->wanted = r->size.height ? r->size : (extent){full_height, full_width, channels};
    f->shown = f->wanted;
    if (f->shown.height > full_height)
        f->shown.height = full_height;
    if (f->shown.width > full_width)
        f->shown.width = full_width;
    f->top = (f->wanted.height - f->shown.height) / 2;
    f->left = (f->wanted.width - f->shown.width) / 2;
    /* The centre, halves to the even side, as torchvision's CenterCrop rounds. */
    size_t top = (size_t)lrint((double)(full_height - f->shown.height) / 2);
    size_t left = (size_t)lrint((double)(full_width - f->shown.width) / 2);
    resample_plan plan =
        plan_stored(f, (extent){height, width, channels}, full_height, full_width, top, left);
    if (f->shown.height < f->wanted.height || f->shown.width < f->wanted.width)
        memset(f->out, 0, extent_size(f->wanted));
    size_t stride = plan.width * channels;
    uint8_t *to = f->out + (f->top * f->wanted.width + f->left) * channels;
    if (orientation > 1) {
        to = f->stored = malloc(plan.height * stride);
        if (!to)
            return error_set(e, "out of memory for a picture");
    } else {
        stride = f->wanted.width * channels;
    }
    f->grey = channels == 1 ? malloc(width) : NULL;
    if (channels == 1 && !f->grey)
        return error_set(e, "out of memory for a picture of %zu columns", width);
    return resampler_new(&plan, to, stride, &f->resampler, e);
}

static void take_row(sink *s, const uint8_t *rgb)
{
    fitting *f = (fitting *)s;
    if (f->grey) {
        for (size_t x = 0; x < f->width; x++, rgb += 3)
            f->grey[x] =
                (uint8_t)((rgb[0] * 19595u + rgb[1] * 38470u + rgb[2] * 7471u + 0x8000u) >> 16);
        rgb = f->grey;
    }
    resampler_row(f->resampler, rgb);
}

/* From pixels as they are stored to pixels as they are seen. */
static void turn(const fitting *f)
{
    size_t high = f->shown.height, wide = f->shown.width, c = f->shown.channels;
    bool swap = transposed(f->orientation);
    size_t rows = swap ? wide : high, columns = swap ? high : wide;
    for (size_t y = 0; y < high; y++)
        for (size_t x = 0; x < wide; x++) {
            size_t row = swap ? x : y, column = swap ? y : x;
            row = rows_reversed(f->orientation) ? rows - 1 - row : row;
            column = columns_reversed(f->orientation) ? columns - 1 - column : column;
            memcpy(f->out + ((f->top + y) * f->wanted.width + f->left + x) * c,
                   f->stored + (row * columns + column) * c, c);
        }
}

int picture_decode(const void *data, size_t bytes, const picture_recipe *recipe, uint8_t *out,
                   error *e)
{
    fitting f = {.sink = {begin, take_row, enough}, .recipe = recipe, .out = out};
    decoder *decode = find_decoder(data, bytes, e);
    extent size;
    int status = decode ? decode(data, bytes, &f.sink, &size, e) : -1;
    if (status == 0 && f.stored)
        turn(&f);
    resampler_free(f.resampler);
    free(f.grey);
    free(f.stored);
    return status;
}
