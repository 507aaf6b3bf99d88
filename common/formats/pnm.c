/* pnm.c: PNM files, P1 to P6; see decode.h and netpbm's pbm(5), pgm(5), ppm(5). */
#include "decode.h"

#include <ctype.h>
#include <stdlib.h>

typedef struct {
    const uint8_t *at, *end;
    char kind; /* '1' to '6' */
    unsigned most;
    size_t height, width;
    unsigned left, bits; /* of a packed bitmap's byte */
} pnm;

/* The next number of the head, or of plain samples, after blanks and comments. */
static int read_number(pnm *p, unsigned long long *value, error *e)
{
    while (p->at < p->end && (isspace(*p->at) || *p->at == '#'))
        if (*p->at++ == '#')
            while (p->at < p->end && *p->at != '\n')
                p->at++;
    *value = 0;
    if (p->at == p->end || !isdigit(*p->at))
        return error_set(e, "a damaged PNM: a number is missing");
    for (; p->at < p->end && isdigit(*p->at); p->at++) {
        *value = *value * 10 + (unsigned)(*p->at - '0');
        if (*value > UINT32_MAX)
            return error_set(e, "a damaged PNM: a number is too large");
        if (p->kind == '1' && p->most)
            return p->at++, 0; /* plain bits need no blanks between them */
    }
    return 0;
}

static int read_head(pnm *p, error *e)
{
    unsigned long long width, height, most = 1;
    p->kind = (char)p->at[1];
    p->at += 2;
    if (read_number(p, &width, e) < 0 || read_number(p, &height, e) < 0)
        return -1;
    if (p->kind != '1' && p->kind != '4' && read_number(p, &most, e) < 0)
        return -1;
    if (most == 0 || most > 65535)
        return error_set(e, "a damaged PNM: samples of 0 to %llu", most);
    if (p->kind >= '4' && p->at == p->end)
        return error_set(e, "a damaged PNM: it ends after its head");
    p->at += p->kind >= '4'; /* one blank */
    p->height = height;
    p->width = width;
    p->most = (unsigned)most;
    return 0;
}

static int read_sample(pnm *p, unsigned *value, error *e)
{
    unsigned long long number;
    size_t bytes = p->most > 255 ? 2 : 1;
    if (p->kind <= '3') {
        if (read_number(p, &number, e) < 0)
            return -1;
        *value = (unsigned)number;
    } else if (p->kind == '4' && p->left) {
        *value = p->bits >> --p->left & 1;
    } else if ((size_t)(p->end - p->at) < bytes) {
        return error_set(e, "a damaged PNM: the file ends too early");
    } else if (p->kind == '4') {
        p->bits = *p->at++;
        p->left = 7;
        *value = p->bits >> 7;
    } else {
        *value = *p->at++;
        if (bytes == 2)
            *value = *value << 8 | *p->at++;
    }
    if (*value > p->most)
        return error_set(e, "a damaged PNM: a sample of %u where %u is the most", *value, p->most);
    if (p->kind == '1' || p->kind == '4')
        *value = !*value; /* 1 is black */
    return 0;
}

static int read_row(pnm *p, uint8_t *rgb, error *e)
{
    bool colour = p->kind == '3' || p->kind == '6';
    p->left = 0;
    for (size_t x = 0; x < p->width; x++, rgb += 3)
        for (size_t c = 0; c < 3; c++) {
            unsigned value = 0;
            if (c > 0 && !colour) {
                rgb[c] = rgb[0];
                continue;
            }
            if (read_sample(p, &value, e) < 0)
                return -1;
            rgb[c] = (uint8_t)((value * 255u + p->most / 2) / p->most);
        }
    return 0;
}

int decode_pnm(const uint8_t *data, size_t bytes, sink *s, extent *size, error *e)
{
    pnm p = {.at = data, .end = data + bytes};
    if (read_head(&p, e) < 0 || decode_size(p.height, p.width, 1, false, size, e) < 0)
        return -1;
    if (!s)
        return 0;
    uint8_t *row = malloc(p.width * 3);
    int status =
        row ? s->begin(s, p.height, p.width, 1, e) : error_set(e, "out of memory for a picture");
    for (size_t y = 0; status == 0 && y < p.height; y++)
        if ((status = read_row(&p, row, e)) == 0)
            s->row(s, row);
    free(row);
    return status;
}
