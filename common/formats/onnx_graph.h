/* onnx_graph.h: what the files onnx*.c share: a graph being read.
 *
 * A failure anywhere goes straight back to onnx_read by longjmp, and all memory is the reader's, so
 * that the many small steps need not pass failures on. */
#ifndef COMMON_FORMATS_ONNX_GRAPH_H
#define COMMON_FORMATS_ONNX_GRAPH_H

#include "onnx.h"

#include <onnx.pb-c.h>
#include <setjmp.h>
#include <stdint.h>

enum { ONNX_RANK_MAX = 8 };

/* A constant: float or int64, dense, row-major. */
typedef struct {
    bool whole; /* integers */
    size_t rank, dims[ONNX_RANK_MAX], count;
    float *f;
    int64_t *i;
} array;

/* A word of the network to be, and what it computes: an activation, of `size`. */
typedef struct act act;
struct act {
    char word[640];
    extent size;
    size_t input_count;
    act **inputs;
    onnx_parameters parameters;
    size_t listed_count; /* concat: its inputs as the node lists them */
    act **listed;
    /* Of onnx_text.c: */
    act *dominator; /* the nearest one through which every way to here goes */
    size_t depth, told;
};

/* An axis of a value that is a view of an activation: its elements in row-major order of `count`
 * factors, each a number of steps, by so many places and channels each. An axis of one element may
 * have none. */
typedef struct {
    size_t size, place, channel;
} factor;

enum { FACTORS_MAX = 6 };
typedef struct {
    size_t count;
    factor factors[FACTORS_MAX];
} axis;

typedef struct {
    act *of;
    float scale;           /* what its elements are to be multiplied by */
    size_t place, channel; /* where it begins */
    size_t rank;
    axis axes[ONNX_RANK_MAX];
    bool sole; /* nothing else is a view of the activation */
} view;

/* What is known of a value. Beside constants and views there are the steps of what several nodes
 * compute together. */
typedef enum {
    STATE_NONE,
    STATE_CONSTANT,
    STATE_VIEW,
    STATE_PADDED,    /* a view, zeros around it */
    STATE_SCORES,    /* of attention: queries times keys */
    STATE_WEIGHTS,   /* their softmax */
    STATE_NAN,       /* which of them are none: never any */
    STATE_ERF,       /* erf(x / sqrt 2) of the view x */
    STATE_ERF_ONE,   /* 1 + that */
    STATE_MEAN,      /* of the view's channels */
    STATE_CENTRED,   /* x - that */
    STATE_SQUARE,    /* its square */
    STATE_VARIANCE,  /* the mean of that, and epsilon */
    STATE_DEVIATION, /* its root */
    STATE_SQUARES,   /* of the view's elements */
    STATE_SQUARED,   /* their sum over channels: the squared length, perhaps with an epsilon */
    STATE_LENGTH,    /* its root */
    STATE_INVERSE,   /* one over that */
    STATE_UNIT,      /* the view over its length */
    STATE_COSINES    /* of it and the classes' weights, times a scale: the reader's cosine_... */
} state_kind;

typedef struct {
    const char *name;
    size_t uses; /* by nodes, and as the graph's output */
    const Onnx__TensorProto *initial;
    state_kind state;
    array constant;
    view v;
    view keys;      /* scores; their queries are `v`, or the constant where that has numbers */
    size_t pads[4]; /* top, left, bottom, right */
    float epsilon;
} value;

typedef struct {
    const Onnx__NodeProto *proto;
    size_t input_count, output_count;
    value **inputs, **outputs; /* NULL for one left out */
} node;

typedef struct block block;
typedef struct {
    jmp_buf failed;
    error *e;
    block *blocks; /* all memory */
    const onnx_options *options;
    const char *folder; /* of the file; NULL: nothing beside it may be read */
    Onnx__ModelProto *model;
    int64_t opset;
    size_t value_count, slot_count;
    value *values;
    value **slots; /* by the hash of their names */
    size_t node_count;
    node *nodes;
    act *pictures;         /* what the network reads */
    bool unit;             /* the output is normalised to length 1, which is left out */
    size_t cosine_classes; /* of the output, if it is cosines; else 0 */
    float *cosine_weight;  /* a row a class, all of one length */
    float cosine_scale;
} reader;

/* Zeroed memory that lives as long as the reader, or the network made from it. */
void *onnx_take(reader *r, size_t count, size_t size);
/* Gives the failure to onnx_read; n may be NULL. */
_Noreturn void onnx_fail(reader *r, const node *n, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* onnx_file.c: the graph of r->model. */
void onnx_graph_new(reader *r);
/* A constant value, its numbers read from the file at the first call. */
const array *onnx_constant(reader *r, const node *n, value *v);
array onnx_array_new(reader *r, bool whole, size_t rank, const size_t *dims);
double onnx_at(const array *a, size_t i);
/* As a whole number: a float is cut to one, and to 0 where int64 has none. */
int64_t onnx_whole_at(const array *a, size_t i);
int64_t onnx_whole_of(double x);

/* Attributes of a node. */
const Onnx__AttributeProto *onnx_attribute(const node *n, const char *name);
int64_t onnx_int(const node *n, const char *name, int64_t otherwise);
float onnx_float(const node *n, const char *name, float otherwise);
const char *onnx_string(const node *n, const char *name, const char *otherwise);
bool onnx_is(const node *n, const char *operator);
/* Input k of a node, NULL where it has none. */
value *onnx_input(const node *n, size_t k);
/* Numbers of a constant input, or of an attribute as older files have it; false where neither is
 * there. */
bool onnx_numbers(reader *r, const node *n, size_t input, const char *attribute, array *out);
/* An axis that may count from the end. */
size_t onnx_axis(reader *r, const node *n, int64_t axis, size_t rank);

/* onnx_fold.c: computes a node all of whose inputs are constants. */
void onnx_fold(reader *r, const node *n);
/* What Shape gives of such a value. */
array onnx_shape(reader *r, const node *n, size_t rank, const size_t *dims);
/* The ranges of Slice on each axis of `dims`. */
void onnx_slice_ranges(reader *r, const node *n, size_t rank, const size_t *dims, size_t *first,
                       size_t *count, int64_t *step);
/* The sizes of Split's parts, of which it has SPLIT_MOST at most, along an axis of that size. */
enum { SPLIT_MOST = 256 };
void onnx_split_sizes(reader *r, const node *n, size_t size, size_t sizes[SPLIT_MOST]);
/* The shape that Reshape asks of so many elements. */
void onnx_reshape_dims(reader *r, const node *n, size_t rank, const size_t *dims, const array *to,
                       size_t *out_rank, size_t *out);

/* onnx_view.c */
size_t axis_size(const axis *a);
void view_dims(const view *v, size_t *dims);
/* A new activation as a view with the axes of `like`, or as [1, channels, height, width]. */
view view_of(act *a, bool sole, const view *like);
view view_spatial(act *a, bool sole);
bool view_reshape(view *v, size_t rank, const size_t *dims); /* false where it cannot */
void view_permute(view *v, const size_t *order);
bool view_slice(view *v, size_t axis, size_t first, size_t count);
/* Whether it has every element of the activation once, and where. */
bool view_is_whole(const view *v);
/* Whether it is whole, all channels of a place side by side as its last axis, or channels, height
 * and width its last three. */
bool view_channels_last(const view *v);
bool view_is_spatial(const view *v);
/* Place and channel of element i. */
void view_element(const view *v, size_t i, size_t *place, size_t *channel);
size_t view_count(const view *v);

/* onnx_convert.c: gives every value that the output needs its state; returns the output's. */
value *onnx_convert(reader *r);
/* A view as a whole activation, with words for what it takes of another. */
void onnx_make_whole(reader *r, const node *n, view *v);
act *onnx_act(reader *r, size_t input_count, act *const *inputs, extent size, const char *format,
              ...) __attribute__((format(printf, 5, 6)));

/* onnx_text.c: the text from the pictures to an activation, and the words' parameters. */
void onnx_tell(reader *r, act *last, onnx_network *out);

#endif
