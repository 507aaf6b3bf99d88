#include "network_parser.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- numbers ---- */

/* A decimal number up to the limit on sizes; *text is then what follows. */
static bool take_number(char **text, size_t *out)
{
    size_t value = 0;
    char *c = *text;
    for (; *c >= '0' && *c <= '9'; c++) {
        value = value * 10 + (size_t)(*c - '0');
        if (value > NETWORK_SIZE_MAX)
            return false;
    }
    if (c == *text)
        return false;
    *text = c;
    *out = value;
    return true;
}

/* As many numbers as there are places for, with `between` between each two and nothing behind;
 * returns how many came, 0 for a fault. */
static size_t read_numbers(char *text, char between, size_t *const *places, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!take_number(&text, places[i]))
            return 0;
        if (*text == '\0')
            return i + 1;
        if (*text++ != between)
            return 0;
    }
    return 0;
}

static bool read_size(char *text, size_t *out)
{
    return read_numbers(text, '\0', (size_t *[]){out}, 1) == 1 && *out > 0;
}

/* "3" for both, or "3x5". */
static bool read_pair(char *text, size_t *height, size_t *width)
{
    size_t count = read_numbers(text, 'x', (size_t *[]){height, width}, 2);
    if (count == 1)
        *width = *height;
    return count > 0 && *height > 0 && *width > 0;
}

static bool read_sides(char *text, sides *s)
{
    size_t count =
        read_numbers(text, ',', (size_t *[]){&s->top, &s->left, &s->bottom, &s->right}, 4);
    if (count == 1)
        s->left = s->bottom = s->right = s->top;
    return count == 1 || count == 4;
}

/* "2" or "2-5": the first and how many, below `end`. */
static bool read_range(char *text, size_t end, size_t *first, size_t *count)
{
    size_t last;
    size_t numbers = text ? read_numbers(text, '-', (size_t *[]){first, &last}, 2) : 0;
    if (numbers == 1)
        last = *first;
    if (numbers == 0 || last < *first || last >= end)
        return false;
    *count = last - *first + 1;
    return true;
}

/* A finite number that ends at `end`, or at one of two; *text is then what follows. */
static bool take_float(char **text, float *out)
{
    char *end, *from = *text;
    if (!((*from >= '0' && *from <= '9') || *from == '-' || *from == '.'))
        return false;
    errno = 0;
    *out = strtof(from, &end);
    if (end == from || !isfinite(*out))
        return false;
    *text = end;
    return true;
}

static bool read_float(char *text, float *out)
{
    return text && take_float(&text, out) && *text == '\0';
}

/* One for all, or `count` with commas between. */
static bool read_floats(char *text, size_t count, float *out)
{
    size_t got = 0;
    while (text && got < count && take_float(&text, &out[got])) {
        got++;
        if (*text == '\0')
            break;
        if (*text++ != ',')
            return false;
    }
    if (!text || *text != '\0' || (got != 1 && got != count))
        return false;
    for (size_t i = got; i < count; i++)
        out[i] = out[0];
    return true;
}

/* ---- windows ---- */

/* How a word's options are written: conv's and the pools'. */
typedef enum {
    OPTION_SAME = 1,
    OPTION_NOBIAS = 2,
    OPTION_STRIDE = 4,
    OPTION_DILATION = 8,
    OPTION_GROUPS = 16,
    OPTION_PAD = 32,
    OPTION_CEIL = 64,
    OPTION_WITHIN = 128
} window_option;

static const struct {
    const char *name;
    window_option option;
} window_options[] = {{"same", OPTION_SAME},      {"nobias", OPTION_NOBIAS},
                      {"stride=", OPTION_STRIDE}, {"dilation=", OPTION_DILATION},
                      {"groups=", OPTION_GROUPS}, {"pad=", OPTION_PAD},
                      {"ceil", OPTION_CEIL},      {"within", OPTION_WITHIN}};

static bool read_window_option(layer *l, char *word, int allowed, int *given)
{
    for (size_t i = 0; i < sizeof window_options / sizeof *window_options; i++) {
        size_t length = strlen(window_options[i].name);
        window_option option = window_options[i].option;
        char *value = word + length;
        if (strncmp(word, window_options[i].name, length) != 0 || !(allowed & (int)option))
            continue;
        if (*given & (int)option)
            return false;
        *given |= (int)option;
        switch (option) {
        case OPTION_STRIDE:
            return read_pair(value, &l->stride_height, &l->stride_width);
        case OPTION_DILATION:
            return read_pair(value, &l->dilation_height, &l->dilation_width);
        case OPTION_GROUPS:
            return read_size(value, &l->groups);
        case OPTION_PAD:
            return read_sides(value, &l->pad);
        default:
            return *value == '\0';
        }
    }
    return false;
}

/* Reads what follows the sizes; *given are the options that were there. */
static int read_window_options(parser *p, layer *l, char *rest, int allowed, int *given)
{
    char *option, why[192] = "its options are";
    *given = 0;
    while ((option = strsep(&rest, ":"))) {
        if (read_window_option(l, option, allowed, given))
            continue;
        size_t length =
            (size_t)snprintf(why, sizeof why, "%s's options, each once, are", layer_name(l));
        for (size_t i = 0; i < sizeof window_options / sizeof *window_options; i++)
            if (allowed & (int)window_options[i].option)
                length += (size_t)snprintf(why + length, sizeof why - length, " %s%s",
                                           window_options[i].name,
                                           strchr(window_options[i].name, '=') ? "N" : "");
        return parser_fail(p, why);
    }
    return 0;
}

static size_t reach(size_t kernel, size_t dilation)
{
    return (kernel - 1) * dilation + 1;
}

/* How many windows there are along one side; 0 where the window is larger than what it is laid on
 * or padding is as large as the window. */
static size_t window_count(size_t in, size_t window, size_t stride, size_t before, size_t after,
                           bool ceil)
{
    size_t room = in + before + after;
    if (window > room || before >= window || after >= window)
        return 0;
    size_t count = (room - window) / stride + 1;
    /* As PyTorch has it: a window more must begin on the input or on what pads it before. */
    if (ceil && (count - 1) * stride + window < room && count * stride < in + before)
        count++;
    return count;
}

/* The most that a window, a stride, a dilation or padding may be. */
enum { WINDOW_MOST = 1 << 20 };

static int place_windows(parser *p, layer *l, bool ceil)
{
    const size_t each[] = {l->kernel_height,   l->kernel_width,   l->stride_height, l->stride_width,
                           l->dilation_height, l->dilation_width, l->pad.top,       l->pad.left,
                           l->pad.bottom,      l->pad.right};
    bool fits = true;
    for (size_t i = 0; i < sizeof each / sizeof *each; i++)
        fits = fits && each[i] <= WINDOW_MOST;
    if (fits) {
        l->out.height = window_count(l->in.height, reach(l->kernel_height, l->dilation_height),
                                     l->stride_height, l->pad.top, l->pad.bottom, ceil);
        l->out.width = window_count(l->in.width, reach(l->kernel_width, l->dilation_width),
                                    l->stride_width, l->pad.left, l->pad.right, ceil);
    }
    if (fits && l->out.height && l->out.width)
        return 0;
    return parser_fail(p, l->kind == LAYER_CONV
                              ? "the filter is larger than what it is laid on, or its padding as "
                                "large as the filter"
                              : "the window is larger than what it is laid on, or its padding as "
                                "large as the window");
}

/* ---- what multiplies ---- */

static int read_weights(parser *p, layer *l, size_t rank, const size_t *shape, size_t area)
{
    l->weight = layer_parameter(p, l, "weight", rank, shape, INITIAL_GLOROT);
    if (l->weight == SIZE_MAX)
        return -1;
    p->net.parameters[l->weight].fan_in = area * shape[rank - 1];
    p->net.parameters[l->weight].fan_out = area * shape[0] / (l->groups ? l->groups : 1);
    if (l->bias) {
        l->offset = layer_parameter(p, l, "bias", 1, shape, INITIAL_ZERO);
        if (l->offset == SIZE_MAX)
            return -1;
    }
    return 0;
}

static int read_conv(parser *p, layer *l, char *rest)
{
    char *sizes = strsep(&rest, ":");
    size_t *places[] = {&l->kernel_height, &l->kernel_width, &l->out.channels};
    int given;
    if (!sizes || read_numbers(sizes, 'x', places, 3) != 3 || l->kernel_height == 0 ||
        l->kernel_width == 0 || l->out.channels == 0)
        return parser_fail(p, "write conv:HEIGHTxWIDTHxFILTERS, as in conv:3x3x32");
    if (read_window_options(p, l, rest,
                            OPTION_SAME | OPTION_NOBIAS | OPTION_STRIDE | OPTION_DILATION |
                                OPTION_GROUPS | OPTION_PAD,
                            &given) < 0)
        return -1;
    l->bias = !(given & OPTION_NOBIAS);
    if (given & OPTION_SAME) {
        if (given & OPTION_PAD)
            return parser_fail(p, "same and pad= are two ways to say one thing");
        if (l->kernel_height % 2 == 0 || l->kernel_width % 2 == 0)
            return parser_fail(p, "same needs an odd height and width");
        l->pad.top = l->pad.bottom = l->kernel_height / 2 * l->dilation_height;
        l->pad.left = l->pad.right = l->kernel_width / 2 * l->dilation_width;
    }
    if (l->in.channels % l->groups || l->out.channels % l->groups)
        return parser_fail(p, "groups= must divide the input's channels and the filters");
    if (place_windows(p, l, false) < 0)
        return -1;
    size_t shape[] = {l->out.channels, l->kernel_height, l->kernel_width,
                      l->in.channels / l->groups};
    return read_weights(p, l, 4, shape, l->kernel_height * l->kernel_width);
}

static int read_dense(parser *p, layer *l, char *rest)
{
    char *size = strsep(&rest, ":"), *option;
    l->out = (extent){1, 1, 0};
    if (!size || !read_size(size, &l->out.channels))
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

/* ---- pools ---- */

static int read_pool(parser *p, layer *l, char *rest, int options)
{
    char *size = strsep(&rest, ":");
    int given;
    if (!size || !read_pair(size, &l->kernel_height, &l->kernel_width))
        return parser_fail(p, l->kind == LAYER_MAXPOOL
                                  ? "write maxpool:SIZE, as in maxpool:2, or maxpool:all"
                                  : "write avgpool:SIZE, as in avgpool:2, or avgpool alone");
    l->stride_height = l->kernel_height;
    l->stride_width = l->kernel_width;
    if (read_window_options(p, l, rest, OPTION_STRIDE | OPTION_PAD | OPTION_CEIL | options,
                            &given) < 0)
        return -1;
    l->within = given & OPTION_WITHIN;
    return place_windows(p, l, given & OPTION_CEIL);
}

static int read_whole_pool(layer *l)
{
    l->kernel_height = l->stride_height = l->in.height;
    l->kernel_width = l->stride_width = l->in.width;
    l->out.height = l->out.width = 1;
    return 0;
}

static int read_maxpool(parser *p, layer *l, char *rest)
{
    return rest && strcmp(rest, "all") == 0 ? read_whole_pool(l) : read_pool(p, l, rest, 0);
}

static int read_avgpool(parser *p, layer *l, char *rest)
{
    return rest ? read_pool(p, l, rest, OPTION_WITHIN) : read_whole_pool(l);
}

/* ---- elements ---- */

static int read_plain(parser *p, layer *l, char *rest)
{
    (void)l;
    return rest ? parser_fail(p, "this word takes no numbers") : 0;
}

static int read_clip(parser *p, layer *l, char *rest)
{
    float bounds[2];
    if (!rest || !strchr(rest, ',') || !read_floats(rest, 2, bounds) || bounds[0] > bounds[1])
        return parser_fail(p, "write clip:LOW,HIGH, as in clip:0,6");
    l->rate = bounds[0];
    l->high = bounds[1];
    return 0;
}

static int read_leakyrelu(parser *p, layer *l, char *rest)
{
    if (!read_float(rest, &l->rate) || l->rate < 0)
        return parser_fail(p, "write leakyrelu:SLOPE, as in leakyrelu:0.01");
    return 0;
}

static int read_dropout(parser *p, layer *l, char *rest)
{
    if (!read_float(rest, &l->rate) || !(l->rate >= 0 && l->rate < 1))
        return parser_fail(p, "write dropout:P with 0 <= P < 1, as in dropout:0.25");
    return 0;
}

static int read_scale(parser *p, layer *l, char *rest)
{
    if (!read_float(rest, &l->rate))
        return parser_fail(p, "write scale:FACTOR, as in scale:0.125");
    return 0;
}

/* ---- norms ---- */

static int read_gamma_beta(parser *p, layer *l)
{
    const size_t shape[] = {l->in.channels};
    l->weight = layer_parameter(p, l, "gamma", 1, shape, INITIAL_ONE);
    if (l->weight == SIZE_MAX)
        return -1;
    l->offset = layer_parameter(p, l, "beta", 1, shape, INITIAL_ZERO);
    return l->offset == SIZE_MAX ? -1 : 0;
}

static int read_batchnorm(parser *p, layer *l, char *rest)
{
    if (rest && !read_size(rest, &l->group))
        return parser_fail(p, "write batchnorm or batchnorm:ROWS, as in batchnorm:32");
    const size_t shape[] = {l->in.channels};
    if (read_gamma_beta(p, l) < 0)
        return -1;
    l->mean = layer_parameter(p, l, "mean", 1, shape, INITIAL_ZERO);
    if (l->mean == SIZE_MAX)
        return -1;
    l->variance = layer_parameter(p, l, "variance", 1, shape, INITIAL_ONE);
    if (l->variance == SIZE_MAX)
        return -1;
    p->net.parameters[l->mean].trainable = p->net.parameters[l->variance].trainable = false;
    return 0;
}

static int read_layernorm(parser *p, layer *l, char *rest)
{
    l->rate = 1e-5f;
    if (rest && (!read_float(rest, &l->rate) || l->rate <= 0))
        return parser_fail(p, "write layernorm or layernorm:EPSILON, as in layernorm:1e-6");
    return read_gamma_beta(p, l);
}

static int read_affine(parser *p, layer *l, char *rest)
{
    return read_plain(p, l, rest) < 0 ? -1 : read_gamma_beta(p, l);
}

static int read_normalize(parser *p, layer *l, char *rest)
{
    size_t channels = l->in.channels;
    if (p->place != 1)
        return parser_fail(p, "it stands before all others, or not at all");
    if (channels > NORMALIZED_CHANNELS_MAX)
        return parser_fail(p, "it is for 16 channels at most");
    char *means = strsep(&rest, ":");
    bool fits = means && rest && read_floats(means, channels, l->input_mean) &&
                read_floats(rest, channels, l->input_deviation);
    for (size_t c = 0; fits && c < channels; c++)
        fits = l->input_deviation[c] > 0;
    return fits ? 0
                : parser_fail(p, "write normalize:MEANS:DEVIATIONS, one a channel or one for all, "
                                 "as in normalize:0.5:0.25");
}

/* ---- tokens ---- */

static int read_tokens(parser *p, layer *l, char *rest)
{
    if (!rest || read_numbers(rest, '\0', (size_t *[]){&l->count}, 1) != 1)
        return parser_fail(p, "write tokens:N, as in tokens:1, or tokens:0");
    l->out.height = 1;
    l->out.width = l->count + l->in.height * l->in.width;
    if (l->count == 0)
        return 0;
    const size_t shape[] = {l->count, l->in.channels};
    l->weight = layer_parameter(p, l, "weight", 2, shape, INITIAL_ZERO);
    return l->weight == SIZE_MAX ? -1 : 0;
}

static int read_position(parser *p, layer *l, char *rest)
{
    if (read_plain(p, l, rest) < 0)
        return -1;
    const size_t shape[] = {l->in.height, l->in.width, l->in.channels};
    l->weight = layer_parameter(p, l, "weight", 3, shape, INITIAL_ZERO);
    return l->weight == SIZE_MAX ? -1 : 0;
}

static int read_attention(parser *p, layer *l, char *rest)
{
    if (!rest || !read_size(rest, &l->heads))
        return parser_fail(p, "write attention:HEADS, as in attention:6");
    if (l->in.channels % 3 || l->in.channels / 3 % l->heads)
        return parser_fail(p, "its channels are queries, keys and values, each a multiple of the "
                              "heads");
    l->out.channels = l->in.channels / 3;
    return 0;
}

static int read_take(parser *p, layer *l, char *rest)
{
    if (!read_range(rest, l->in.height * l->in.width, &l->first, &l->count))
        return parser_fail(p, "write take:FIRST-LAST, places of the input counted from 0");
    l->out.height = 1;
    l->out.width = l->count;
    return 0;
}

static int read_channels(parser *p, layer *l, char *rest)
{
    if (!read_range(rest, l->in.channels, &l->first, &l->count))
        return parser_fail(p, "write channels:FIRST-LAST, channels of the input counted from 0");
    l->out.channels = l->count;
    return 0;
}

static int read_shuffle(parser *p, layer *l, char *rest)
{
    if (!rest || !read_size(rest, &l->groups) || l->in.channels % l->groups)
        return parser_fail(p, "write shuffle:GROUPS, which divide the channels");
    return 0;
}

/* ---- branches ---- */

static int read_save(parser *p, layer *l, char *rest)
{
    p->saves[p->save_depth++] = p->place - 1;
    return read_plain(p, l, rest);
}

static int read_branch(parser *p, layer *l, char *rest)
{
    if (p->save_depth == 0)
        return parser_fail(p, "there is no save before it that is still open");
    l->partner = p->saves[p->save_depth - 1];
    l->out = p->net.layers[l->partner].out;
    return read_plain(p, l, rest);
}

/* The operands of the block that this layer closes, in the order of the text. */
static void gather_operands(parser *p, layer *l)
{
    network *n = &p->net;
    size_t save = l->partner, self = p->place - 1;
    l->operands = n->operand_count;
    for (size_t i = save + 1; i < self; i++)
        if (n->layers[i].kind == LAYER_BRANCH && n->layers[i].partner == save)
            n->operands[n->operand_count++] = i;
    if (n->operand_count == l->operands)
        n->operands[n->operand_count++] = save;
    n->operands[n->operand_count++] = self;
    l->operand_count = n->operand_count - l->operands;
}

static int read_close(parser *p, layer *l, char *rest)
{
    if (p->save_depth == 0)
        return parser_fail(p, "there is no save before it that is still open");
    l->partner = p->saves[--p->save_depth];
    p->net.layers[l->partner].partner = p->place - 1;
    gather_operands(p, l);
    return read_plain(p, l, rest);
}

static extent operand_extent(const parser *p, const layer *l, size_t k)
{
    return p->net.layers[p->net.operands[l->operands + k]].in;
}

static int fail_shapes(const parser *p, const layer *l, size_t k)
{
    extent e = operand_extent(p, l, k);
    size_t from = p->net.operands[l->operands + k];
    bool saved = p->net.layers[from].kind == LAYER_SAVE;
    return error_set(p->e, "network: word %zu, %s: %zux%zux%zu here, but word %zu %s %zux%zux%zu",
                     p->place, layer_name(l), l->in.height, l->in.width, l->in.channels, from + 1,
                     saved ? "saved" : "left", e.height, e.width, e.channels);
}

static int read_add(parser *p, layer *l, char *rest)
{
    if (read_close(p, l, rest) < 0)
        return -1;
    for (size_t k = 0; k < l->operand_count; k++) {
        extent e = operand_extent(p, l, k);
        if (memcmp(&e, &l->in, sizeof e) != 0)
            return fail_shapes(p, l, k);
    }
    return 0;
}

static int read_multiply(parser *p, layer *l, char *rest)
{
    if (read_close(p, l, rest) < 0)
        return -1;
    if (l->operand_count != 2)
        return parser_fail(p, "it closes two branches");
    extent a = operand_extent(p, l, 0), b = l->in;
    if (b.height == 1 && b.width == 1)
        l->out = a;
    else if ((a.height != 1 || a.width != 1) && memcmp(&a, &b, sizeof a) != 0)
        return fail_shapes(p, l, 0);
    return a.channels == b.channels ? 0 : fail_shapes(p, l, 0);
}

static int read_concat(parser *p, layer *l, char *rest)
{
    if (read_close(p, l, rest) < 0)
        return -1;
    l->out.channels = 0;
    for (size_t k = 0; k < l->operand_count; k++) {
        extent e = operand_extent(p, l, k);
        if (e.height != l->in.height || e.width != l->in.width)
            return fail_shapes(p, l, k);
        l->out.channels += e.channels;
    }
    return 0;
}

/* ---- the table ---- */

static const struct {
    const char *name;
    layer_kind kind;
    int (*read)(parser *p, layer *l, char *rest);
    activation_kind activation; /* of relu and LAYER_ACTIVATION */
} words[] = {
    {"conv", LAYER_CONV, read_conv, 0},
    {"dense", LAYER_DENSE, read_dense, 0},
    {"relu", LAYER_RELU, read_plain, ACTIVATION_RELU},
    {"clip", LAYER_ACTIVATION, read_clip, ACTIVATION_CLIP},
    {"leakyrelu", LAYER_ACTIVATION, read_leakyrelu, ACTIVATION_LEAKYRELU},
    {"sigmoid", LAYER_ACTIVATION, read_plain, ACTIVATION_SIGMOID},
    {"silu", LAYER_ACTIVATION, read_plain, ACTIVATION_SILU},
    {"hardsigmoid", LAYER_ACTIVATION, read_plain, ACTIVATION_HARDSIGMOID},
    {"hardswish", LAYER_ACTIVATION, read_plain, ACTIVATION_HARDSWISH},
    {"gelu", LAYER_ACTIVATION, read_plain, ACTIVATION_GELU},
    {"tanhgelu", LAYER_ACTIVATION, read_plain, ACTIVATION_TANHGELU},
    {"maxpool", LAYER_MAXPOOL, read_maxpool, 0},
    {"avgpool", LAYER_AVGPOOL, read_avgpool, 0},
    {"dropout", LAYER_DROPOUT, read_dropout, 0},
    {"batchnorm", LAYER_BATCHNORM, read_batchnorm, 0},
    {"layernorm", LAYER_LAYERNORM, read_layernorm, 0},
    {"scale", LAYER_SCALE, read_scale, 0},
    {"affine", LAYER_AFFINE, read_affine, 0},
    {"normalize", LAYER_NORMALIZE, read_normalize, 0},
    {"tokens", LAYER_TOKENS, read_tokens, 0},
    {"position", LAYER_POSITION, read_position, 0},
    {"attention", LAYER_ATTENTION, read_attention, 0},
    {"take", LAYER_TAKE, read_take, 0},
    {"channels", LAYER_CHANNELS, read_channels, 0},
    {"shuffle", LAYER_SHUFFLE, read_shuffle, 0},
    {"save", LAYER_SAVE, read_save, 0},
    {"|", LAYER_BRANCH, read_branch, 0},
    {"add", LAYER_ADD, read_add, 0},
    {"multiply", LAYER_MULTIPLY, read_multiply, 0},
    {"concat", LAYER_CONCAT, read_concat, 0},
};

enum { WORDS = sizeof words / sizeof *words };

const char *layer_name(const layer *l)
{
    size_t i = 0;
    while (words[i].kind != l->kind || words[i].activation != l->activation)
        i++;
    return words[i].name;
}

static int fail_unknown(parser *p)
{
    char why[512] = "no such layer; there are ";
    size_t length = strlen(why);
    for (size_t i = 0; i < WORDS; i++)
        length += (size_t)snprintf(why + length, sizeof why - length, "%s%s", words[i].name,
                                   i + 2 < WORDS    ? ", "
                                   : i + 1 == WORDS ? ""
                                                    : " and ");
    return parser_fail(p, why);
}

int layer_read(parser *p, layer *l, char *copy)
{
    char *rest = copy, *name = strsep(&rest, ":");
    for (size_t i = 0; i < WORDS; i++) {
        if (strcmp(words[i].name, name) != 0)
            continue;
        l->kind = words[i].kind;
        l->activation = words[i].activation;
        return words[i].read(p, l, rest);
    }
    return fail_unknown(p);
}
