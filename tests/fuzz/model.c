/* Any bytes: model_load_memory takes them or refuses them with one line, and what it takes can be
 * saved, changed and freed. */
#include "../../common/model/model.h"
#include "../../common/base/output.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    model m;
    error e = {0};
    output *out;
    if (model_load_memory(data, size, MODEL_SUMS, &m, &e) < 0) {
        if (!*e.text || strchr(e.text, '\n'))
            abort();
        return 0;
    }
    for (model_section last = MODEL_SCORES; last < MODEL_SUMS; last++) {
        model part;
        if (model_load_memory(data, size, last, &part, &e) == 0)
            model_free(&part);
    }
    if (model_check(&m, &e) < 0 || output_open("/dev/null", false, &out, &e) < 0)
        abort();
    if (model_save(&m, out, &e) < 0)
        abort();
    output_abandon(out);
    model_fingerprint(&m);
    /* A network near the limits may refuse one more class; what it leaves must still be whole. */
    class_list more = {0};
    class_list_add(&more, "one more");
    model_add_classes(&m, &more, NULL, NULL, &e);
    class_list_free(&more);
    model_remove_class(&m, 0, &e);
    if (model_check(&m, &e) < 0)
        abort();
    model_free(&m);
    return 0;
}
