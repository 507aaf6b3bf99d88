/* resample.c: see resample.h. Rows arrive one by one, some are gathered, and what they weigh in
 * each wanted row is added to it. To another width go the fewer rows: those that come, where more
 * are wanted, else those that are wanted. */
#include "resample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#ifdef __x86_64__
#include <immintrin.h>
#endif

/* Weights are whole numbers of 16 bits, in units of 1 / 2^bits: as fine as the largest of them
 * allows, and no finer than 2^-22, so that sums of 255 times weights stay within 32 bits, also
 * where a cubic's weights go beyond 1 and below 0. */
enum { WEIGHT_MOST = 32767, BITS_MOST = 22 };

/* Rows gathered before they are added: more of them pass over the sums less often, and leave the
 * processor's first cache. `image-read --size 224 --threads 1` of pictures of 1024 to 4032 columns
 * takes as long with 8 as with 16 and 32, and 4 to 16 % longer with 2. */
enum { GATHERED = 8 };

enum {
    GROUP = 4,  /* weights are padded with zeros to whole groups */
    VECTOR = 32 /* bytes of a row that are added at once: rows are padded to it */
};

/* What one line of pixels is made of: place i takes count[i] pixels from first[i] on. */
typedef struct {
    size_t places, most; /* most: a multiple of GROUP */
    size_t *first, *count;
    int16_t *weight; /* [places][most], zeros behind the last */
    int bits;
} taps;

struct resampler {
    resample_plan plan;
    uint8_t *out;
    size_t stride;
    bool plain; /* nothing is resized */
    bool fast;  /* the processor has AVX2 */
    bool early; /* rows are brought to the wanted width as they come */
    taps rows, columns;
    size_t begin, bytes; /* of a row, what the wanted columns need: from byte `begin` on */
    size_t row_bytes;    /* of a row that is gathered, padded to VECTOR */
    size_t came;         /* rows */
    size_t begun;        /* wanted rows that some row has gone into; from `finished` on */
    size_t finished;     /* wanted rows written */
    size_t room;         /* rows under way at once, at most */
    uint8_t *gathered;   /* [GATHERED][row_bytes] */
    int32_t *sums;       /* [room][row_bytes], in the order in which they are added */
    uint8_t *row;        /* at the picture's own width */
};

/* ---- weights ---- */

static double triangle(double x)
{
    x = fabs(x);
    return x < 1 ? 1 - x : 0;
}

static double cubic(double x)
{
    const double a = -0.5;
    x = fabs(x);
    if (x < 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

static void taps_free(taps *t)
{
    free(t->first);
    free(t->count);
    free(t->weight);
}

/* The pixels of one place: its filter is centred on `centre` and reaches `reach` to each side. */
static void find_pixels(taps *t, size_t place, size_t from, double centre, double reach)
{
    double low = floor(centre - reach + 0.5), high = floor(centre + reach + 0.5);
    size_t first = low > 0 ? (size_t)low : 0, end = high < (double)from ? (size_t)high : from;
    t->first[place] = first;
    t->count[place] = end - first;
}

/* Their weights, in `to`; returns the largest. They add up to 1. */
static double weigh(const taps *t, size_t place, double centre, double stretch,
                    double (*filter)(double), double *to)
{
    double sum = 0, most = 0;
    for (size_t i = 0; i < t->count[place]; i++) {
        to[i] = filter(((double)(t->first[place] + i) + 0.5 - centre) / stretch);
        sum += to[i];
    }
    for (size_t i = 0; i < t->count[place]; i++) {
        to[i] /= sum;
        most = to[i] > most ? to[i] : most;
    }
    return most;
}

/* As whole numbers that add up to 2^bits exactly: what rounding takes from one, the next gets. */
static void round_weights(taps *t, size_t place, const double *weights)
{
    double sum = 0, unit = ldexp(1, t->bits);
    long before = 0;
    for (size_t i = 0; i < t->count[place]; i++) {
        sum += weights[i] * unit;
        long now = lrint(sum), weight = now - before;
        t->weight[place * t->most + i] = (int16_t)(weight > WEIGHT_MOST ? WEIGHT_MOST : weight);
        before = now;
    }
}

/* `places` of the `to` that `from` pixels become, the first of them number `skip`. */
static int taps_new(taps *t, size_t from, size_t to, size_t skip, size_t places,
                    resample_filter filter)
{
    double scale = (double)from / (double)to, stretch = scale > 1 ? scale : 1, largest = 0;
    double reach = (filter == RESAMPLE_BICUBIC ? 2 : 1) * stretch;
    double (*form)(double) = filter == RESAMPLE_BICUBIC ? cubic : triangle;
    t->places = places;
    t->most = ((size_t)ceil(2 * reach) + 1 + GROUP - 1) / GROUP * GROUP;
    t->first = malloc(places * sizeof *t->first);
    t->count = malloc(places * sizeof *t->count);
    t->weight = calloc(places * t->most, sizeof *t->weight);
    double *exact = malloc(t->most * sizeof *exact);
    if (!t->first || !t->count || !t->weight || !exact) {
        free(exact);
        return -1;
    }
    for (size_t i = 0; i < places; i++) {
        double centre = ((double)(i + skip) + 0.5) * scale;
        find_pixels(t, i, from, centre, reach);
        double most = weigh(t, i, centre, stretch, form, exact);
        largest = most > largest ? most : largest;
    }
    t->bits = (int)floor(log2(WEIGHT_MOST / largest));
    t->bits = t->bits > BITS_MOST ? BITS_MOST : t->bits;
    for (size_t i = 0; i < places; i++) {
        weigh(t, i, ((double)(i + skip) + 0.5) * scale, stretch, form, exact);
        round_weights(t, i, exact);
    }
    free(exact);
    return 0;
}

/* ---- rows ---- */

static size_t end_of(const taps *t, size_t place)
{
    return t->first[place] + t->count[place];
}

/* How many wanted rows at most get something of GATHERED rows, or of rows before them that are not
 * finished. */
static size_t rows_at_once(const taps *t)
{
    size_t most = 1;
    for (size_t from = 0, i = 0, begin = 0; from < t->places; begin += GATHERED) {
        while (i < t->places && t->first[i] < begin + GATHERED)
            i++;
        most = i - from > most ? i - from : most;
        while (from < i && end_of(t, from) <= begin + GATHERED)
            from++;
    }
    return most;
}

static int prepare(resampler *r)
{
    const resample_plan *p = &r->plan;
    size_t channels = p->from.channels;
    if (taps_new(&r->rows, p->from.height, p->full_height, p->top, p->height, p->filter) < 0 ||
        taps_new(&r->columns, p->from.width, p->full_width, p->left, p->width, p->filter) < 0)
        return -1;
    r->begin = r->columns.first[0] * channels;
    r->bytes = end_of(&r->columns, p->width - 1) * channels - r->begin;
    r->early = p->from.height < p->full_height;
    size_t gathered = r->early ? p->width * channels : r->bytes;
    r->row_bytes = (gathered + VECTOR - 1) / VECTOR * VECTOR;
    for (size_t i = p->width; i-- > 0;)
        r->columns.first[i] -= r->columns.first[0];
    r->room = rows_at_once(&r->rows);
    r->gathered = calloc(GATHERED, r->row_bytes);
    r->sums = malloc(r->room * r->row_bytes * sizeof *r->sums);
    /* The last group of weights reaches beyond the row's end, where they are zero. */
    r->row = calloc(r->bytes + r->row_bytes + (r->columns.most + GROUP) * channels + VECTOR, 1);
    return r->gathered && r->sums && r->row ? 0 : -1;
}

int resampler_new(const resample_plan *plan, uint8_t *out, size_t stride, resampler **made,
                  error *e)
{
    resampler *r = calloc(1, sizeof *r);
    if (!r)
        return error_set(e, "out of memory for a picture");
    r->plan = *plan;
    r->out = out;
    r->stride = stride;
    r->plain = plan->full_height == plan->from.height && plan->full_width == plan->from.width;
#ifdef __x86_64__
    r->fast = __builtin_cpu_supports("avx2");
#endif
    if (!r->plain && prepare(r) < 0) {
        resampler_free(r);
        return error_set(e, "out of memory for a picture of %zu columns", plan->from.width);
    }
    *made = r;
    return 0;
}

void resampler_free(resampler *r)
{
    if (!r)
        return;
    taps_free(&r->rows);
    taps_free(&r->columns);
    free(r->gathered);
    free(r->sums);
    free(r->row);
    free(r);
}

/* ---- adding rows, and narrowing them: in plain C, and in AVX2 with the same results ---- */

static inline uint8_t to_byte(int32_t sum, int bits)
{
    sum >>= bits;
    return sum < 0 ? 0 : sum > 255 ? 255 : (uint8_t)sum;
}

/* sums += what `count` gathered rows weigh. */
static void add_rows(int32_t *restrict sums, const uint8_t *rows, size_t row_bytes, size_t count,
                     const int16_t *weight)
{
    for (size_t k = 0; k < count; k++) {
        const uint8_t *restrict row = rows + k * row_bytes;
        for (size_t i = 0; i < row_bytes; i++)
            sums[i] += weight[k] * row[i];
    }
}

static void round_row(const int32_t *restrict sums, size_t row_bytes, int bits,
                      uint8_t *restrict row)
{
    for (size_t i = 0; i < row_bytes; i++)
        row[i] = to_byte(sums[i], bits);
}

static void narrow_row(const taps *t, const uint8_t *row, size_t channels, uint8_t *out)
{
    for (size_t x = 0; x < t->places; x++) {
        const int16_t *weight = t->weight + x * t->most;
        const uint8_t *at = row + t->first[x] * channels;
        const int32_t half = 1 << (t->bits - 1);
        int32_t sum[3] = {half, half, half};
        if (channels == 3)
            for (size_t i = 0; i < t->count[x]; i++, at += 3) {
                sum[0] += weight[i] * at[0];
                sum[1] += weight[i] * at[1];
                sum[2] += weight[i] * at[2];
            }
        else
            for (size_t i = 0; i < t->count[x]; i++)
                sum[0] += weight[i] * at[i];
        for (size_t c = 0; c < channels; c++)
            *out++ = to_byte(sum[c], t->bits);
    }
}

#ifdef __x86_64__
#define AVX2 __attribute__((target("avx2")))

/* Two rows at a time, 32 bytes of each: bytes beside each other, as 16 bits, by their two weights.
 * The sums' order is that in which the bytes come apart, the same in round_row_avx2. */
AVX2 static void add_rows_avx2(int32_t *sums, const uint8_t *rows, size_t row_bytes, size_t count,
                               const int16_t *weight)
{
    const __m256i zero = _mm256_setzero_si256();
    for (size_t i = 0; i < row_bytes; i += VECTOR) {
        __m256i *at = (__m256i *)(sums + i);
        __m256i s0 = _mm256_loadu_si256(at), s1 = _mm256_loadu_si256(at + 1);
        __m256i s2 = _mm256_loadu_si256(at + 2), s3 = _mm256_loadu_si256(at + 3);
        for (size_t k = 0; k < count; k += 2) {
            bool two = k + 1 < count;
            const uint8_t *row = rows + k * row_bytes + i;
            __m256i w = _mm256_set1_epi32((uint16_t)weight[k] |
                                          (two ? (int32_t)((uint32_t)weight[k + 1] << 16) : 0));
            __m256i a = _mm256_loadu_si256((const __m256i *)row);
            __m256i b = two ? _mm256_loadu_si256((const __m256i *)(row + row_bytes)) : zero;
            __m256i low = _mm256_unpacklo_epi8(a, b), high = _mm256_unpackhi_epi8(a, b);
            s0 = _mm256_add_epi32(s0, _mm256_madd_epi16(_mm256_unpacklo_epi8(low, zero), w));
            s1 = _mm256_add_epi32(s1, _mm256_madd_epi16(_mm256_unpackhi_epi8(low, zero), w));
            s2 = _mm256_add_epi32(s2, _mm256_madd_epi16(_mm256_unpacklo_epi8(high, zero), w));
            s3 = _mm256_add_epi32(s3, _mm256_madd_epi16(_mm256_unpackhi_epi8(high, zero), w));
        }
        _mm256_storeu_si256(at, s0);
        _mm256_storeu_si256(at + 1, s1);
        _mm256_storeu_si256(at + 2, s2);
        _mm256_storeu_si256(at + 3, s3);
    }
}

AVX2 static void round_row_avx2(const int32_t *sums, size_t row_bytes, int bits, uint8_t *row)
{
    const __m128i shift = _mm_cvtsi32_si128(bits);
    for (size_t i = 0; i < row_bytes; i += VECTOR) {
        const __m256i *at = (const __m256i *)(sums + i);
        __m256i low = _mm256_packs_epi32(_mm256_sra_epi32(_mm256_loadu_si256(at), shift),
                                         _mm256_sra_epi32(_mm256_loadu_si256(at + 1), shift));
        __m256i high = _mm256_packs_epi32(_mm256_sra_epi32(_mm256_loadu_si256(at + 2), shift),
                                          _mm256_sra_epi32(_mm256_loadu_si256(at + 3), shift));
        _mm256_storeu_si256((__m256i *)(row + i), _mm256_packus_epi16(low, high));
    }
}

/* Of three channels: four pixels at a time, two in each half, as r r g g b b 0 0 of 16 bits. */
AVX2 static void narrow_row_avx2(const taps *t, const uint8_t *row, uint8_t *out)
{
    const char no = -128; /* gives zero */
    const __m256i apart =
        _mm256_setr_epi8(0, no, 3, no, 1, no, 4, no, 2, no, 5, no, no, no, no, no, 6, no, 9, no, 7,
                         no, 10, no, 8, no, 11, no, no, no, no, no);
    const __m256i pairs = _mm256_setr_epi8(0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, no, no, no, no, 4, 5,
                                           6, 7, 4, 5, 6, 7, 4, 5, 6, 7, no, no, no, no);
    const __m128i half = _mm_set1_epi32(1 << (t->bits - 1)), shift = _mm_cvtsi32_si128(t->bits);
    for (size_t x = 0; x < t->places; x++, out += 3) {
        const int16_t *weight = t->weight + x * t->most;
        const uint8_t *at = row + 3 * t->first[x];
        __m256i sum = _mm256_setzero_si256();
        for (size_t i = 0; i < t->count[x]; i += GROUP, at += 3 * GROUP) {
            __m256i pixels = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)at));
            __m256i w = _mm256_broadcastq_epi64(_mm_loadl_epi64((const __m128i *)(weight + i)));
            sum = _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_shuffle_epi8(pixels, apart),
                                                          _mm256_shuffle_epi8(w, pairs)));
        }
        __m128i all = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
        all = _mm_sra_epi32(_mm_add_epi32(all, half), shift);
        all = _mm_packs_epi32(all, all);
        int rgb = _mm_cvtsi128_si32(_mm_packus_epi16(all, all));
        memcpy(out, &rgb, 3);
    }
}
#endif

/* ---- rows as they come ---- */

static void add_gathered(const resampler *r, size_t place, size_t first, size_t end)
{
    const taps *t = &r->rows;
    size_t begin = t->first[place] > first ? t->first[place] : first;
    end = end_of(t, place) < end ? end_of(t, place) : end;
    if (begin >= end)
        return;
    int32_t *sums = r->sums + place % r->room * r->row_bytes;
    const uint8_t *rows = r->gathered + (begin - first) * r->row_bytes;
    const int16_t *weight = t->weight + place * t->most + begin - t->first[place];
#ifdef __x86_64__
    if (r->fast) {
        add_rows_avx2(sums, rows, r->row_bytes, end - begin, weight);
        return;
    }
#endif
    add_rows(sums, rows, r->row_bytes, end - begin, weight);
}

/* r->row to the wanted width. */
static void to_width(const resampler *r, uint8_t *out)
{
    size_t channels = r->plan.from.channels;
#ifdef __x86_64__
    if (r->fast && channels == 3) {
        narrow_row_avx2(&r->columns, r->row, out);
        return;
    }
#endif
    narrow_row(&r->columns, r->row, channels, out);
}

static void round_sums(const resampler *r, const int32_t *sums)
{
#ifdef __x86_64__
    if (r->fast) {
        round_row_avx2(sums, r->row_bytes, r->rows.bits, r->row);
        return;
    }
#endif
    round_row(sums, r->row_bytes, r->rows.bits, r->row);
}

static void finish_row(resampler *r)
{
    uint8_t *out = r->out + r->finished * r->stride;
    round_sums(r, r->sums + r->finished % r->room * r->row_bytes);
    if (r->early)
        memcpy(out, r->row, r->plan.width * r->plan.from.channels);
    else
        to_width(r, out);
    r->finished++;
}

/* The rows gathered, [first, end) of the picture's, go into all wanted rows that they weigh in. */
static void add_to_all(resampler *r, size_t first, size_t end)
{
    const taps *t = &r->rows;
    const int32_t half = 1 << (t->bits - 1);
    for (; r->begun < t->places && t->first[r->begun] < end; r->begun++) {
        int32_t *sums = r->sums + r->begun % r->room * r->row_bytes;
        for (size_t i = 0; i < r->row_bytes; i += VECTOR)
            for (size_t k = 0; k < VECTOR; k++)
                sums[i + k] = half;
    }
    for (size_t i = r->finished; i < r->begun; i++)
        add_gathered(r, i, first, end);
    while (r->finished < r->begun && end_of(t, r->finished) <= end)
        finish_row(r);
}

static void plain_row(resampler *r, const uint8_t *row)
{
    const resample_plan *p = &r->plan;
    if (r->came >= p->top && r->finished < p->height) {
        memcpy(r->out + r->finished * r->stride, row + p->left * p->from.channels,
               p->width * p->from.channels);
        r->finished++;
    }
    r->came++;
}

void resampler_row(resampler *r, const uint8_t *row)
{
    if (r->plain) {
        plain_row(r, row);
        return;
    }
    size_t place = r->came++ % GATHERED;
    uint8_t *gathered = r->gathered + place * r->row_bytes;
    memcpy(r->early ? r->row : gathered, row + r->begin, r->bytes);
    if (r->early)
        to_width(r, gathered);
    if (place + 1 == GATHERED || r->came == r->plan.from.height)
        add_to_all(r, r->came - place - 1, r->came);
}
