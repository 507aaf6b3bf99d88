#include "episodes.h"

#include "exemplars.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Limits of the work, which grows with each; no command compares them. */
#define BASE_ROWS 1200  /* taken of all base classes together, about, */
#define NOVEL_ROWS 1000 /* and of all novel ones; */
#define NOVEL_LEAST 300 /* but no fewer than so many where there are */
#define SCORES 300000   /* so many classes that their scores would pass this */
#define PARTNERS 24     /* at most, in all episodes, */
#define EPISODES 8      /* of which there are no more than this */
#define DRAWS 3         /* of a partner's rows, at most */

void episodes_free(episodes *set)
{
    memory_free(&set->held);
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

/* From what the model keeps: of a base class from rows of its training, if there are some. */
static void take_rows(episodes *set, const model *m, class_kind kind, share s)
{
    const class_sums base = sums_of(m, SUMS_BASE), imprint = sums_of(m, SUMS_IMPRINT);
    for (size_t c = 0, place = 0; c < set->classes; c++) {
        if (m->kinds[c] != kind || place++ % s.step != 0)
            continue;
        bool own = kind == CLASS_BASE && exemplars_count(&base, c) > 0;
        const class_sums *from = own ? &base : &imprint;
        size_t rows = exemplars_count(from, c);
        rows = rows > s.most ? s.most : rows;
        if (rows == 0)
            continue;
        memcpy(set->embeddings + set->rows * set->dimension, exemplars_row(from, c, 0),
               rows * set->dimension * sizeof *set->embeddings);
        for (size_t i = 0; i < rows; i++)
            set->class_of[set->rows++] = c;
    }
}

/* Rows [first, first + count) of the base rows are those of the class. */
static size_t base_span(const episodes *set, size_t class_index, size_t *first)
{
    size_t count = 0;
    *first = 0;
    for (size_t i = 0; i < set->base_rows; i++) {
        if (set->class_of[i] == class_index && count++ == 0)
            *first = i;
    }
    return count;
}

/* The shots of the n-th novel class, around and around. */
static double shots_of_novel(const episodes *set, size_t n)
{
    size_t count = 0;
    for (size_t c = 0; c < set->classes; c++)
        count += !set->is_base[c] && set->shots[c] > 0;
    if (count == 0)
        return 0;
    n %= count;
    for (size_t c = 0; c < set->classes; c++)
        if (!set->is_base[c] && set->shots[c] > 0 && n-- == 0)
            return set->shots[c];
    return 0;
}

const partner *episode_partner(const episodes *set, const episode *x, size_t class_index)
{
    for (size_t k = x->first; k < x->first + x->count; k++)
        if (set->partners[k].class_index == class_index)
            return &set->partners[k];
    return NULL;
}

/* Adds the class to the last episode: a part of its rows, another for each draw, half of them at
 * most. Not where it is there already or has too few rows, or no novel class has shots. */
static void add_partner(episodes *set, size_t class_index, size_t draw)
{
    size_t first, count = base_span(set, class_index, &first);
    episode *last = &set->episodes[set->episode_count];
    double shots = shots_of_novel(set, set->partner_count);
    if (count < 2 || shots < 1 || episode_partner(set, last, class_index))
        return;
    size_t taken = shots < (double)(count / 2) ? (size_t)shots : count / 2;
    size_t offset = draw % DRAWS * (count - taken) / (DRAWS - 1);
    set->partners[set->partner_count++] = (partner){class_index, first + offset, taken, shots};
    last->count++;
}

/* The base classes with rows enough to be partners, into out [classes]; returns their number. */
static size_t candidates(const episodes *set, size_t *out)
{
    size_t count = 0, first;
    for (size_t c = 0; c < set->classes; c++)
        if (set->is_base[c] && base_span(set, c, &first) >= 2)
            out[count++] = c;
    return count;
}

/* The candidate and those after it (of later draws: every second one after it, and so on), as the
 * next episode. */
static void add_episode(episodes *set, const size_t *who, size_t count, size_t i, size_t together,
                        size_t draw)
{
    episode *x = &set->episodes[set->episode_count];
    *x = (episode){set->partner_count, 0};
    for (size_t k = 0; k < together; k++)
        add_partner(set, who[(i + k * (1 + draw)) % count], draw);
    set->episode_count += x->count > 0;
}

/* who: scratch [classes]. */
static void make_episodes(episodes *set, size_t *who)
{
    size_t count = set->base_classes < 2 ? 0 : candidates(set, who);
    size_t novel = set->classes - set->base_classes, third = set->base_classes / 3;
    size_t together = novel < third ? novel : third;
    together = together < 1 ? 1 : together > EPISODE_PARTNERS ? EPISODE_PARTNERS : together;
    for (size_t draw = 0; novel > 0 && draw < DRAWS; draw++)
        for (size_t i = 0; i<count; i += together> 2 ? together : 1) {
            if (set->partner_count + together > PARTNERS || set->episode_count == EPISODES)
                break;
            add_episode(set, who, count, i, together, draw);
        }
}

static size_t novel_rows(size_t classes)
{
    size_t rows = SCORES / classes;
    return rows > NOVEL_ROWS ? NOVEL_ROWS : rows < NOVEL_LEAST ? NOVEL_LEAST : rows;
}

int episodes_new(const model *m, episodes *out, error *e)
{
    size_t classes = m->classes.count, of_kind[2] = {0};
    episodes set = {.dimension = m->net.dimension, .classes = classes};
    class_sums imprint = sums_of(m, SUMS_IMPRINT);
    const char *word = fit_settings_of(m).balance;
    if (word)
        balance_parse(word, &set.how); /* model_check has looked at it */
    set.shots = memory_take(&set.held, classes, sizeof *set.shots);
    set.is_base = memory_take(&set.held, classes, sizeof *set.is_base);
    set.partners = memory_take(&set.held, PARTNERS, sizeof *set.partners);
    set.episodes = memory_take(&set.held, PARTNERS, sizeof *set.episodes);
    set.embeddings = memory_take(&set.held, (BASE_ROWS + NOVEL_ROWS) * set.dimension + 1,
                                 sizeof *set.embeddings);
    set.class_of = memory_take(&set.held, BASE_ROWS + NOVEL_ROWS + 1, sizeof *set.class_of);
    size_t *who = memory_take(&set.held, classes + 1, sizeof *who);
    if (set.held.failed) {
        episodes_free(&set);
        return error_set(e, "out of memory for a calibration of %d rows", BASE_ROWS + NOVEL_ROWS);
    }
    for (size_t c = 0; c < classes; c++) {
        set.shots[c] = sums_count(&imprint, c);
        set.is_base[c] = m->kinds[c] == CLASS_BASE || set.shots[c] == 0;
        set.base_classes += set.is_base[c];
        of_kind[m->kinds[c]]++;
    }
    share base = share_of(of_kind[CLASS_BASE], BASE_ROWS),
          novel = share_of(of_kind[CLASS_NOVEL], novel_rows(classes));
    take_rows(&set, m, CLASS_BASE, base);
    set.base_rows = set.rows;
    set.trained = model_part(m, PART_BASE_EXEMPLARS) != NULL;
    take_rows(&set, m, CLASS_NOVEL, novel);
    make_episodes(&set, who);
    *out = set;
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

int episodes_partner_mean(const episodes *set, const partner *p, const float *rows, size_t width,
                          double *mean, error *e)
{
    size_t first, count = base_span(set, p->class_index, &first);
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

/* ---- calibration rows ---- */

/* The class of a kind that scores highest, the episode's partners left out; the first of equals. */
static size_t best_of(const episodes *set, const float *scores, bool base, const episode *x)
{
    size_t best = SIZE_MAX;
    for (size_t c = 0; c < set->classes; c++)
        if (set->is_base[c] == base && !episode_partner(set, x, c) &&
            (best == SIZE_MAX || scores[c] > scores[best]))
            best = c;
    return best;
}

bool episodes_can_leave_out(const episodes *set, size_t row)
{
    return set->shots[set->class_of[row]] != 1;
}

int episodes_add_row(const episodes *set, size_t row, const float *scores, calibration *out,
                     error *e)
{
    static const episode none = {0, 0};
    size_t own = set->class_of[row], base = best_of(set, scores, true, &none);
    size_t novel = best_of(set, scores, false, &none);
    if (base == SIZE_MAX || novel == SIZE_MAX || !episodes_can_leave_out(set, row))
        return 0;
    calibration_row found = {.margin = (double)scores[base] - scores[novel],
                             .novel = !set->is_base[own],
                             .right = own == (set->is_base[own] ? base : novel)};
    return calibration_add(out, found, e);
}

/* Whether the row tests the episode: a base row that none of its partners was made of. */
static bool tests_episode(const episodes *set, const episode *x, size_t row)
{
    const partner *p = episode_partner(set, x, set->class_of[row]);
    return !p || row < p->first || row >= p->first + p->taken;
}

/* by_partner: the row's score by the episode's first partner, and every base_rows numbers on by the
 * next. */
static int add_episode_row(const episodes *set, size_t k, size_t row, const float *scores,
                           const float *by_partner, calibration *out, error *e)
{
    const episode *x = &set->episodes[k];
    size_t own = set->class_of[row], base = best_of(set, scores, true, x), best = 0,
           step = set->base_rows;
    bool novel = episode_partner(set, x, own) != NULL;
    for (size_t i = 1; i < x->count; i++)
        best = by_partner[i * step] > by_partner[best * step] ? i : best;
    calibration_row found = {.margin = (double)scores[base] - by_partner[best * step],
                             .episode = k + 1,
                             .novel = novel,
                             .right = own ==
                                      (novel ? set->partners[x->first + best].class_index : base)};
    return calibration_add(out, found, e);
}

int episodes_calibrate(const episodes *set, calibration *c, calibration_result *out, error *e)
{
    return calibration_choose_bias(
        c, set->how, (size_t[2]){set->base_classes, set->classes - set->base_classes}, out, e);
}

int episodes_add_rows(const episodes *set, const float *scores, const float *by_partner,
                      calibration *out, error *e)
{
    int status = 0;
    for (size_t i = 0; status == 0 && i < set->rows; i++)
        status = episodes_add_row(set, i, scores + i * set->classes, out, e);
    for (size_t k = 0; status == 0 && k < set->episode_count; k++) {
        const episode *x = &set->episodes[k];
        for (size_t i = 0; status == 0 && i < set->base_rows; i++)
            if (tests_episode(set, x, i))
                status = add_episode_row(set, k, i, scores + i * set->classes,
                                         by_partner + x->first * set->base_rows + i, out, e);
    }
    return status;
}
