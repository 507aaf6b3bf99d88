/* html_report.c: see html_report.h. */
#include "html_report.h"

#include "../../common/base/text.h"
#include "probability.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum {
    MISTAKES = 24,
    PICTURE_MOST = 128,   /* pixels a side of a mistake's picture */
    CONFUSION_MOST = 100, /* classes of a matrix that a page can show */
    PATH_BYTES = 256
};

typedef struct {
    double probability; /* of the prediction; NaN where there are no scores */
    int32_t label, prediction;
    extent size; /* of its picture; no channels: none */
    uint8_t *pixels;
    char path[PATH_BYTES];
} mistake;

struct html_report {
    size_t classes, count;
    uint64_t mistakes;
    mistake worst[MISTAKES]; /* the surest first */
};

int html_report_new(size_t classes, html_report **out, error *e)
{
    html_report *r = calloc(1, sizeof *r);
    if (!r)
        return error_set(e, "out of memory");
    r->classes = classes;
    *out = r;
    return 0;
}

void html_report_free(html_report *r)
{
    for (size_t i = 0; r && i < r->count; i++)
        free(r->worst[i].pixels);
    free(r);
}

/* ---- rows ---- */

/* The mean of channel c over a block of pixels at (top, left), as far as it is in the picture. */
static uint8_t block_mean(const uint8_t *pixels, extent x, size_t top, size_t left, size_t step,
                          size_t c)
{
    size_t sum = 0, count = 0;
    for (size_t i = top; i < top + step && i < x.height; i++)
        for (size_t j = left; j < left + step && j < x.width; j++, count++)
            sum += pixels[(i * x.width + j) * x.channels + c];
    return (uint8_t)((sum + count / 2) / count);
}

/* In whole blocks, so that no side is longer than PICTURE_MOST. */
static int take_picture(const tensor *image, size_t row, mistake *m, error *e)
{
    extent x = {image->shape[1], image->shape[2], image->shape[3]};
    size_t longer = x.height > x.width ? x.height : x.width;
    size_t step = (longer + PICTURE_MOST - 1) / PICTURE_MOST;
    m->size = (extent){(x.height + step - 1) / step, (x.width + step - 1) / step, x.channels};
    uint8_t *to = m->pixels = malloc(extent_size(m->size));
    if (!to)
        return error_set(e, "out of memory for a picture");
    const uint8_t *from = (const uint8_t *)image->data + row * extent_size(x);
    for (size_t i = 0; i < x.height; i += step)
        for (size_t j = 0; j < x.width; j += step)
            for (size_t c = 0; c < x.channels; c++)
                *to++ = block_mean(from, x, i, j, step, c);
    return 0;
}

/* The file and the folder that it is in. */
static void take_path(const tensor *path, size_t row, mistake *m)
{
    const char *text = (const char *)path->data + row * path->shape[1], *from = text + strlen(text);
    for (int slashes = 0; from > text; from--)
        if (from[-1] == '/' && ++slashes == 2)
            break;
    text_visible(from, m->path, sizeof m->path);
}

static int keep_mistake(html_report *r, batch *b, size_t row, mistake m, error *e)
{
    size_t at = r->count;
    while (at > 0 && m.probability > r->worst[at - 1].probability)
        at--;
    if (at == MISTAKES)
        return 0;
    const tensor *image = batch_find(b, "image"), *path = batch_find(b, "path");
    if (path && path->type == TYPE_TEXT)
        take_path(path, row, &m);
    if (image && image->type == TYPE_U8 && image->rank == 4 &&
        (image->shape[3] == 1 || image->shape[3] == 3) && take_picture(image, row, &m, e) < 0)
        return -1;
    if (r->count == MISTAKES)
        free(r->worst[--r->count].pixels);
    memmove(&r->worst[at + 1], &r->worst[at], (r->count - at) * sizeof m);
    r->worst[at] = m;
    r->count++;
    return 0;
}

int html_report_add(html_report *r, batch *b, const int32_t *labels, const int32_t *predictions,
                    const float *scores, error *e)
{
    for (size_t row = 0; row < b->rows; row++) {
        if ((size_t)labels[row] >= r->classes || predictions[row] == labels[row])
            continue;
        mistake m = {.label = labels[row], .prediction = predictions[row], .probability = NAN};
        if (scores)
            m.probability = row_probability(scores + row * r->classes, r->classes);
        r->mistakes++;
        if (keep_mistake(r, b, row, m, e) < 0)
            return -1;
    }
    return 0;
}

/* ---- HTML ---- */

/* What goes out; the first failure stays in e. */
typedef struct {
    output *out;
    error *e;
    int status;
} page;

#define SAY(p, ...)                                                                                \
    ((p)->status = (p)->status < 0 ? -1 : output_printf((p)->out, (p)->e, __VA_ARGS__))

/* A text from a file: nothing in it is taken for HTML. */
static void say_text(page *p, const char *text)
{
    char visible[4096];
    for (const char *at = text_visible(text, visible, sizeof visible); *at; at++)
        switch (*at) {
        case '<':
            SAY(p, "&lt;");
            break;
        case '>':
            SAY(p, "&gt;");
            break;
        case '&':
            SAY(p, "&amp;");
            break;
        case '"':
            SAY(p, "&quot;");
            break;
        default:
            SAY(p, "%c", *at);
        }
}

static void say_base64(page *p, const uint8_t *data, size_t bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < bytes; i += 3) {
        size_t left = bytes - i;
        uint32_t three = (uint32_t)data[i] << 16 | (left > 1 ? (uint32_t)data[i + 1] << 8 : 0) |
                         (left > 2 ? data[i + 2] : 0);
        SAY(p, "%c%c%c%c", digits[three >> 18], digits[three >> 12 & 63],
            left > 1 ? digits[three >> 6 & 63] : '=', left > 2 ? digits[three & 63] : '=');
    }
}

/* ---- pictures, as PNG by zlib alone: score asks for no library of pictures ---- */

static uint8_t *put_big_endian(uint8_t *to, size_t value)
{
    for (int shift = 24; shift >= 0; shift -= 8)
        *to++ = (uint8_t)(value >> shift);
    return to;
}

/* A chunk around data that stands at to + 8 already. */
static uint8_t *put_chunk(uint8_t *to, const char *type, size_t bytes)
{
    memcpy(put_big_endian(to, bytes), type, 4);
    return put_big_endian(to + 8 + bytes, crc32(0, to + 4, (uInt)bytes + 4));
}

/* NULL without memory. */
static uint8_t *make_png(const mistake *m, size_t *bytes)
{
    size_t row = m->size.width * m->size.channels, all = m->size.height * (row + 1);
    uLongf packed = compressBound(all);
    uint8_t *lines = malloc(all), *file = malloc(packed + 100), *to = file;
    for (size_t i = 0; lines && i < m->size.height; i++) {
        lines[i * (row + 1)] = 0; /* no filter */
        memcpy(lines + i * (row + 1) + 1, m->pixels + i * row, row);
    }
    if (lines && file) {
        memcpy(to, "\x89PNG\r\n\x1a\n", 8);
        uint8_t *head = put_big_endian(put_big_endian(to + 16, m->size.width), m->size.height);
        const uint8_t kind[5] = {8, m->size.channels == 3 ? 2 : 0, 0, 0, 0}; /* 8 bits */
        memcpy(head, kind, sizeof kind);
        to = put_chunk(to + 8, "IHDR", 13);
        if (compress2(to + 8, &packed, lines, all, 9) != Z_OK)
            packed = 0;
        to = put_chunk(put_chunk(to, "IDAT", packed), "IEND", 0);
        *bytes = (size_t)(to - file);
    } else {
        free(file);
        file = NULL;
    }
    free(lines);
    return file;
}

/* ---- parts of the page ---- */

static const char style[] =
    ":root{color-scheme:light dark;--ink:#1c1c1c;--soft:#666;--line:#ddd;--back:#fff;"
    "--good:#0d7333;--bad:#c71a1a;--bar:#4a7ab5}"
    "@media(prefers-color-scheme:dark){:root{--ink:#e8e8e8;--soft:#aaa;--line:#444;--back:#181818;"
    "--good:#4cc47a;--bad:#ff7b72;--bar:#7aa8e0}}"
    "body{font:16px/1.45 system-ui,sans-serif;color:var(--ink);background:var(--back);"
    "max-width:72rem;margin:0 auto;padding:1rem}"
    "h1{font-size:1.5rem}h2{font-size:1.2rem;margin-top:2rem}"
    ".figures{display:grid;grid-template-columns:repeat(auto-fill,minmax(8.5rem,1fr));gap:.6rem}"
    ".figures div{border:1px solid var(--line);border-radius:.4rem;padding:.5rem .7rem}"
    ".figures b{display:block;font-size:1.4rem;font-weight:600}.soft{color:var(--soft)}"
    ".wide{overflow-x:auto}table{border-collapse:collapse}"
    "td,th{padding:.15rem .5rem;text-align:left;font-weight:400;white-space:nowrap}"
    "td.n{text-align:right;font-variant-numeric:tabular-nums}"
    ".bar{display:inline-block;height:.7rem;background:var(--bar);vertical-align:middle}"
    ".track{width:12rem;max-width:30vw;background:var(--line);line-height:.7rem}"
    ".confusion td{min-width:1.6rem;text-align:center;padding:.1rem .25rem;font-size:.8rem;"
    "border:1px solid var(--line)}"
    ".confusion th{font-size:.8rem}.confusion th.up{writing-mode:vertical-rl;"
    "transform:rotate(180deg);padding:.3rem 0;vertical-align:bottom}"
    ".mistakes{display:grid;grid-template-columns:repeat(auto-fill,minmax(8.5rem,1fr));gap:.8rem}"
    ".mistakes figure{margin:0;text-align:center;overflow-wrap:anywhere;font-size:.9rem}"
    ".mistakes img{width:8rem;height:8rem;object-fit:contain;image-rendering:pixelated}"
    ".bad{color:var(--bad)}svg{max-width:100%;height:auto}"
    "svg text{fill:var(--soft);font-size:12px}";

static void say_figure(page *p, const char *name, double value, const char *format)
{
    if (isnan(value))
        return;
    SAY(p, "<div><b>");
    SAY(p, format, value);
    SAY(p, "</b><span class=soft>%s</span></div>\n", name);
}

static void say_figures(page *p, const tally *t)
{
    tally_figures f = tally_get(t);
    SAY(p, "<div class=figures>\n");
    say_figure(p, "accuracy", f.all, "%.3f");
    say_figure(p, "base classes", f.base, "%.3f");
    say_figure(p, "novel classes", f.novel, "%.3f");
    say_figure(p, "harmonic mean", f.harmonic_mean, "%.3f");
    say_figure(p, "among the best five", f.top5, "%.3f");
    say_figure(p, "macro F1", f.macro_f1, "%.3f");
    say_figure(p, "loss, nats", f.loss, "%.3f");
    say_figure(p, "calibration error", f.calibration_error, "%.3f");
    say_figure(p, "AUROC, unknown rows", f.auroc, "%.4f");
    say_figure(p, "rows", (double)f.rows, "%.0f");
    if (f.unknown_rows > 0)
        say_figure(p, "of classes not known", (double)f.unknown_rows, "%.0f");
    if (f.rejected > 0)
        say_figure(p, "rejected", (double)f.rejected, "%.0f");
    SAY(p, "</div>\n");
}

static void say_classes(page *p, const tally *t, const class_kind *kinds, char *const *names)
{
    SAY(p, "<h2>Classes</h2>\n<div class=wide><table>\n<tr class=soft><th>class<th>kind<th>rows"
           "<th>right<th></tr>\n");
    for (size_t c = 0; c < tally_classes(t); c++) {
        double rows = (double)tally_class_rows(t, c), hits = (double)tally_class_hits(t, c);
        SAY(p, "<tr><td>");
        say_text(p, names[c]);
        SAY(p, "<td class=soft>%s<td class=n>%.0f", class_kind_name(kinds[c]), rows);
        if (rows > 0)
            SAY(p,
                "<td class=n>%.3f<td><div class=track><span class=bar style='width:%.1f%%'></span>"
                "</div></tr>\n",
                hits / rows, 100 * hits / rows);
        else
            SAY(p, "<td class=n>-<td></tr>\n");
    }
    SAY(p, "</table></div>\n");
}

static void say_confusion_row(page *p, const tally *t, size_t label, char *const *names)
{
    double rows = (double)tally_class_rows(t, label);
    SAY(p, "<tr><th>");
    say_text(p, names[label]);
    for (size_t c = 0; c < tally_classes(t); c++) {
        double share = rows > 0 ? (double)tally_confusion(t, label, c) / rows : 0;
        if (share > 0)
            SAY(p, "<td style='background:color-mix(in srgb,var(--%s) %.0f%%,transparent)'>%.0f",
                c == label ? "good" : "bad", 10 + 60 * share, share * rows);
        else
            SAY(p, "<td>");
    }
    SAY(p, "</tr>\n");
}

static void say_confusion(page *p, const tally *t, char *const *names)
{
    size_t classes = tally_classes(t);
    if (!tally_has_confusion(t) || classes > CONFUSION_MOST)
        return;
    SAY(p, "<h2>Confusion</h2>\n<p class=soft>Rows: the class. Columns: the prediction.</p>\n"
           "<div class=wide><table class=confusion>\n<tr><th>");
    for (size_t c = 0; c < classes; c++) {
        SAY(p, "<th class=up>");
        say_text(p, names[c]);
    }
    SAY(p, "</tr>\n");
    for (size_t label = 0; label < classes; label++)
        if (tally_class_rows(t, label) > 0)
            say_confusion_row(p, t, label, names);
    SAY(p, "</table></div>\n");
}

/* 300 x 300 units, the origin at (60, 310). */
static void say_calibration(page *p, const tally *t)
{
    const calibration_bin *bins = tally_calibration(t);
    double rows = 0;
    for (size_t i = 0; i < CALIBRATION_BINS; i++)
        rows += (double)bins[i].rows;
    if (rows == 0)
        return;
    SAY(p,
        "<h2>Calibration</h2>\n<p class=soft>How many predictions are right, by how sure they are; "
        "on the line they are as often right as they say. A point's area is its share of the "
        "rows.</p>\n"
        "<svg viewBox='0 0 380 350' width=380 role=img aria-label='calibration curve'>"
        "<rect x=60 y=10 width=300 height=300 fill=none stroke='var(--line)'/>"
        "<line x1=60 y1=310 x2=360 y2=10 stroke='var(--soft)' stroke-dasharray=4 />");
    for (int i = 0; i <= 4; i++)
        SAY(p,
            "<text x=54 y=%d text-anchor=end>%.2f</text><text x=%d y=326 "
            "text-anchor=middle>%.2f</text>",
            314 - 75 * i, i / 4.0, 60 + 75 * i, i / 4.0);
    SAY(p, "<text x=210 y=344 text-anchor=middle>probability</text>"
           "<text transform='translate(12 160) rotate(-90)' text-anchor=middle>right</text>");
    for (size_t i = 0; i < CALIBRATION_BINS; i++) {
        const calibration_bin *b = &bins[i];
        if (b->rows == 0)
            continue;
        double n = (double)b->rows, share = (double)b->hits / n;
        SAY(p,
            "<circle cx=%.1f cy=%.1f r=%.1f fill='var(--bar)' fill-opacity=.8><title>%.0f rows: "
            "probability %.3f, right %.3f</title></circle>",
            60 + 300 * b->sum / n, 310 - 300 * share, 2 + 22 * sqrt(n / rows), n, b->sum / n,
            share);
    }
    SAY(p, "</svg>\n");
}

static void say_mistake(page *p, const mistake *m, char *const *names)
{
    size_t bytes = 0;
    uint8_t *png = m->size.channels ? make_png(m, &bytes) : NULL;
    if (m->size.channels && !png)
        p->status = error_set(p->e, "out of memory for a picture of the page");
    SAY(p, "<figure>");
    if (png) {
        SAY(p, "<img alt='' src='data:image/png;base64,");
        say_base64(p, png, bytes);
        SAY(p, "'>");
    }
    free(png);
    SAY(p, "<figcaption>");
    say_text(p, names[m->label]);
    SAY(p, "<br><span class=bad>\u2717 ");
    say_text(p, m->prediction < 0 ? "(unknown)" : names[m->prediction]);
    if (!isnan(m->probability))
        SAY(p, " %.2f", m->probability);
    SAY(p, "</span>");
    if (*m->path) {
        SAY(p, "<br><span class=soft>");
        say_text(p, m->path);
        SAY(p, "</span>");
    }
    SAY(p, "</figcaption></figure>\n");
}

int html_report_write(const html_report *r, const tally *t, const class_kind *kinds,
                      char *const *names, output *out, error *e)
{
    page p = {out, e, 0};
    SAY(&p,
        "<!DOCTYPE html>\n<html lang=en><head><meta charset=utf-8>\n"
        "<meta name=viewport content='width=device-width,initial-scale=1'>\n"
        "<title>score: %.3f</title>\n<style>%s</style></head><body>\n<h1>Score</h1>\n",
        tally_get(t).all, style);
    say_figures(&p, t);
    if (r->count > 0)
        SAY(&p,
            "<h2>Mistakes</h2>\n<p class=soft>The %s %zu of %llu: the class, and what it was taken "
            "for.</p>\n<div class=mistakes>\n",
            isnan(r->worst[0].probability) ? "first" : "surest", r->count,
            (unsigned long long)r->mistakes);
    for (size_t i = 0; i < r->count; i++)
        say_mistake(&p, &r->worst[i], names);
    SAY(&p, r->count > 0 ? "</div>\n" : "");
    say_calibration(&p, t);
    say_classes(&p, t, kinds, names);
    say_confusion(&p, t, names);
    SAY(&p, "</body></html>\n");
    return p.status;
}
