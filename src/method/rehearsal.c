#include "rehearsal.h"

#include "class_sample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NOVEL_ROWS 2000 /* taken of all novel classes together, about */
#define PLAYS 24
#define DRAWS 3 /* of a class that is played, at most */

void rehearsal_free(rehearsal *r)
{
    free(r->embeddings);
    free(r->class_of);
    free(r->shots);
    free(r->is_base);
    free(r->plays);
    *r = (rehearsal){0};
}

static double count_of(const model *m, const char *name, size_t class_index)
{
    const tensor *t = model_find(m, name);
    return t ? ((const double *)t->data)[class_index] : 0;
}

/* The sample that a class's rows are taken from. */
static const tensor *sample_of(const model *m, size_t class_index)
{
    const tensor *own = model_find(m, "statistics/sample"), *added = model_find(m, "imprint/sample");
    if (m->kinds[class_index] == CLASS_BASE && own && class_sample_rows(own, class_index) > 0)
        return own;
    return added;
}

static size_t rows_of(const model *m, size_t class_index, size_t novel_most)
{
    const tensor *t = sample_of(m, class_index);
    size_t rows = t ? class_sample_rows(t, class_index) : 0;
    return m->kinds[class_index] == CLASS_NOVEL && rows > novel_most ? novel_most : rows;
}

static void take_rows(rehearsal *r, const model *m, class_kind kind, size_t novel_most)
{
    for (size_t c = 0; c < r->classes; c++) {
        if (m->kinds[c] != kind)
            continue;
        size_t rows = rows_of(m, c, novel_most);
        if (rows == 0)
            continue;
        const tensor *t = sample_of(m, c);
        memcpy(r->embeddings + r->rows * r->dimension,
               (const float *)t->data + c * t->shape[1] * r->dimension,
               rows * r->dimension * sizeof *r->embeddings);
        for (size_t i = 0; i < rows; i++)
            r->class_of[r->rows + i] = c;
        r->rows += rows;
    }
}

/* Rows [first, first + count) of the base rows are those of the class. */
static size_t base_span(const rehearsal *r, size_t class_index, size_t *first)
{
    size_t count = 0;
    *first = 0;
    for (size_t i = 0; i < r->base_rows; i++) {
        if (r->class_of[i] == class_index && count++ == 0)
            *first = i;
    }
    return count;
}

/* The shots of the n-th novel class, around and around. */
static double shots_of_novel(const rehearsal *r, size_t n)
{
    size_t count = 0;
    for (size_t c = 0; c < r->classes; c++)
        count += !r->is_base[c] && r->shots[c] > 0;
    if (count == 0)
        return 0;
    n %= count;
    for (size_t c = 0; c < r->classes; c++)
        if (!r->is_base[c] && r->shots[c] > 0 && n-- == 0)
            return r->shots[c];
    return 0;
}

/* One play of the class: a part of its rows, another for each draw, half of them at most. False where the class
 * has too few rows, or there is nothing to play for. */
static bool add_play(rehearsal *r, size_t class_index, size_t draw)
{
    size_t first, count = base_span(r, class_index, &first);
    double shots = shots_of_novel(r, r->play_count);
    if (count < 2 || shots < 1)
        return false;
    size_t taken = shots < (double)(count / 2) ? (size_t)shots : count / 2;
    size_t offset = draw % DRAWS * (count - taken) / (DRAWS - 1);
    r->plays[r->play_count] = (play){class_index, first + offset, taken, shots, r->play_count};
    r->play_count++;
    return true;
}

static void add_pair(rehearsal *r, size_t first, size_t second, size_t draw)
{
    size_t one = r->play_count;
    if (!add_play(r, first, draw))
        return;
    if (!add_play(r, second, draw)) {
        r->play_count = one;
        return;
    }
    r->plays[one].mate = one + 1;
    r->plays[one + 1].mate = one;
}

/* The base classes with rows enough to be played, into out [classes]; returns their number. */
static size_t players(const rehearsal *r, size_t *out)
{
    size_t count = 0, first;
    for (size_t c = 0; c < r->classes; c++)
        if (r->is_base[c] && base_span(r, c, &first) >= 2)
            out[count++] = c;
    return count;
}

/* Each class with the next one, then with the one after that, and so on. */
static int make_plays(rehearsal *r, error *e)
{
    size_t *who = malloc((r->classes + 1) * sizeof *who), novel = 0;
    if (!who)
        return error_set(e, "out of memory");
    size_t count = r->base_classes < 2 ? 0 : players(r, who);
    for (size_t c = 0; c < r->classes; c++)
        novel += !r->is_base[c];
    bool pairs = novel > 1 && count > 1 && r->base_classes > 2;
    for (size_t draw = 0; draw < DRAWS; draw++)
        for (size_t i = 0; i < count && r->play_count + 1 + pairs <= PLAYS; i++) {
            size_t other = (i + 1 + draw % (count - pairs)) % count;
            if (!pairs)
                add_play(r, who[i], draw);
            else if (other != i)
                add_pair(r, who[i], who[other], draw);
        }
    free(who);
    return 0;
}

int rehearsal_new(const model *m, rehearsal *out, error *e)
{
    size_t classes = m->classes.count, novel = 0, rows = 0;
    rehearsal r = {.dimension = m->net.dimension, .classes = classes};
    r.shots = calloc(classes, sizeof *r.shots);
    r.is_base = calloc(classes, sizeof *r.is_base);
    r.plays = calloc(PLAYS, sizeof *r.plays);
    for (size_t c = 0; r.shots && r.is_base && c < classes; c++) {
        r.shots[c] = count_of(m, "imprint/count", c);
        r.is_base[c] = m->kinds[c] == CLASS_BASE || r.shots[c] == 0;
        r.base_classes += r.is_base[c];
        novel += !r.is_base[c];
    }
    size_t novel_most = NOVEL_ROWS / (novel ? novel : 1);
    novel_most = novel_most < 4 ? 4 : novel_most;
    for (size_t c = 0; c < classes; c++)
        rows += rows_of(m, c, novel_most);
    r.embeddings = malloc((rows * r.dimension + 1) * sizeof *r.embeddings);
    r.class_of = malloc((rows + 1) * sizeof *r.class_of);
    if (!r.shots || !r.is_base || !r.plays || !r.embeddings || !r.class_of) {
        rehearsal_free(&r);
        return error_set(e, "out of memory for a calibration of %zu rows", rows);
    }
    take_rows(&r, m, CLASS_BASE, novel_most);
    r.base_rows = r.rows;
    take_rows(&r, m, CLASS_NOVEL, novel_most);
    if (make_plays(&r, e) < 0) {
        rehearsal_free(&r);
        return -1;
    }
    *out = r;
    return 0;
}

static void add_mean(const float *rows, size_t count, size_t width, double *mean)
{
    memset(mean, 0, width * sizeof *mean);
    for (size_t i = 0; i < count; i++)
        for (size_t d = 0; d < width; d++)
            mean[d] += rows[i * width + d];
    for (size_t d = 0; d < width; d++)
        mean[d] /= (double)count;
}

void rehearsal_play_mean(const rehearsal *r, const play *p, const float *rows, size_t width, double *mean)
{
    size_t first, count = base_span(r, p->class_index, &first);
    add_mean(rows + p->first * width, p->taken, width, mean);
    double *whole = p->shots > (double)p->taken ? malloc(width * sizeof *whole) : NULL;
    if (!whole)
        return;
    /* The mean of n rows is off by 1 / sqrt(n). */
    double off = sqrt((double)p->taken / p->shots);
    add_mean(rows + first * width, count, width, whole);
    for (size_t d = 0; d < width; d++)
        mean[d] = whole[d] + off * (mean[d] - whole[d]);
    free(whole);
}

/* ---- judging ------------------------------------------------------------------------------------------- */

/* The best score of a row among the classes of a kind, two left out; the first of equals. */
static size_t best_of(const rehearsal *r, const float *scores, bool base, size_t without, size_t nor)
{
    size_t best = SIZE_MAX;
    for (size_t c = 0; c < r->classes; c++)
        if (r->is_base[c] == base && c != without && c != nor && (best == SIZE_MAX || scores[c] > scores[best]))
            best = c;
    return best;
}

static int judge_rows(const rehearsal *r, const float *scores, contest *out, error *e)
{
    for (size_t i = 0; i < r->rows; i++) {
        const float *row = scores + i * r->classes;
        size_t own = r->class_of[i], base = best_of(r, row, true, SIZE_MAX, SIZE_MAX);
        size_t novel = best_of(r, row, false, SIZE_MAX, SIZE_MAX);
        if (base == SIZE_MAX || novel == SIZE_MAX || (!r->is_base[own] && r->shots[own] < 2))
            continue;
        contestant found = {.difference = (double)row[base] - row[novel],
                            .novel = !r->is_base[own],
                            .right = own == (r->is_base[own] ? base : novel)};
        if (contest_add(out, found, e) < 0)
            return -1;
    }
    return 0;
}

/* Whether the row is one that the play's mean was made of. */
static bool was_taken(const play *p, size_t row)
{
    return row >= p->first && row < p->first + p->taken;
}

/* One play and its mate, played [play_count][base_rows]. */
static int judge_play(const rehearsal *r, size_t k, const float *scores, const float *played, contest *out,
                      error *e)
{
    const play *p = &r->plays[k], *mate = &r->plays[p->mate];
    for (size_t i = 0; i < r->base_rows; i++) {
        if (was_taken(p, i) || was_taken(mate, i))
            continue;
        const float *row = scores + i * r->classes;
        float one = played[k * r->base_rows + i], other = played[p->mate * r->base_rows + i];
        size_t own = r->class_of[i], base = best_of(r, row, true, p->class_index, mate->class_index);
        bool novel = own == p->class_index || own == mate->class_index;
        bool won = own == p->class_index ? one >= other : other >= one;
        contestant found = {.difference = (double)row[base] - (one > other ? one : other),
                            .play = k + 1,
                            .novel = novel,
                            .right = novel ? won : base == own};
        if (contest_add(out, found, e) < 0)
            return -1;
    }
    return 0;
}

int rehearsal_contest(const rehearsal *r, const float *scores, const float *played, contest *out, error *e)
{
    if (judge_rows(r, scores, out, e) < 0)
        return -1;
    for (size_t k = 0; k < r->play_count; k++)
        if (r->plays[k].mate >= k && judge_play(r, k, scores, played, out, e) < 0)
            return -1;
    return 0;
}

double rehearsal_accuracy(const rehearsal *r, const float *scores)
{
    size_t right = 0, count = 0;
    for (size_t i = 0; i < r->rows; i++) {
        if (r->shots[r->class_of[i]] < 2)
            continue;
        size_t best = 0;
        for (size_t c = 1; c < r->classes; c++)
            if (scores[i * r->classes + c] > scores[i * r->classes + best])
                best = c;
        count++;
        right += best == r->class_of[i];
    }
    return count ? (double)right / (double)count : 0;
}
