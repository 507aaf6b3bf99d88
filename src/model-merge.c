/* model-merge: models that imprinted different classes, or parts of one, to one model of them all.
 */
#include "../common/base/tool.h"
#include "../common/model/model.h"
#include "device.h"
#include "imprinting/merging.h"

static const tool_description about = {
    .name = "model-merge",
    .summary = "Read models imprinted apart; write the one that imprinting all at once would give.",
    .usage = "[OPTION]... MODEL...",
    .options = "      --base MODEL      what they were imprinted from, if it had imprinted classes "
               "itself:\n"
               "                        those count once\n" DEVICE_HELP,
    .example = "model-merge part-*.model -o whole.model",
};

enum { OPTION_BASE = TOOL_OWN };

static const struct option long_options[] = {
    TOOL_OPTIONS, DEVICE_OPTIONS, {"base", required_argument, NULL, OPTION_BASE}, {0}};

typedef struct {
    tool_options tool;
    backend_options device;
    const char *base;
} merge_options;

static int add_models(merging *g, const merge_options *o, char *const *paths, size_t count,
                      error *e)
{
    progress shown;
    progress_begin(&shown, &o->tool, "models", count);
    for (size_t i = 0; i < count; i++) {
        model m;
        if (model_load(paths[i], &m, e) < 0 || merging_add(g, &m, paths[i], e) < 0)
            return -1;
        if (merging_note(g))
            tool_say(&o->tool, "%s: %s", paths[i], merging_note(g));
        progress_update(&shown, i + 1, NULL);
    }
    progress_end(&shown);
    return 0;
}

static int finish(merging *g, const merge_options *o, output *out, error *e)
{
    model whole;
    backend *device = merging_needs_backend(g) ? device_open_by_size(&o->device, &o->tool) : NULL;
    int status = merging_finish(g, device, &whole, e);
    if (device)
        device->close(device);
    if (status < 0)
        return -1;
    status = model_save(&whole, out, e);
    model_free(&whole);
    return status;
}

static int merge(const merge_options *o, char *const *paths, size_t count, output *out, error *e)
{
    merging *g = NULL;
    model base = {0};
    if (o->base && model_load(o->base, &base, e) < 0)
        return -1;
    int status = merging_new(o->base ? &base : NULL, &g, e);
    if (status == 0 && (add_models(g, o, paths, count, e) < 0 || finish(g, o, out, e) < 0))
        status = -1;
    merging_free(g);
    model_free(&base);
    return status;
}

int main(int argc, char **argv)
{
    tool_begin(&about);
    merge_options o = {.device = DEVICE_DEFAULTS};
    for (int c; (c = getopt_long(argc, argv, TOOL_SHORT, long_options, NULL)) != -1;)
        if (!tool_option(c, &o.tool) && !device_option(c, &o.device))
            o.base = optarg;
    if (optind == argc)
        tool_usage("which models? name them, or - for one on standard input");
    error e = {0};
    output *out;
    if (output_open(o.tool.output, true, &out, &e) < 0)
        tool_fail(&e);
    if (merge(&o, argv + optind, (size_t)(argc - optind), out, &e) < 0) {
        output_abandon(out);
        tool_fail(&e);
    }
    if (output_commit(out, &e) < 0)
        tool_fail(&e);
    return TOOL_OK;
}
