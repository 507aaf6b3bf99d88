/* cnn-train: labelled pictures to a model. */
#include "../common/model/packing.h"
#include "device.h"
#include "imprinting/exemplars.h"
#include "imprinting/imprinting.h"
#include "imprinting/projection.h"
#include "training/checkpoint.h"
#include "training/epoch_report.h"
#include "training/order.h"
#include "training/schedule.h"
#include "training/trainer.h"
#include "training/training_model.h"
#include "training/training_set.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEEP_LAST, KEEP_BEST };

static struct {
    training_split split;
    schedule rates;
    optimizer optimizer;
    augmentation augment;
    const char *arch, *init, *log, *checkpoint, *resume;
    int head, optimizer_kind, schedule, keep;
    bool head_given, freeze, balance, statistics; /* freeze: all below the head */
    size_t frozen;                                /* else so many layers; 0 for none */
    size_t features;
    double scale, label_smoothing;
    size_t epochs, batch, patience;
    uint64_t seed;
} own = {
    .rates = {.rate = 1e-3, .decay = 1e-6, .warm_up = 0.2},
    .optimizer = {.beta1 = 0.9f, .beta2 = 0.999f, .epsilon = 1e-7f, .momentum = 0.9f},
    .epochs = 5,
    .batch = 64,
    .seed = 1,
    .split.form.layout = LAYOUT_UNSAID,
};

/* ---- options ---- */

static void set_val_rows(const char *word)
{
    own.split.random = strncmp(word, "random:", 7) == 0;
    own.split.held = tool_integer("--val-rows", word + (own.split.random ? 7 : 0), 1, UINT32_MAX);
}

static void set_range(const char *word)
{
    picture_form_range(&own.split.form, word);
}

static void set_freeze(const char *word)
{
    own.freeze = strcmp(word, "backbone") == 0;
    own.frozen = own.freeze ? 0 : tool_integer("--freeze backbone|N", word, 1, 1000000);
}

static void set_augment(const char *words)
{
    error e;
    if (augmentation_parse(words, &own.augment, &e) < 0)
        tool_usage("--augment: %s", e.text);
}

static const tool_option options[] = {
    {"val", "FILE", 0, "pictures to validate on after every epoch",
     OPTION_TO(own.split.validation)},
    {"val-rows", "N|random:N", 0, "or rows of the input: the last N, or N at random",
     OPTION_CALLS(set_val_rows)},
    {"layout", LAYOUT_WORDS, 0, LAYOUT_HELP, OPTION_WORD_TO(own.split.form.layout)},
    {"range", RANGE_WORDS, 0, RANGE_HELP, OPTION_CALLS(set_range)},
    {"arch", "NAME|@FILE", 0, "the network: keras-cnn (default), resnet9, or a text of your own",
     OPTION_TO(own.arch)},
    {"head", "cosine|softmax", 0, "what turns embeddings into logits (default cosine)",
     OPTION_WORD_TO(own.head), .given = &own.head_given},
    {"scale", "S", 0, "the cosine head's first scale (default 10)", OPTION_TO(own.scale), 1e-3,
     1e3},
    {"init", "MODEL", 0, "a model to train further; classes it lacks become novel ones",
     OPTION_TO(own.init)},
    {"freeze", "backbone|N", 0, "train the head alone, or layers from number N on",
     OPTION_CALLS(set_freeze)},
    {"balance", NULL, 0, "draw every class equally often in an epoch", OPTION_TO(own.balance)},
    {"epochs", "N", 0, "passes over the rows (default 5)", OPTION_TO(own.epochs), 1, 1000000},
    {"keep", "last|best", 0,
     "the epoch whose model is written (default last); best by the validation rows",
     OPTION_WORD_TO(own.keep)},
    {"patience", "N", 0, "stop when N epochs in a row were no better than the best",
     OPTION_TO(own.patience), 1, 1000000},
    {"batch", "N", 0, "rows a step (default 64)", OPTION_TO(own.batch), 1, 65536},
    {"seed", "N", 0, "seed of all that is random (default 1)", OPTION_TO(own.seed), 0, UINT64_MAX},
    {"optimizer", "adam|adamw|sgd", 0, "the optimizer (default adam); sgd has Nesterov momentum",
     OPTION_WORD_TO(own.optimizer_kind)},
    {"rate", "R", 0, "learning rate (default 0.001)", OPTION_TO(own.rates.rate), 0, 1e3},
    {"decay", "D", 0, "what divides the rate, as 1 + D * step (default 1e-6)",
     OPTION_TO(own.rates.decay), 0, 1e3},
    {"schedule", "constant|one-cycle", 0,
     "how the rate goes (default constant); --rate is one-cycle's peak",
     OPTION_WORD_TO(own.schedule)},
    {"warm-up", "SHARE", 0, "share of one-cycle's steps in which the rate rises (default 0.2)",
     OPTION_TO(own.rates.warm_up), 0, 1},
    {"beta1", "B", 0, "of adam and adamw (default 0.9)", OPTION_TO(own.optimizer.beta1), 0,
     0.999999},
    {"beta2", "B", 0, "of adam and adamw (default 0.999)", OPTION_TO(own.optimizer.beta2), 0,
     0.999999},
    {"epsilon", "E", 0, "of adam and adamw (default 1e-7)", OPTION_TO(own.optimizer.epsilon), 1e-30,
     1},
    {"momentum", "M", 0, "of sgd (default 0.9)", OPTION_TO(own.optimizer.momentum), 0, 0.999999},
    {"weight-decay", "W", 0, "of adamw and sgd (default 0)", OPTION_TO(own.optimizer.weight_decay),
     0, 10},
    {"label-smoothing", "A", 0, "share of a target that all classes have (default 0)",
     OPTION_TO(own.label_smoothing), 0, 0.999},
    {"augment", "LIST", 0, "any of flip,shift:PIXELS,cutout:PIXELS (default none)",
     OPTION_CALLS(set_augment)},
    {"statistics", NULL, 0, "keep what imprint --method ridge needs (32 MB)",
     OPTION_TO(own.statistics)},
    {"features", "M", 0,
     "the same, of M random features (default 16 a number of the embedding, 2000 at most)",
     OPTION_TO(own.features), 1, PROJECTION_FEATURES_MOST, &own.statistics},
    {"log", "FILE", 0, "where one JSON line an epoch goes", OPTION_TO(own.log)},
    {"checkpoint", "FILE", 0, "where the state goes after every epoch", OPTION_TO(own.checkpoint)},
    {"resume", "FILE", 0, "a checkpoint to go on from", OPTION_TO(own.resume)},
    {0}};

static const tool_description about = {
    .name = "cnn-train",
    .summary =
        "Read records with pictures and labels; train a network on them and write the model.",
    .usage = "[OPTION]... [FILE]...",
    .example = "cifar-read data_batch_*.bin | class-filter --keep 0-7 | cnn-train > base.model",
    .options = options,
    .shared = device_options};

static void check_options(void)
{
    own.optimizer.kind = (optimizer_kind)own.optimizer_kind;
    own.rates.kind = (schedule_kind)own.schedule;
    if (own.split.validation && own.split.held)
        tool_usage("--val and --val-rows: take one of them");
    if (own.init && (own.arch || own.head_given))
        tool_usage("--init: the model has its own --arch and --head");
    if ((own.freeze || own.frozen) && !own.init)
        tool_usage("--freeze needs --init MODEL, or nothing useful stands below the head");
    if ((own.keep == KEEP_BEST || own.patience) && !own.split.validation && !own.split.held)
        tool_usage("%s: needs validation rows, by --val or --val-rows",
                   own.patience ? "--patience" : "--keep best");
    if (own.optimizer.weight_decay > 0 && own.optimizer.kind == OPTIMIZER_ADAM)
        tool_usage("--weight-decay: is for --optimizer adamw or sgd");
    own.split.seed = own.seed;
    /* A model says itself what pictures it takes. */
    if (own.split.form.layout == LAYOUT_UNSAID && (own.init || own.resume))
        own.split.form.layout = LAYOUT_HWC;
}

/* ---- the run ---- */

typedef struct {
    training_set set;
    model made;
    training_state state;
    backend *device;
    program *run;
    FILE *log;
} training;

static volatile sig_atomic_t stopped;

static void stop(int signal)
{
    stopped = signal;
}

static void watch_reading(void *context, const stream_reader *reader)
{
    progress_update(context, stream_rows(reader), NULL);
}

static void read_pictures(training *t, tool_operands files)
{
    error e = {""};
    progress shown;
    progress_begin(&shown, "pictures read", 0);
    if (training_set_read(files.names, files.count, &own.split, watch_reading, &shown, &t->set,
                          &e) < 0)
        tool_fail(&e);
    progress_end(&shown);
}

static int begin_new(training *t, const class_list *classes, error *e)
{
    char *text;
    const char *arch = own.arch ? own.arch : "keras-cnn";
    if (training_network(arch, &text, e) < 0)
        return -1;
    int status = training_model_new(text, t->set.pictures.picture, (head_kind)own.head, own.scale,
                                    classes, own.seed, &t->made, e);
    free(text);
    return status < 0 ? error_prefix(e, "%s", arch) : 0;
}

static int begin_further(training *t, const class_list *classes, error *e)
{
    if (model_load(own.init, &t->made, e) < 0)
        return -1;
    weights_precision(&t->made, false, e); /* what is trained is written whole */
    if (training_model_extend(&t->made, t->set.pictures.picture, own.scale, classes, own.seed, e) <
        0)
        return error_prefix(e, "%s", own.init);
    if (own.frozen >= t->made.net.layer_count && own.frozen > 0)
        return error_set(e, "--freeze %zu: %s has layers 0 to %zu; backbone freezes all of them",
                         own.frozen, own.init, t->made.net.layer_count - 1);
    feature_settings ignored;
    return own.freeze && own.statistics
               ? projection_choose(&t->made, own.features, PROJECTION_SEED, &ignored, e)
               : 0;
}

/* The settings that shape the result, for a checkpoint to be compared with. */
static int note_settings(training *t, error *e)
{
    char text[1024], augment[48], epochs[32] = "";
    if (own.rates.kind == SCHEDULE_ONE_CYCLE)
        snprintf(epochs, sizeof epochs, ":%zu:%.9g", own.epochs, own.rates.warm_up);
    const optimizer *o = &own.optimizer;
    const char *optimizers[] = {"adam", "adamw", "sgd"};
    snprintf(
        text, sizeof text,
        "rows=%zu data=%016llx batch=%zu seed=%llu schedule=%s%s rate=%.9g decay=%.9g optimizer=%s "
        "beta1=%.9g beta2=%.9g epsilon=%.9g momentum=%.9g weight-decay=%.9g label-smoothing=%.9g "
        "augment=%s balance=%d freeze=%zu%s",
        t->set.train,
        (unsigned long long)picture_set_digest(&t->set.pictures, 0, t->set.pictures.rows),
        own.batch, (unsigned long long)own.seed, schedule_name(own.rates.kind), epochs,
        own.rates.rate, own.rates.decay, optimizers[o->kind], o->beta1, o->beta2, o->epsilon,
        o->momentum, o->weight_decay, own.label_smoothing,
        augmentation_text(&own.augment, augment, sizeof augment), own.balance,
        own.freeze   ? (size_t)1
        : own.frozen ? 1 + own.frozen
                     : 0,
        own.keep == KEEP_BEST ? " keep=best" : "");
    return model_note_text(&t->made, CHECKPOINT_SETTINGS, text) < 0 ? error_set(e, "out of memory")
                                                                    : 0;
}

/* Puts a checkpoint's state in place of the fresh one. */
static int resume(training *t, error *e)
{
    model saved;
    training_state state;
    if (checkpoint_load(own.resume, &saved, &state, e) < 0)
        return -1;
    const char *had = model_get_text(&saved, CHECKPOINT_SETTINGS);
    int status = 0;
    if (strcmp(saved.net.text, t->made.net.text) != 0 || saved.net.head != t->made.net.head ||
        !class_list_equal(&saved.classes, &t->made.classes))
        status = error_set(
            e, "the run so far had another network, head or classes; resume with the same "
               "options and data");
    else
        status =
            checkpoint_compare(had ? had : "", model_get_text(&t->made, CHECKPOINT_SETTINGS), e);
    if (status == 0 && state.epoch > own.epochs)
        status = error_set(e, "the run has %zu epochs behind it, more than --epochs %zu",
                           (size_t)state.epoch, own.epochs);
    if (status == 0 && own.keep == KEEP_BEST && state.epoch > 0 && !state.best.parameters)
        status = error_set(e, "it lacks '%s'; the checkpoint is damaged",
                           model_parts[PART_CHECKPOINT_BEST].name);
    model_free(&saved);
    if (status < 0) {
        training_state_free(&state);
        return error_prefix(e, "%s", own.resume);
    }
    training_state_free(&t->state);
    t->state = state;
    return 0;
}

static void begin_model(training *t)
{
    error e = {""};
    class_list classes = {0};
    if (training_set_classes(&t->set, &classes, &e) < 0 ||
        (own.init ? begin_further : begin_new)(t, &classes, &e) < 0 || note_settings(t, &e) < 0 ||
        training_set_number(&t->set, &t->made.classes, &e) < 0 ||
        training_state_new(t->made.net.total, &t->state, &e) < 0)
        tool_fail(&e);
    class_list_free(&classes);
    model_pack(&t->made, t->state.parameters);
    if (own.resume && resume(t, &e) < 0)
        tool_fail(&e);
}

static void begin_run(training *t)
{
    error e = {""};
    t->device = device_open();
    program_spec spec = {.net = &t->made.net,
                         .batch = own.batch,
                         .training = true,
                         .seed = own.seed,
                         .augment = own.augment,
                         .optimizer = own.optimizer,
                         .label_smoothing = (float)own.label_smoothing,
                         .frozen = own.freeze ? t->made.net.layer_count : own.frozen};
    const picture_set *pictures = &t->set.pictures;
    if (augmentation_check(&own.augment, t->made.net.input, &e) < 0 ||
        t->device->program_new(t->device, &spec, &t->run, &e) < 0 ||
        t->device->parameters_set(t->device, t->run, t->state.parameters, &e) < 0 ||
        t->device->optimizer_set(t->device, t->run, t->state.step, t->state.first, t->state.second,
                                 &e) < 0 ||
        t->device->data_set(t->device, t->run, pictures->images, pictures->labels, pictures->rows,
                            &e) < 0)
        tool_fail(&e);
    own.rates.steps = (uint64_t)own.epochs * ((t->set.train + own.batch - 1) / own.batch);
}

static void open_log(training *t)
{
    error e = {""};
    int fd = -1, named = own.log ? output_descriptor(own.log, &fd, &e) : 0;
    if (named < 0)
        tool_fail(&e);
    if (own.log && !(t->log = named ? fdopen(fd, "w") : fopen(own.log, own.resume ? "ae" : "we"))) {
        error_system(&e, "%s", own.log);
        tool_fail(&e);
    }
}

static void report_epoch(training *t, const epoch_report *report)
{
    char text[512];
    error e = {""};
    tool_say("%s", epoch_report_text(report, text, sizeof text));
    if (t->log && (fprintf(t->log, "%s\n", epoch_report_json(report, text, sizeof text)) < 0 ||
                   fflush(t->log) != 0)) {
        error_system(&e, "%s", own.log);
        tool_fail(&e);
    }
}

static void fetch_state(training *t)
{
    error e = {""};
    if (t->device->parameters_get(t->device, t->run, t->state.parameters, &e) < 0 ||
        t->device->optimizer_get(t->device, t->run, &t->state.step, t->state.first, t->state.second,
                                 &e) < 0)
        tool_fail(&e);
}

static bool proceed(void *context, const metrics *so_far)
{
    progress_update(context, so_far->rows, "loss %.4f, accuracy %.4f",
                    so_far->loss / (double)so_far->rows,
                    (double)so_far->hits / (double)so_far->rows);
    return !stopped;
}

static void end_if_stopped(size_t epoch)
{
    if (!stopped)
        return;
    error e = {""};
    if (own.checkpoint && epoch > 0)
        error_set(&e, "stopped in epoch %zu, no model written; --resume %s goes on after epoch %zu",
                  epoch + 1, own.checkpoint, epoch);
    else
        error_set(&e, "stopped in epoch %zu, no model written", epoch + 1);
    tool_fail_by(stopped, &e);
}

/* One epoch over `order`, a shuffled copy of the training rows. */
static void train_epoch(training *t, trainer *runner, uint32_t *order, epoch_report *report)
{
    error e = {""};
    metrics total, held = {0};
    progress shown;
    char what[64];
    const uint32_t *rows = t->set.order;
    double begun = tool_seconds();
    memcpy(order, rows, t->set.train * sizeof *order);
    if (!own.balance)
        order_shuffle(order, t->set.train, own.seed, t->state.epoch);
    else if (order_balanced(rows, t->set.train, t->set.pictures.labels, t->made.classes.count,
                            own.seed, t->state.epoch, order, &e) < 0)
        tool_fail(&e);
    snprintf(what, sizeof what, "of epoch %zu/%zu", t->state.epoch + 1, own.epochs);
    progress_begin(&shown, what, t->set.train);
    shown.later = (own.epochs - t->state.epoch - 1) * t->set.train;
    runner->context = &shown;
    int status = trainer_epoch(runner, order, t->set.train, &total, &e);
    progress_clear(&shown);
    if (status < 0)
        tool_fail(&e);
    end_if_stopped(t->state.epoch);
    double trained = tool_seconds();
    if (t->set.held &&
        t->device->evaluate(t->device, t->run, rows + t->set.train, t->set.held, &held, &e) < 0)
        tool_fail(&e);
    *report = (epoch_report){
        .epoch = ++t->state.epoch,
        .epochs = own.epochs,
        .loss = total.loss / (double)total.rows,
        .accuracy = (double)total.hits / (double)total.rows,
        .val_loss = held.rows ? held.loss / (double)held.rows : NAN,
        .val_accuracy = held.rows ? (double)held.hits / (double)held.rows : NAN,
        .rate = schedule_rate(&own.rates, runner->step - 1),
        .ended = time(NULL),
        .seconds = tool_seconds() - begun,
        .images_per_second = (double)total.rows / (trained - begun),
    };
}

static void note_best(training *t, const epoch_report *report)
{
    error e = {""};
    best_epoch *best = &t->state.best;
    if (!t->set.held || !best_epoch_beaten(best, report->val_accuracy, report->val_loss))
        return;
    best->epoch = report->epoch;
    best->accuracy = report->val_accuracy;
    best->loss = report->val_loss;
    if (own.keep == KEEP_BEST &&
        best_epoch_keep(best, t->state.parameters, t->made.net.total, &e) < 0)
        tool_fail(&e);
}

static bool patience_ended(const training_state *s)
{
    return own.patience && s->epoch >= own.patience + s->best.epoch && s->best.epoch > 0;
}

/* Says what stopped the run early, and puts the best epoch's parameters in place of the last's. */
static void settle_epoch(training *t)
{
    training_state *s = &t->state;
    const best_epoch *best = &s->best;
    if (patience_ended(s) && s->epoch < own.epochs)
        tool_say("stopped after epoch %zu: %zu in a row were not better than epoch %zu", s->epoch,
                 s->epoch - best->epoch, best->epoch);
    if (own.keep == KEEP_LAST || !best->parameters)
        return;
    memcpy(s->parameters, best->parameters, t->made.net.total * sizeof *s->parameters);
    tool_say("the model is epoch %zu's: val_loss %.4f, val_accuracy %.4f", best->epoch, best->loss,
             best->accuracy);
}

static void train(training *t)
{
    error e = {""};
    uint32_t *order = malloc(t->set.train * sizeof *order);
    if (!order) {
        error_set(&e, "out of memory for the order of %zu rows", t->set.train);
        tool_fail(&e);
    }
    trainer runner = {.device = t->device,
                      .run = t->run,
                      .rates = &own.rates,
                      .batch = own.batch,
                      .step = t->state.step,
                      .proceed = proceed};
    while (t->state.epoch < own.epochs && !patience_ended(&t->state)) {
        epoch_report report;
        train_epoch(t, &runner, order, &report);
        report_epoch(t, &report);
        fetch_state(t);
        note_best(t, &report);
        tool_miss_reader(true);
        if (own.checkpoint && checkpoint_save(own.checkpoint, &t->made, &t->state, &e) < 0)
            tool_fail(&e);
        tool_miss_reader(false);
        end_if_stopped(t->state.epoch);
    }
    free(order);
}

/* ---- what imprinting will need of these rows ---- */

#define STATISTICS_ROWS 256 /* embedded at once */

/* The rows that are embedded again: all training rows for --statistics, else a few of each class at
 * random, the same for the same seed. Returns how many. */
static size_t choose_statistics(const training *t, uint32_t *rows)
{
    size_t classes = t->made.classes.count, room = exemplars_usual_room(classes), kept = 0;
    memcpy(rows, t->set.order, t->set.train * sizeof *rows);
    if (own.statistics)
        return t->set.train;
    size_t *count = calloc(classes, sizeof *count);
    if (!count)
        tool_fail(&(error){"out of memory"});
    order_shuffle(rows, t->set.train, own.seed, UINT32_MAX);
    for (size_t i = 0; i < t->set.train; i++)
        if (count[t->set.pictures.labels[rows[i]]]++ < room)
            rows[kept++] = rows[i];
    free(count);
    return kept;
}

static void add_statistics(training *t, program *run, imprinting *work, const uint32_t *rows,
                           size_t count, uint8_t *images, float *embeddings, int32_t *labels)
{
    error e = {""};
    progress shown;
    size_t size = extent_size(t->made.net.input);
    progress_begin(&shown, "pictures embedded", count);
    for (size_t i = 0; i < count; i += STATISTICS_ROWS) {
        size_t n = count - i < STATISTICS_ROWS ? count - i : STATISTICS_ROWS;
        for (size_t r = 0; r < n; r++) {
            memcpy(images + r * size, t->set.pictures.images + (size_t)rows[i + r] * size, size);
            labels[r] = t->set.pictures.labels[rows[i + r]];
        }
        if (backend_embed(t->device, run, images, n, embeddings, &e) < 0 ||
            imprinting_add(work, &t->made.classes, embeddings, NULL, labels, n, &e) < 0)
            tool_fail(&e);
        progress_update(&shown, i + n, NULL);
    }
    progress_end(&shown);
}

static bool has_base(const training *t, const uint32_t *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (t->made.kinds[t->set.pictures.labels[rows[i]]] == CLASS_BASE)
            return true;
    return false;
}

/* Embeds base classes' training rows with the finished network and keeps what imprint needs of
 * them. Below a frozen backbone embeddings are what they were: what the model knows of more rows
 * than these stays. */
static void keep_statistics(training *t)
{
    if (own.freeze && !own.statistics && model_part(&t->made, PART_BASE_EXEMPLARS))
        return;
    error e = {""};
    imprinting *work;
    program *run;
    program_spec spec = {.net = &t->made.net, .batch = STATISTICS_ROWS};
    imprinting_options how = {.training_rows = true, .features = own.statistics};
    uint32_t *rows = malloc(t->set.train * sizeof *rows);
    uint8_t *images = malloc(STATISTICS_ROWS * extent_size(t->made.net.input));
    float *embeddings = malloc(STATISTICS_ROWS * t->made.net.dimension * sizeof *embeddings);
    int32_t labels[STATISTICS_ROWS];
    if (!rows || !images || !embeddings)
        tool_fail(&(error){"out of memory for the statistics"});
    if (own.statistics &&
        projection_choose(&t->made, own.features, PROJECTION_SEED, &how.chosen, &e) < 0)
        tool_fail(&e);
    size_t count = choose_statistics(t, rows);
    if (has_base(t, rows, count)) {
        if (t->device->program_new(t->device, &spec, &run, &e) < 0 ||
            t->device->parameters_set(t->device, run, t->state.parameters, &e) < 0 ||
            imprinting_new(&t->device->algebra, &t->made, &how, &work, &e) < 0)
            tool_fail(&e);
        add_statistics(t, run, work, rows, count, images, embeddings, labels);
        if (imprinting_finish(work, &e) < 0)
            tool_fail(&e);
        imprinting_free(work);
        t->device->program_free(t->device, run);
    }
    free(rows);
    free(images);
    free(embeddings);
}

/* While training, a signal waits for the step's end, so that what is said of the checkpoint is
 * true; before and after, it ends the tool where it stands. Those ignored stay so. */
static void train_until_stopped(training *t)
{
    enum { ENDS = 2 };
    const int ends[ENDS] = {SIGINT, SIGTERM};
    struct sigaction old[ENDS], action = {.sa_handler = stop, .sa_flags = SA_RESTART};
    for (int i = 0; i < ENDS; i++)
        if (sigaction(ends[i], NULL, &old[i]) == 0 && old[i].sa_handler != SIG_IGN)
            sigaction(ends[i], &action, NULL);
    train(t);
    for (int i = 0; i < ENDS; i++)
        sigaction(ends[i], &old[i], NULL);
    end_if_stopped(t->state.epoch);
}

int main(int argc, char **argv)
{
    tool_operands files = tool_begin(&about, argc, argv);
    check_options();
    training t = {0};
    error e = {""};
    output *out = tool_output("a model");
    if (own.checkpoint && output_check(own.checkpoint, &e) < 0)
        tool_fail(&e);
    read_pictures(&t, files);
    begin_model(&t);
    begin_run(&t);
    open_log(&t);
    train_until_stopped(&t);
    settle_epoch(&t);
    model_unpack(&t.made, t.state.parameters);
    training_model_finish(&t.made, own.freeze);
    t.device->program_free(t.device, t.run);
    keep_statistics(&t);
    tool_miss_reader(true);
    int status = model_save(&t.made, out, &e);
    if (status == 0 && t.log && fclose(t.log) != 0)
        status = error_system(&e, "%s", own.log);
    t.device->close(t.device);
    training_state_free(&t.state);
    training_set_free(&t.set);
    model_free(&t.made);
    return tool_end(out, status, &e);
}
