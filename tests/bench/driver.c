/* driver.c: the CPU backend's speed, on request. tests/bench/beside_torch.py asks, in turns with
 * PyTorch.
 *
 *     driver [--threads N] [--network TEXT | --model FILE] [--batch N] [FILE...]
 *
 * The files are CIFAR-10 binary batches; without any, and for a model, pictures are random, of the
 * network's size. A model's network has its weights below a new head. Requests are lines on
 * standard input, answered by one line each with pictures a second:
 *
 *     train PRECISION STEPS       steps of the batch (default 64), Adam
 *     embed PRECISION ROWS BATCHES
 *     peak PRECISION SIZE         what the machine can do: SIZE^3 products of matrices by
 *                                 OpenBLAS's sgemm, in GFLOP/s, whatever the precision
 *     profile PRECISION STEPS     answers a table and an empty line
 *     profile-embed PRECISION ROWS BATCHES */
#include "../../common/model/model.h"
#include "../../kernels/cpu/state.h"

#include <cblas.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define CLASSES 8
#define RECORD 3073

static size_t batch_rows = 64;
static int threads;
static const char *network_text = "keras-cnn";
static extent picture = {32, 32, 3};
static model pretrained; /* of --model */

typedef struct {
    uint8_t *images;
    int32_t *labels;
    size_t rows;
    size_t bytes; /* of one */
} pictures;

static void die(const error *e)
{
    fprintf(stderr, "driver: %s\n", e->text);
    exit(1);
}

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* ---- pictures ------------------------------------------------------------------------------ */

static void pictures_grow(pictures *all, size_t rows)
{
    all->images = realloc(all->images, rows * all->bytes);
    all->labels = realloc(all->labels, rows * sizeof *all->labels);
    if (!all->images || !all->labels)
        die(&(error){"out of memory"});
}

/* Planes of red, green, blue become pixels; classes 8 and 9 are left out. */
static void pictures_read(const char *path, pictures *all)
{
    FILE *file = fopen(path, "rb");
    uint8_t record[RECORD];
    if (!file)
        die(&(error){"a file does not open"});
    while (fread(record, RECORD, 1, file) == 1) {
        if (record[0] >= CLASSES)
            continue;
        pictures_grow(all, all->rows + 1);
        uint8_t *image = all->images + all->rows * 3072;
        for (size_t i = 0; i < 1024; i++)
            for (size_t c = 0; c < 3; c++)
                image[i * 3 + c] = record[1 + c * 1024 + i];
        all->labels[all->rows++] = record[0];
    }
    fclose(file);
}

static void pictures_random(pictures *all)
{
    all->rows = 3072 * 4096 / all->bytes;
    all->rows = all->rows < 256 ? 256 : all->rows;
    pictures_grow(all, all->rows);
    for (size_t i = 0; i < all->rows * all->bytes; i++)
        all->images[i] = (uint8_t)(rand() >> 8);
    for (size_t i = 0; i < all->rows; i++)
        all->labels[i] = rand() % CLASSES;
}

/* ---- programs ------------------------------------------------------------------------------ */

/* One of each kind, made at its first use. */
typedef struct {
    backend *b;
    network net;
    program *train, *embed;
    size_t embed_rows;
} machine;

static void machine_open(machine *m, precision_kind precision)
{
    error e;
    backend_options options = {.device = "cpu", .precision = precision, .threads = threads};
    const char *text = network_builtin(network_text);
    if (network_parse(text ? text : network_text, picture, HEAD_COSINE, CLASSES, &m->net, &e) !=
            0 ||
        backend_open(&options, &m->b, NULL, &e) != 0)
        die(&e);
}

/* Random ones, and those of a model below its head. */
static float *parameters_new(const network *net)
{
    float *parameters = malloc(net->total * sizeof *parameters);
    if (!parameters)
        die(&(error){"out of memory"});
    network_initialise(net, 1, parameters);
    for (size_t i = 0; pretrained.net.text && i < net->parameter_count; i++) {
        const parameter *to = &net->parameters[i];
        const tensor *from = model_find(&pretrained, to->name);
        if (from && strncmp(to->name, "head/", 5) != 0)
            memcpy(parameters + to->start, from->data, to->count * sizeof *parameters);
    }
    return parameters;
}

static program *machine_program(machine *m, const pictures *all, bool training, size_t rows)
{
    error e;
    program **p = training ? &m->train : &m->embed;
    if (*p && (training || rows == m->embed_rows))
        return *p;
    m->b->program_free(m->b, *p);
    m->embed_rows = rows;
    program_spec spec = {.net = &m->net,
                         .batch = rows,
                         .training = training,
                         .seed = 1,
                         .optimizer = {OPTIMIZER_ADAM, .9f, .999f, 1e-7f, 0, 0}};
    float *parameters = parameters_new(&m->net);
    if (m->b->program_new(m->b, &spec, p, &e) != 0 ||
        m->b->parameters_set(m->b, *p, parameters, &e) != 0 ||
        (training && m->b->data_set(m->b, *p, all->images, all->labels, all->rows, &e) != 0))
        die(&e);
    free(parameters);
    return *p;
}

/* ---- work ---------------------------------------------------------------------------------- */

static double train(machine *m, const pictures *all, size_t steps)
{
    program *p = machine_program(m, all, true, batch_rows);
    uint32_t *order = malloc(batch_rows * sizeof *order);
    float rate = 1e-3f;
    metrics total = {0};
    error e;
    double begun = seconds_now();
    for (size_t s = 0; s < steps; s++) {
        for (size_t i = 0; i < batch_rows; i++)
            order[i] = (uint32_t)((size_t)rand() % all->rows);
        if (m->b->train(m->b, p, order, batch_rows, &rate, &total, &e) != 0)
            die(&e);
    }
    double speed = (double)(steps * batch_rows) / (seconds_now() - begun);
    free(order);
    return speed;
}

static double embed(machine *m, const pictures *all, size_t rows, size_t batches)
{
    program *p = machine_program(m, all, false, rows);
    float *embeddings = malloc(rows * m->net.dimension * sizeof *embeddings);
    error e;
    double begun = seconds_now();
    for (size_t i = 0; i < batches; i++) {
        size_t first = i * rows % (all->rows - rows + 1);
        if (backend_embed(m->b, p, all->images + first * all->bytes, rows, embeddings, &e) != 0)
            die(&e);
    }
    double speed = (double)(rows * batches) / (seconds_now() - begun);
    free(embeddings);
    return speed;
}

/* ---- profiles ------------------------------------------------------------------------------ */

static void times_clear(program *p)
{
    layer_times *layers = p->times.layers;
    memset(layers, 0, p->plan.count * sizeof *layers);
    p->times = (program_times){.layers = layers, .since = seconds_now()};
}

/* Multiplications and additions of one pass over that many rows. */
static double layer_work(const layer *l, double rows)
{
    if (l->kind == LAYER_DENSE)
        return 2 * rows * (double)extent_size(l->in) * (double)extent_size(l->out);
    if (l->kind == LAYER_CONV)
        return 2 * rows * (double)extent_size(l->out) *
               (double)(l->kernel_height * l->kernel_width * l->in.channels);
    return 0;
}

static void pass_print(double seconds, double work)
{
    if (work > 0 && seconds > 0)
        printf(" %7.3f %5.0f", seconds * 1e3, work / seconds / 1e9);
    else
        printf(" %7.3f      ", seconds * 1e3);
}

/* Milliseconds a step (and for products, GFLOP/s). */
static void profile_print(const program *p, double steps, double rows)
{
    const program_times *t = &p->times;
    double sum = t->outside + t->pictures + t->weights + t->head + t->optimizer;
    printf("%-26s %13s %7s %13s %13s\n", "ms a step, GFLOP/s", "forward", "mask", "weights",
           "back");
    for (size_t i = 0; i < p->plan.count; i++) {
        const fused_layer *f = &p->plan.layers[i];
        const layer_times *n = &t->layers[i];
        double work = layer_work(f->layer, rows);
        char name[64];
        snprintf(name, sizeof name, "%zu.%s%s%s %zux%zux%zu", i, layer_name(f->layer),
                 f->relu ? "+relu" : "", f->drop > 0 ? "+drop" : "", f->out.height, f->out.width,
                 f->out.channels);
        printf("%-26s", name);
        pass_print(n->forward / steps, work);
        printf(" %7.3f", n->mask / steps * 1e3);
        pass_print(n->weights / steps, work);
        pass_print(n->back / steps, work);
        printf("\n");
        sum += n->forward + n->mask + n->weights + n->back;
    }
    printf("pictures %.3f  weights' layouts %.3f  head %.3f  optimizer %.3f  outside %.3f  sum "
           "%.3f\n\n",
           t->pictures / steps * 1e3, t->weights / steps * 1e3, t->head / steps * 1e3,
           t->optimizer / steps * 1e3, t->outside / steps * 1e3, sum / steps * 1e3);
}

/* ---- requests ------------------------------------------------------------------------------ */

/* GFLOP/s of the quickest of a few products, the practical limit of fp32 arithmetic here. */
static double peak(size_t size)
{
    float *a = calloc(size * size, sizeof *a), *b = calloc(size * size, sizeof *b);
    float *c = calloc(size * size, sizeof *c);
    double least = 1e9;
    int n = (int)size;
    if (!a || !b || !c)
        die(&(error){"out of memory"});
    for (size_t i = 0; i < size * size; i++)
        a[i] = b[i] = (float)(i % 7) - 3;
    for (int turn = 0; turn < 8; turn++) {
        double begun = seconds_now();
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, n, n, 1, a, n, b, n, 0, c, n);
        double took = seconds_now() - begun;
        least = took < least ? took : least;
    }
    free(a);
    free(b);
    free(c);
    return 2e-9 * (double)size * (double)size * (double)size / least;
}

static void answer(const char *line, machine *machines, const pictures *all)
{
    char what[32], word[16];
    size_t a = 0, b = 0;
    precision_kind precision;
    int count = sscanf(line, "%31s %15s %zu %zu", what, word, &a, &b);
    if (count < 3 || precision_parse(word, &precision) != 0)
        die(&(error){"a request that is none"});
    machine *m = &machines[precision];
    if (!m->b)
        machine_open(m, precision);
    if (strcmp(what, "train") == 0)
        printf("%.1f\n", train(m, all, a));
    else if (strcmp(what, "peak") == 0)
        printf("%.1f\n", peak(a));
    else if (strcmp(what, "embed") == 0)
        printf("%.1f\n", embed(m, all, a, b));
    else if (strcmp(what, "profile") == 0) {
        train(m, all, 5);
        times_clear(m->train);
        train(m, all, a);
        profile_print(m->train, (double)a, (double)batch_rows);
    } else if (strcmp(what, "profile-embed") == 0) {
        embed(m, all, a, 2);
        times_clear(m->embed);
        embed(m, all, a, b);
        profile_print(m->embed, (double)b, (double)a);
    } else
        die(&(error){"an unknown request"});
    fflush(stdout);
}

int main(int count, char **arguments)
{
    static const struct option options[] = {{"threads", required_argument, NULL, 't'},
                                            {"network", required_argument, NULL, 'n'},
                                            {"model", required_argument, NULL, 'm'},
                                            {"batch", required_argument, NULL, 'b'},
                                            {0}};
    machine machines[4] = {0};
    const char *model_path = NULL;
    char line[256];
    for (int c; (c = getopt_long(count, arguments, "", options, NULL)) != -1;) {
        if (c == 't')
            threads = atoi(optarg);
        else if (c == 'n')
            network_text = optarg;
        else if (c == 'm')
            model_path = optarg;
        else if (c == 'b')
            batch_rows = (size_t)atoi(optarg);
        else
            return 2;
    }
    error e;
    if (model_path && model_load(model_path, &pretrained, &e) != 0)
        die(&e);
    if (model_path) {
        network_text = pretrained.net.text;
        picture = pretrained.net.input;
    }
    pictures all = {.bytes = extent_size(picture)};
    for (int i = optind; i < count && !model_path; i++)
        pictures_read(arguments[i], &all);
    if (all.rows == 0)
        pictures_random(&all);
    while (fgets(line, sizeof line, stdin))
        answer(line, machines, &all);
    return 0;
}
