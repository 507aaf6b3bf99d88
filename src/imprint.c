/* imprint: labelled embeddings and a model to a model that knows those classes too. */
#include "../common/base/tool.h"
#include "../common/model/model.h"
#include "../kernels/backend.h"
#include "device.h"
#include "imprinting/base_statistics.h"
#include "imprinting/calibration.h"
#include "imprinting/classifier.h"
#include "imprinting/imprinting.h"
#include "imprinting/projection.h"
#include "imprinting/proxies.h"
#include "imprinting/ridge.h"
#include "imprinting/views.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const tool_description about = {
    .name = "imprint",
    .summary = "labelled embeddings (and a model) in, a model that knows those classes too out",
    .usage = "[OPTION]... [FILE]...",
    .options =
        "  -m, --model FILE   the model to add to; without it, a new one without a network\n"
        "  --method NAME      auto (default), mean, proxies or ridge\n"
        "  --proxies K        of proxies: weights a class (default 4)\n"
        "  --reservoir R      of proxies: rows of each class to make them from (default 500)\n"
        "  --ridge LAMBDA     of ridge: the penalty in mean variances (default: chosen)\n"
        "  --features M       of ridge: random features of a model that has none (default 2000)\n"
        "  --base FILE        embeddings of the base classes, for a model without statistics\n"
        "  --no-calibrate     no bias between base and novel classes; --calibrate is the default\n"
        "  --balance WHAT     what a bias serves: harmonic (default: the harmonic mean of base\n"
        "                     and novel accuracy), all (the accuracy over all classes) or\n"
        "                     base:SHARE (novel accuracy, at that loss of base at most)\n"
        "  --explain          say what was chosen, and what is expected of it\n"
        "  --classes LIST     imprint these classes of the input alone (names, numbers, ranges)\n"
        "  --norm l2|none     normalise embeddings and weights (default), or take plain means\n"
        "  --as KIND          novel (default) or base: what classes that are new become\n"
        "  --update-base      make base classes anew too, from the rows given\n"
        "  --head NAME        cosine or softmax, for a new model (default cosine)\n"
        "  --scale S          of a new model's cosine head (default 10)\n"
        "  --seed N           of random features and proxies (1)\n" DEVICE_HELP,
    .example = "embed --model base.model ship.records | imprint --model base.model -o nine.model",
};

static struct {
    tool_options tool;
    const char *model, *classes, *norm, *method, *base, *balance;
    double ridge;
    size_t features, proxies;
    uint64_t seed;
    bool explain, calibrate, calibrate_given, head_given, scale_given;
    head_kind head;
    double scale;
    imprinting_options how;
    backend_options backend;
} options = {.scale = 10, .seed = PROJECTION_SEED, .backend = DEVICE_DEFAULTS};

enum {
    CLASSES = TOOL_OWN,
    NORM,
    UPDATE_BASE,
    HEAD,
    SCALE,
    METHOD,
    RIDGE,
    FEATURES,
    BASE,
    CALIBRATE,
    NO_CALIBRATE,
    SEED,
    PROXIES,
    RESERVOIR,
    AS,
    BALANCE,
    EXPLAIN
};

static const struct option long_options[] = {
    TOOL_OPTIONS,
    {"model", required_argument, NULL, 'm'},
    {"classes", required_argument, NULL, CLASSES},
    {"norm", required_argument, NULL, NORM},
    {"balance", required_argument, NULL, BALANCE},
    {"explain", no_argument, NULL, EXPLAIN},
    {"as", required_argument, NULL, AS},
    {"update-base", no_argument, NULL, UPDATE_BASE},
    {"method", required_argument, NULL, METHOD},
    {"ridge", required_argument, NULL, RIDGE},
    {"features", required_argument, NULL, FEATURES},
    {"base", required_argument, NULL, BASE},
    {"calibrate", no_argument, NULL, CALIBRATE},
    {"no-calibrate", no_argument, NULL, NO_CALIBRATE},
    {"proxies", required_argument, NULL, PROXIES},
    {"reservoir", required_argument, NULL, RESERVOIR},
    {"seed", required_argument, NULL, SEED},
    {"head", required_argument, NULL, HEAD},
    {"scale", required_argument, NULL, SCALE},
    DEVICE_OPTIONS,
    {NULL, 0, NULL, 0},
};

static size_t choose_word(const char *option, const char *word, const char *first,
                          const char *second)
{
    if (strcmp(word, first) != 0 && strcmp(word, second) != 0)
        tool_usage("%s is %s or %s, not %s", option, first, second, word);
    return strcmp(word, second) == 0;
}

static void set_method(const char *word)
{
    if (strcmp(word, "auto") != 0 && strcmp(word, "mean") != 0 && strcmp(word, "proxies") != 0 &&
        strcmp(word, "ridge") != 0)
        tool_usage("--method is auto, mean, proxies or ridge, not %s", word);
    options.method = word;
}

static void set_balance(const char *word)
{
    balance ignored;
    if (balance_parse(word, &ignored) < 0)
        tool_usage("--balance is harmonic, all or base:SHARE with a share of 0 to 1, not %s", word);
    options.balance = word;
}

static void set_option(int letter)
{
    switch (letter) {
    case 'm':
        options.model = optarg;
        break;
    case CLASSES:
        options.classes = optarg;
        break;
    case NORM:
        options.norm = choose_word("--norm", optarg, "l2", "none") ? "none" : "l2";
        break;
    case BALANCE:
        set_balance(optarg);
        break;
    case EXPLAIN:
        options.explain = true;
        break;
    case AS:
        options.how.as_base = choose_word("--as", optarg, "novel", "base");
        break;
    case UPDATE_BASE:
        options.how.update_base = true;
        break;
    case METHOD:
        set_method(optarg);
        break;
    case RIDGE:
        options.ridge = tool_number("--ridge", optarg, 1e-9, 1e9);
        break;
    case FEATURES:
        options.features = tool_integer("--features", optarg, 1, PROJECTION_FEATURES_MOST);
        break;
    case PROXIES:
        options.proxies = tool_integer("--proxies", optarg, 1, PROXIES_MOST);
        break;
    case RESERVOIR:
        options.how.reservoir = tool_integer("--reservoir", optarg, 1, 1000000);
        break;
    case BASE:
        options.base = optarg;
        break;
    case CALIBRATE:
    case NO_CALIBRATE:
        options.calibrate = letter == CALIBRATE;
        options.calibrate_given = true;
        break;
    case SEED:
        options.seed = tool_integer("--seed", optarg, 0, (uint64_t)1 << 53);
        break;
    case HEAD:
        options.head =
            choose_word("--head", optarg, "cosine", "softmax") ? HEAD_SOFTMAX : HEAD_COSINE;
        options.head_given = true;
        break;
    case SCALE:
        options.scale = tool_number("--scale", optarg, 1e-6, 1e6);
        options.scale_given = true;
        break;
    }
}

/* The model to add to: the one given, or a new one of the embeddings' dimension. */
static void begin_model(model *m, size_t dimension)
{
    error e = {0};
    if (options.model) {
        if (model_load(options.model, m, &e) < 0)
            tool_fail(&e);
    } else {
        class_list none = {0};
        if (model_new(NULL, (extent){0}, dimension, options.head, &none, CLASS_NOVEL, m, &e) < 0)
            tool_fail(&e);
        if (options.head == HEAD_COSINE)
            *(float *)model_find(m, "head/scale")->data = (float)options.scale;
    }
    norm_kind norm = options.norm && strcmp(options.norm, "none") == 0 ? NORM_NONE : NORM_L2;
    if (options.norm && norm != m->norm && model_find(m, "imprint/sum")) {
        error_set(&e, "%s: holds classes imprinted with the other --norm", options.model);
        tool_fail(&e);
    }
    if (options.norm)
        m->norm = norm;
}

/* Whether a base class has neither statistics of its training rows nor sums of imprinted ones. */
static bool has_bare_base(const model *m)
{
    const tensor *count = model_find(m, "imprint/count");
    for (size_t c = 0; c < m->classes.count; c++)
        if (m->kinds[c] == CLASS_BASE && (!count || ((const double *)count->data)[c] == 0))
            return !model_find(m, "statistics/gram");
    return false;
}

/* Of the projection, unless the model has sums of one already. */
static void choose_features(model *m, size_t classes)
{
    error e = {0};
    double count;
    if (!ridge_possible(m)) {
        projection chosen = {.plain = true, .count = options.features};
        if (!options.features)
            chosen.count = projection_default(m->net.dimension, classes);
        if (projection_note(m, &chosen, options.seed, &e) < 0)
            tool_fail(&e);
    } else if (options.features && model_get_number(m, "ridge/features", &count) &&
               count != (double)options.features) {
        error_set(&e, "--features %zu: the model's sums are of %.0f", options.features, count);
        tool_fail(&e);
    }
}

/* How many proxies, of how many rows; what the model has already, it stays with. */
static void choose_proxies(model *m)
{
    error e = {0};
    double count;
    const tensor *sample = model_find(m, "imprint/sample");
    if (m->norm == NORM_NONE)
        tool_usage("--method proxies is for --norm l2");
    if (sample && options.how.reservoir && sample->shape[1] != options.how.reservoir) {
        error_set(&e, "--reservoir %zu: the model keeps %zu rows of each imprinted class",
                  options.how.reservoir, sample->shape[1]);
        tool_fail(&e);
    }
    options.how.many = true;
    if (options.proxies || !model_get_number(m, "proxies/count", &count))
        model_note_number(m, "proxies/count", (double)(options.proxies ? options.proxies : 4));
    if (!model_get_number(m, "proxies/seed", &count))
        model_note_number(m, "proxies/seed", (double)options.seed);
}

/* Notes how weights are to be made (method/weights.h), and checks that they can be. */
static void choose_method(model *m, size_t classes)
{
    error e = {0};
    /* What the model was made by, it stays with. */
    const char *own = model_get_text(m, "imprint/method");
    const char *method = options.method         ? options.method
                         : own                  ? own
                         : m->norm == NORM_NONE ? "mean"
                                                : "auto";
    double calibrated = m->norm == NORM_L2;
    if (options.calibrate_given)
        calibrated = options.calibrate;
    else
        model_get_number(m, "imprint/calibrate", &calibrated);
    bool ridge = strcmp(method, "ridge") == 0;
    bool bare = model_find(m, "imprint/sum") && !model_find(m, "imprint/feature-sum");
    if (ridge && has_bare_base(m)) {
        error_set(&e,
                  "%s: has no statistics of its base classes, which ridge needs; train it with "
                  "--statistics "
                  "or give --base EMBEDDINGS",
                  options.model);
        tool_fail(&e);
    }
    if (ridge && bare) {
        error_set(
            &e,
            "%s: has classes that were imprinted without what ridge needs; imprint all of them "
            "into "
            "the base model, with its statistics",
            options.model);
        tool_fail(&e);
    }
    /* Sums that are there already stay those of all rows. */
    bool wanted = ridge || (strcmp(method, "auto") == 0 && !has_bare_base(m)) ||
                  model_find(m, "statistics/gram");
    options.how.features = model_find(m, "imprint/feature-sum") || (wanted && !bare);
    if (options.how.features)
        choose_features(m, classes);
    if (strcmp(method, "proxies") == 0)
        choose_proxies(m);
    if (options.method)
        model_note_drop(m, "ridge/lambda");
    if (options.ridge > 0)
        model_note_number(m, "ridge/lambda", options.ridge);
    if ((options.balance && model_note_text(m, "imprint/balance", options.balance) < 0) ||
        model_note_text(m, "imprint/method", method) < 0 ||
        model_note_number(m, "imprint/calibrate", calibrated) < 0) {
        error_set(&e, "out of memory");
        tool_fail(&e);
    }
}

/* Leaves the rows of the classes that --classes names. */
static void choose_classes(batch *b, const int32_t *labels, const class_list *classes)
{
    error e = {0};
    bool *chosen = calloc(classes->count + 1, sizeof *chosen);
    bool *keep = malloc(b->rows + 1);
    if (!chosen || !keep || class_list_choose(classes, options.classes, chosen, &e) < 0) {
        if (!chosen || !keep)
            error_set(&e, "out of memory");
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
                  field, found->shape[1], options.model ? "the model's have" : "those before had",
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
static void read_base(model *m, backend *device, uint64_t fingerprint)
{
    error e = {0};
    stream_reader *in;
    statistics *work;
    batch *b;
    statistics_options how;
    char *path = (char *)options.base;
    if (statistics_choose(m, options.features, options.seed, &how, &e) < 0 ||
        stream_open(&path, 1, &in, &e) < 0 || statistics_new(device, m, &how, &work, &e) < 0)
        tool_fail(&e);
    int got;
    while ((got = stream_read(in, &b, &e)) > 0) {
        const class_list *classes = stream_classes(in);
        const float *embeddings = batch_numbers(b, "embedding", in, m);
        int32_t *labels = labels_of(b, in);
        if (classifier_check_origin(stream_header_latest(in), fingerprint, &e) < 0)
            tool_fail_at(stream_name(in), &e);
        for (size_t r = 0; r < b->rows; r++)
            labels[r] = class_list_find(&m->classes, classes->names[labels[r]]);
        if (statistics_add(work, embeddings, labels, b->rows, &e) < 0)
            tool_fail(&e);
    }
    if (got < 0)
        tool_fail(&e);
    if (statistics_finish(work, &e) < 0)
        tool_fail_at(options.base, &e);
    statistics_free(work);
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
    if (options.classes)
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
    bool *chosen = calloc(classes->count + 1, sizeof *chosen);
    if (options.classes && chosen && class_list_choose(classes, options.classes, chosen, &e) < 0)
        tool_fail(&e);
    for (size_t c = 0; options.classes && chosen && c < classes->count; c++) {
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

static void report(const imprinting *work, const model *m, const class_list *classes)
{
    double lambda, bias = 0;
    imprinting_rows rows = imprinting_counted(work);
    size_t count = 0;
    for (size_t c = 0; c < classes->count; c++)
        count += imprinting_class_rows(work, c) > 0;
    if (rows.base > 0)
        tool_say(&options.tool,
                 "left out %" PRIu64 " rows of base classes (--update-base takes them)", rows.base);
    if (rows.zeros > 0)
        tool_say(&options.tool, "left out %" PRIu64 " embeddings of zeros", rows.zeros);
    if (model_get_number(m, "made/bare", &lambda))
        tool_say(
            &options.tool,
            "no rows of base classes are at hand: the bias should cost them at most a tenth of "
            "their right rows");
    char how[64] = "";
    const char *method = model_get_text(m, "made/method");
    if (model_get_number(m, "made/lambda", &lambda))
        snprintf(how, sizeof how, ", lambda %g", lambda);
    model_get_number(m, "made/bias", &bias);
    tool_say(&options.tool, "imprinted %zu %s from %" PRIu64 " embedding%s by %s%s, bias %.3g",
             count, count == 1 ? "class" : "classes", rows.used, rows.used == 1 ? "" : "s",
             method ? method : "mean", how, bias);
}

/* In five lines what was chosen, and what is expected of it. */
static void explain(const model *m)
{
    double lambda = 0, scale = 1, bias = 0, base, novel, features = 0;
    const char *method = model_get_text(m, "made/method"), *kind = model_get_text(m, "made/kind");
    const char *how = model_get_text(m, "imprint/balance");
    model_get_number(m, "made/scale", &scale);
    model_get_number(m, "made/bias", &bias);
    model_get_number(m, "ridge/features", &features);
    if (kind)
        tool_say(&options.tool, "method: %s, %s, over %zu numbers and %.0f random features", method,
                 kind, m->net.dimension, features);
    else
        tool_say(&options.tool, "method: %s", method);
    if (model_get_number(m, "made/lambda", &lambda))
        tool_say(&options.tool, "shrinkage: lambda %.4g times the mean variance", lambda);
    else
        tool_say(&options.tool, "shrinkage: none");
    tool_say(&options.tool, "temperature: scores were divided by %.4g to fit as log-probabilities",
             1 / scale);
    tool_say(&options.tool, "bias: %.4g for novel classes, for the best of %s", bias,
             how ? how : "harmonic");
    char text[2][16] = {"unknown", "unknown"};
    if (model_get_number(m, "made/base-accuracy", &base))
        snprintf(text[0], sizeof text[0], "%.3f", base);
    if (model_get_number(m, "made/novel-accuracy", &novel))
        snprintf(text[1], sizeof text[1], "%.3f", novel);
    tool_say(&options.tool, "expected accuracy, rows left out: base %s, novel %s", text[0],
             text[1]);
}

static void run(stream_reader *in, output *out)
{
    error e = {0};
    model m;
    batch *b;
    imprinting *work = NULL;
    views pictures = {0};
    backend *device = NULL;
    progress shown;
    uint64_t fingerprint = 0;
    progress_begin(&shown, &options.tool, "rows", 0);
    int got;
    while ((got = stream_read(in, &b, &e)) > 0) {
        if (!work) {
            tensor *embedding;
            if (batch_require(b, "embedding", TYPE_F32, 2, &embedding, &e) < 0)
                tool_fail_at(stream_name(in), &e);
            begin_model(&m, embedding->shape[1]);
            views_begin(&pictures, m.net.dimension);
            fingerprint = model_fingerprint(&m);
            device = device_open_by_size(&options.backend, &options.tool);
            if (options.base)
                read_base(&m, device, fingerprint);
            choose_method(&m, stream_classes(in)->count);
            if (imprinting_new(device, &m, &options.how, &work, &e) < 0)
                tool_fail(&e);
        }
        if (classifier_check_origin(stream_header_latest(in), fingerprint, &e) < 0)
            tool_fail_at(stream_name(in), &e);
        add_batch(b, in, &m, &pictures, work);
        progress_update(&shown, stream_rows(in), NULL);
    }
    if (got < 0)
        tool_fail(&e);
    progress_end(&shown);
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
    if (options.explain)
        explain(&m);
    imprinting_free(work);
    views_free(&pictures);
    device->close(device);
    model_free(&m);
}

int main(int argc, char **argv)
{
    error e = {0};
    tool_begin(&about);
    for (int c; (c = getopt_long(argc, argv, TOOL_SHORT "m:", long_options, NULL)) != -1;)
        if (!tool_option(c, &options.tool) && !device_option(c, &options.backend))
            set_option(c);
    bool proxies = options.method && strcmp(options.method, "proxies") == 0;
    if (!proxies && (options.proxies || options.how.reservoir))
        tool_usage("%s is for --method proxies", options.proxies ? "--proxies" : "--reservoir");
    if (options.base && !options.model)
        tool_usage("--base adds to a model; give --model FILE");
    if (options.how.update_base && !options.model)
        tool_usage("--update-base makes a model's base classes anew; give --model FILE");
    if (options.model && (options.head_given || options.scale_given))
        tool_usage("%s is for a new model; this one has a head",
                   options.head_given ? "--head" : "--scale");
    if (options.ridge > 0 && options.method && strcmp(options.method, "ridge") != 0 &&
        strcmp(options.method, "auto") != 0)
        tool_usage("--ridge is for --method ridge or auto");
    stream_reader *in;
    output *out;
    if (output_open(options.tool.output, true, &out, &e) < 0 ||
        stream_open(argv + optind, (size_t)(argc - optind), &in, &e) < 0)
        tool_fail(&e);
    run(in, out);
    stream_close(in);
    return TOOL_OK;
}
