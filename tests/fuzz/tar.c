/* Any bytes as a tar: pictures with names and classes that a stream takes, to its end, or refused
 * with one line. */
#include "../../common/formats/picture_tar.h"

#include "../../common/base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void expect(int holds)
{
    if (!holds)
        abort();
}

static void read_all(picture_tar *t)
{
    error e = {""};
    picture_item item;
    int more;
    while ((more = picture_tar_source(t)->next(picture_tar_source(t), &item, &e)) == 1) {
        expect(item.data && item.path &&
               utf8_right(item.path, strlen(item.path)) == strlen(item.path));
        expect(!item.class_name || class_name_check(item.class_name, &e) == 0);
        picture_item_free(&item);
    }
    expect(more == 0 || (*e.text && !strchr(e.text, '\n')));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    error e = {""};
    char path[64], *paths[] = {path, path};
    class_list names = {0};
    picture_tar *t;
    const char *first;
    int fd = memfd_create("file", 0);
    expect(fd >= 0 && write(fd, data, size) == (ssize_t)size && lseek(fd, 0, SEEK_SET) == 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    expect(class_list_add(&names, "a") == 0 && class_list_add(&names, "b") == 1);
    for (int named = 0; named < 2; named++) {
        expect(picture_tar_open(paths, 2, named ? &names : NULL, &t, &e) == 0);
        read_all(t);
        expect(picture_tar_passed_over(t, &first) == 0 || first);
        picture_tar_close(t);
    }
    class_list_free(&names);
    close(fd);
    return 0;
}
