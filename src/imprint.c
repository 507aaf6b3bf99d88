/* imprint: labelled embeddings and a model to a model that knows those classes too. */
#include "../common/base/tool.h"
#include "../common/model/settings.h"
#include "../common/model/sums.h"
#include "../kernels/backend.h"
#include "device.h"
#include "imprinting/calibration.h"
#include "imprinting/classifier.h"
#include "imprinting/imprinting.h"
#include "imprinting/projection.h"
#include "imprinting/proxies.h"
#include "imprinting/views.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
    const char *model, *classes, *base, *balance;
    double ridge, scale;
    size_t features, proxies;
    uint64_t seed;
    int as, head, method, norm, calibrate; /* the last three: -1 where not given */
    bool explain, head_given, scale_given;
    imprinting_options how;
} own = {.scale = 10, .seed = PROJECTION_SEED, .method = -1, .norm = -1, .calibrate = -1};

static fit_method method_given(void)
{
    return own.method < 0 ? METHOD_NONE : (fit_method)(METHOD_AUTO + own.method);
}

static void set_balance(const char *word)
{
    balance ignored;
    if (balance_parse(word, &ignored) < 0)
        tool_usage("--balance takes " BALANCE_WORDS " with a share of 0 to 1, not '%s'", word);
    own.balance = word;
}

static const tool_option options[] = {
    {"model", "MODEL", 'm', "the model to add to (default: a new one without a network)",
     OPTION_TO(own.model)},
    {"method", "auto|mean|proxies|ridge", 0, "how weights are made (default auto)",
     OPTION_WORD_TO(own.method)},
    {"proxies", "K", 0, "of proxies: weights a class (default 4)", OPTION_TO(own.proxies), 1,
     PROXIES_MOST},
    {"reservoir", "R", 0, "of proxies: rows of each class to make them from (default 500)",
     OPTION_TO(own.how.reservoir), 1, 1000000},
    {"ridge", "LAMBDA", 0, "of ridge: the penalty in mean variances (default: chosen)",
     OPTION_TO(own.ridge), 1e-9, 1e9},
    {"features", "M", 0, "of ridge: random features of a model that has none (default 2000)",
     OPTION_TO(own.features), 1, PROJECTION_FEATURES_MOST},
    {"base", "FILE", 0, "embeddings of the base classes, for a model without statistics",
     OPTION_TO(own.base)},
    {"calibrate", NULL, 0, "give novel classes a bias against base classes (the default)",
     OPTION_SETS(own.calibrate, 1)},
    {"no-calibrate", NULL, 0, "give them none", OPTION_SETS(own.calibrate, 0)},
    {"balance", "harmonic|all|base:SHARE", 0,
     "what the bias serves: the harmonic mean of base and novel accuracy (default), the accuracy "
     "over all classes, or novel accuracy at that loss of base at most",
     OPTION_CALLS(set_balance)},
    {"explain", NULL, 0, "tell what was chosen, and what is expected of it",
     OPTION_TO(own.explain)},
    {"classes", "LIST", 0, "classes of the input to imprint (default all): names, numbers, ranges",
     OPTION_TO(own.classes)},
    {"norm", "l2|none", 0, "normalise embeddings and weights (default l2), or take plain means",
     OPTION_WORD_TO(own.norm)},
    {"as", "novel|base", 0, "what classes that are new become (default novel)",
     OPTION_WORD_TO(own.as)},
    {"update-base", NULL, 0, "make base classes anew too, from the rows given",
     OPTION_TO(own.how.update_base)},
    {"head", "cosine|softmax", 0, "head of a new model (default cosine)", OPTION_WORD_TO(own.head),
     .given = &own.head_given},
    {"scale", "S", 0, "scale of a new model's cosine head (default 10)", OPTION_TO(own.scale), 1e-6,
     1e6, &own.scale_given},
    {"seed", "N", 0, "seed of random features and proxies (default 1)", OPTION_TO(own.seed), 0,
     (uint64_t)1 << 53},
    {0}};

static const tool_description about = {
    .name = "imprint",
    .summary = "Read labelled embeddings and a model, if one is given; write a model that knows "
               "those classes too.",
    .usage = "[OPTION]... [FILE]...",
    .example = "embed --model base.model ship.records |\n"
               "      imprint --model base.model -o nine.model",
    .options = options,
    .shared = device_options};

static void check_options(void)
{
    fit_method method = method_given();
    own.how.as_base = own.as == 1;
    if (method != METHOD_PROXIES && (own.proxies || own.how.reservoir))
        tool_usage("%s is for --method proxies", own.proxies ? "--proxies" : "--reservoir");
    if (own.base && !own.model)
        tool_usage("--base adds to a model; give --model MODEL");
    if (own.how.update_base && !own.model)
        tool_usage("--update-base makes a model's base classes anew; give --model MODEL");
    if (own.model && (own.head_given || own.scale_given))
        tool_usage("%s is for a new model; this one has a head",
                   own.head_given ? "--head" : "--scale");
    if (own.ridge > 0 && (method == METHOD_MEAN || method == METHOD_PROXIES))
        tool_usage("--ridge is for --method ridge or auto");
}

/* The model to add to: the one given, or a new one of the embeddings' dimension. */
static void begin_model(model *m, size_t dimension)
{
    error e = {0};
    if (own.model) {
        if (model_load(own.model, m, &e) < 0)
            tool_fail(&e);
        if (sums_check(m, &e) < 0)
            tool_fail_at(own.model, &e);
    } else {
        class_list none = {0};
        if (model_new(NULL, (extent){0}, dimension, (head_kind)own.head, &none, CLASS_NOVEL, m,
                      &e) < 0)
            tool_fail(&e);
        if (own.head == HEAD_COSINE)
            *(float *)model_part(m, PART_HEAD_SCALE) = (float)own.scale;
    }
    norm_kind norm = own.norm == 1 ? NORM_NONE : NORM_L2;
    if (own.norm >= 0 && norm != m->norm && model_part(m, PART_IMPRINT_SUM)) {
        error_set(&e, "%s: holds classes imprinted with the other --norm", own.model);
        tool_fail(&e);
    }
    if (own.norm >= 0)
        m->norm = norm;
}

/* Whether a base class has neither statistics of its training rows nor sums of imprinted ones. */
static bool has_bare_base(const model *m)
{
    const class_sums imprint = sums_of(m, SUMS_IMPRINT);
    for (size_t c = 0; c < m->classes.count; c++)
        if (m->kinds[c] == CLASS_BASE && sums_count(&imprint, c) == 0)
            return !model_part(m, PART_BASE_GRAM);
    return false;
}

/* Of the projection, unless the model has sums of one already. */
static void choose_features(model *m, size_t classes)
{
    error e = {0};
    feature_settings has;
    bool given = own.features > 0;
    if (!model_part(m, PART_BASE_GRAM) && !model_part(m, PART_IMPRINT_GRAM)) {
        has = (feature_settings){.random = given ? own.features
                                                 : projection_default(m->net.dimension, classes),
                                 .plain = true,
                                 .seed = own.seed};
        if (feature_settings_put(m, &has, &e) < 0)
            tool_fail(&e);
    } else if (given && feature_settings_of(m, &has) && has.random != own.features) {
        error_set(&e, "--features %zu: the model's sums are of %zu", own.features, has.random);
        tool_fail(&e);
    }
}

/* How many proxies, of how many rows; what the model has already, it stays with. */
static void choose_proxies(const model *m, fit_settings *how)
{
    error e = {0};
    size_t room = sums_of(m, SUMS_IMPRINT).room;
    if (m->norm == NORM_NONE)
        tool_usage("--method proxies is for --norm l2");
    if (room && own.how.reservoir && room != own.how.reservoir) {
        error_set(&e, "--reservoir %zu: the model keeps %zu rows of each imprinted class",
                  own.how.reservoir, room);
        tool_fail(&e);
    }
    own.how.many = true;
    if (own.proxies || how->proxies == 0)
        how->proxies = own.proxies ? own.proxies : 4;
    if (how->proxies_seed < 0)
        how->proxies_seed = (double)own.seed;
}

/* Ridge needs sums of features of every class. */
static void check_ridge(const model *m, bool bare)
{
    error e = {0};
    if (has_bare_base(m))
        error_set(&e,
                  "%s: has no statistics of its base classes, which ridge needs; train it with "
                  "--statistics or give --base EMBEDDINGS",
                  own.model);
    else if (bare)
        error_set(&e,
                  "%s: has classes that were imprinted without what ridge needs; imprint all of "
                  "them into the base model, with its statistics",
                  own.model);
    else
        return;
    tool_fail(&e);
}

/* Notes how classes are to be fitted (imprinting/fit.h), and checks that they can be. */
static void choose_method(model *m, size_t classes)
{
    error e = {0};
    fit_settings how = fit_settings_of(m);
    /* What the model was made by, it stays with. */
    if (own.method >= 0) {
        how.method = method_given();
        how.lambda = 0;
    }
    if (how.method == METHOD_NONE)
        how.method = m->norm == NORM_NONE ? METHOD_MEAN : METHOD_AUTO;
    if (own.calibrate >= 0 || how.calibrate < 0)
        how.calibrate = own.calibrate >= 0 ? own.calibrate : m->norm == NORM_L2;
    how.balance = own.balance ? own.balance : how.balance;
    how.lambda = own.ridge > 0 ? own.ridge : how.lambda;
    bool featured = model_part(m, PART_IMPRINT_FEATURE_SUM) != NULL,
         bare = model_part(m, PART_IMPRINT_SUM) && !featured;
    if (how.method == METHOD_RIDGE)
        check_ridge(m, bare);
    /* Sums that are there already stay those of all rows. */
    bool wanted = how.method == METHOD_RIDGE || (how.method == METHOD_AUTO && !has_bare_base(m)) ||
                  model_part(m, PART_BASE_GRAM);
    own.how.features = featured || (wanted && !bare);
    if (own.how.features)
        choose_features(m, classes);
    if (how.method == METHOD_PROXIES)
        choose_proxies(m, &how);
    if (fit_settings_put(m, &how, &e) < 0)
        tool_fail(&e);
}

/* Which of the classes --classes names; the caller frees it. */
static bool *choose(const class_list *classes)
{
    error e = {0};
    bool *chosen = calloc(classes->count + 1, sizeof *chosen);
    if (!chosen)
        error_set(&e, "out of memory for %zu classes", classes->count);
    if (!chosen || class_list_choose(classes, own.classes, chosen, &e) < 0)
        tool_fail(&e);
    return chosen;
}

/* Leaves the rows of the classes that --classes names. */
static void choose_classes(batch *b, const int32_t *labels, const class_list *classes)
{
    error e = {0};
    bool *chosen = choose(classes), *keep = malloc(b->rows + 1);
    if (!keep) {
        error_set(&e, "out of memory for a batch of %zu rows", b->rows);
        tool_fail(&e);
    }
    for (size_t r = 0; r < b->rows; r++)
        keep[r] = chosen[labels[r]];
    batch_keep(b, keep);
    free(chosen);
    free(keep);
}

/* A field of embeddings, checked against the model. */
static const float *batch_numbers(batch *b, const char *field, stream_reader *in, const model *m)
{
    error e = {0};
    tensor *found;
    if (batch_require(b, field, TYPE_F32, 2, &found, &e) < 0)
        tool_fail_at(stream_name(in), &e);
    if (found->shape[1] != m->net.dimension) {
        error_set(&e, "%s: rows of %zu numbers, %s %zu; embed all pictures with the same model",
                  field, found->shape[1], own.model ? "the model's have" : "those before had",
                  m->net.dimension);
        tool_fail_at(stream_name(in), &e);
    }
    return found->data;
}

static int32_t *labels_of(batch *b, stream_reader *in)
{
    error e = {0};
    int32_t *labels;
    if (batch_labels(b, stream_classes(in), &labels, &e) < 0)
        tool_fail_at(stream_name(in), &e);
    return labels;
}

/* Makes the statistics from the rows of --base; rows of classes that are not the model's base are
 * left out. */
static void read_base(model *m, algebra *a)
{
    error e = {0};
    stream_reader *in;
    imprinting *work;
    batch *b;
    imprinting_options how = {.training_rows = true, .features = true};
    bool checked = false;
    char *path = (char *)own.base;
    if (projection_choose(m, own.features, own.seed, &how.chosen, &e) < 0 ||
        stream_open(&path, 1, &in, &e) < 0 || imprinting_new(a, m, &how, &work, &e) < 0)
        tool_fail(&e);
    int got;
    while ((got = stream_read(in, &b, &e)) > 0) {
        const float *embeddings = batch_numbers(b, "embedding", in, m);
        int32_t *labels = labels_of(b, in);
        if (!checked && classifier_check_origin(stream_header_latest(in), m, &e) < 0)
            tool_fail_at(stream_name(in), &e);
        checked = true;
        if (imprinting_add(work, stream_classes(in), embeddings, NULL, labels, b->rows, &e) < 0)
            tool_fail(&e);
    }
    if (got < 0)
        tool_fail(&e);
    if (imprinting_finish(work, &e) < 0)
        tool_fail_at(own.base, &e);
    imprinting_free(work);
    stream_close(in);
}

static void add_pictures(const views *v, stream_reader *in, imprinting *work)
{
    error e = {0};
    if (imprinting_add(work, stream_classes(in), v->mean, v->plain, v->labels, v->count, &e) < 0)
        tool_fail(&e);
}

/* The picture whose views were still coming, if any. */
static void end_views(views *v, stream_reader *in, imprinting *work)
{
    views_end(v);
    if (v->count > 0)
        add_pictures(v, in, work);
}

static void add_batch(batch *b, stream_reader *in, const model *m, views *v, imprinting *work)
{
    error e = {0};
    tensor *view;
    const float *embeddings = batch_numbers(b, "embedding", in, m);
    /* Of means over views, by which calibration goes. */
    const float *plain = batch_find(b, "plain") ? batch_numbers(b, "plain", in, m) : NULL;
    int32_t *labels = labels_of(b, in);
    if (own.classes)
        choose_classes(b, labels, stream_classes(in)); /* where the rows lie */
    if (batch_find(b, "view")) {
        if (batch_require(b, "view", TYPE_U16, 1, &view, &e) < 0 ||
            views_add(v, embeddings, view->data, labels, b->rows, &e) < 0)
            tool_fail_at(stream_name(in), &e);
        add_pictures(v, in, work);
        return;
    }
    end_views(v, in, work);
    if (imprinting_add(work, stream_classes(in), embeddings, plain, labels, b->rows, &e) < 0)
        tool_fail(&e);
}

/* Every class that was asked for by name has rows, and there is something to do. */
static void check_rows(const imprinting *work, const class_list *classes)
{
    error e = {0};
    imprinting_rows rows = imprinting_counted(work);
    bool *chosen = own.classes ? choose(classes) : NULL;
    for (size_t c = 0; chosen && c < classes->count; c++) {
        if (!chosen[c] || imprinting_class_rows(work, c) > 0)
            continue;
        if (rows.used == 0)
            break;
        error_set(&e, "class %s has no rows that can be imprinted", classes->names[c]);
        tool_fail(&e);
    }
    free(chosen);
    if (rows.used > 0)
        return;
    if (rows.base > 0)
        error_set(&e, "only rows of base classes came, and those classes stay as they are; "
                      "--update-base makes them anew");
    else if (rows.zeros > 0)
        error_set(&e, "all embeddings are zeros, which have no direction");
    else
        error_set(&e, "no rows came");
    tool_fail(&e);
}

#define COST_TOLD 0.03 /* of base accuracy, which is told of with its cure */

static void report(const imprinting *work, const model *m, const class_list *classes)
{
    fit_report made = fit_report_of(m);
    imprinting_rows rows = imprinting_counted(work);
    size_t count = 0;
    for (size_t c = 0; c < classes->count; c++)
        count += imprinting_class_rows(work, c) > 0;
    if (rows.base > 0)
        tool_say("left out %" PRIu64 " rows of base classes (--update-base takes them)", rows.base);
    if (rows.zeros > 0)
        tool_say("left out %" PRIu64 " embeddings of zeros", rows.zeros);
    if (made.bare)
        tool_say(
            "no rows of base classes are at hand: the bias should cost them at most a tenth of "
            "their right rows; rows of theirs and --update-base find a better one");
    char how[64] = "";
    if (made.lambda > 0)
        snprintf(how, sizeof how, ", lambda %g", made.lambda);
    char cost[128] = "";
    if (made.base >= 0 && made.alone - made.base > COST_TOLD)
        snprintf(cost, sizeof cost,
                 "; base accuracy %.3f is expected to become %.3f (--balance base:0.02 costs less)",
                 made.alone, made.base);
    tool_say("imprinted %zu %s from %" PRIu64 " embedding%s by %s%s, bias %.3g%s", count,
             count == 1 ? "class" : "classes", rows.used, rows.used == 1 ? "" : "s",
             method_name(made.method), how, made.bias, cost);
}

/* In five lines what was chosen, and what is expected of it. */
static void explain(const model *m)
{
    fit_report made = fit_report_of(m);
    feature_settings features;
    const char *balance = fit_settings_of(m).balance;
    feature_settings_of(m, &features);
    if (made.kind)
        tool_say("method: ridge, %s, over %zu numbers and %zu random features", made.kind,
                 m->net.dimension, features.random);
    else
        tool_say("method: %s", method_name(made.method));
    if (made.lambda > 0)
        tool_say("shrinkage: lambda %.4g times the mean variance", made.lambda);
    else
        tool_say("shrinkage: none");
    tool_say("temperature: scores were divided by %.4g to fit as log-probabilities",
             made.scale > 0 ? 1 / made.scale : 1);
    tool_say("bias: %.4g for novel classes, for the best of %s", made.bias,
             balance ? balance : "harmonic");
    char text[2][16] = {"unknown", "unknown"};
    if (made.base >= 0)
        snprintf(text[0], sizeof text[0], "%.3f", made.base);
    if (made.novel >= 0)
        snprintf(text[1], sizeof text[1], "%.3f", made.novel);
    tool_say("expected accuracy, rows left out: base %s, novel %s", text[0], text[1]);
}

static void run(tool_operands files, output *out)
{
    error e = {0};
    model m;
    batch *b;
    imprinting *work = NULL;
    views pictures = {0};
    embedding_device device = {0};
    progress shown;
    stream_reader *in;
    if (stream_open(files.names, files.count, &in, &e) < 0)
        tool_fail(&e);
    progress_begin(&shown, "rows", 0);
    int got;
    while ((got = stream_read(in, &b, &e)) > 0) {
        if (!work) {
            tensor *embedding;
            if (batch_require(b, "embedding", TYPE_F32, 2, &embedding, &e) < 0)
                tool_fail_at(stream_name(in), &e);
            begin_model(&m, embedding->shape[1]);
            pictures.dimension = m.net.dimension;
            if (classifier_check_origin(stream_header_latest(in), &m, &e) < 0)
                tool_fail_at(stream_name(in), &e);
            device = embedding_device_open();
            if (own.base)
                read_base(&m, device.algebra);
            choose_method(&m, stream_classes(in)->count);
            if (imprinting_new(device.algebra, &m, &own.how, &work, &e) < 0)
                tool_fail(&e);
        }
        add_batch(b, in, &m, &pictures, work);
        progress_update(&shown, stream_rows(in), NULL);
    }
    if (got < 0)
        tool_fail(&e);
    progress_clear(&shown);
    if (!work) {
        error_set(&e, "%s: no rows came", stream_name(in));
        tool_fail(&e);
    }
    end_views(&pictures, in, work);
    check_rows(work, stream_classes(in));
    if (imprinting_finish(work, &e) < 0 || model_save(&m, out, &e) < 0 ||
        output_commit(out, &e) < 0)
        tool_fail(&e);
    report(work, &m, stream_classes(in));
    if (own.explain)
        explain(&m);
    imprinting_free(work);
    views_free(&pictures);
    embedding_device_close(device);
    model_free(&m);
    stream_close(in);
}

int main(int argc, char **argv)
{
    tool_operands files = tool_begin(&about, argc, argv);
    check_options();
    run(files, tool_output("a model"));
    return TOOL_OK;
}
