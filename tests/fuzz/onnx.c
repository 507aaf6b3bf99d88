/* Any bytes as an ONNX file: a text that network_parse takes, with as many numbers as its words
 * want, or refused with one line. The last byte chooses options. */
#include "../../common/formats/onnx.h"
#include "../../common/model/network.h"

#include <stdlib.h>
#include <string.h>

static void expect(int holds)
{
    if (!holds)
        abort();
}

static void check_network(const onnx_network *n)
{
    network net;
    error e = {""};
    expect(n->classes == 0 || n->head_weight != NULL);
    if (network_parse(n->text, n->input, HEAD_COSINE, n->classes, &net, &e) < 0) {
        expect(*e.text && !strchr(e.text, '\n'));
        return;
    }
    expect(net.layer_count == n->word_count && net.dimension == n->dimension);
    for (size_t i = 0; i < net.layer_count; i++) {
        size_t weight = net.layers[i].weight;
        expect((weight == SIZE_MAX ? 0 : net.parameters[weight].count) == n->words[i].weight_count);
    }
    network_free(&net);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t how = size > 0 ? data[size - 1] : 0;
    onnx_options options = {
        .head = (onnx_head)(how / 8 % 3), .keep_norms = how & 2, .height = 8, .width = 9};
    onnx_network n;
    error e = {""};
    if (how & 1)
        options.has_token = true;
    if (how & 4)
        options.normalize_count = 1, options.deviation[0] = 0.5f;
    if (onnx_read_memory(data, size, &options, &n, &e) < 0) {
        expect(*e.text && !strchr(e.text, '\n'));
        return 0;
    }
    check_network(&n);
    onnx_free(&n);
    return 0;
}
