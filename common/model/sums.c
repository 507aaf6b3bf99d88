#include "sums.h"

/* The parts of the two groups, in the order of class_sums. */
static const struct {
    model_part_id count, sum, feature_sum, gram, exemplars;
} parts[] = {
    [SUMS_BASE] = {PART_BASE_COUNT, PART_NONE, PART_BASE_FEATURE_SUM, PART_BASE_GRAM,
                   PART_BASE_EXEMPLARS},
    [SUMS_IMPRINT] = {PART_IMPRINT_COUNT, PART_IMPRINT_SUM, PART_IMPRINT_FEATURE_SUM,
                      PART_IMPRINT_GRAM, PART_IMPRINT_EXEMPLARS},
};

class_sums sums_of(const model *m, sums_group group)
{
    return (class_sums){.classes = m->classes.count,
                        .dimension = m->net.dimension,
                        .features = model_part_size(m, parts[group].gram),
                        .room = model_part_size(m, parts[group].exemplars),
                        .count = model_part(m, parts[group].count),
                        .sum = model_part(m, parts[group].sum),
                        .feature_sum = model_part(m, parts[group].feature_sum),
                        .gram = model_part(m, parts[group].gram),
                        .exemplars = model_part(m, parts[group].exemplars)};
}

static int put_missing(model *m, model_part_id part, bool wanted, size_t size, error *e)
{
    if (!wanted || part == PART_NONE || model_part(m, part))
        return 0;
    return model_part_put(m, part, size, e) ? 0 : -1;
}

int sums_put(model *m, sums_group group, size_t features, size_t room, class_sums *out, error *e)
{
    bool sums = features > 0 || group == SUMS_IMPRINT;
    if (put_missing(m, parts[group].count, sums, 0, e) < 0 ||
        put_missing(m, parts[group].sum, sums, 0, e) < 0 ||
        put_missing(m, parts[group].feature_sum, features > 0, features, e) < 0 ||
        put_missing(m, parts[group].gram, features > 0, features, e) < 0 ||
        put_missing(m, parts[group].exemplars, room > 0, room, e) < 0)
        return -1;
    *out = sums_of(m, group);
    return 0;
}

void sums_drop(model *m, sums_group group)
{
    for (size_t i = m->tensor_count; i-- > 0;)
        if (part_form_named(m->tensors[i].name)->group == group)
            model_drop(m, m->tensors[i].name);
}

void sums_shots(const model *m, double *least, double *most)
{
    const class_sums imprint = sums_of(m, SUMS_IMPRINT);
    *least = *most = -1;
    model_get_number(m, model_keys[KEY_SLIM_SHOTS].key, least);
    model_get_number(m, model_keys[KEY_SLIM_SHOTS_MOST].key, most);
    for (size_t c = 0; c < m->classes.count; c++) {
        double rows = sums_count(&imprint, c);
        if (m->kinds[c] == CLASS_BASE || rows == 0)
            continue;
        *least = *least < 0 || rows < *least ? rows : *least;
        *most = rows > *most ? rows : *most;
    }
}

int sums_slim(model *m, error *e)
{
    double least, most;
    sums_shots(m, &least, &most);
    if (least > 0 && (model_note_number(m, model_keys[KEY_SLIM_SHOTS].key, least) < 0 ||
                      model_note_number(m, model_keys[KEY_SLIM_SHOTS_MOST].key, most) < 0))
        return error_set(e, "out of memory");
    sums_drop(m, SUMS_BASE);
    sums_drop(m, SUMS_IMPRINT);
    return model_note_number(m, model_keys[KEY_SLIM].key, 1) < 0 ? error_set(e, "out of memory")
                                                                 : 0;
}

int sums_check(const model *m, error *e)
{
    double slim;
    if (!model_get_number(m, model_keys[KEY_SLIM].key, &slim))
        return 0;
    return error_set(e, "is slim: the sums that imprinting goes on from were dropped by model-edit "
                        "--slim; take the model that it was made from");
}

double sums_count(const class_sums *s, size_t class_index)
{
    return s->count ? s->count[class_index] : 0;
}
