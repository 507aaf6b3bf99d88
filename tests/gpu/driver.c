/* driver.c: what one backend does in a second, for tests/gpu/run.
 *
 *     driver DEVICE PRECISION train BATCH STEPS     keras-cnn, cosine head, Adam; pictures uploaded
 *                                                   once
 *     driver DEVICE PRECISION embed BATCH BATCHES   pictures from host memory the device copies
 *                                                   from quickly
 *     driver DEVICE PRECISION embed BATCH BATCHES FILE SIDE   the same, of the network whose words
 *                                                   FILE has, on square pictures
 *     driver DEVICE PRECISION scores ROWS CLASSES   logits and top-1 of embeddings of dimension 512
 *     driver DEVICE PRECISION gram ROWS FEATURES    class sums and Gram matrix of as many random
 *                                                   features
 *     driver DEVICE PRECISION times-train BATCH 1   each launch of a step: name, seconds, bytes,
 *                                                   operations,
 *     driver DEVICE PRECISION times-embed BATCH 1   tab between them (CUDA only)
 *     driver DEVICE PRECISION open                  milliseconds until the device is ready for work
 *
 * One line otherwise: pictures (rows) a second, the best of five. */
#include "../../kernels/backend.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TURNS = 5, CLASSES = 8, DATA = 40000 };

static char words_of_file[1 << 16];
static const char *network_text = "keras-cnn";
static size_t side = 32, pixels = 32 * 32 * 3;

static void must(int status, const error *e)
{
    if (status == 0)
        return;
    fprintf(stderr, "driver: %s\n", e->text);
    exit(1);
}

static void *room(size_t bytes)
{
    void *memory = malloc(bytes);
    if (!memory)
        must(-1, &(error){"out of memory"});
    return memory;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The better of the best speed so far and that of a turn which began then; turn 0 warms up. */
static double better(double best, int turn, size_t rows, double begun)
{
    double speed = (double)rows / (now() - begun);
    return turn > 0 && speed > best ? speed : best;
}

static void network_choose(const char *path, const char *size)
{
    FILE *file = fopen(path, "r");
    size_t length = file ? fread(words_of_file, 1, sizeof words_of_file - 1, file) : 0;
    if (length == 0)
        must(-1, &(error){"a network's file that does not open"});
    fclose(file);
    words_of_file[length] = '\0';
    network_text = words_of_file;
    side = strtoull(size, NULL, 10);
    pixels = side * side * 3;
}

/* So many numbers of both signs. */
static float *numbers(size_t count, size_t period)
{
    float *x = room(count * sizeof *x);
    for (size_t i = 0; i < count; i++)
        x[i] = (float)(i % period) - (float)(period / 2);
    return x;
}

static int32_t *class_labels(size_t rows)
{
    int32_t *labels = room(rows * sizeof *labels);
    for (size_t i = 0; i < rows; i++)
        labels[i] = (int32_t)(i % CLASSES);
    return labels;
}

static uint8_t *random_pictures(backend *b, size_t rows)
{
    uint8_t *images = b->host_alloc(b, rows * pixels);
    if (!images)
        must(-1, &(error){"out of memory"});
    for (size_t i = 0; i < rows * pixels; i++)
        images[i] = (uint8_t)(i * 2654435761u >> 13);
    return images;
}

static program *make_program(backend *b, network *net, size_t batch, bool training)
{
    error e = {""};
    program *p;
    must(network_parse(network_text, (extent){side, side, 3}, HEAD_COSINE, CLASSES, net, &e), &e);
    program_spec spec = {.net = net,
                         .batch = batch,
                         .training = training,
                         .seed = 1,
                         .optimizer = {OPTIMIZER_ADAM, 0.9f, 0.999f, 1e-7f, 0, 0}};
    float *parameters = room(net->total * sizeof *parameters);
    network_initialise(net, 1, parameters);
    must(b->program_new(b, &spec, &p, &e), &e);
    must(b->parameters_set(b, p, parameters, &e), &e);
    free(parameters);
    return p;
}

static double measure_train(backend *b, size_t batch, size_t steps)
{
    error e = {""};
    network net;
    metrics total = {0};
    program *p = make_program(b, &net, batch, true);
    uint8_t *images = random_pictures(b, DATA);
    int32_t *labels = class_labels(DATA);
    uint32_t *order = room(batch * steps * sizeof *order);
    float *rate = room(steps * sizeof *rate);
    for (size_t i = 0; i < batch * steps; i++)
        order[i] = (uint32_t)(i * 7919 % DATA);
    for (size_t i = 0; i < steps; i++)
        rate[i] = 1e-3f;
    must(b->data_set(b, p, images, labels, DATA, &e), &e);
    double best = 0;
    for (int turn = 0; turn <= TURNS; turn++) {
        double begun = now();
        must(b->train(b, p, order, batch * steps, rate, &total, &e), &e);
        best = better(best, turn, batch * steps, begun);
    }
    b->program_free(b, p);
    return best;
}

static double measure_embed(backend *b, size_t batch, size_t batches)
{
    error e = {""};
    network net;
    program *p = make_program(b, &net, batch, false);
    uint8_t *images = random_pictures(b, 2 * batch);
    float *out = b->host_alloc(b, 2 * batch * net.dimension * sizeof *out);
    double best = 0;
    if (!out)
        must(-1, &(error){"out of memory"});
    for (int turn = 0; turn <= TURNS; turn++) {
        double begun = now();
        for (size_t i = 0; i < batches; i++) {
            size_t half = i % 2 * batch;
            must(b->embed_submit(b, p, images + half * pixels, batch, 0, 0,
                                 out + half * net.dimension, &e),
                 &e);
        }
        must(b->embed_wait(b, p, &e), &e);
        best = better(best, turn, batch * batches, begun);
    }
    b->program_free(b, p);
    return best;
}

static double measure_scores(backend *b, size_t rows, size_t classes)
{
    error e = {""};
    const size_t dimension = 512;
    float *x = numbers(rows * dimension, 13), *w = numbers(classes * dimension, 11);
    float *scores = room(rows * classes * sizeof *scores), *value = room(rows * sizeof *value);
    uint32_t *index = room(rows * sizeof *index);
    double best = 0;
    for (int turn = 0; turn <= TURNS; turn++) {
        double begun = now();
        must(b->algebra.scores(&b->algebra, x, rows, dimension, w, classes, scores, &e), &e);
        must(b->algebra.top_k(&b->algebra, scores, rows, classes, 1, index, value, &e), &e);
        best = better(best, turn, rows, begun);
    }
    return best;
}

static double measure_gram(backend *b, size_t rows, size_t count)
{
    error e = {""};
    const size_t dimension = 512;
    moments *m;
    float *x = numbers(rows * dimension, 13), *projection = numbers(count * dimension, 11);
    float *features = room(rows * count * sizeof *features);
    int32_t *labels = class_labels(rows);
    double best = 0;
    must(b->algebra.moments_new(&b->algebra, count, CLASSES, true, &m, &e), &e);
    for (int turn = 0; turn <= TURNS; turn++) {
        double begun = now();
        must(b->algebra.features(&b->algebra, x, rows, dimension, projection, count, features, &e),
             &e);
        must(b->algebra.moments_add(&b->algebra, m, features, labels, rows, &e), &e);
        best = better(best, turn, rows, begun);
    }
    b->algebra.moments_free(&b->algebra, m);
    return best;
}

/* ---- launch by launch ---- */

typedef void (*timing_report)(void *, const char *, double, double, double);
typedef int (*timing_function)(backend *, program *, timing_report, void *, error *);

static void print_launch(void *unused, const char *name, double seconds, double bytes,
                         double operations)
{
    (void)unused;
    printf("%s\t%.9f\t%.0f\t%.0f\n", name, seconds, bytes, operations);
    fflush(stdout);
}

/* The plug-in has been loaded; this finds it again. */
static int print_times(backend *b, bool training, size_t batch)
{
    error e = {""};
    network net;
    const char *plugin = getenv("LOWSHOT_PLUGIN");
    void *library = plugin ? dlopen(plugin, RTLD_NOW | RTLD_NOLOAD) : NULL;
    timing_function *measure = library ? dlsym(library, "cuda_plugin_timing") : NULL;
    if (!measure)
        must(-1, &(error){"only $LOWSHOT_PLUGIN times its launches"});
    program *p = make_program(b, &net, batch, training);
    if (training) {
        uint8_t *images = random_pictures(b, 10 * batch);
        must(b->data_set(b, p, images, class_labels(10 * batch), 10 * batch, &e), &e);
    }
    must((*measure)(b, p, print_launch, NULL, &e), &e);
    b->program_free(b, p);
    b->close(b);
    return 0;
}

int main(int count, char **words)
{
    error e = {""};
    backend *b;
    double begun = now();
    if (count < 4 || (strcmp(words[3], "open") != 0 && count != 6 && count != 8)) {
        fputs("usage: driver DEVICE PRECISION train|embed|scores|gram|times-train|times-embed N M, "
              "[FILE SIDE], or open\n",
              stderr);
        return 2;
    }
    backend_options options = {.device = words[1]};
    if (precision_parse(words[2], &options.precision) < 0)
        return 2;
    must(backend_open(&options, &b, NULL, &e), &e);
    if (strcmp(words[3], "open") == 0) {
        float unit[2] = {3, 4};
        must(b->algebra.normalise(&b->algebra, unit, 1, 2, &e), &e);
        printf("%.1f\n", (now() - begun) * 1e3);
        return 0;
    }
    if (count == 8)
        network_choose(words[6], words[7]);
    size_t n = strtoull(words[4], NULL, 10), m = strtoull(words[5], NULL, 10);
    if (strncmp(words[3], "times-", 6) == 0)
        return print_times(b, strcmp(words[3] + 6, "train") == 0, n);
    printf("%.0f\n", strcmp(words[3], "train") == 0   ? measure_train(b, n, m)
                     : strcmp(words[3], "embed") == 0 ? measure_embed(b, n, m)
                     : strcmp(words[3], "gram") == 0  ? measure_gram(b, n, m)
                                                      : measure_scores(b, n, m));
    b->close(b);
    return 0;
}
