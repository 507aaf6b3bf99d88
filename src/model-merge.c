/* model-merge: models that imprinted different classes, or parts of one, to one model of all. */
#include "../common/base/tool.h"
#include "../common/model/model.h"
#include "device.h"
#include "imprinting/merging.h"

static const char *base_path;

static const tool_option options[] = {
    {"base", "MODEL", 0,
     "what they were imprinted from, if it had imprinted classes itself: those count once",
     OPTION_TO(base_path)},
    {0}};

static const tool_description about = {
    .name = "model-merge",
    .summary = "Read models imprinted apart; write the one that imprinting all at once would give.",
    .usage = "[OPTION]... MODEL...",
    .example = "model-merge part-*.model -o whole.model",
    .options = options,
    .shared = device_options};

static int add_models(merging *g, tool_operands models, error *e)
{
    progress shown;
    progress_begin(&shown, "models", models.count);
    for (size_t i = 0; i < models.count; i++) {
        const char *path = models.names[i];
        model m;
        if (model_load(path, &m, e) < 0 || merging_add(g, &m, path, e) < 0)
            return -1;
        if (merging_note(g))
            tool_say("%s: %s", path, merging_note(g));
        progress_update(&shown, i + 1, NULL);
    }
    progress_end(&shown);
    return 0;
}

static int finish(merging *g, output *out, error *e)
{
    model whole;
    embedding_device device = {0};
    if (merging_needs_algebra(g))
        device = embedding_device_open();
    int status = merging_finish(g, device.algebra, &whole, e);
    embedding_device_close(device);
    if (status < 0)
        return -1;
    status = model_save(&whole, out, e);
    model_free(&whole);
    return status;
}

static int merge(tool_operands models, output *out, error *e)
{
    merging *g = NULL;
    model base = {0};
    if (base_path && model_load(base_path, &base, e) < 0)
        return -1;
    int status = merging_new(base_path ? &base : NULL, &g, e);
    if (status < 0 && base_path)
        error_prefix(e, "%s", base_path);
    if (status == 0 && (add_models(g, models, e) < 0 || finish(g, out, e) < 0))
        status = -1;
    merging_free(g);
    model_free(&base);
    return status;
}

int main(int argc, char **argv)
{
    tool_operands models = tool_begin(&about, argc, argv);
    if (models.count == 0)
        tool_usage("which models? name them, or - for one on standard input");
    error e;
    output *out = tool_output("a model");
    int status = merge(models, out, &e);
    return tool_end(out, status, &e);
}
