#include "network.h"
#include "../base/random.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LAYER_LIMIT = 1000, PARAMETERS_A_LAYER = 4 };
static const size_t size_limit = (size_t)1 << 31;

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

/* ---- the parser ---- */

/* What the words are read into; save_depth and saves are the brackets that are open. */
typedef struct {
    network net;
    size_t saves[LAYER_LIMIT], save_depth;
    extent at;        /* the activation so far */
    const char *word; /* the present word, and its place among the words, from 1 */
    size_t place;
    error *e;
} parser;

/* The word may come from a stranger's file: only what prints is shown. */
static int parser_fail(parser *p, const char *why)
{
    char shown[64];
    snprintf(shown, sizeof shown, "%s", p->word);
    for (char *c = shown; *c; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
    return error_set(p->e, "network: word %zu, %s: %s", p->place, shown, why);
}

/* A decimal number from 1 to the limit on sizes, that ends at `end`; moves *text behind that. */
static bool read_size(char **text, char end, size_t *out)
{
    size_t value = 0;
    char *c = *text;
    for (; *c >= '0' && *c <= '9'; c++) {
        value = value * 10 + (size_t)(*c - '0');
        if (value > size_limit)
            return false;
    }
    if (c == *text || *c != end || value == 0)
        return false;
    *text = end ? c + 1 : c;
    *out = value;
    return true;
}

static bool read_float(const char *text, float *out)
{
    char *end;
    if (!((*text >= '0' && *text <= '9') || *text == '-' || *text == '.'))
        return false;
    errno = 0;
    *out = strtof(text, &end);
    return *end == '\0' && end != text && isfinite(*out);
}

/* The product of sizes that are each at most the limit, or 0 where it is over the limit. */
static size_t product(size_t a, size_t b)
{
    size_t c = a * b; /* no overflow: both are at most 2^31 */
    return c <= size_limit ? c : 0;
}

static size_t parameter_add(parser *p, const char *name, size_t rank, const size_t *shape,
                            initial_kind initial)
{
    network *n = &p->net;
    parameter *q = &n->parameters[n->parameter_count];
    *q = (parameter){.rank = rank, .trainable = true, .initial = initial, .count = 1};
    snprintf(q->name, sizeof q->name, "%s", name);
    bool fits = true;
    for (size_t i = 0; i < rank; i++) {
        q->shape[i] = shape[i];
        fits = fits && (shape[i] == 0 || q->count <= size_limit / shape[i]);
        q->count = fits ? q->count * shape[i] : 0;
    }
    q->start = n->total;
    n->total += q->count;
    if (!fits || n->total > size_limit) {
        parser_fail(p, "more than 2^31 parameters");
        return SIZE_MAX;
    }
    return n->parameter_count++;
}

/* A parameter of the layer being read: its place in the text, its kind and `what` are its name. */
static size_t layer_parameter(parser *p, const layer *l, const char *what, size_t rank,
                              const size_t *shape, initial_kind initial)
{
    char name[64];
    snprintf(name, sizeof name, "%zu.%s/%s", p->place - 1, layer_name(l->kind), what);
    return parameter_add(p, name, rank, shape, initial);
}

static int read_weights(parser *p, layer *l, size_t rank, const size_t *shape, size_t area)
{
    l->weight = layer_parameter(p, l, "weight", rank, shape, INITIAL_GLOROT);
    if (l->weight == SIZE_MAX)
        return -1;
    p->net.parameters[l->weight].fan_in = area * shape[rank - 1];
    p->net.parameters[l->weight].fan_out = area * shape[0];
    if (l->bias) {
        l->offset = layer_parameter(p, l, "bias", 1, shape, INITIAL_ZERO);
        if (l->offset == SIZE_MAX)
            return -1;
    }
    return 0;
}

static int read_conv(parser *p, layer *l, char *rest)
{
    char *sizes = strsep(&rest, ":"), *option;
    if (!sizes || !read_size(&sizes, 'x', &l->kernel_height) ||
        !read_size(&sizes, 'x', &l->kernel_width) || !read_size(&sizes, '\0', &l->out.channels))
        return parser_fail(p, "write conv:HEIGHTxWIDTHxFILTERS, as in conv:3x3x32");
    l->bias = true;
    bool same = false;
    while ((option = strsep(&rest, ":"))) {
        if (strcmp(option, "same") == 0)
            same = true;
        else if (strcmp(option, "nobias") == 0)
            l->bias = false;
        else
            return parser_fail(p, "conv's options are same and nobias");
    }
    if (same && (l->kernel_height % 2 == 0 || l->kernel_width % 2 == 0))
        return parser_fail(p, "same needs an odd height and width");
    l->pad_height = same ? l->kernel_height / 2 : 0;
    l->pad_width = same ? l->kernel_width / 2 : 0;
    /* With `same`, the filter's middle must lie on the picture and its halves may reach over it. */
    if (l->kernel_height > (same ? 2 * l->in.height + 1 : l->in.height) ||
        l->kernel_width > (same ? 2 * l->in.width + 1 : l->in.width))
        return parser_fail(p, "the filter is larger than what it is laid on");
    l->out.height = same ? l->in.height : l->in.height - l->kernel_height + 1;
    l->out.width = same ? l->in.width : l->in.width - l->kernel_width + 1;
    size_t shape[] = {l->out.channels, l->kernel_height, l->kernel_width, l->in.channels};
    return read_weights(p, l, 4, shape, l->kernel_height * l->kernel_width);
}

static int read_dense(parser *p, layer *l, char *rest)
{
    char *size = strsep(&rest, ":"), *option;
    l->out = (extent){1, 1, 0};
    if (!size || !read_size(&size, '\0', &l->out.channels))
        return parser_fail(p, "write dense:SIZE, as in dense:512");
    l->bias = true;
    while ((option = strsep(&rest, ":"))) {
        if (strcmp(option, "nobias") != 0)
            return parser_fail(p, "dense's option is nobias");
        l->bias = false;
    }
    size_t shape[] = {l->out.channels, extent_size(l->in)};
    return read_weights(p, l, 2, shape, 1);
}

static int read_maxpool(parser *p, layer *l, char *rest)
{
    char *size = strsep(&rest, ":");
    if (size && strcmp(size, "all") == 0) {
        l->window_height = l->in.height;
        l->window_width = l->in.width;
    } else if (size && read_size(&size, '\0', &l->window_height)) {
        l->window_width = l->window_height;
    } else {
        return parser_fail(p, "write maxpool:SIZE, as in maxpool:2, or maxpool:all");
    }
    if (rest)
        return parser_fail(p, "maxpool takes one size");
    if (l->window_height > l->in.height || l->window_width > l->in.width)
        return parser_fail(p, "the window is larger than what it is laid on");
    l->out.height = l->in.height / l->window_height;
    l->out.width = l->in.width / l->window_width;
    return 0;
}

static int read_plain(parser *p, layer *l, char *rest)
{
    (void)l;
    return rest ? parser_fail(p, "this word takes no numbers") : 0;
}

static int read_avgpool(parser *p, layer *l, char *rest)
{
    l->out.height = l->out.width = 1;
    return read_plain(p, l, rest);
}

static int read_dropout(parser *p, layer *l, char *rest)
{
    if (!rest || !read_float(rest, &l->rate) || !(l->rate >= 0 && l->rate < 1))
        return parser_fail(p, "write dropout:P with 0 <= P < 1, as in dropout:0.25");
    return 0;
}

static int read_scale(parser *p, layer *l, char *rest)
{
    if (!rest || !read_float(rest, &l->rate))
        return parser_fail(p, "write scale:FACTOR, as in scale:0.125");
    return 0;
}

static int read_batchnorm(parser *p, layer *l, char *rest)
{
    if (rest && !read_size(&rest, '\0', &l->group))
        return parser_fail(p, "write batchnorm or batchnorm:ROWS, as in batchnorm:32");
    const size_t shape[] = {l->in.channels};
    struct {
        const char *what;
        initial_kind initial;
        size_t *index;
    } each[] = {{"gamma", INITIAL_ONE, &l->weight},
                {"beta", INITIAL_ZERO, &l->offset},
                {"mean", INITIAL_ZERO, &l->mean},
                {"variance", INITIAL_ONE, &l->variance}};
    for (int i = 0; i < 4; i++) {
        *each[i].index = layer_parameter(p, l, each[i].what, 1, shape, each[i].initial);
        if (*each[i].index == SIZE_MAX)
            return -1;
        p->net.parameters[*each[i].index].trainable = i < 2;
    }
    return 0;
}

static int read_save(parser *p, layer *l, char *rest)
{
    p->saves[p->save_depth++] = p->place - 1;
    return read_plain(p, l, rest);
}

static int read_add(parser *p, layer *l, char *rest)
{
    if (p->save_depth == 0)
        return parser_fail(p, "there is no save before it that is still open");
    l->partner = p->saves[--p->save_depth];
    layer *save = &p->net.layers[l->partner];
    save->partner = p->place - 1;
    if (memcmp(&save->out, &l->in, sizeof l->in) != 0)
        return error_set(p->e,
                         "network: word %zu, add: %zux%zux%zu here, but word %zu saved %zux%zux%zu",
                         p->place, l->in.height, l->in.width, l->in.channels, l->partner + 1,
                         save->out.height, save->out.width, save->out.channels);
    return read_plain(p, l, rest);
}

static const struct {
    const char *name;
    layer_kind kind;
    int (*read)(parser *p, layer *l, char *rest);
} words[] = {
    {"conv", LAYER_CONV, read_conv},          {"dense", LAYER_DENSE, read_dense},
    {"relu", LAYER_RELU, read_plain},         {"maxpool", LAYER_MAXPOOL, read_maxpool},
    {"avgpool", LAYER_AVGPOOL, read_avgpool}, {"dropout", LAYER_DROPOUT, read_dropout},
    {"scale", LAYER_SCALE, read_scale},       {"batchnorm", LAYER_BATCHNORM, read_batchnorm},
    {"save", LAYER_SAVE, read_save},          {"add", LAYER_ADD, read_add},
};

const char *layer_name(layer_kind kind)
{
    size_t i = 0;
    while (words[i].kind != kind)
        i++;
    return words[i].name;
}

static int parser_fail_unknown(parser *p)
{
    char why[256] = "no such layer; there are ";
    size_t count = sizeof words / sizeof *words, length = strlen(why);
    for (size_t i = 0; i < count; i++)
        length += (size_t)snprintf(why + length, sizeof why - length, "%s%s", words[i].name,
                                   i + 2 < count    ? ", "
                                   : i + 1 == count ? ""
                                                    : " and ");
    return parser_fail(p, why);
}

/* One word; `copy` is its text to take apart. */
static int read_word(parser *p, char *copy)
{
    if (p->place > LAYER_LIMIT)
        return parser_fail(p, "more than 1,000 layers");
    layer *l = &p->net.layers[p->net.layer_count++];
    *l = (layer){.in = p->at,
                 .out = p->at,
                 .weight = SIZE_MAX,
                 .offset = SIZE_MAX,
                 .mean = SIZE_MAX,
                 .variance = SIZE_MAX,
                 .partner = SIZE_MAX};
    char *rest = copy, *name = strsep(&rest, ":");
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(words[i].name, name) != 0)
            continue;
        l->kind = words[i].kind;
        if (words[i].read(p, l, rest) < 0)
            return -1;
        if (!product(product(l->out.height, l->out.width), l->out.channels))
            return parser_fail(p, "its output has more than 2^31 elements a picture");
        p->at = l->out;
        return 0;
    }
    return parser_fail_unknown(p);
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

/* A head alone may begin without classes. */
static int check_input(const char *text, extent input, size_t class_count, error *e)
{
    if (input.height == 0 || input.width == 0 || input.channels == 0)
        return error_set(e, "network: pictures of %zux%zux%zu hold nothing", input.height,
                         input.width, input.channels);
    if (input.height > size_limit || input.width > size_limit || input.channels > size_limit ||
        !product(product(input.height, input.width), input.channels))
        return error_set(e, "network: pictures of %zux%zux%zu have more than 2^31 elements",
                         input.height, input.width, input.channels);
    if ((class_count == 0 && *text) || class_count > size_limit)
        return error_set(e, "network: %zu classes; there must be from 1 to 2^31", class_count);
    return 0;
}

int network_parse(const char *text, extent input, head_kind head, size_t class_count, network *out,
                  error *e)
{
    if (check_input(text, input, class_count, e) < 0)
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
        size_t most = room / 2 + 1 < LAYER_LIMIT ? room / 2 + 1 : LAYER_LIMIT;
        p->net.layers = calloc(most, sizeof *p->net.layers);
        p->net.parameters = calloc(most * PARAMETERS_A_LAYER + 2, sizeof *p->net.parameters);
    }
    if (!p || !words_left || !copy || !p->net.text || !p->net.layers || !p->net.parameters)
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
