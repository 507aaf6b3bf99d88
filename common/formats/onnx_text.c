/* onnx_text.c: the steps between the pictures and an activation, told as branches within
 * branches. */
#include "onnx_graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    reader *r;
    onnx_network *out;
    size_t length, room, words_room;
    size_t depth; /* of the telling */
} teller;

enum { WORDS_MOST = 1000, DEPTH_MOST = WORDS_MOST /* a step is a word at least */ };

static void tell(teller *t, const char *word, const onnx_parameters *p)
{
    size_t length = strlen(word);
    if (t->out->word_count == WORDS_MOST)
        onnx_fail(t->r, NULL, "the network takes more than 1,000 words");
    if (t->length + length + 2 > t->room) {
        char *more = onnx_take(t->r, t->room = 2 * t->room + length + 1024, 1);
        memcpy(more, t->out->text ? t->out->text : "", t->length);
        t->out->text = more;
    }
    if (t->length)
        t->out->text[t->length++] = ' ';
    memcpy(t->out->text + t->length, word, length + 1);
    t->length += length;
    t->out->words[t->out->word_count++] = p ? *p : (onnx_parameters){0};
}

/* ---- dominators ---- */

static act *meet(act *a, act *b)
{
    while (a != b) {
        if (a->depth >= b->depth)
            a = a->dominator;
        else
            b = b->dominator;
    }
    return a;
}

/* Neighbours side by side that part from each other later than from the rest become a step of their
 * own, side by side: exporters write blocks within blocks as one. */
static void group_inputs(teller *t, act *a)
{
    act *d = a->dominator;
    size_t count = 0;
    for (size_t i = 0; i < a->input_count;) {
        size_t end = i + 1, channels = a->inputs[i]->size.channels;
        act *common = a->inputs[i];
        while (end < a->input_count && meet(common, a->inputs[end]) != d) {
            common = meet(common, a->inputs[end]);
            channels += a->inputs[end++]->size.channels;
        }
        act *one = a->inputs[i];
        if (end - i > 1 && end - i < a->input_count) {
            extent size = {a->size.height, a->size.width, channels};
            one = onnx_act(t->r, end - i, a->inputs + i, size, "concat");
            one->dominator = common;
            one->depth = common->depth + 1;
            group_inputs(t, one);
        }
        a->inputs[count++] = one;
        i = end;
    }
    a->input_count = count;
}

/* Fills in dominators and depths of all that leads to `a`, inputs first. */
static void dominate(teller *t, act *a)
{
    if (a->depth || a == t->r->pictures)
        return;
    if (++t->depth > DEPTH_MOST)
        onnx_fail(t->r, NULL, "the network is more than %d steps long", DEPTH_MOST);
    act *d = NULL;
    for (size_t i = 0; i < a->input_count; i++) {
        dominate(t, a->inputs[i]);
        d = d ? meet(d, a->inputs[i]) : a->inputs[i];
    }
    t->depth--;
    a->dominator = d;
    a->depth = d->depth + 1;
    if (strcmp(a->word, "concat") == 0)
        group_inputs(t, a);
}

/* ---- telling ---- */

static void tell_way(teller *t, act *from, act *to);

static void tell_word(teller *t, const act *a)
{
    char word[sizeof a->word + 8];
    bool takes_bias = strncmp(a->word, "conv:", 5) == 0 || strncmp(a->word, "dense:", 6) == 0;
    snprintf(word, sizeof word, "%s%s", a->word,
             takes_bias && !a->parameters.offset ? ":nobias" : "");
    tell(t, word, &a->parameters);
}

/* The steps from a to b, both left out; b is told after its inputs. */
static void tell_block(teller *t, act *from, act *a)
{
    size_t k = a->input_count;
    act **in = a->inputs;
    bool commutes = strcmp(a->word, "concat") != 0;
    tell(t, "save", NULL);
    if (k == 2 && in[0] == from) {
        tell_way(t, from, in[1]);
    } else if (k == 2 && in[1] == from && commutes) {
        tell_way(t, from, in[0]);
    } else {
        for (size_t i = 0; i < k; i++) {
            if (i > 0)
                tell(t, "|", NULL);
            tell_way(t, from, in[i]);
        }
    }
    tell_word(t, a);
}

/* The steps behind `from` up to `to`. */
static void tell_way(teller *t, act *from, act *to)
{
    if (to == from)
        return;
    if (to == t->r->pictures || ++t->depth > DEPTH_MOST)
        onnx_fail(t->r, NULL, "its steps are no branches within branches");
    if (to->told++)
        onnx_fail(t->r, NULL,
                  "its steps are no branches within branches: what %.60s gives is read by two of "
                  "them",
                  to->word);
    act *d = to->dominator;
    tell_way(t, from, d);
    if (to->input_count == 1)
        tell_word(t, to);
    else
        tell_block(t, d, to);
    t->depth--;
}

/* A last dense layer becomes the head, or is left out. */
static act *take_head(reader *r, act *last, onnx_network *out)
{
    onnx_head head = r->options->head;
    if (r->cosine_classes && head == ONNX_HEAD_LAYER)
        onnx_fail(r, NULL, "its output is cosines, of which --head layer makes no layer");
    if (r->cosine_classes && head == ONNX_HEAD) {
        out->classes = r->cosine_classes;
        out->head_weight = r->cosine_weight;
        out->head_scale = r->cosine_scale;
        return last;
    }
    out->unit = r->unit; /* what comes before it is a projection, and no scores */
    if (head == ONNX_HEAD_LAYER || r->unit || strncmp(last->word, "dense:", 6) != 0)
        return last;
    if (head == ONNX_HEAD) {
        out->classes = last->size.channels;
        out->head_weight = last->parameters.weight;
        out->head_bias = last->parameters.offset;
    }
    return last->inputs[0];
}

void onnx_tell(reader *r, act *last, onnx_network *out)
{
    teller t = {.r = r, .out = out};
    last = take_head(r, last, out);
    out->words = onnx_take(r, WORDS_MOST, sizeof *out->words);
    out->text = onnx_take(r, 1, 1);
    out->input = r->pictures->size;
    out->dimension = extent_size(last->size);
    dominate(&t, last);
    tell_way(&t, r->pictures, last);
}
