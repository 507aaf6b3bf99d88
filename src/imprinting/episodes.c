#include "episodes.h"

#include "exemplars.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BASE_ROWS 1200  /* taken of all base classes together, about, */
#define NOVEL_ROWS 1000 /* and of all novel ones; */
#define NOVEL_LEAST 300 /* but no fewer than so many where there are */
#define SCORES 300000   /* so many classes that their scores would pass this */
#define PLAYS 24        /* at most, in all episodes, */
#define EPISODES 8      /* of which there are no more than this */
#define DRAWS 3         /* of a class that is played, at most */
#define TOGETHER REHEARSAL_TOGETHER

void rehearsal_free(rehearsal *r)
{
    free(r->embeddings);
    free(r->class_of);
    free(r->shots);
    free(r->is_base);
    free(r->plays);
    free(r->episodes);
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
    const tensor *own = model_find(m, "statistics/sample"),
                 *added = model_find(m, "imprint/sample");
    if (m->kinds[class_index] == CLASS_BASE && own && class_sample_rows(own, class_index) > 0)
        return own;
    return added;
}

/* How many rows each class of a kind gives: the same number of all, or where there are more classes
 * than rows to take, one of each of some classes. */
typedef struct {
    size_t most, step; /* of every step-th class */
} share;

static share share_of(size_t classes, size_t rows)
{
    return classes <= rows ? (share){classes ? rows / classes : rows, 1}
                           : (share){1, (classes + rows - 1) / rows};
}

/* The number of rows that the place-th class of its kind gives. */
static size_t rows_of(const model *m, size_t class_index, share s, size_t place)
{
    const tensor *t = sample_of(m, class_index);
    size_t rows = t && place % s.step == 0 ? class_sample_rows(t, class_index) : 0;
    return rows > s.most ? s.most : rows;
}

static void take_rows(rehearsal *r, const model *m, class_kind kind, share s)
{
    for (size_t c = 0, place = 0; c < r->classes; c++) {
        if (m->kinds[c] != kind)
            continue;
        size_t rows = rows_of(m, c, s, place++);
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

/* Adds the class to the last episode: a part of its rows, another for each draw, half of them at
 * most. Not where it is there already or has too few rows, or there is nothing to play for. */
static void add_play(rehearsal *r, size_t class_index, size_t draw)
{
    size_t first, count = base_span(r, class_index, &first);
    episode *last = &r->episodes[r->episode_count];
    double shots = shots_of_novel(r, r->play_count);
    if (count < 2 || shots < 1)
        return;
    for (size_t k = last->first; k < last->first + last->count; k++)
        if (r->plays[k].class_index == class_index)
            return;
    size_t taken = shots < (double)(count / 2) ? (size_t)shots : count / 2;
    size_t offset = draw % DRAWS * (count - taken) / (DRAWS - 1);
    r->plays[r->play_count++] = (play){class_index, first + offset, taken, shots};
    last->count++;
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

/* Each class with those after it, then with every second one after it, and so on. */
static int make_episodes(rehearsal *r, error *e)
{
    size_t *who = malloc((r->classes + 1) * sizeof *who);
    if (!who)
        return error_set(e, "out of memory");
    size_t count = r->base_classes < 2 ? 0 : players(r, who), novel = r->classes - r->base_classes;
    size_t together = novel < r->base_classes / 3 ? novel : r->base_classes / 3;
    together = together < 1 ? 1 : together > TOGETHER ? TOGETHER : together;
    for (size_t draw = 0; novel > 0 && draw < DRAWS; draw++)
        for (size_t i = 0; i < count && r->play_count + together <= PLAYS &&
                                   r->episode_count<EPISODES; i += together> 2
                               ? together
                               : 1) {
            r->episodes[r->episode_count] = (episode){r->play_count, 0};
            for (size_t k = 0; k < together; k++)
                add_play(r, who[(i + k * (1 + draw)) % count], draw);
            r->episode_count += r->episodes[r->episode_count].count > 0;
        }
    free(who);
    return 0;
}

static size_t novel_rows(size_t classes)
{
    size_t rows = SCORES / classes;
    return rows > NOVEL_ROWS ? NOVEL_ROWS : rows < NOVEL_LEAST ? NOVEL_LEAST : rows;
}

int rehearsal_new(const model *m, rehearsal *out, error *e)
{
    size_t classes = m->classes.count, of_kind[2] = {0};
    rehearsal r = {.dimension = m->net.dimension, .classes = classes};
    const char *word = model_get_text(m, "imprint/balance");
    if (word && balance_parse(word, &r.how) < 0)
        return error_set(
            e, "the model's note imprint/balance is '%.40s', and not harmonic, all or base:SHARE",
            word);
    r.shots = calloc(classes, sizeof *r.shots);
    r.is_base = calloc(classes, sizeof *r.is_base);
    r.plays = calloc(PLAYS, sizeof *r.plays);
    r.episodes = calloc(PLAYS, sizeof *r.episodes);
    for (size_t c = 0; r.shots && r.is_base && c < classes; c++) {
        r.shots[c] = count_of(m, "imprint/count", c);
        r.is_base[c] = m->kinds[c] == CLASS_BASE || r.shots[c] == 0;
        r.base_classes += r.is_base[c];
        of_kind[m->kinds[c]]++;
    }
    share base = share_of(of_kind[CLASS_BASE], BASE_ROWS),
          novel = share_of(of_kind[CLASS_NOVEL], novel_rows(classes));
    r.embeddings = malloc(((BASE_ROWS + NOVEL_ROWS) * r.dimension + 1) * sizeof *r.embeddings);
    r.class_of = malloc((BASE_ROWS + NOVEL_ROWS + 1) * sizeof *r.class_of);
    if (!r.shots || !r.is_base || !r.plays || !r.episodes || !r.embeddings || !r.class_of) {
        rehearsal_free(&r);
        return error_set(e, "out of memory for a calibration of %d rows", BASE_ROWS + NOVEL_ROWS);
    }
    take_rows(&r, m, CLASS_BASE, base);
    r.base_rows = r.rows;
    r.trained = model_find(m, "statistics/sample") != NULL;
    take_rows(&r, m, CLASS_NOVEL, novel);
    if (make_episodes(&r, e) < 0) {
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

int rehearsal_play_mean(const rehearsal *r, const play *p, const float *rows, size_t width,
                        double *mean, error *e)
{
    size_t first, count = base_span(r, p->class_index, &first);
    add_mean(rows + p->first * width, p->taken, width, mean);
    if (p->shots <= (double)p->taken)
        return 0;
    double *whole = malloc(width * sizeof *whole);
    if (!whole)
        return error_set(e, "out of memory");
    /* The mean of n rows is off by 1 / sqrt(n). */
    double off = sqrt((double)p->taken / p->shots);
    add_mean(rows + first * width, count, width, whole);
    for (size_t d = 0; d < width; d++)
        mean[d] = whole[d] + off * (mean[d] - whole[d]);
    free(whole);
    return 0;
}

/* ---- judging ---- */

static bool is_played(const rehearsal *r, const episode *x, size_t class_index)
{
    for (size_t k = x->first; k < x->first + x->count; k++)
        if (r->plays[k].class_index == class_index)
            return true;
    return false;
}

/* The best score of a row among the classes of a kind, but those that an episode plays; the first
 * of equals. */
static size_t best_of(const rehearsal *r, const float *scores, bool base, const episode *x)
{
    size_t best = SIZE_MAX;
    for (size_t c = 0; c < r->classes; c++)
        if (r->is_base[c] == base && !is_played(r, x, c) &&
            (best == SIZE_MAX || scores[c] > scores[best]))
            best = c;
    return best;
}

bool rehearsal_leaves_out(const rehearsal *r, size_t row)
{
    return r->shots[r->class_of[row]] != 1;
}

int rehearsal_judge_row(const rehearsal *r, size_t row, const float *scores, contest *out, error *e)
{
    static const episode none = {0, 0};
    size_t own = r->class_of[row], base = best_of(r, scores, true, &none);
    size_t novel = best_of(r, scores, false, &none);
    if (base == SIZE_MAX || novel == SIZE_MAX || !rehearsal_leaves_out(r, row))
        return 0;
    contestant found = {.difference = (double)scores[base] - scores[novel],
                        .novel = !r->is_base[own],
                        .right = own == (r->is_base[own] ? base : novel)};
    return contest_add(out, found, e);
}

bool rehearsal_plays_row(const rehearsal *r, size_t k, size_t row)
{
    const episode *x = &r->episodes[k];
    for (size_t i = x->first; i < x->first + x->count; i++)
        if (row >= r->plays[i].first && row < r->plays[i].first + r->plays[i].taken)
            return false;
    return row < r->base_rows;
}

int rehearsal_judge_episode(const rehearsal *r, size_t k, size_t row, const float *scores,
                            const float *played, contest *out, error *e)
{
    const episode *x = &r->episodes[k];
    size_t own = r->class_of[row], base = best_of(r, scores, true, x), best = 0;
    bool novel = is_played(r, x, own);
    for (size_t i = 1; i < x->count; i++)
        best = played[i] > played[best] ? i : best;
    contestant found = {.difference = (double)scores[base] - played[best],
                        .play = k + 1,
                        .novel = novel,
                        .right = own == (novel ? r->plays[x->first + best].class_index : base)};
    return contest_add(out, found, e);
}

int rehearsal_judge(const rehearsal *r, contest *c, outcome *out, error *e)
{
    return contest_judge(c, r->how, (size_t[2]){r->base_classes, r->classes - r->base_classes}, out,
                         e);
}

int rehearsal_contest(const rehearsal *r, const float *scores, const float *played, contest *out,
                      error *e)
{
    float row_played[TOGETHER];
    for (size_t i = 0; i < r->rows; i++)
        if (rehearsal_judge_row(r, i, scores + i * r->classes, out, e) < 0)
            return -1;
    for (size_t k = 0; k < r->episode_count; k++)
        for (size_t i = 0; i < r->base_rows; i++) {
            for (size_t p = 0; p < r->episodes[k].count; p++)
                row_played[p] = played[(r->episodes[k].first + p) * r->base_rows + i];
            if (rehearsal_plays_row(r, k, i) &&
                rehearsal_judge_episode(r, k, i, scores + i * r->classes, row_played, out, e) < 0)
                return -1;
        }
    return 0;
}
