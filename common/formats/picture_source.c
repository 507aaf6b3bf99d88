#include "picture_source.h"

#include <stdlib.h>

void picture_item_free(picture_item *item)
{
    free(item->data);
    if (item->owned) {
        free(item->path);
        free(item->class_name);
    }
    *item = (picture_item){0};
}
