/* picture_loader.c: see picture_loader.h. */
#include "picture_loader.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BATCHES = 3 }; /* one is with the caller, one is being finished, one begun */
#define FILE_BYTES_MOST ((size_t)1 << 30)

typedef struct {
    uint8_t *images;
    error *failed; /* one a picture; its text is empty where nothing failed */
    size_t done;   /* pictures decoded or failed */
} slot;

struct picture_loader {
    const picture_list *list;
    picture_recipe recipe;
    size_t batch, picture_bytes;
    slot slots[BATCHES];
    pthread_mutex_t lock;
    pthread_cond_t room, arrived; /* a batch was given back; a batch is whole */
    size_t next;                  /* file to take */
    size_t taken, given_back;     /* batches the caller has had, and no longer needs */
    bool stop;
    pthread_t *threads;
    int running;
};

int file_read(const char *path, uint8_t **data, size_t *bytes, error *e)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_system(e, "%s", path);
    size_t room =
        fstat(fd, &status) == 0 && status.st_size > 0 ? (size_t)status.st_size + 1 : 1 << 16;
    size_t used = 0;
    uint8_t *all = NULL;
    int result = 1; /* until the end of the file, or what fails */
    while (result > 0) {
        uint8_t *more = room > FILE_BYTES_MOST ? NULL : realloc(all, room);
        if (!more) {
            result = error_set(e, "%s: more than a GiB, or more than there is memory for", path);
            break;
        }
        all = more;
        ssize_t got = 1;
        while (used < room && (got = read(fd, all + used, room - used)) > 0)
            used += (size_t)got;
        if (got < 0)
            result = error_system(e, "%s", path);
        else if (used < room)
            result = 0;
        room *= 2;
    }
    close(fd);
    if (result < 0) {
        free(all);
        return -1;
    }
    *data = all;
    *bytes = used;
    return 0;
}

/* ---- threads ---- */

static void decode(const picture_loader *l, const char *path, uint8_t *out, error *e)
{
    uint8_t *data;
    size_t bytes;
    *e = (error){""};
    if (file_read(path, &data, &bytes, e) < 0)
        return;
    if (picture_decode(data, bytes, &l->recipe, out, e) < 0)
        error_prefix(e, "%s", path);
    free(data);
}

static void *work(void *context)
{
    picture_loader *l = context;
    pthread_mutex_lock(&l->lock);
    for (;;) {
        while (!l->stop && l->next < l->list->count &&
               l->next / l->batch >= l->given_back + BATCHES)
            pthread_cond_wait(&l->room, &l->lock);
        if (l->stop || l->next >= l->list->count)
            break;
        size_t file = l->next++, place = file % l->batch;
        slot *s = &l->slots[file / l->batch % BATCHES];
        pthread_mutex_unlock(&l->lock);
        decode(l, l->list->files[file].path, s->images + place * l->picture_bytes,
               &s->failed[place]);
        pthread_mutex_lock(&l->lock);
        s->done++;
        pthread_cond_signal(&l->arrived);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

static void slots_free(picture_loader *l)
{
    for (size_t i = 0; i < BATCHES; i++) {
        free(l->slots[i].images);
        free(l->slots[i].failed);
    }
}

int picture_loader_new(const picture_list *list, const picture_recipe *recipe, size_t batch,
                       int threads, picture_loader **out, error *e)
{
    picture_loader *l = calloc(1, sizeof *l);
    if (!l)
        return error_set(e, "out of memory");
    *l = (picture_loader){.list = list,
                          .recipe = *recipe,
                          .batch = batch,
                          .picture_bytes = extent_size(recipe->size)};
    bool room = (l->threads = calloc((size_t)threads, sizeof *l->threads)) != NULL;
    for (size_t i = 0; i < BATCHES; i++) {
        l->slots[i].images = malloc(batch * l->picture_bytes);
        l->slots[i].failed = calloc(batch, sizeof *l->slots[i].failed);
        room = room && l->slots[i].images && l->slots[i].failed;
    }
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->room, NULL);
    pthread_cond_init(&l->arrived, NULL);
    for (; room && l->running < threads; l->running++)
        if (pthread_create(&l->threads[l->running], NULL, work, l) != 0)
            break;
    if (l->running == 0) {
        picture_loader_free(l);
        return error_set(e, "no memory for batches of %zu pictures, or no thread", batch);
    }
    *out = l;
    return 0;
}

void picture_loader_free(picture_loader *l)
{
    if (!l)
        return;
    pthread_mutex_lock(&l->lock);
    l->stop = true;
    pthread_cond_broadcast(&l->room);
    pthread_mutex_unlock(&l->lock);
    for (int i = 0; i < l->running; i++)
        pthread_join(l->threads[i], NULL);
    pthread_mutex_destroy(&l->lock);
    pthread_cond_destroy(&l->room);
    pthread_cond_destroy(&l->arrived);
    slots_free(l);
    free(l->threads);
    free(l);
}

void picture_loader_next(picture_loader *l, loaded *out)
{
    pthread_mutex_lock(&l->lock);
    if (l->taken > l->given_back) {
        l->slots[l->given_back++ % BATCHES].done = 0;
        pthread_cond_broadcast(&l->room);
    }
    size_t first = l->taken * l->batch, left = l->list->count > first ? l->list->count - first : 0;
    size_t count = left < l->batch ? left : l->batch;
    slot *s = &l->slots[l->taken % BATCHES];
    while (s->done < count)
        pthread_cond_wait(&l->arrived, &l->lock);
    l->taken += count > 0;
    pthread_mutex_unlock(&l->lock);
    *out = (loaded){first, count, s->images, s->failed};
}
