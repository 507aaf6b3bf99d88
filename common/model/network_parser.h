/* network_parser.h: what network.c and network_words.c share while a text is read: the words are
 * network_words.c's, all else is network.c's. */
#ifndef COMMON_MODEL_NETWORK_PARSER_H
#define COMMON_MODEL_NETWORK_PARSER_H

#include "network.h"

enum { NETWORK_LAYERS_MAX = 1000, PARAMETERS_A_LAYER = 4 };
#define NETWORK_SIZE_MAX ((size_t)1 << 31)

/* What the words are read into; save_depth and saves are the blocks that are open. */
typedef struct {
    network net;
    size_t saves[NETWORK_LAYERS_MAX], save_depth;
    extent at;        /* the activation so far */
    const char *word; /* the present word, and its place among the words, from 1 */
    size_t place;
    error *e;
} parser;

/* The word may come from a stranger's file: only what prints is shown. Returns -1. */
int parser_fail(parser *p, const char *why);

/* A new parameter of the layer being read: its place in the text, its kind and `what` are its name.
 * SIZE_MAX, with the error set, where there are too many numbers. */
size_t layer_parameter(parser *p, const layer *l, const char *what, size_t rank,
                       const size_t *shape, initial_kind initial);

/* Reads the present word, of which `copy` is taken apart, into a layer that has l->in, the same
 * l->out, and nothing else yet. */
int layer_read(parser *p, layer *l, char *copy);

#endif
