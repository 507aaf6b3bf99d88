#include "network.h"
#include "../base/random.h"
#include "network_parser.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name, *text;
} builtins[] = {
    {"keras-cnn", "conv:3x3x32:same relu conv:3x3x32 relu maxpool:2 dropout:0.25 "
                  "conv:3x3x64:same relu conv:3x3x64 relu maxpool:2 dropout:0.25 "
                  "dense:512 relu dropout:0.5"},
    /* David Page's network for DAWNBench, 2018. */
    {"resnet9", "conv:3x3x64:same:nobias batchnorm relu "
                "conv:3x3x128:same:nobias batchnorm relu maxpool:2 "
                "save conv:3x3x128:same:nobias batchnorm relu "
                "conv:3x3x128:same:nobias batchnorm relu add "
                "conv:3x3x256:same:nobias batchnorm relu maxpool:2 "
                "conv:3x3x512:same:nobias batchnorm relu maxpool:2 "
                "save conv:3x3x512:same:nobias batchnorm relu "
                "conv:3x3x512:same:nobias batchnorm relu add "
                "maxpool:all"},
};

const char *network_builtin(const char *name)
{
    for (size_t i = 0; i < sizeof builtins / sizeof *builtins; i++)
        if (strcmp(builtins[i].name, name) == 0)
            return builtins[i].text;
    return NULL;
}

const char *head_name(head_kind head)
{
    return head == HEAD_COSINE ? "cosine" : "softmax";
}

bool layer_is_activation(layer_kind kind)
{
    return kind == LAYER_RELU || kind == LAYER_ACTIVATION;
}

bool layer_closes(layer_kind kind)
{
    return kind == LAYER_ADD || kind == LAYER_MULTIPLY || kind == LAYER_CONCAT;
}

bool conv_is_plain(const layer *l)
{
    return l->stride_height == 1 && l->stride_width == 1 && l->dilation_height == 1 &&
           l->dilation_width == 1 && l->groups == 1 && l->pad.top == l->pad.bottom &&
           l->pad.left == l->pad.right;
}

bool pool_tiles(const layer *l)
{
    return l->stride_height == l->kernel_height && l->stride_width == l->kernel_width &&
           !l->pad.top && !l->pad.left && !l->pad.bottom && !l->pad.right &&
           l->out.height * l->stride_height <= l->in.height &&
           l->out.width * l->stride_width <= l->in.width;
}

/* ---- the parser ---- */

int parser_fail(parser *p, const char *why)
{
    char shown[64];
    snprintf(shown, sizeof shown, "%s", p->word);
    for (char *c = shown; *c; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
    return error_set(p->e, "network: word %zu, %s: %s", p->place, shown, why);
}

/* The product of sizes that are each at most the limit, or 0 where it is over the limit. */
static size_t product(size_t a, size_t b)
{
    size_t c = a * b; /* no overflow: both are at most 2^31 */
    return c <= NETWORK_SIZE_MAX ? c : 0;
}

static size_t parameter_add(parser *p, const char *name, size_t rank, const size_t *shape,
                            initial_kind initial)
{
    network *n = &p->net;
    parameter *q = &n->parameters[n->parameter_count];
    *q = (parameter){
        .rank = rank, .trainable = true, .initial = initial, .count = 1, .layer = p->place - 1};
    snprintf(q->name, sizeof q->name, "%s", name);
    bool fits = true;
    for (size_t i = 0; i < rank; i++) {
        q->shape[i] = shape[i];
        fits = fits && (shape[i] == 0 || q->count <= NETWORK_SIZE_MAX / shape[i]);
        q->count = fits ? q->count * shape[i] : 0;
    }
    q->start = n->total;
    n->total += q->count;
    if (!fits || n->total > NETWORK_SIZE_MAX) {
        parser_fail(p, "more than 2^31 parameters");
        return SIZE_MAX;
    }
    return n->parameter_count++;
}

size_t layer_parameter(parser *p, const layer *l, const char *what, size_t rank,
                       const size_t *shape, initial_kind initial)
{
    char name[64];
    snprintf(name, sizeof name, "%zu.%s/%s", p->place - 1, layer_name(l), what);
    return parameter_add(p, name, rank, shape, initial);
}

/* One word; `copy` is its text to take apart. */
static int read_word(parser *p, char *copy)
{
    if (p->place > NETWORK_LAYERS_MAX)
        return parser_fail(p, "more than 1,000 layers");
    layer *l = &p->net.layers[p->net.layer_count++];
    *l = (layer){.in = p->at,
                 .out = p->at,
                 .kernel_height = 1,
                 .kernel_width = 1,
                 .stride_height = 1,
                 .stride_width = 1,
                 .dilation_height = 1,
                 .dilation_width = 1,
                 .groups = 1,
                 .weight = SIZE_MAX,
                 .offset = SIZE_MAX,
                 .mean = SIZE_MAX,
                 .variance = SIZE_MAX,
                 .partner = SIZE_MAX};
    if (layer_read(p, l, copy) < 0)
        return -1;
    if (!product(product(l->out.height, l->out.width), l->out.channels))
        return parser_fail(p, "its output has more than 2^31 elements a picture");
    p->at = l->out;
    return 0;
}

static int read_head(parser *p)
{
    network *n = &p->net;
    p->word = "head";
    p->place++;
    n->dimension = extent_size(p->at);
    n->head_scale = SIZE_MAX;
    if (n->head == HEAD_COSINE) {
        n->head_scale = parameter_add(p, "head/scale", 1, (size_t[]){1}, INITIAL_SCALE);
        if (n->head_scale == SIZE_MAX)
            return -1;
    }
    n->head_weight = parameter_add(p, "head/weight", 2, (size_t[]){n->class_count, n->dimension},
                                   INITIAL_GLOROT);
    if (n->head_weight == SIZE_MAX)
        return -1;
    n->parameters[n->head_weight].fan_in = n->dimension;
    n->parameters[n->head_weight].fan_out = n->class_count;
    return 0;
}

/* Appends a word to the normal spelling; at most it is as long as the text that was read. */
static void text_append(char *text, const char *word)
{
    size_t length = strlen(text);
    if (length)
        text[length++] = ' ';
    strcpy(text + length, word);
}

static int read_words(parser *p, char *words_left, char *copy)
{
    char *state = NULL;
    for (char *word = strtok_r(words_left, " \t\r\n\v\f", &state); word;
         word = strtok_r(NULL, " \t\r\n\v\f", &state)) {
        p->word = word;
        p->place++;
        strcpy(copy, word);
        if (read_word(p, copy) < 0)
            return -1;
        text_append(p->net.text, word);
    }
    if (p->save_depth)
        return error_set(p->e, "network: word %zu, save: no add takes it up",
                         p->saves[p->save_depth - 1] + 1);
    return read_head(p);
}

static const char *text_resolve(const char *text)
{
    static const char blank[] = " \t\r\n\v\f";
    char name[32] = "";
    text += strspn(text, blank);
    size_t length = strcspn(text, blank);
    if (length == 0 || length >= sizeof name || text[length + strspn(text + length, blank)] != '\0')
        return text;
    memcpy(name, text, length);
    const char *builtin = network_builtin(name);
    return builtin ? builtin : text;
}

static int check_input(extent input, size_t class_count, error *e)
{
    if (input.height == 0 || input.width == 0 || input.channels == 0)
        return error_set(e, "network: pictures of %zux%zux%zu hold nothing", input.height,
                         input.width, input.channels);
    if (input.height > NETWORK_SIZE_MAX || input.width > NETWORK_SIZE_MAX ||
        input.channels > NETWORK_SIZE_MAX ||
        !product(product(input.height, input.width), input.channels))
        return error_set(e, "network: pictures of %zux%zux%zu have more than 2^31 elements",
                         input.height, input.width, input.channels);
    if (class_count > NETWORK_SIZE_MAX)
        return error_set(e, "network: %zu classes; there may be 2^31", class_count);
    return 0;
}

int network_parse(const char *text, extent input, head_kind head, size_t class_count, network *out,
                  error *e)
{
    if (check_input(input, class_count, e) < 0)
        return -1;
    text = text_resolve(text);
    size_t room = strlen(text) + 1;
    parser *p = calloc(1, sizeof *p);
    char *words_left = strdup(text), *copy = malloc(room);
    int status = -1;
    if (p && words_left && copy) {
        p->e = e;
        p->at = input;
        p->net = (network){.input = input, .head = head, .class_count = class_count};
        p->net.text = calloc(room, 1);
        /* A word takes at least two bytes of the text, and there are never more layers than the
         * limit. */
        size_t most = room / 2 + 1 < NETWORK_LAYERS_MAX ? room / 2 + 1 : NETWORK_LAYERS_MAX;
        p->net.layers = calloc(most, sizeof *p->net.layers);
        p->net.operands = calloc(2 * most, sizeof *p->net.operands);
        p->net.parameters = calloc(most * PARAMETERS_A_LAYER + 2, sizeof *p->net.parameters);
    }
    if (!p || !words_left || !copy || !p->net.text || !p->net.layers || !p->net.operands ||
        !p->net.parameters)
        error_set(e, "network: out of memory");
    else
        status = read_words(p, words_left, copy);
    if (status == 0)
        *out = p->net;
    else if (p)
        network_free(&p->net);
    free(copy);
    free(words_left);
    free(p);
    return status;
}

void network_free(network *n)
{
    free(n->text);
    free(n->layers);
    free(n->operands);
    free(n->parameters);
    *n = (network){0};
}

/* ---- first values ---- */

/* Uniform in +-sqrt(6 / (fan_in + fan_out)): Glorot, Bengio: "Understanding the difficulty of
 * training deep feedforward neural networks", AISTATS 2010. */
static void fill_glorot(const parameter *p, uint32_t index, uint64_t seed, float *value)
{
    float limit = (float)sqrt(6.0 / ((double)p->fan_in + (double)p->fan_out));
    random_block block = {{0}};
    for (size_t i = 0; i < p->count; i++) {
        if (i % 4 == 0)
            block = random_philox(seed, i / 4, random_stream(RANDOM_INITIAL, index, 0));
        value[i] = (2.0f * random_unit(block.v[i % 4]) - 1.0f) * limit;
    }
}

void network_initialise(const network *n, uint64_t seed, float *parameters)
{
    static const float constant[] = {[INITIAL_ZERO] = 0, [INITIAL_ONE] = 1, [INITIAL_SCALE] = 10};
    for (size_t k = 0; k < n->parameter_count; k++) {
        const parameter *p = &n->parameters[k];
        float *value = parameters + p->start;
        if (p->initial == INITIAL_GLOROT) {
            fill_glorot(p, (uint32_t)k, seed, value);
            continue;
        }
        for (size_t i = 0; i < p->count; i++)
            value[i] = constant[p->initial];
    }
}
