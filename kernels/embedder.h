/* embedder.h: a stream of pictures to embeddings, with reading and computing at the same time.
 *
 * Work goes in slots of up to `batch` pictures. While the device computes two of them, the caller
 * fills the third:
 *
 *     memcpy(embedder_images(m) ..., rows pictures);
 *     slot = embedder_slot(m);                            what else belongs to these rows is kept
 *                                                         under
 *     embedder_submit(m, rows, e);                        this number, 0 to EMBEDDER_SLOTS - 1
 *     while (embedder_collect(m, false, &done, e) > 0) write(done);
 *
 * and at the end collects with `all`. */
#ifndef KERNELS_EMBEDDER_H
#define KERNELS_EMBEDDER_H

#include "backend.h"

#define EMBEDDER_SLOTS 3

typedef struct {
    size_t batch;         /* pictures a slot */
    uint32_t views;       /* 1: the plain picture alone; view v > 0 is augmented (random_augment) */
    augmentation augment; /* what those views are */
    uint64_t seed;        /* of them */
    bool mirror;  /* each view's embedding is the mean of the picture's and its mirror image's */
    bool average; /* the mean over the views, one row a picture */
} embedder_options;

typedef struct embedder embedder;

/* b and net are borrowed. parameters: net->total floats. */
int embedder_new(backend *b, const network *net, const float *parameters,
                 const embedder_options *options, embedder **out, error *e);
void embedder_free(embedder *m); /* NULL is harmless */

/* Where the next slot's pictures go: batch x height x width x channels bytes. */
uint8_t *embedder_images(const embedder *m);
size_t embedder_slot(const embedder *m);

/* Starts work on the first `rows` pictures there, 1 <= rows <= batch. Everything done before must
 * have been collected. */
int embedder_submit(embedder *m, size_t rows, error *e);

typedef struct {
    size_t slot;
    size_t pictures, rows;   /* rows = pictures x views, or pictures if averaged */
    const float *embeddings; /* rows x dimension, a picture's views one after the other, not
                                normalised; good until the next call */
    const float *plain;      /* averaged: pictures x dimension, the plain views alone; else NULL */
} embedder_result;

/* 1 and the oldest submission if it is done (`all`: after waiting for it), 0 if there is none, or
 * -1. */
int embedder_collect(embedder *m, bool all, embedder_result *out, error *e);

/* Mirrors `rows` pictures left to right. from and to do not overlap. */
void pictures_mirror(const uint8_t *from, size_t rows, extent picture, uint8_t *to);

#endif
