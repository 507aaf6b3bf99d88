/* conformance.c: every function of a backend against the reference, on fresh random inputs.
 *
 *   conformance                                   the CPU in every precision that it has natively
 *   conformance --device cuda --precision bf16    that one
 *   --all         every shape, not only the covering few
 *   --seed N      the inputs of an earlier run
 *   --only GLOB   tests whose names fit
 *   --part I/N    every N-th test from the I-th on, so that N processes share them
 *   --most M      only networks of at most M million multiplications a step, for slow devices
 *   --threads N   (set OMP_WAIT_POLICY=passive on a busy machine)
 *
 * A test's name says what it compares, on which device, in which precision and shape. Bounds:
 * relative error 1e-4 in fp32, 2e-2 in bf16; conform_network.h says what happens near kinks. */
#include "../../kernels/cpu/cpu.h"
#include "conform_embedding.h"
#include "conform_network.h"

#include <getopt.h>

typedef struct {
    const char *device;
    precision_kind precision;
    int threads;
} target;

typedef struct {
    char name[256];
    target on;
    const char *missing; /* why it cannot run; NULL if it can */
    enum { KIND_NETWORK, KIND_REPEAT, KIND_EMBEDDING } kind;
    network_case network;
    embedding_test embedding;
    sizes z;
} test_case;

/* ---- the cases ---- */

#define PICTURE_GREY                                                                               \
    {                                                                                              \
        28, 28, 1                                                                                  \
    }
#define PICTURE_COLOUR                                                                             \
    {                                                                                              \
        32, 32, 3                                                                                  \
    }
#define PICTURE_LARGE                                                                              \
    {                                                                                              \
        64, 64, 3                                                                                  \
    }
#define PICTURE_ODD                                                                                \
    {                                                                                              \
        9, 13, 2                                                                                   \
    }

/* A layer that has no parameters stands behind a small convolution: that gives it numbers of both
 * signs, and shows the gradient that it sends back. */
static const network_case layers[] = {
    {.text = ""},
    {.text = "conv:3x3x8:same"},
    {.text = "conv:3x3x5"},
    {.text = "conv:3x3x16:nobias"},
    {.text = "conv:5x3x7:same:nobias"},
    {.text = "conv:1x1x4"},
    {.text = "conv:2x4x3"},
    {.text = "conv:3x3x16:same conv:3x3x16"},
    {.text = "conv:3x3x6:same conv:5x5x4:same"},
    {.text = "dense:17"},
    {.text = "dense:64:nobias"},
    {.text = "dense:33 dense:9"},
    {.text = "conv:1x1x6 relu"},
    {.text = "conv:1x1x70 relu conv:1x1x131:nobias conv:1x1x5"},
    {.text = "conv:1x1x6 maxpool:2"},
    {.text = "conv:1x1x5 maxpool:3"},
    {.text = "conv:3x3x6 maxpool:all"},
    {.text = "conv:1x1x6 avgpool"},
    {.text = "conv:1x1x6 dropout:0.25"},
    {.text = "conv:1x1x6 dropout:0"},
    {.text = "conv:1x1x6 batchnorm"},
    {.text = "conv:1x1x6 batchnorm:3"},
    {.text = "conv:1x1x6 scale:-0.125"},
    {.text = "conv:1x1x6 save conv:1x1x6 add"},
    {.text = "relu"},
    {.text = "maxpool:2"},
    {.text = "dropout:0.5"},
    {.text = "batchnorm"},
    {.text = "conv:1x1x4 scale:0"}, /* embeddings without a direction */
    {.text = "conv:3x3x8:same:stride=2"},
    {.text = "conv:3x5x8:stride=2x3:dilation=2x1"},
    {.text = "conv:3x3x6:pad=0,1,2,0:stride=2"},
    {.text = "conv:1x1x12 conv:3x3x12:same:groups=12"},
    {.text = "conv:1x1x16 conv:5x5x16:same:groups=16:stride=2"},
    {.text = "conv:1x1x12 conv:3x2x18:groups=3:nobias"},
    {.text = "conv:1x1x6 clip:-0.3,0.4"},
    {.text = "conv:1x1x6 leakyrelu:0.1"},
    {.text = "conv:1x1x6 sigmoid"},
    {.text = "conv:1x1x6 silu"},
    {.text = "conv:1x1x6 hardsigmoid"},
    {.text = "conv:1x1x6 hardswish"},
    {.text = "conv:1x1x6 gelu"},
    {.text = "conv:1x1x6 tanhgelu"},
    {.text = "conv:1x1x6 maxpool:3:stride=2:pad=1"},
    {.text = "conv:1x1x6 maxpool:3x2:stride=2x1:ceil"},
    {.text = "conv:1x1x6 avgpool:3:stride=2:pad=1:ceil"},
    {.text = "conv:1x1x6 avgpool:2"},
    {.text = "conv:1x1x6 avgpool:3:stride=1:pad=1:within"},
    {.text = "conv:1x1x18 layernorm"},
    {.text = "conv:1x1x18 layernorm:0.01 affine"},
    {.text = "normalize:0.4:0.3 conv:3x3x6"},
    {.text = "normalize:0.5:0.2"},
    {.text = "conv:3x3x6:stride=3 tokens:2 position"},
    {.text = "conv:3x3x24:stride=3 tokens:1 attention:4"},
    {.text = "conv:3x3x6:stride=3 tokens:0 take:1-5"},
    {.text = "conv:1x1x12 channels:3-7"},
    {.text = "conv:1x1x12 shuffle:3"},
    {.text = "affine"},
    {.text = "position"},
    {.text = "tokens:1 layernorm:0.001"},
    {.text = "conv:1x1x6 save conv:1x1x6 | conv:3x3x6:same add"},
    {.text = "conv:1x1x6 save conv:1x1x6 | conv:3x3x4:same | concat"},
    /* More channels than a kernel's few vectors hold, the last one not full. */
    {.text = "conv:3x3x29:same:stride=2 save conv:1x1x29 add"},
    {.text = "conv:3x3x32:same:stride=2 save conv:1x1x32 add relu"},
    {.text = "conv:1x1x37 save conv:3x3x37:same:groups=37 add"},
    {.text = "conv:3x3x72:same:stride=2 save conv:3x3x72:same:groups=3 add gelu"},
    {.text = "conv:3x3x61:stride=2 save conv:3x3x61:same silu add avgpool"},
    {.text = "conv:1x1x45:nobias conv:3x3x45:groups=45:stride=2 hardswish"},
    {.text = "conv:3x3x33:stride=2 conv:1x1x50:stride=2 tanhgelu layernorm"},
    {.text = "dense:29 save dense:29 add gelu"},
    {.text = "conv:1x1x6 save avgpool conv:1x1x6 sigmoid multiply"},
    {.text = "conv:1x1x6 save conv:1x1x6 multiply"},
    /* Channels and sizes at which the CPU takes other ways. */
    {.text = "conv:3x3x32:same conv:3x3x64:same:nobias relu conv:3x3x32"},
    {.text = "conv:3x3x64 relu conv:3x3x32 relu maxpool:2"},
    /* What CUDA's tensor cores do by kernels of our own, tiles that are not full among them. */
    {.text = "conv:3x3x32:same:stride=2 relu conv:3x2x32 conv:2x2x64:dilation=1x2"},
    {.text = "conv:3x3x32:pad=0,1,2,0:nobias silu conv:3x4x32:pad=1:stride=3"},
    {.text = "conv:3x3x8:stride=2 conv:3x3x32:same conv:1x1x40 conv:3x3x32:stride=2 avgpool"},
    {.text = "conv:3x3x48 attention:1"},
    {.text = "conv:1x1x96 attention:1"},
    {.text = "conv:3x3x192:stride=2 tokens:3 attention:2"},
    {.text = "conv:3x3x192:stride=2 attention:1"},
};

/* What stands together in networks, and what a backend may fuse. */
static const network_case pairings[] = {
    {.text = "conv:3x3x8:same relu"},
    {.text = "conv:3x3x8 relu maxpool:2"},
    {.text = "conv:3x3x8:same maxpool:2 relu"},
    {.text = "conv:3x3x8 relu maxpool:2 dropout:0.25"},
    {.text = "conv:3x3x8 relu dropout:0.25 conv:3x3x8"},
    {.text = "conv:3x3x8:same:nobias batchnorm relu"},
    {.text = "conv:3x3x8:same batchnorm"},
    {.text = "conv:3x3x8:same batchnorm:4 relu maxpool:2"},
    {.text = "conv:3x3x8:same:nobias relu batchnorm"},
    {.text = "conv:3x3x8:same:nobias batchnorm maxpool:2 relu"},
    {.text = "dense:32 relu dropout:0.5"},
    {.text = "dense:32 relu"},
    {.text = "dense:32 dropout:0.5 relu"},
    {.text = "dense:32 batchnorm relu dense:16"},
    {.text = "maxpool:2 dense:24 relu dense:10"},
    {.text = "conv:3x3x8 relu dense:24 relu"},
    {.text = "conv:3x3x8 avgpool dense:24"},
    {.text = "save conv:3x3x3:same add"},
    {.text = "conv:3x3x8:same save conv:3x3x8:same relu add"},
    {.text = "conv:3x3x8:same save conv:3x3x8:same add relu"},
    {.text = "conv:3x3x8:same relu save conv:3x3x8:same:nobias batchnorm relu add maxpool:2"},
    {.text = "conv:3x3x4:same save save conv:3x3x4:same relu add scale:0.5 add relu"},
    {.text = "conv:3x3x4:same save dropout:0.25 add dropout:0.25 relu"},
    {.text = "conv:3x3x4:same save add"},
    {.text = "conv:3x3x4:same batchnorm save relu conv:3x3x4:same add batchnorm"},
    {.text = "conv:3x3x8 relu scale:2 maxpool:2 scale:0.5 avgpool"},
    {.text = "relu relu dropout:0.3 dropout:0.2 dense:12"},
    {.text = "conv:3x3x8:same batchnorm relu dropout:0.4 maxpool:2"},
    {.text = "conv:3x3x8:same save batchnorm:3 relu dropout:0.3 add relu batchnorm dense:9"},
    {.text = "conv:3x3x8 relu save conv:3x3x8:same relu dropout:0.3 add conv:3x3x8 relu"},
    {.text = "conv:3x3x8 relu maxpool:2 dropout:0.3 relu dropout:0.2 dense:9"},
    {.text = "dense:16 save relu dense:16 add relu save batchnorm add dense:8"},
    {.text = "conv:3x3x8:same silu conv:3x3x8:same gelu dense:9 hardswish"},
    {.text = "conv:3x3x8:same clip:0,0.5 conv:1x1x8 hardsigmoid conv:1x1x8 leakyrelu:0.2"},
    {.text = "conv:3x3x8:same:stride=2 relu save conv:3x3x8:same relu conv:3x3x8:same add relu "
             "save conv:3x3x12:same:stride=2 relu conv:3x3x12:same | conv:1x1x12:stride=2 add relu "
             "avgpool"},
    {.text = "conv:3x3x8:same:stride=2 silu save conv:1x1x24 silu conv:3x3x24:same:groups=24 silu "
             "save avgpool conv:1x1x4 silu conv:1x1x24 sigmoid multiply conv:1x1x8 add avgpool"},
    {.text = "conv:8x8x12:stride=8 tokens:1 position save layernorm conv:1x1x36 attention:3 "
             "conv:1x1x12 add save layernorm conv:1x1x24 gelu conv:1x1x12 add layernorm take:0"},
    {.text =
         "conv:3x3x8:stride=2 save conv:1x1x4 relu | conv:1x1x4 relu conv:3x3x6:same relu | "
         "maxpool:3:stride=1:pad=1 conv:1x1x4 relu | avgpool:3:stride=1:pad=1 conv:1x1x2 concat "
         "save batchnorm relu conv:3x3x4:same concat avgpool:2 dense:9"},
    {.text = "conv:1x1x8 relu save channels:0-3 | channels:4-7 conv:3x3x4:same:groups=4 batchnorm "
             "relu concat shuffle:2 maxpool:2"},
    {.text = "conv:1x1x6 save | | add save | relu | add save save | multiply add conv:1x1x6 relu"},
    {.text = "normalize:0.5:0.5 save conv:1x1x3 relu | conv:1x1x3 add conv:1x1x8 dropout:0.5 save "
             "dropout:0.5 save conv:1x1x8 add conv:1x1x8 add"},
};

static const char slim_keras[] =
    "conv:3x3x8:same relu conv:3x3x8 relu maxpool:2 dropout:0.25 conv:3x3x16:same relu "
    "conv:3x3x16 relu maxpool:2 dropout:0.25 dense:64 relu dropout:0.5";
static const char slim_resnet[] =
    "conv:3x3x4:same:nobias batchnorm relu conv:3x3x8:same:nobias batchnorm relu maxpool:2 save "
    "conv:3x3x8:same:nobias batchnorm relu conv:3x3x8:same:nobias batchnorm relu add "
    "conv:3x3x16:same:nobias batchnorm relu maxpool:2 conv:3x3x32:same:nobias batchnorm relu "
    "maxpool:2 "
    "save conv:3x3x32:same:nobias batchnorm relu conv:3x3x32:same:nobias batchnorm relu add "
    "maxpool:all";
static const char slim_ghost[] = "conv:3x3x8:same:nobias batchnorm:3 relu maxpool:2 save "
                                 "conv:3x3x8:same:nobias batchnorm:3 relu add "
                                 "avgpool scale:0.125";
static const char small[] = "conv:3x3x8:same relu maxpool:2 dense:24 relu";

static const network_case networks[] = {
    {.text = "keras-cnn", .input = PICTURE_COLOUR, .batch = 7, .classes = 9},
    {.text = "keras-cnn", .input = PICTURE_GREY, .batch = 16, .classes = 9, .keras_epsilon = true},
    {.text = slim_keras, .input = PICTURE_LARGE, .batch = 7, .classes = 1000, .head = HEAD_SOFTMAX},
    {.text = slim_keras, .input = PICTURE_COLOUR, .batch = 64, .classes = 9, .augment = true},
    {.text = slim_keras, .input = PICTURE_COLOUR, .batch = 1, .classes = 1},
    {.text = slim_resnet,
     .input = PICTURE_COLOUR,
     .batch = 16,
     .classes = 9,
     .smooth = true,
     .augment = true,
     .optimizer = OPTIMIZER_SGD,
     .decays = true},
    {.text = slim_resnet, .input = PICTURE_GREY, .batch = 7, .classes = 9},
    {.text = slim_ghost, .input = PICTURE_GREY, .batch = 7, .classes = 9, .head = HEAD_SOFTMAX},
    {.text = small, .input = PICTURE_ODD, .batch = 1000, .classes = 9},
    {.text = "normalize:0.5:0.5 conv:8x4x12:stride=8x4 relu",
     .input = PICTURE_LARGE,
     .batch = 5,
     .classes = 9},
    {.text = "conv:1x1x256 relu conv:3x3x64:same", .input = PICTURE_GREY, .batch = 3, .classes = 9},
    {.text = small, .input = PICTURE_GREY, .batch = 7, .classes = 1000},
    {.text = small, .input = PICTURE_GREY, .batch = 1, .classes = 1000},
    {.text = small, .input = PICTURE_GREY, .batch = 7, .classes = 1, .head = HEAD_SOFTMAX},
    {.text = small,
     .input = PICTURE_COLOUR,
     .batch = 7,
     .classes = 9,
     .augment = true,
     .smooth = true},
    {.text = small, .input = PICTURE_ODD, .batch = 7, .classes = 9, .augment = true},
    {.text = slim_resnet, .input = PICTURE_COLOUR, .batch = 7, .classes = 9, .frozen = FROZEN},
    {.text = slim_resnet, .input = PICTURE_COLOUR, .batch = 7, .classes = 9, .frozen = 3},
    {.text = slim_resnet, .input = PICTURE_COLOUR, .batch = 7, .classes = 9, .frozen = 10},
    {.text = slim_keras, .input = PICTURE_GREY, .batch = 7, .classes = 9, .frozen = 4},
    {.text = "conv:3x3x8:same save conv:3x3x8:same relu | conv:1x1x8 add relu maxpool:all",
     .input = PICTURE_ODD,
     .batch = 3,
     .classes = 9,
     .frozen = 4},
    {.text = "conv:3x3x8:same batchnorm relu conv:3x3x8:same batchnorm relu maxpool:all",
     .input = PICTURE_ODD,
     .batch = 3,
     .classes = 9,
     .frozen = 3},
    {.text = slim_keras,
     .input = PICTURE_GREY,
     .batch = 7,
     .classes = 9,
     .frozen = FROZEN,
     .head = HEAD_SOFTMAX,
     .decays = true,
     .optimizer = OPTIMIZER_ADAMW},
    {.text = slim_ghost,
     .input = PICTURE_GREY,
     .batch = 7,
     .classes = 9,
     .decays = true,
     .optimizer = OPTIMIZER_ADAMW},
    {.text = small,
     .input = PICTURE_ODD,
     .batch = 7,
     .classes = 9,
     .decays = true,
     .optimizer = OPTIMIZER_SGD,
     .head = HEAD_SOFTMAX},
    {.text = small, .input = PICTURE_ODD, .batch = 7, .classes = 9, .optimizer = OPTIMIZER_SGD},
    {.text = small,
     .input = PICTURE_ODD,
     .batch = 7,
     .classes = 9,
     .decays = true,
     .optimizer = OPTIMIZER_ADAMW,
     .head = HEAD_SOFTMAX},
};
static const network_case networks_all[] = {
    {.text = "keras-cnn", .input = PICTURE_COLOUR, .batch = 64, .classes = 9},
    {.text = "keras-cnn", .input = PICTURE_COLOUR, .batch = 64, .classes = 9, .head = HEAD_SOFTMAX},
    {.text = "keras-cnn", .input = PICTURE_LARGE, .batch = 7, .classes = 1000},
    {.text = "keras-cnn", .input = PICTURE_COLOUR, .batch = 1, .classes = 1},
    {.text = "resnet9", .input = PICTURE_COLOUR, .batch = 7, .classes = 9},
    {.text = "resnet9", .input = PICTURE_GREY, .batch = 7, .classes = 9, .head = HEAD_SOFTMAX},
    {.text = slim_keras, .input = PICTURE_COLOUR, .batch = 1000, .classes = 9},
    {.text = slim_resnet, .input = PICTURE_LARGE, .batch = 64, .classes = 1000},
};

static const struct {
    const char *name;
    embedding_test test;
    sizes z[8];
} embeddings[] = {
    {"scores",
     test_scores,
     {{1, 1, 1}, {1, 512, 1000}, {7, 3, 9}, {64, 512, 9}, {1000, 65, 1}, {1000, 512, 1000}}},
    {"features",
     test_features,
     {{1, 1, 1}, {7, 3, 9}, {64, 512, 9}, {1000, 65, 1}, {64, 512, 1000}}},
    {"normalise", test_normalise, {{1, 1, 0}, {7, 3, 0}, {64, 512, 0}, {1000, 65, 0}}},
    {"top_k",
     test_top_k,
     {{1, 1, 1},
      {7, 9, 1},
      {7, 9, 9},
      {64, 1000, 5},
      {1000, 9, 2},
      {7, 1000, 1000},
      {7, 1000, 33}}},
    {"assign", test_assign, {{1, 1, 1}, {7, 3, 9}, {64, 512, 9}, {1000, 65, 2}, {1000, 512, 64}}},
    {"sums", test_sums, {{1, 1, 1}, {7, 3, 1}, {64, 512, 1}, {1000, 65, 1}, {4000, 512, 1}}},
    {"gram", test_gram, {{1, 1, 1}, {7, 3, 1}, {64, 512, 1}, {1000, 65, 1}}},
    {"solve", test_solve, {{1, 0, 1}, {7, 0, 9}, {100, 0, 1}, {300, 0, 9}}},
    {"solve refuses", test_solve_refuses, {{1, 0, 0}, {7, 0, 0}, {100, 0, 0}}},
    {"eigen", test_eigen, {{1, 0, 0}, {7, 0, 0}, {100, 0, 0}}},
};

/* ---- the list ---- */

static test_case *cases;
static size_t case_count;

static test_case *case_add(const target *on, const char *missing)
{
    cases = realloc(cases, (case_count + 1) * sizeof *cases);
    if (!cases)
        abort();
    test_case *t = &cases[case_count++];
    *t = (test_case){.on = *on, .missing = missing};
    return t;
}

static double most_work = INFINITY; /* --most, as a number */

/* Multiplications of one step's forward pass. */
static double work_of(const network_case *c)
{
    network n;
    must(network_parse(c->text, c->input, c->head, c->classes, &n, e));
    double work = (double)(c->classes * n.dimension);
    for (size_t i = 0; i < n.layer_count; i++) {
        const layer *l = &n.layers[i];
        if (l->kind == LAYER_CONV)
            work += (double)(extent_size(l->out) * l->kernel_height * l->kernel_width *
                             l->in.channels / l->groups);
        else if (l->kind == LAYER_DENSE)
            work += (double)extent_size(l->out) * (double)extent_size(l->in);
        else
            work += (double)extent_size(l->in);
    }
    network_free(&n);
    return work * (double)c->batch;
}

static void network_add(const target *on, const char *missing, network_case c, bool repeat)
{
    static const char *const optimizers[] = {"adam", "adamw", "sgd"};
    if (work_of(&c) > most_work)
        return;
    test_case *t = case_add(on, missing);
    t->kind = repeat ? KIND_REPEAT : KIND_NETWORK;
    t->network = c;
    snprintf(t->name, sizeof t->name,
             "%s [%.110s%s] %s %s %zux%zux%zux%zu %zu classes %s %s%s%s%s%s%s",
             repeat ? "same bytes" : "network", c.text, strlen(c.text) > 110 ? "..." : "",
             on->device, precision_name(on->precision), c.batch, c.input.height, c.input.width,
             c.input.channels, c.classes, head_name(c.head), optimizers[c.optimizer],
             c.frozen == FROZEN ? " frozen"
             : c.frozen         ? " partly frozen"
                                : "",
             c.augment ? " augmented" : "", c.decays ? " decay" : "", c.smooth ? " smoothed" : "",
             c.keras_epsilon ? " epsilon 1e-7" : "");
}

/* A list whose cases name no shape gets some: a few that turn over the list, or each with all. */
static void shapes_add(const target *on, const char *missing, const network_case *list,
                       size_t count, bool all)
{
    static const struct {
        extent input;
        size_t batch, classes;
        head_kind head;
    } shapes[] = {
        {PICTURE_ODD, 7, 9, HEAD_COSINE},    {PICTURE_GREY, 7, 9, HEAD_SOFTMAX},
        {PICTURE_COLOUR, 7, 9, HEAD_COSINE}, {PICTURE_ODD, 64, 1000, HEAD_SOFTMAX},
        {PICTURE_ODD, 2, 1, HEAD_COSINE},    {PICTURE_LARGE, 3, 9, HEAD_SOFTMAX},
        {PICTURE_ODD, 1000, 9, HEAD_COSINE},
    };
    size_t kinds = sizeof shapes / sizeof *shapes;
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < kinds; k++) {
            bool chosen = all || k == i % kinds || k == 0;
            if (!chosen || (strstr(list[i].text, "x3:same add") && shapes[k].input.channels != 3))
                continue;
            network_case c = list[i];
            c.input = shapes[k].input;
            c.batch = shapes[k].batch;
            c.classes = shapes[k].classes;
            c.head = shapes[k].head;
            network_add(on, missing, c, false);
        }
    }
}

static void embeddings_add(const target *on, const char *missing)
{
    for (size_t i = 0; i < sizeof embeddings / sizeof *embeddings; i++) {
        for (const sizes *z = embeddings[i].z; z->rows; z++) {
            test_case *t = case_add(on, missing);
            t->kind = KIND_EMBEDDING;
            t->embedding = embeddings[i].test;
            t->z = *z;
            snprintf(t->name, sizeof t->name, "%s %s %s %zux%zux%zu", embeddings[i].name,
                     on->device, precision_name(on->precision), z->rows, z->dimension, z->count);
        }
    }
}

static void target_add(const target *on, const char *missing, bool all)
{
    if (missing) { /* one line that says so, not hundreds */
        test_case *t = case_add(on, missing);
        snprintf(t->name, sizeof t->name, "%s %s: %.150s", on->device,
                 precision_name(on->precision), missing);
        return;
    }
    shapes_add(on, missing, layers, sizeof layers / sizeof *layers, all);
    shapes_add(on, missing, pairings, sizeof pairings / sizeof *pairings, all);
    for (size_t i = 0; i < sizeof networks / sizeof *networks; i++)
        network_add(on, missing, networks[i], false);
    for (size_t i = 0; all && i < sizeof networks_all / sizeof *networks_all; i++)
        network_add(on, missing, networks_all[i], false);
    network_add(on, missing, networks[3], true);
    network_add(on, missing, networks[5], true);
    embeddings_add(on, missing);
}

/* ---- running ---- */

static backend *target_open(const target *on, bool deterministic)
{
    backend_options options = {.device = on->device,
                               .precision = on->precision,
                               .threads = on->threads,
                               .deterministic = deterministic};
    backend *b = NULL;
    must(backend_open(&options, &b, NULL, e));
    return b;
}

/* Everything twice, in programs of their own. */
static void repeat_network(backend *b, const network_case *c, draws *s)
{
    inputs in;
    outcome one, two;
    verdict v = {.count = 0};
    inputs_new(c, s, &in);
    outcome_run(b, &in, &one, &v);
    outcome_run(b, &in, &two, &v);
    size_t total = in.net.total * sizeof(float);
    if (memcmp(one.gradient, two.gradient, total) != 0)
        verdict_add(&v, "gradients differ from run to run\n");
    if (memcmp(one.update, two.update, total) != 0)
        verdict_add(&v, "training differs from run to run\n");
    if (memcmp(one.view, two.view, in.rows * in.net.dimension * sizeof(float)) != 0)
        verdict_add(&v, "embeddings differ from run to run\n");
    outcome_free(&one);
    outcome_free(&two);
    inputs_free(&in);
    verdict_close(&v);
}

/* One backend after another stays open: opening a device takes longer than most tests. */
static backend *opened;
static target opened_target;
static bool opened_deterministic;

static backend *target_keep(const target *on, bool deterministic)
{
    if (opened &&
        (strcmp(opened_target.device, on->device) != 0 || deterministic != opened_deterministic ||
         opened_target.precision != on->precision || opened_target.threads != on->threads)) {
        opened->close(opened);
        opened = NULL;
    }
    if (!opened)
        opened = target_open(on, deterministic);
    opened_target = *on;
    opened_deterministic = deterministic;
    return opened;
}

static void run_case(void **state)
{
    const test_case *t = *state;
    if (t->missing)
        skip();
    backend *b = target_keep(&t->on, t->kind == KIND_REPEAT);
    draws s = draw_named(t->name);
    if (t->kind == KIND_NETWORK)
        conform_network(b, &t->network, &s);
    else if (t->kind == KIND_REPEAT)
        repeat_network(b, &t->network, &s);
    else
        conform_embedding(&b->algebra, t->embedding, t->z, &s);
}

/* The CPU's precisions: fp32 always, bf16 where the processor has products of it. */
static void defaults_add(int threads, bool all)
{
    target_add(&(target){"cpu", PRECISION_FP32, threads}, NULL, all);
    target_add(&(target){"cpu", PRECISION_BF16, threads},
               cpu_has_avx512_bf16() ? NULL : "this processor does not compute bf16 natively", all);
}

static int usage(void)
{
    fputs("usage: conformance [--device D] [--precision P] [--threads N] [--seed N] [--all] "
          "[--only GLOB] [--part I/N] [--most M]\n",
          stderr);
    return 2;
}

/* Every `parts`-th test from `part` (1, 2, ...) on. */
static int run_part(size_t part, size_t parts)
{
    struct CMUnitTest *tests = calloc(case_count, sizeof *tests);
    size_t count = 0;
    for (size_t i = part - 1; tests && i < case_count; i += parts)
        tests[count++] = (struct CMUnitTest){cases[i].name, run_case, NULL, NULL, &cases[i]};
    int failed = tests ? _cmocka_run_group_tests("conformance", tests, count, NULL, NULL) : 1;
    if (opened)
        opened->close(opened);
    free(tests);
    free(cases);
    return failed ? 1 : 0;
}

int main(int count, char **words)
{
    static const struct option options[] = {
        {"device", 1, NULL, 'd'}, {"precision", 1, NULL, 'p'}, {"threads", 1, NULL, 't'},
        {"seed", 1, NULL, 's'},   {"all", 0, NULL, 'a'},       {"only", 1, NULL, 'o'},
        {"part", 1, NULL, 'n'},   {"most", 1, NULL, 'm'},      {NULL, 0, NULL, 0}};
    size_t part = 1, parts = 1;
    target on = {NULL, PRECISION_FP32, 0};
    bool all = false;
    fixture_seed = (uint64_t)time(NULL);
    for (int letter; (letter = getopt_long(count, words, "", options, NULL)) != -1;) {
        if (letter == 'd')
            on.device = optarg;
        else if (letter == 'p' && precision_parse(optarg, &on.precision) == 0)
            continue;
        else if (letter == 't')
            on.threads = atoi(optarg);
        else if (letter == 's')
            fixture_seed = strtoull(optarg, NULL, 10);
        else if (letter == 'a')
            all = true;
        else if (letter == 'o')
            cmocka_set_test_filter(optarg);
        else if (letter == 'm')
            most_work = 1e6 * atof(optarg);
        else if (letter != 'n' || sscanf(optarg, "%zu/%zu", &part, &parts) != 2 || part < 1 ||
                 part > parts)
            return usage();
    }
    printf("# seed %llu\n", (unsigned long long)fixture_seed);
    if (on.device)
        target_add(&on, NULL, all);
    else
        defaults_add(on.threads, all);
    return run_part(part, parts);
}
