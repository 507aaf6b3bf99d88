#include "input.h"

static int gather(const run *r, gather_task t, error *e)
{
    const program *p = r->p;
    const augmentation *a = &p->spec.augment;
    t.height = (int)p->net->input.height;
    t.width = (int)p->net->input.width;
    t.channels = (int)p->net->input.channels;
    t.stored = (int)p->plan.input_channels;
    const fused_layer *first = p->plan.layers;
    bool patches = p->plan.count > 0 && conv_is_patches(first);
    t.patch_height = patches ? (int)first->layer->kernel_height : t.height;
    t.patch_width = patches ? (int)first->layer->kernel_width : t.width;
    t.flip = a->flip;
    t.shift = a->shift;
    t.cutout = a->cutout;
    t.augmented = t.augmented && (a->flip || a->shift || a->cutout);
    t.seed = p->spec.seed;
    t.rows = r->rows;
    const layer *normal = p->plan.normalize;
    t.normalised = normal != NULL;
    for (size_t c = 0; normal && c < normal->in.channels; c++) {
        t.mean[c] = normal->input_mean[c];
        t.inverse[c] = 1 / normal->input_deviation[c];
    }
    t.out = place(r, p->plan.input);
    return run_check(r, kernel_gather(p->gpu->type, &t, p->gpu->streams[r->slot]), "gather", e);
}

int input_gather(const run *r, bool augmented, error *e)
{
    const program *p = r->p;
    gather_task t = {.images = p->images,
                     .order = p->order,
                     .state = state_of(r),
                     .labels = p->labels,
                     .batch_labels = place(r, p->places.labels),
                     .augmented = augmented};
    return gather(r, t, e);
}

int input_take(const run *r, uint64_t first_row, uint32_t view, error *e)
{
    gather_task t = {.images = place(r, r->p->places.staging),
                     .augmented = view > 0,
                     .view = view,
                     .first_row = first_row};
    return gather(r, t, e);
}
