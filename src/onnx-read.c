/* onnx-read: a network of an ONNX file as a model; see onnx-read(1). */
#include "../common/base/tool.h"
#include "../common/formats/onnx.h"
#include "../common/model/names.h"
#include "../common/model/packing.h"
#include "../common/stream/class_names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static onnx_options wanted;
static const char *classes_path;
static int head;
static uint64_t edge;
static int interpolation = -1;
static int precision = -1; /* fp32, bf16 */
static bool has_deviation;

/* Numbers with commas between; returns how many. */
static size_t parse_numbers(const char *option, const char *word, double least, float out[16])
{
    size_t count = 0;
    char part[32];
    for (const char *at = word; count < 16; at++) {
        size_t length = strcspn(at, ",");
        snprintf(part, sizeof part, "%.*s", (int)length, at);
        out[count++] = (float)tool_number(option, part, least, 1000);
        at += length;
        if (*at == '\0')
            return count;
    }
    tool_usage("%s takes 16 numbers at most", option);
}

static void parse_mean(const char *word)
{
    wanted.normalize_count = parse_numbers("--mean", word, -1000, wanted.mean);
}

static void parse_deviation(const char *word)
{
    size_t count = parse_numbers("--std", word, 1e-6, wanted.deviation);
    if (wanted.normalize_count != count)
        tool_usage("--std: as many numbers as --mean, which comes before it");
    has_deviation = true;
}

static void parse_token(const char *word)
{
    wanted.token = (size_t)tool_integer("--token", word, 0, 1 << 30);
    wanted.has_token = true;
}

static void parse_size(const char *word)
{
    char first[32];
    const char *by = strchr(word, 'x');
    snprintf(first, sizeof first, "%.*s", by ? (int)(by - word) : 31, word);
    wanted.height = (size_t)tool_integer("--size", first, 1, 16384);
    wanted.width = by ? (size_t)tool_integer("--size", by + 1, 1, 16384) : wanted.height;
}

/* How pictures are prepared by those who trained the networks: of torchvision and timm, of OpenAI's
 * CLIP, of Google's Inception and Lite networks. */
static const struct {
    const char *name;
    float mean[3], deviation[3];
    size_t size, edge;
    int interpolation; /* bilinear, bicubic */
} presets[] = {
    {"imagenet", {0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}, 224, 256, 0},
    {"clip",
     {0.48145466f, 0.4578275f, 0.40821073f},
     {0.26862954f, 0.26130258f, 0.27577711f},
     224,
     224,
     1},
    {"inception", {0.5f, 0.5f, 0.5f}, {0.5f, 0.5f, 0.5f}, 224, 256, 1},
};

static void parse_preset(const char *word)
{
    for (size_t i = 0; i < sizeof presets / sizeof *presets; i++) {
        if (strcmp(presets[i].name, word) != 0)
            continue;
        memcpy(wanted.mean, presets[i].mean, sizeof presets[i].mean);
        memcpy(wanted.deviation, presets[i].deviation, sizeof presets[i].deviation);
        wanted.normalize_count = 3;
        has_deviation = true;
        if (!wanted.height)
            wanted.height = wanted.width = presets[i].size;
        edge = edge ? edge : presets[i].edge;
        interpolation = interpolation < 0 ? presets[i].interpolation : interpolation;
        return;
    }
    tool_usage("--preset %s: takes imagenet, clip or inception", word);
}

static const tool_option options[] = {
    {"until", "NAME", 0,
     "the value of the graph that is the embedding, or, if a dense layer "
     "gives it, the head's scores (default: the graph's output)",
     OPTION_TO(wanted.output)},
    {"token", "N", 0, "of the output, take token N alone, the first being 0",
     OPTION_CALLS(parse_token)},
    {"head", "classes|none|layer", 0,
     "a last dense layer: its rows are base classes (default), it is left out, or it is a layer "
     "as others",
     OPTION_WORD_TO(head)},
    {"classes", "FILE", 0, "the names of the head's classes, one a line (default: 0, 1, ...)",
     OPTION_TO(classes_path)},
    {"preset", "imagenet|clip|inception", 0,
     "--mean, --std, --resize, --interpolation and --size as usual there",
     OPTION_CALLS(parse_preset)},
    {"mean", "M,..", 0, "what is taken from pixels / 255, a channel each, or one of all",
     OPTION_CALLS(parse_mean)},
    {"std", "D,..", 0, "and then divided by", OPTION_CALLS(parse_deviation)},
    {"size", "SIZE", 0,
     "HEIGHTxWIDTH of the pictures, where the file leaves it open; one number "
     "for both",
     OPTION_CALLS(parse_size)},
    {"resize", "N", 0, "image-read makes the shorter edge so long before it cuts the picture out",
     OPTION_TO(edge), 1, 16384},
    {"interpolation", "bilinear|bicubic", 0, "and resizes so", OPTION_WORD_TO(interpolation)},
    {"keep-norms", NULL, 0, "leave batch normalisation as it is, for training on",
     OPTION_TO(wanted.keep_norms)},
    {"precision", "fp32|bf16", 0, "write the weights as this (bf16: half the bytes)",
     OPTION_WORD_TO(precision)},
    {0}};

static const tool_description about = {
    .name = "onnx-read",
    .summary =
        "Read a trained network from an ONNX file; write a model, whose classes are those of "
        "its last dense layer. Others are imprinted beside them.",
    .usage = "[OPTION]... FILE",
    .example = "onnx-read --preset imagenet --head none resnet50.onnx > resnet50.model",
    .options = options};

/* ---- classes ---- */

static int name_classes(size_t count, class_list *names, error *e)
{
    char number[24];
    if (classes_path && class_names_load(classes_path, names, e) < 0)
        return error_prefix(e, "%s", classes_path);
    if (classes_path && names->count != count)
        return error_set(e, "%s has %zu names; the network's last layer has %zu classes",
                         classes_path, names->count, count);
    for (size_t i = 0; !classes_path && i < count; i++) {
        snprintf(number, sizeof number, "%zu", i);
        if (class_list_add(names, number) < 0)
            return error_set(e, "out of memory");
    }
    return 0;
}

/* ---- parameters ---- */

static int put_parameter(model *m, size_t index, const float *from, size_t count, error *e)
{
    if (index == SIZE_MAX)
        return count == 0 ? 0 : error_set(e, "a word of the network has numbers too many");
    const parameter *p = &m->net.parameters[index];
    tensor *t = model_find(m, p->name);
    if (!t || p->count != count)
        return error_set(e, "%s has %zu numbers and wants %zu", p->name, count, p->count);
    memcpy(t->data, from, count * sizeof *from);
    return 0;
}

static int put_parameters(model *m, const onnx_network *from, error *e)
{
    if (m->net.layer_count != from->word_count || m->net.dimension != from->dimension)
        return error_set(e, "its network came out otherwise than it was read");
    for (size_t i = 0; i < from->word_count; i++) {
        const layer *l = &m->net.layers[i];
        const onnx_parameters *p = &from->words[i];
        if (put_parameter(m, l->weight, p->weight, p->weight_count, e) < 0 ||
            put_parameter(m, l->offset, p->offset, p->offset_count, e) < 0 ||
            put_parameter(m, l->mean, p->mean, p->mean_count, e) < 0 ||
            put_parameter(m, l->variance, p->variance, p->variance_count, e) < 0)
            return -1;
    }
    return 0;
}

/* The classes' weights and biases, and the scale; that of a model that has no classes yet. */
static int put_head(model *m, const onnx_network *from, error *e)
{
    float scale = from->classes ? from->head_scale : 10;
    if (m->net.head == HEAD_COSINE && put_parameter(m, m->net.head_scale, &scale, 1, e) < 0)
        return -1;
    if (from->classes == 0)
        return 0;
    if (put_parameter(m, m->net.head_weight, from->head_weight, from->classes * from->dimension,
                      e) < 0)
        return -1;
    float *bias = from->head_bias ? model_part_put(m, PART_HEAD_BIAS, 0, e) : NULL;
    if (bias)
        memcpy(bias, from->head_bias, from->classes * sizeof *bias);
    return from->head_bias && !bias ? -1 : 0;
}

static int put_notes(model *m, error *e)
{
    if ((edge && model_note_number(m, model_keys[KEY_INPUT_EDGE].key, (double)edge) < 0) ||
        (interpolation == 1 &&
         model_note_text(m, model_keys[KEY_INPUT_INTERPOLATION].key, "bicubic") < 0))
        return error_set(e, "out of memory");
    return weights_precision(m, precision == 1, e);
}

/* The classes are named before, as model_new takes them. */
static int make_model(const onnx_network *from, const class_list *names, model *m, error *e)
{
    head_kind head = from->classes && from->head_scale == 0 ? HEAD_SOFTMAX : HEAD_COSINE;
    if (model_new(from->text, from->input, from->dimension, head, names, CLASS_BASE, m, e) < 0)
        return -1;
    if (put_parameters(m, from, e) == 0 && put_head(m, from, e) == 0 && put_notes(m, e) == 0)
        return 0;
    model_free(m);
    return -1;
}

static int convert(const char *path, model *m, error *e)
{
    onnx_network read;
    class_list names = {0};
    if (onnx_read(path, &wanted, &read, e) < 0)
        return -1;
    if (read.unit)
        tool_say(
            "note: the file normalises its output to length 1; that is left out, as imprint and "
            "classify look at directions alone");
    int status = name_classes(read.classes, &names, e);
    if (status == 0 && (status = make_model(&read, &names, m, e)) < 0)
        error_prefix(e, "%s", path);
    class_list_free(&names);
    onnx_free(&read);
    return status;
}

int main(int count, char **words)
{
    tool_operands files = tool_begin(&about, count, words);
    if (files.count != 1)
        tool_usage("name one ONNX file");
    if (wanted.normalize_count && !has_deviation)
        tool_usage("--mean goes with --std");
    wanted.head = (onnx_head)head; /* the words are in the order of onnx_head */
    if (classes_path && wanted.head != ONNX_HEAD)
        tool_usage("--classes names the head's classes, which --head leaves out");
    error e;
    model m = {0};
    output *out = tool_output("a model");
    int status = convert(files.names[0], &m, &e);
    if (status == 0)
        status = model_save(&m, out, &e);
    model_free(&m);
    return tool_end(out, status, &e);
}
