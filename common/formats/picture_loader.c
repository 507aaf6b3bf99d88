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
    picture_item *items;
    error *failed; /* one a picture; its text is empty where nothing failed */
    size_t done;   /* pictures decoded or failed */
} slot;

struct picture_loader {
    picture_source *source;
    picture_recipe recipe;
    size_t batch, picture_bytes;
    slot slots[BATCHES];
    pthread_mutex_t asking;       /* who holds it asks the source; it may wait long for an answer */
    pthread_mutex_t lock;         /* of what follows; taken after the other */
    pthread_cond_t room, arrived; /* a batch was given back; a picture is decoded, or the end */
    size_t next;                  /* pictures the source gave */
    size_t taken, given_back;     /* batches the caller has had, and no longer needs */
    bool stop, ended;
    error broken; /* why the source failed; its text is empty where it did not */
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

static void decode(const picture_loader *l, picture_item *item, uint8_t *out, error *e)
{
    *e = (error){""};
    if (!item->data && file_read(item->path, &item->data, &item->bytes, e) < 0)
        return;
    if (picture_decode(item->data, item->bytes, &l->recipe, out, e) < 0)
        error_prefix(e, "%s", item->path);
    free(item->data);
    item->data = NULL;
}

/* The next picture, at *place of its batch's slot; NULL at the end. */
static slot *take(picture_loader *l, size_t *place)
{
    pthread_mutex_lock(&l->asking);
    pthread_mutex_lock(&l->lock);
    while (!l->stop && !l->ended && l->next / l->batch >= l->given_back + BATCHES)
        pthread_cond_wait(&l->room, &l->lock);
    slot *s = l->stop || l->ended ? NULL : &l->slots[l->next / l->batch % BATCHES];
    *place = l->next % l->batch;
    pthread_mutex_unlock(&l->lock);
    error why = {""};
    int more = s ? l->source->next(l->source, &s->items[*place], &why) : 0;
    pthread_mutex_lock(&l->lock);
    if (more == 1) {
        l->next++;
    } else if (s) {
        l->ended = true;
        l->broken = why;
        pthread_cond_signal(&l->arrived);
    }
    pthread_mutex_unlock(&l->lock);
    pthread_mutex_unlock(&l->asking);
    return more == 1 ? s : NULL;
}

static void *work(void *context)
{
    picture_loader *l = context;
    size_t place;
    for (slot *s; (s = take(l, &place));) {
        decode(l, &s->items[place], s->images + place * l->picture_bytes, &s->failed[place]);
        pthread_mutex_lock(&l->lock);
        s->done++;
        pthread_cond_signal(&l->arrived);
        pthread_mutex_unlock(&l->lock);
    }
    return NULL;
}

static void slots_free(picture_loader *l)
{
    for (size_t i = 0; i < BATCHES; i++) {
        for (size_t p = 0; l->slots[i].items && p < l->batch; p++)
            picture_item_free(&l->slots[i].items[p]);
        free(l->slots[i].items);
        free(l->slots[i].images);
        free(l->slots[i].failed);
    }
}

int picture_loader_new(picture_source *source, const picture_recipe *recipe, size_t batch,
                       int threads, picture_loader **out, error *e)
{
    picture_loader *l = calloc(1, sizeof *l);
    if (!l)
        return error_set(e, "out of memory");
    *l = (picture_loader){.source = source,
                          .recipe = *recipe,
                          .batch = batch,
                          .picture_bytes = extent_size(recipe->size)};
    bool room = (l->threads = calloc((size_t)threads, sizeof *l->threads)) != NULL;
    for (size_t i = 0; i < BATCHES; i++) {
        l->slots[i].images = malloc(batch * l->picture_bytes);
        l->slots[i].failed = calloc(batch, sizeof *l->slots[i].failed);
        l->slots[i].items = calloc(batch, sizeof *l->slots[i].items);
        room = room && l->slots[i].images && l->slots[i].failed && l->slots[i].items;
    }
    pthread_mutex_init(&l->asking, NULL);
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
    pthread_mutex_destroy(&l->asking);
    pthread_mutex_destroy(&l->lock);
    pthread_cond_destroy(&l->room);
    pthread_cond_destroy(&l->arrived);
    slots_free(l);
    free(l->threads);
    free(l);
}

int picture_loader_next(picture_loader *l, loaded *out, error *e)
{
    pthread_mutex_lock(&l->lock);
    if (l->taken > l->given_back) {
        slot *done = &l->slots[l->given_back++ % BATCHES];
        done->done = 0;
        for (size_t i = 0; i < l->batch; i++)
            picture_item_free(&done->items[i]);
        pthread_cond_broadcast(&l->room);
    }
    size_t first = l->taken * l->batch, count = l->batch;
    slot *s = &l->slots[l->taken % BATCHES];
    for (;;) {
        size_t left = l->next > first ? l->next - first : 0;
        if (l->ended && left < l->batch)
            count = left;
        if (s->done >= count && (l->ended || left >= l->batch))
            break;
        pthread_cond_wait(&l->arrived, &l->lock);
    }
    l->taken += count > 0;
    /* What came before it failed is given first. */
    int status = l->ended && count == 0 && *l->broken.text ? -1 : 0;
    if (status < 0)
        *e = l->broken;
    pthread_mutex_unlock(&l->lock);
    *out = (loaded){count, s->images, s->items, s->failed};
    return status;
}
