/* onnx-write: a model as an ONNX file; see onnx-write(1). */
#include "../common/base/json.h"
#include "../common/base/tool.h"
#include "../common/model/names.h"
#include "exporting/classifier_graph.h"
#include "exporting/network_graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool embedding_alone;

static const tool_option options[] = {{"embedding", NULL, 0,
                                       "give embeddings in place of scores; the classes are left "
                                       "out",
                                       OPTION_TO(embedding_alone)},
                                      {0}};

static const tool_description about = {
    .name = "onnx-write",
    .summary = "Read a model; write an ONNX file that gives its scores of pictures, for "
               "onnxruntime and others.",
    .usage = "[OPTION]... [MODEL]",
    .example = "onnx-write nine.model > nine.onnx",
    .options = options};

/* ---- what goes with the graph ---- */

/* The names as a JSON list, in the scores' order. The caller frees it; NULL without memory. */
static char *names_of(const class_list *classes)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    bool whole = f != NULL;
    for (size_t i = 0; whole && i < classes->count; i++) {
        char *quoted = json_quote(classes->names[i]);
        whole = quoted && fprintf(f, "%c%s", i ? ',' : '[', quoted) > 0;
        free(quoted);
    }
    whole = whole && fputc(']', f) != EOF;
    if (f && (fclose(f) != 0 || !whole)) {
        free(text);
        return NULL;
    }
    return text;
}

/* How pictures are to be prepared, as image-read --model does. */
static void tell_preparation(onnx_writer *w, const model *m)
{
    double edge;
    char number[24];
    const char *interpolation = model_get_text(m, model_keys[KEY_INPUT_INTERPOLATION].key);
    if (model_get_number(m, model_keys[KEY_INPUT_EDGE].key, &edge)) {
        snprintf(number, sizeof number, "%.0f", edge);
        onnx_put_metadata(w, "resize", number);
    }
    if (interpolation)
        onnx_put_metadata(w, "interpolation", interpolation);
}

/* ---- the graph ---- */

static int put_scores(onnx_writer *w, const model *m, onnx_value embeddings, error *e)
{
    classifier *c;
    if (classifier_new(NULL, m, &c, e) < 0)
        return -1;
    size_t classes = m->classes.count;
    onnx_value scores = classifier_graph(w, classifier_form_of(c), embeddings);
    classifier_free(c);
    onnx_put_output(w, scores, "score", classes);
    onnx_value probabilities = onnx_put(w, "Softmax", scores);
    onnx_set_whole(w, "axis", 1);
    onnx_put_output(w, probabilities, "probability", classes);
    char *names = names_of(&m->classes);
    if (!names)
        return error_set(e, "out of memory for the names of %zu classes", classes);
    onnx_put_metadata(w, "classes", names);
    free(names);
    return 0;
}

static int put_model(onnx_writer *w, const model *m, error *e)
{
    const extent *in = &m->net.input;
    onnx_value embeddings;
    if (*m->net.text) {
        size_t shape[] = {in->height, in->width, in->channels};
        onnx_value pictures = onnx_put_input(w, "image", TYPE_U8, 3, shape);
        if (network_graph(w, m, pictures, &embeddings, e) < 0)
            return -1;
        tell_preparation(w, m);
    } else {
        embeddings = onnx_put_input(w, "embedding", TYPE_F32, 1, &m->net.dimension);
    }
    if (!embedding_alone)
        return put_scores(w, m, embeddings, e);
    onnx_put_output(w, embeddings, "embedding", m->net.dimension);
    return 0;
}

static int convert(const char *path, output *out, error *e)
{
    model m;
    int status = -1;
    if (model_load(path, &m, e) < 0)
        return -1;
    onnx_writer *w = onnx_writer_new();
    if (!w)
        error_set(e, "out of memory");
    else if (!embedding_alone && m.classes.count == 0)
        error_set(e, "%s has no classes; imprint some first, or write its embeddings: --embedding",
                  path);
    else if (embedding_alone && !*m.net.text)
        error_set(e, "%s has no network, and so gives no embeddings", path);
    else if ((status = put_model(w, &m, e)) < 0 || (status = onnx_writer_write(w, out, e)) < 0)
        error_prefix(e, "%s", path);
    onnx_writer_free(w);
    model_free(&m);
    return status;
}

int main(int count, char **words)
{
    tool_operands files = tool_begin(&about, count, words);
    if (files.count > 1)
        tool_usage("name one model");
    error e;
    output *out = tool_output("an ONNX file");
    return tool_end(out, convert(files.count ? files.names[0] : "-", out, &e), &e);
}
