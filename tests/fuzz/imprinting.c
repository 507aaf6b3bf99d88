/* A forged model in each step of the tools that makes something of it: imprint, imprint --base,
 * classify, model-merge, model-edit. Each gives what a tool may write, or fails with one line. The
 * first byte chooses the steps, the second the settings. */
#include "../../src/imprinting/imprinting.h"
#include "../../common/base/output.h"
#include "../../common/model/settings.h"
#include "../../common/model/sums.h"
#include "../../kernels/backend.h"
#include "../../src/imprinting/classifier.h"
#include "../../src/imprinting/fit.h"
#include "../../src/imprinting/merging.h"
#include "../../src/imprinting/threshold.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 6 };

static backend *reference;

static void expect(bool holds)
{
    if (!holds)
        abort();
}

static void expect_reason(const error *e)
{
    expect(*e->text && !strchr(e->text, '\n'));
}

/* What a tool writes must be a model. */
static void save(const model *m)
{
    error e = {""};
    output *out;
    expect(output_open("/dev/null", false, &out, &e) == 0);
    if (model_save(m, out, &e) < 0)
        expect_reason(&e);
    output_abandon(out);
}

static float *rows_make(size_t dimension)
{
    float *rows = malloc(ROWS * dimension * sizeof *rows);
    expect(rows);
    for (size_t i = 0; i < ROWS * dimension; i++)
        rows[i] = (float)sin(0.7 * (double)i * (double)(i % 5 + 1));
    return rows;
}

static void classify(const model *m)
{
    error e = {""};
    classifier *c;
    double threshold;
    if (m->classes.count == 0)
        return;
    if (classifier_new(&reference->algebra, m, &c, &e) < 0) {
        expect_reason(&e);
        return;
    }
    float *rows = rows_make(m->net.dimension);
    float *scores = malloc(ROWS * m->classes.count * sizeof *scores);
    expect(scores);
    if (classifier_scores(c, rows, ROWS, scores, &e) < 0)
        expect_reason(&e);
    if (threshold_of_rate(c, m, 0.05, &threshold, &e) < 0)
        expect_reason(&e);
    classifier_free(c);
    free(scores);
    free(rows);
}

/* Rows of two classes that the model may have, and of one that it has not. */
static void imprint(model *m, unsigned how)
{
    static const fit_method methods[] = {METHOD_AUTO, METHOD_MEAN, METHOD_PROXIES, METHOD_RIDGE};
    const imprinting_options options = {
        .training_rows = how & 1,
        .as_base = how & 2,
        .update_base = how & 4,
        .features = how & 8,
        .chosen = {.plain = true, .random = how & 16 ? 3 : 0, .seed = 1},
        .reservoir = how & 32 ? 2 : 0};
    fit_settings fit = fit_settings_of(m);
    error e = {""};
    imprinting *work = NULL;
    class_list classes = {0};
    int32_t labels[ROWS];
    for (size_t c = 0; c < 2 && c < m->classes.count; c++)
        class_list_add(&classes, m->classes.names[c]);
    class_list_add(&classes, "one more");
    for (size_t r = 0; r < ROWS; r++)
        labels[r] = (int32_t)(r % classes.count);
    if (how & 64) {
        fit.method = methods[how >> 1 & 3];
        fit.proxies = 2;
        fit.proxies_seed = 1;
    }
    float *rows = rows_make(m->net.dimension);
    int status = fit_settings_put(m, &fit, &e);
    if (status == 0 && how & 8 && !feature_settings_of(m, &(feature_settings){0}))
        status = feature_settings_put(m, &options.chosen, &e);
    if (status == 0)
        status = imprinting_new(&reference->algebra, m, &options, &work, &e);
    if (status == 0)
        status = imprinting_add(work, &classes, rows, NULL, labels, ROWS, &e);
    if (status == 0)
        status = imprinting_finish(work, &e);
    if (status < 0)
        expect_reason(&e);
    imprinting_free(work);
    if (status == 0) {
        save(m);
        classify(m);
    }
    free(rows);
    class_list_free(&classes);
}

static void merge(const model *m, bool with_base)
{
    error e = {""};
    merging *g;
    model one = {0}, two = {0}, merged = {0};
    expect(merging_new(with_base ? m : NULL, &g, &e) == 0 || *e.text);
    if (*e.text)
        return;
    expect(model_copy(&one, m, &e) == 0 && model_copy(&two, m, &e) == 0);
    int status = merging_add(g, &one, "one", &e);
    if (status == 0)
        status = merging_add(g, &two, "two", &e);
    if (status == 0)
        status = merging_finish(g, &reference->algebra, &merged, &e);
    if (status < 0)
        expect_reason(&e);
    else
        save(&merged);
    model_free(&merged);
    model_free(&one);
    model_free(&two);
    merging_free(g);
}

static void edit(model *m)
{
    error e = {""};
    if (m->classes.count > 0 && fit_remove_class(m, m->classes.count - 1, &e) < 0)
        expect_reason(&e);
    else if (sums_slim(m, &e) < 0)
        expect_reason(&e);
    else if (m->classes.count > 0)
        save(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    model m;
    error e = {""};
    const backend_options options = {.device = "reference"};
    if (!reference)
        expect(backend_reference.open(&options, -1, &reference, &e) == 0);
    if (size < 2)
        return 0;
    if (model_load_memory(data + 2, size - 2, MODEL_SUMS, &m, &e) < 0) {
        expect_reason(&e);
        return 0;
    }
    if (data[0] & 1)
        classify(&m);
    if (data[0] & 2)
        merge(&m, data[0] & 16);
    if (data[0] & 4)
        edit(&m);
    if (data[0] & 8)
        imprint(&m, data[1]);
    model_free(&m);
    return 0;
}
