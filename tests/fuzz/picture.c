/* Any bytes as a picture: decoded to the size asked for, every pixel written, or refused with one
 * line. The last bytes choose the recipe. */
#include "../../common/formats/picture.h"

#include <stdlib.h>
#include <string.h>

enum { PIXELS_MOST = 1 << 20 };

static void expect(int holds)
{
    if (!holds)
        abort();
}

static void check_decoding(const uint8_t *data, size_t size, const picture_recipe *recipe)
{
    error e = {""};
    size_t bytes = extent_size(recipe->size);
    uint8_t *out = malloc(bytes);
    expect(out != NULL);
    memset(out, 0xa5, bytes);
    int status = picture_decode(data, size, recipe, out, &e);
    expect(status == 0 || (*e.text && !strchr(e.text, '\n')));
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    error e = {""};
    extent whole;
    uint8_t how = size > 0 ? data[size - 1] : 0;
    if (picture_extent(data, size, &whole, &e) < 0) {
        expect(*e.text && !strchr(e.text, '\n'));
        return 0;
    }
    expect(whole.height > 0 && whole.width > 0);
    /* A few bytes may stand for very many pixels; those are another test's matter. */
    if (whole.height > PIXELS_MOST / whole.width)
        return 0;
    picture_recipe recipe = {.size = {1 + how % 37, 1 + how % 23, how & 1 ? 3 : 1},
                             .fit = (picture_fit)(how / 2 % 3),
                             .filter = (resample_filter)(how / 8 % 2),
                             .fast = how & 16};
    if (recipe.fit == FIT_CROP && how & 32)
        recipe.edge = 40;
    check_decoding(data, size, &recipe);
    recipe = (picture_recipe){.size = {whole.height, whole.width, 3}, .exact = true};
    check_decoding(data, size, &recipe);
    return 0;
}
