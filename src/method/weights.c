#include "weights.h"

#include "rehearsal.h"
#include "ridge.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- the mean ------------------------------------------------------------------------------------------ */

/* The mean length of the base classes' weights; 1 where there is no base class. */
static double base_length(const model *m)
{
    const float *w = model_find(m, "head/weight")->data;
    double total = 0, count = 0;
    for (size_t c = 0; c < m->classes.count; c++) {
        double square = 0;
        for (size_t d = 0; m->kinds[c] == CLASS_BASE && d < m->net.dimension; d++)
            square += (double)w[c * m->net.dimension + d] * w[c * m->net.dimension + d];
        total += sqrt(square);
        count += m->kinds[c] == CLASS_BASE;
    }
    return count > 0 && total > 0 ? total / count : 1;
}

/* How sums become weights in this model. */
typedef struct {
    size_t dimension;
    norm_kind norm;
    double length; /* norm l2: 1 for the cosine head, which looks at directions alone, and the base
                      weights' mean length for the softmax head */
} weighting;

static weighting weighting_of(const model *m)
{
    return (weighting){m->net.dimension, m->norm, m->net.head == HEAD_SOFTMAX ? base_length(m) : 1};
}

/* Norm l2: the mean's direction; norm none: the mean as it is. -1 where the mean has no direction. */
static int weight_from_sum(const weighting *how, const double *sum, double count, float *w)
{
    double square = 0;
    for (size_t d = 0; d < how->dimension; d++)
        square += sum[d] * sum[d];
    if (!(sqrt(square) > 1e-9 * count))
        return -1;
    double factor = how->norm == NORM_NONE ? 1 / count : how->length / sqrt(square);
    for (size_t d = 0; d < how->dimension; d++)
        w[d] = (float)(sum[d] * factor);
    return 0;
}

static int make_means(model *m, const bool *changed, error *e)
{
    weighting how = weighting_of(m);
    for (size_t c = 0; c < m->classes.count; c++) {
        if (!changed[c])
            continue;
        const double *sum = (const double *)model_find(m, "imprint/sum")->data + c * how.dimension;
        double count = ((const double *)model_find(m, "imprint/count")->data)[c];
        float *w = (float *)model_find(m, "head/weight")->data + c * how.dimension;
        if (weight_from_sum(&how, sum, count, w) < 0)
            return error_set(e,
                             "class %s: its embeddings are zeros or cancel out, so their mean has no "
                             "direction",
                             m->classes.names[c]);
    }
    return 0;
}

/* ---- the mean's bias ----------------------------------------------------------------------------------- */

typedef struct {
    backend *b;
    const model *m;
    const rehearsal *r;
    weighting how;
    float *entering; /* [rows][dimension]: embeddings as they enter the sums */
    float *facing;   /* and as the head sees them; may be the same array */
    float *scores, *played;
} mean_trial;

static double head_scale(const model *m)
{
    const tensor *scale = model_find(m, "head/scale");
    return scale ? *(const float *)scale->data : 1;
}

/* The head's score of one embedding by one weight. */
static float head_score(const mean_trial *t, const float *facing, const float *w)
{
    double product = 0, square = 0;
    for (size_t d = 0; d < t->how.dimension; d++) {
        product += (double)facing[d] * w[d];
        square += (double)w[d] * w[d];
    }
    if (t->m->net.head == HEAD_SOFTMAX)
        return (float)product;
    return square > 0 ? (float)(head_scale(t->m) * product / sqrt(square)) : 0;
}

/* A novel row's score by its class's sum without it; as it was where nothing is left. */
static void score_without(const mean_trial *t, size_t row, double *sum, float *w)
{
    size_t n = t->how.dimension, own = t->r->class_of[row];
    const double *whole = (const double *)model_find(t->m, "imprint/sum")->data + own * n;
    double count = t->r->shots[own] - 1;
    for (size_t d = 0; d < n; d++)
        sum[d] = whole[d] - t->entering[row * n + d];
    if (count > 0 && weight_from_sum(&t->how, sum, count, w) == 0)
        t->scores[row * t->r->classes + own] = head_score(t, t->facing + row * n, w);
}

static void score_play(const mean_trial *t, size_t k, double *sum, float *w)
{
    size_t n = t->how.dimension, rows = t->r->base_rows;
    rehearsal_play_mean(t->r, &t->r->plays[k], t->entering, n, sum);
    if (weight_from_sum(&t->how, sum, 1, w) < 0)
        memset(w, 0, n * sizeof *w);
    for (size_t i = 0; i < rows; i++)
        t->played[k * rows + i] = head_score(t, t->facing + i * n, w);
}

static int trial_embeddings(mean_trial *t, error *e)
{
    size_t total = t->r->rows * t->how.dimension;
    memcpy(t->entering, t->r->embeddings, total * sizeof *t->entering);
    memcpy(t->facing, t->r->embeddings, total * sizeof *t->facing);
    if (t->how.norm == NORM_L2 && t->b->normalise(t->b, t->entering, t->r->rows, t->how.dimension, e) < 0)
        return -1;
    if (t->m->net.head == HEAD_COSINE && t->b->normalise(t->b, t->facing, t->r->rows, t->how.dimension, e) < 0)
        return -1;
    return 0;
}

static int trial_scores(mean_trial *t, error *e)
{
    size_t n = t->how.dimension, classes = t->r->classes;
    const float *weight = model_find(t->m, "head/weight")->data;
    double *sum = malloc(n * sizeof *sum);
    float *w = malloc(n * sizeof *w);
    int status = sum && w ? trial_embeddings(t, e) : error_set(e, "out of memory for a calibration");
    if (status == 0) {
        for (size_t i = 0; i < t->r->rows; i++)
            for (size_t c = 0; c < classes; c++)
                t->scores[i * classes + c] = head_score(t, t->facing + i * n, weight + c * n);
        for (size_t i = t->r->base_rows; i < t->r->rows; i++)
            score_without(t, i, sum, w);
        for (size_t k = 0; k < t->r->play_count; k++)
            score_play(t, k, sum, w);
    }
    free(sum);
    free(w);
    return status;
}

static int mean_bias(backend *b, const model *m, const rehearsal *r, double *bias, error *e)
{
    mean_trial t = {.b = b, .m = m, .r = r, .how = weighting_of(m)};
    contest c = {0};
    size_t total = r->rows * t.how.dimension + 1;
    t.entering = malloc(total * sizeof *t.entering);
    t.facing = malloc(total * sizeof *t.facing);
    t.scores = malloc((r->rows * r->classes + 1) * sizeof *t.scores);
    t.played = malloc((r->play_count * r->base_rows + 1) * sizeof *t.played);
    int status = -1;
    if (!t.entering || !t.facing || !t.scores || !t.played)
        error_set(e, "out of memory for a calibration of %zu rows", r->rows);
    else if (trial_scores(&t, e) == 0)
        status = rehearsal_contest(r, t.scores, t.played, &c, e);
    if (status == 0)
        contest_best(&c, bias);
    contest_free(&c);
    free(t.entering);
    free(t.facing);
    free(t.scores);
    free(t.played);
    return status;
}

static int put_bias(model *m, double bias, error *e)
{
    tensor *t;
    if (model_note_number(m, "made/bias", bias) < 0)
        return error_set(e, "out of memory");
    if (bias == 0)
        return 0;
    if (model_put(m, "head/bias", TYPE_F32, 1, &m->classes.count, &t, e) < 0)
        return -1;
    for (size_t c = 0; c < m->classes.count; c++)
        ((float *)t->data)[c] = m->kinds[c] == CLASS_NOVEL ? (float)bias : 0;
    return 0;
}

/* ---- both ---------------------------------------------------------------------------------------------- */

static bool takes_ridge(const model *m)
{
    const char *method = model_get_text(m, "imprint/method");
    if (method && strcmp(method, "ridge") == 0)
        return true;
    const tensor *count = model_find(m, "imprint/count");
    if (!method || strcmp(method, "auto") != 0 || !count || !model_find(m, "statistics/gram") ||
        !model_find(m, "imprint/feature-sum"))
        return false;
    double rows = 0, novel = 0;
    for (size_t c = 0; c < m->classes.count; c++)
        if (m->kinds[c] == CLASS_NOVEL) {
            rows += ((const double *)count->data)[c];
            novel += 1;
        }
    return novel > 0 && rows >= WEIGHTS_RIDGE_SHOTS * novel;
}

static bool takes_bias(const model *m)
{
    double calibrate;
    return model_get_number(m, "imprint/calibrate", &calibrate) && calibrate != 0;
}

bool weights_need_backend(const model *m)
{
    return takes_ridge(m) || takes_bias(m);
}

static int make_from(backend *b, model *m, const rehearsal *r, error *e)
{
    double lambda = 0, bias = 0;
    bool ridge = takes_ridge(m), calibrate = takes_bias(m);
    if (model_note_text(m, "made/method", ridge ? "ridge" : "mean") < 0)
        return error_set(e, "out of memory");
    model_get_number(m, "ridge/lambda", &lambda);
    if (ridge)
        return ridge_make(b, m, lambda, calibrate, r, e);
    if (calibrate && mean_bias(b, m, r, &bias, e) < 0)
        return -1;
    return put_bias(m, bias, e);
}

int weights_make(backend *b, model *m, const bool *changed, error *e)
{
    if (make_means(m, changed, e) < 0)
        return -1;
    if (model_find(m, "proxies/weight"))
        return 0;
    model_drop(m, "head/bias");
    model_drop(m, "ridge/weight");
    model_note_drop(m, "made/lambda");
    rehearsal r = {0};
    if (weights_need_backend(m) && rehearsal_new(m, &r, e) < 0)
        return -1;
    int status = make_from(b, m, &r, e);
    rehearsal_free(&r);
    return status;
}

bool weights_makes_note(const char *key)
{
    return strncmp(key, "made/", 5) == 0;
}
