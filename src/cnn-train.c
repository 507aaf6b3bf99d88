/* cnn-train: labelled pictures to a model. */
#include "device.h"
#include "imprinting/base_statistics.h"
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

static const tool_description about = {
    .name = "cnn-train",
    .summary = "Trains a network on labelled pictures (records) and writes the model.",
    .usage = "[OPTION]... [FILE]...",
    .options =
        "  --val FILE         validate on these pictures after every epoch\n"
        "  --val-rows N       or on the last N rows of the input; random:N on some at random\n"
        "  --arch NAME        keras-cnn (default), resnet9, or @FILE with a text of your own\n"
        "  --head KIND        cosine (default) or softmax\n"
        "  --scale S          the cosine head's first scale (default 10)\n"
        "  --init MODEL       train this model further; classes it lacks become novel ones\n"
        "  --freeze backbone  only the head learns\n"
        "  --epochs N         (5)    --batch N (64)    --seed N (1)\n"
        "  --optimizer KIND   adam (default), adamw or sgd (with Nesterov momentum)\n"
        "  --rate R           learning rate (0.001)\n"
        "  --decay D          divide the rate by 1 + D * step (1e-6)\n"
        "  --schedule KIND    constant (default) or one-cycle, whose peak is the rate\n"
        "  --warm-up SHARE    of one-cycle's steps in which the rate rises (0.2)\n"
        "  --beta1 B --beta2 B --epsilon E    of adam and adamw (0.9, 0.999, 1e-7)\n"
        "  --momentum M       of sgd (0.9)\n"
        "  --weight-decay W   of adamw and sgd (0)\n"
        "  --label-smoothing A  (0)\n"
        "  --augment LIST     any of flip,shift:PIXELS,cutout:PIXELS\n"
        "  --balance          every class comes equally often in an epoch\n"
        "  --statistics       keep what imprint --method ridge needs (32 MB)\n"
        "  --features M       the same, of M random features (16 a number, at most 2000)\n"
        "  --log FILE         one JSON line an epoch\n"
        "  --checkpoint FILE  the state after every epoch\n"
        "  --resume FILE      go on from there\n" DEVICE_HELP,
    .example = "cifar-read data_batch_*.bin | class-filter --keep 0-7 | cnn-train > base.model",
};

static struct {
    tool_options tool;
    backend_options device;
    training_split split;
    schedule rates;
    optimizer optimizer;
    augmentation augment;
    const char *arch, *init, *log, *checkpoint, *resume;
    head_kind head;
    bool head_given, freeze, balance, statistics;
    size_t features;
    double scale, label_smoothing;
    size_t epochs, batch;
    uint64_t seed;
} own = {
    .device = DEVICE_DEFAULTS,
    .rates = {.rate = 1e-3, .decay = 1e-6, .warm_up = 0.2},
    .optimizer = {.beta1 = 0.9f, .beta2 = 0.999f, .epsilon = 1e-7f, .momentum = 0.9f},
    .epochs = 5,
    .batch = 64,
    .seed = 1,
};

/* ---- options ---- */

enum {
    VAL = TOOL_OWN,
    VAL_ROWS,
    ARCH,
    HEAD,
    SCALE,
    INIT,
    FREEZE,
    EPOCHS,
    BATCH,
    SEED,
    OPTIMIZER,
    RATE,
    DECAY,
    SCHEDULE,
    WARM_UP,
    BETA1,
    BETA2,
    EPSILON,
    MOMENTUM,
    WEIGHT_DECAY,
    LABEL_SMOOTHING,
    AUGMENT,
    BALANCE,
    STATISTICS,
    FEATURES,
    LOG,
    CHECKPOINT,
    RESUME
};

static const struct option options[] = {
    TOOL_OPTIONS,
    DEVICE_OPTIONS,
    {"val", required_argument, NULL, VAL},
    {"val-rows", required_argument, NULL, VAL_ROWS},
    {"arch", required_argument, NULL, ARCH},
    {"head", required_argument, NULL, HEAD},
    {"scale", required_argument, NULL, SCALE},
    {"init", required_argument, NULL, INIT},
    {"freeze", required_argument, NULL, FREEZE},
    {"epochs", required_argument, NULL, EPOCHS},
    {"batch", required_argument, NULL, BATCH},
    {"seed", required_argument, NULL, SEED},
    {"optimizer", required_argument, NULL, OPTIMIZER},
    {"rate", required_argument, NULL, RATE},
    {"decay", required_argument, NULL, DECAY},
    {"schedule", required_argument, NULL, SCHEDULE},
    {"warm-up", required_argument, NULL, WARM_UP},
    {"beta1", required_argument, NULL, BETA1},
    {"beta2", required_argument, NULL, BETA2},
    {"epsilon", required_argument, NULL, EPSILON},
    {"momentum", required_argument, NULL, MOMENTUM},
    {"weight-decay", required_argument, NULL, WEIGHT_DECAY},
    {"label-smoothing", required_argument, NULL, LABEL_SMOOTHING},
    {"augment", required_argument, NULL, AUGMENT},
    {"balance", no_argument, NULL, BALANCE},
    {"statistics", no_argument, NULL, STATISTICS},
    {"features", required_argument, NULL, FEATURES},
    {"log", required_argument, NULL, LOG},
    {"checkpoint", required_argument, NULL, CHECKPOINT},
    {"resume", required_argument, NULL, RESUME},
    {NULL, 0, NULL, 0},
};

/* The place of a word among those allowed; another exits 2. */
static int choose(const char *option, const char *word, const char *first, const char *second,
                  const char *third)
{
    const char *const words[] = {first, second, third};
    for (int i = 0; i < 3; i++)
        if (words[i] && strcmp(word, words[i]) == 0)
            return i;
    tool_usage("%s %s: takes %s%s%s%s%s", option, word, first, second ? ", " : "",
               second ? second : "", third ? ", " : "", third ? third : "");
}

static void set_val_rows(const char *word)
{
    own.split.random = strncmp(word, "random:", 7) == 0;
    own.split.held = tool_integer("--val-rows", word + (own.split.random ? 7 : 0), 1, UINT32_MAX);
}

/* What is trained. */
static bool data_option(int letter)
{
    switch (letter) {
    case VAL:
        own.split.validation = optarg;
        break;
    case VAL_ROWS:
        set_val_rows(optarg);
        break;
    case ARCH:
        own.arch = optarg;
        break;
    case HEAD:
        own.head = choose("--head", optarg, "cosine", "softmax", NULL) ? HEAD_SOFTMAX : HEAD_COSINE;
        own.head_given = true;
        break;
    case SCALE:
        own.scale = tool_number("--scale", optarg, 1e-3, 1e3);
        break;
    case INIT:
        own.init = optarg;
        break;
    case FREEZE:
        own.freeze = choose("--freeze", optarg, "backbone", NULL, NULL) == 0;
        break;
    case BALANCE:
        own.balance = true;
        break;
    case STATISTICS:
        own.statistics = true;
        break;
    case FEATURES:
        own.features = tool_integer("--features", optarg, 1, PROJECTION_FEATURES_MOST);
        own.statistics = true;
        break;
    case LOG:
        own.log = optarg;
        break;
    case CHECKPOINT:
        own.checkpoint = optarg;
        break;
    case RESUME:
        own.resume = optarg;
        break;
    default:
        return false;
    }
    return true;
}

/* How. */
static bool training_option(int letter)
{
    error e = {""};
    switch (letter) {
    case EPOCHS:
        own.epochs = tool_integer("--epochs", optarg, 1, 1000000);
        break;
    case BATCH:
        own.batch = tool_integer("--batch", optarg, 1, 65536);
        break;
    case SEED:
        own.seed = tool_integer("--seed", optarg, 0, UINT64_MAX);
        break;
    case OPTIMIZER:
        own.optimizer.kind = (optimizer_kind[]){
            OPTIMIZER_ADAM, OPTIMIZER_ADAMW,
            OPTIMIZER_SGD}[choose("--optimizer", optarg, "adam", "adamw", "sgd")];
        break;
    case RATE:
        own.rates.rate = tool_number("--rate", optarg, 0, 1e3);
        break;
    case DECAY:
        own.rates.decay = tool_number("--decay", optarg, 0, 1e3);
        break;
    case SCHEDULE:
        if (schedule_parse(optarg, &own.rates.kind) < 0)
            tool_usage("--schedule %s: takes constant or one-cycle", optarg);
        break;
    case WARM_UP:
        own.rates.warm_up = tool_number("--warm-up", optarg, 0, 1);
        break;
    case BETA1:
        own.optimizer.beta1 = (float)tool_number("--beta1", optarg, 0, 0.999999);
        break;
    case BETA2:
        own.optimizer.beta2 = (float)tool_number("--beta2", optarg, 0, 0.999999);
        break;
    case EPSILON:
        own.optimizer.epsilon = (float)tool_number("--epsilon", optarg, 1e-30, 1);
        break;
    case MOMENTUM:
        own.optimizer.momentum = (float)tool_number("--momentum", optarg, 0, 0.999999);
        break;
    case WEIGHT_DECAY:
        own.optimizer.weight_decay = (float)tool_number("--weight-decay", optarg, 0, 10);
        break;
    case LABEL_SMOOTHING:
        own.label_smoothing = tool_number("--label-smoothing", optarg, 0, 0.999);
        break;
    case AUGMENT:
        if (augmentation_parse(optarg, &own.augment, &e) < 0)
            tool_usage("--augment: %s", e.text);
        break;
    default:
        return false;
    }
    return true;
}

static void read_options(int argc, char **argv)
{
    int letter;
    while ((letter = getopt_long(argc, argv, TOOL_SHORT, options, NULL)) != -1)
        if (!tool_option(letter, &own.tool) && !device_option(letter, &own.device) &&
            !data_option(letter))
            training_option(letter);
    if (own.split.validation && own.split.held)
        tool_usage("--val and --val-rows: take one of them");
    if (own.init && (own.arch || own.head_given))
        tool_usage("--init: the model has its own --arch and --head");
    if (own.freeze && !own.init)
        tool_usage(
            "--freeze backbone: needs --init MODEL, or nothing useful stands below the head");
    if (own.optimizer.weight_decay > 0 && own.optimizer.kind == OPTIMIZER_ADAM)
        tool_usage("--weight-decay: is for --optimizer adamw or sgd");
    own.split.seed = own.seed;
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
    (void)signal;
    stopped = 1;
}

static void watch_reading(void *context, const stream_reader *reader)
{
    progress_update(context, stream_rows(reader), NULL);
}

static void read_pictures(training *t, char **files, int count)
{
    error e = {""};
    progress shown;
    progress_begin(&shown, &own.tool, "pictures read", 0);
    if (training_set_read(files, (size_t)count, &own.split, watch_reading, &shown, &t->set, &e) < 0)
        tool_fail(&e);
    progress_end(&shown);
}

static int begin_new(training *t, const class_list *classes, error *e)
{
    char *text;
    const char *arch = own.arch ? own.arch : "keras-cnn";
    if (training_network(arch, &text, e) < 0)
        return -1;
    int status = training_model_new(text, t->set.pictures.picture, own.head, own.scale, classes,
                                    own.seed, &t->made, e);
    free(text);
    return status < 0 ? error_prefix(e, "%s", arch) : 0;
}

static int begin_further(training *t, const class_list *classes, error *e)
{
    if (model_load(own.init, &t->made, e) < 0)
        return -1;
    if (training_model_extend(&t->made, t->set.pictures.picture, own.scale, classes, own.seed, e) <
        0)
        return error_prefix(e, "%s", own.init);
    statistics_options ignored;
    return own.freeze && own.statistics
               ? statistics_choose(&t->made, own.features, PROJECTION_SEED, &ignored, e)
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
        "augment=%s balance=%d freeze=%d",
        t->set.train,
        (unsigned long long)picture_set_digest(&t->set.pictures, 0, t->set.pictures.rows),
        own.batch, (unsigned long long)own.seed, schedule_name(own.rates.kind), epochs,
        own.rates.rate, own.rates.decay, optimizers[o->kind], o->beta1, o->beta2, o->epsilon,
        o->momentum, o->weight_decay, own.label_smoothing,
        augmentation_text(&own.augment, augment, sizeof augment), own.balance, own.freeze);
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
    t->device = device_open(&own.device, &own.tool);
    program_spec spec = {.net = &t->made.net,
                         .batch = own.batch,
                         .training = true,
                         .seed = own.seed,
                         .augment = own.augment,
                         .optimizer = own.optimizer,
                         .label_smoothing = (float)own.label_smoothing,
                         .freeze_backbone = own.freeze};
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
    if (own.log && !(t->log = fopen(own.log, own.resume ? "a" : "w"))) {
        error_system(&e, "%s", own.log);
        tool_fail(&e);
    }
}

static void report_epoch(training *t, const epoch_report *report)
{
    char text[512];
    error e = {""};
    tool_say(&own.tool, "%s", epoch_report_text(report, text, sizeof text));
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
    tool_fail(&e);
}

/* One epoch over `order`, a shuffled copy of the training rows. */
static void train_epoch(training *t, trainer *runner, uint32_t *order, epoch_report *report)
{
    error e = {""};
    metrics total, held = {0};
    progress shown;
    const uint32_t *rows = t->set.order;
    double begun = tool_seconds();
    memcpy(order, rows, t->set.train * sizeof *order);
    if (!own.balance)
        order_shuffle(order, t->set.train, own.seed, t->state.epoch);
    else if (order_balanced(rows, t->set.train, t->set.pictures.labels, t->made.classes.count,
                            own.seed, t->state.epoch, order, &e) < 0)
        tool_fail(&e);
    progress_begin(&shown, &own.tool, "pictures", t->set.train);
    runner->context = &shown;
    int status = trainer_epoch(runner, order, t->set.train, &total, &e);
    progress_end(&shown);
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
        .seconds = tool_seconds() - begun,
        .images_per_second = (double)total.rows / (trained - begun),
    };
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
    while (t->state.epoch < own.epochs) {
        epoch_report report;
        train_epoch(t, &runner, order, &report);
        report_epoch(t, &report);
        fetch_state(t);
        if (own.checkpoint && checkpoint_save(own.checkpoint, &t->made, &t->state, &e) < 0)
            tool_fail(&e);
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
    size_t classes = t->made.classes.count, room = statistics_sample_room(classes), kept = 0;
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

static void add_statistics(training *t, program *run, statistics *work, const uint32_t *rows,
                           size_t count, uint8_t *images, float *embeddings, int32_t *labels)
{
    error e = {""};
    progress shown;
    size_t size = extent_size(t->made.net.input);
    progress_begin(&shown, &own.tool, "pictures embedded", count);
    for (size_t i = 0; i < count; i += STATISTICS_ROWS) {
        size_t n = count - i < STATISTICS_ROWS ? count - i : STATISTICS_ROWS;
        for (size_t r = 0; r < n; r++) {
            memcpy(images + r * size, t->set.pictures.images + (size_t)rows[i + r] * size, size);
            labels[r] = t->set.pictures.labels[rows[i + r]];
        }
        if (backend_embed(t->device, run, images, n, embeddings, &e) < 0 ||
            statistics_add(work, embeddings, labels, n, &e) < 0)
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
    if (own.freeze && !own.statistics && model_find(&t->made, "statistics/sample"))
        return;
    error e = {""};
    statistics *work;
    program *run;
    program_spec spec = {.net = &t->made.net, .batch = STATISTICS_ROWS};
    statistics_options how = {0};
    uint32_t *rows = malloc(t->set.train * sizeof *rows);
    uint8_t *images = malloc(STATISTICS_ROWS * extent_size(t->made.net.input));
    float *embeddings = malloc(STATISTICS_ROWS * t->made.net.dimension * sizeof *embeddings);
    int32_t labels[STATISTICS_ROWS];
    if (!rows || !images || !embeddings)
        tool_fail(&(error){"out of memory for the statistics"});
    if (own.statistics && statistics_choose(&t->made, own.features, PROJECTION_SEED, &how, &e) < 0)
        tool_fail(&e);
    size_t count = choose_statistics(t, rows);
    if (has_base(t, rows, count)) {
        if (t->device->program_new(t->device, &spec, &run, &e) < 0 ||
            t->device->parameters_set(t->device, run, t->state.parameters, &e) < 0 ||
            statistics_new(t->device, &t->made, &how, &work, &e) < 0)
            tool_fail(&e);
        add_statistics(t, run, work, rows, count, images, embeddings, labels);
        if (statistics_finish(work, &e) < 0)
            tool_fail(&e);
        statistics_free(work);
        t->device->program_free(t->device, run);
    }
    free(rows);
    free(images);
    free(embeddings);
}

static void catch_signals(void)
{
    const int ends[] = {SIGINT, SIGTERM};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        struct sigaction old, action = {.sa_handler = stop, .sa_flags = SA_RESTART};
        if (sigaction(ends[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(ends[i], &action, NULL);
    }
}

int main(int argc, char **argv)
{
    tool_begin(&about);
    read_options(argc, argv);
    training t = {0};
    error e = {""};
    output *out;
    if (output_open(own.tool.output, true, &out, &e) < 0)
        tool_fail(&e);
    read_pictures(&t, argv + optind, argc - optind);
    begin_model(&t);
    begin_run(&t);
    open_log(&t);
    catch_signals();
    train(&t);
    model_unpack(&t.made, t.state.parameters);
    training_model_finish(&t.made, own.freeze);
    t.device->program_free(t.device, t.run);
    keep_statistics(&t);
    if (model_save(&t.made, out, &e) < 0 || output_commit(out, &e) < 0 ||
        (t.log && fclose(t.log) != 0))
        tool_fail(&e);
    t.device->close(t.device);
    training_state_free(&t.state);
    training_set_free(&t.set);
    model_free(&t.made);
    return TOOL_OK;
}
