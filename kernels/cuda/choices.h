/* choices.h: what can be said about a GPU, its memory and its algorithms without having one. */
#ifndef KERNELS_CUDA_CHOICES_H
#define KERNELS_CUDA_CHOICES_H

#include "../backend.h"

/* ---- precision ---- */

/* What `wanted` comes to on a card of that compute capability: auto is bf16 from 8.0 on, else fp32.
 * Fails for tf32 and bf16 below 8.0, and for cards below 7.5, for which there is no code. */
int precision_choose(precision_kind wanted, int major, int minor, precision_kind *out, error *e);

/* ---- memory ---- */

/* Fills *e with what was asked for and for what, what was free of how much, and `advice`, which
 * says which option makes it smaller; returns -1. */
int memory_refuse(error *e, size_t asked, const char *what, size_t free_bytes, size_t total,
                  const char *advice);

/* "384 B", "1.5 MiB", into text of at least 32 bytes, which is returned. */
char *memory_text(size_t bytes, char *text);

/* ---- convolution algorithms ---- */

typedef enum { CONV_FORWARD, CONV_BACKWARD_DATA, CONV_BACKWARD_WEIGHT } conv_direction;

/* Everything that an algorithm's choice depends on. Unused bytes are zero: keys compare bytewise.
 * */
typedef struct {
    int32_t direction, rows;
    int32_t in_height, in_width, in_channels;
    int32_t out_height, out_width, out_channels;
    int32_t kernel_height, kernel_width, stride_height, stride_width;
    int32_t dilation_height, dilation_width, groups;
    int32_t top, left, bottom, right; /* padding */
    int32_t precision, deterministic;
    int32_t bias, relu; /* forward: what follows, and may be done in the same pass */
    int32_t sums;       /* forward: to what lies there */
} conv_key;

conv_key conv_key_make(conv_direction direction, const layer *l, size_t in_channels, size_t rows,
                       precision_kind precision, bool deterministic, bool bias, bool relu,
                       bool sums);

/* The library's number for an algorithm and for the kind of arithmetic, the memory it works in, and
 * whether it does bias and ReLU too. ALGORITHM_OWN: the library has none, our own kernels do it;
 * ALGORITHM_CORES: our own by tensor cores do. */
#define ALGORITHM_OWN (-1)
#define ALGORITHM_CORES (-2)
typedef struct {
    int algorithm, math;
    size_t workspace;
    bool fused;
} conv_choice;

/* The choices made so far. */
typedef struct {
    size_t count, room;
    struct conv_entry *entries;
} conv_choices;

bool choices_find(const conv_choices *c, const conv_key *key, conv_choice *out);
int choices_add(conv_choices *c, const conv_key *key, conv_choice choice); /* -1 without memory */
void choices_free(conv_choices *c);

#endif
