/* Any text as a network: parsed and planned for inference and training, or refused with one line.
 * The first three bytes are the pictures' size, the fourth the head and the rows at once. */
#include "../../kernels/backend.h"
#include "../../kernels/plan/plan.h"

#include <stdlib.h>
#include <string.h>

static void expect(bool holds)
{
    if (!holds)
        abort();
}

static bool joins(const void *own, const layer *product, const layer *next)
{
    (void)own;
    return product->kind != next->kind;
}

static void make_plan(const network *n, bool training, size_t rows)
{
    plan p = {0};
    error e = {""};
    const program_spec spec = {.net = n, .training = training};
    const plan_rules rules = {
        .input_multiple = 1, .joins = joins, .window_most = 255, .code_bytes = 1};
    if (plan_new(&spec, rows, &rules, &p, &e) < 0)
        expect(*e.text && !strchr(e.text, '\n'));
    plan_free(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    network n;
    error e = {""};
    if (size < 4)
        return 0;
    char *text = malloc(size - 3);
    expect(text);
    memcpy(text, data + 4, size - 4);
    text[size - 4] = '\0';
    extent input = {data[0] % 64 + 1, data[1] % 64 + 1, data[2] % 4 + 1};
    if (network_parse(text, input, data[3] & 1 ? HEAD_COSINE : HEAD_SOFTMAX, data[3] >> 5, &n, &e) <
        0) {
        expect(*e.text && !strchr(e.text, '\n'));
    } else {
        expect(n.dimension > 0);
        make_plan(&n, false, (data[3] >> 1 & 15) + 1);
        make_plan(&n, true, (data[3] >> 1 & 15) + 1);
        network_free(&n);
    }
    free(text);
    return 0;
}
