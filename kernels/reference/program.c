/* program.c: a network's layers one after the other, forward and back.
 *
 * With precision bf16 it does what a device must do at least, to show what that costs: all sums
 * stay double, but what lies in memory between layers is rounded. */
#include "reference.h"

#include <stdlib.h>
#include <string.h>

struct program {
    program_spec spec;
    const network *net;
    float *parameters, *first, *second; /* net->total each; the moments only for training */
    float *weights;        /* the parameters as layers read them: rounded with PRECISION_BF16 */
    bool rounds;           /* PRECISION_BF16 */
    double *gradient;      /* net->total */
    uint64_t step;         /* optimizer steps done */
    const uint8_t *images; /* the data set, borrowed */
    const int32_t *labels;
    size_t data_rows;
    int32_t *batch_labels;
    /* What layer i reads is activation[i], what it writes activation[i + 1]; gradients alike. */
    double **activation, **d_activation;
    const double **operands; /* of network.operands, what they are */
    double *attention;       /* scratch of reference_attention_... */
    double *logits, *d_logits;
};

/* ---- making ---- */

static int program_fail(const program_spec *spec, error *e)
{
    return error_set(e, "reference: out of memory for %zu rows at once; take a smaller batch",
                     spec->batch);
}

/* One array of batch rows for the input and for what each layer writes. */
static double **activations_new(const network *n, size_t batch)
{
    double **all = calloc(n->layer_count + 1, sizeof *all);
    if (!all)
        return NULL;
    for (size_t i = 0; i <= n->layer_count; i++) {
        size_t size = extent_size(i == 0 ? n->input : n->layers[i - 1].out);
        all[i] = calloc(batch * size, sizeof **all);
        if (!all[i]) {
            while (i > 0)
                free(all[--i]);
            free(all);
            return NULL;
        }
    }
    return all;
}

static void activations_free(const network *n, double **all)
{
    for (size_t i = 0; all && i <= n->layer_count; i++)
        free(all[i]);
    free(all);
}

/* The scratch and the operands' places. */
static bool blocks_new(program *p)
{
    const network *n = p->net;
    size_t places = 0;
    for (size_t i = 0; i < n->layer_count; i++) {
        extent e = n->layers[i].in;
        if (n->layers[i].kind == LAYER_ATTENTION && e.height * e.width > places)
            places = e.height * e.width;
    }
    p->attention = calloc(2 * places + 1, sizeof *p->attention);
    p->operands = calloc(n->operand_count + 1, sizeof *p->operands);
    for (size_t k = 0; p->operands && k < n->operand_count; k++)
        p->operands[k] = p->activation[n->operands[k]];
    return p->attention && p->operands;
}

static bool training_new(program *p)
{
    size_t total = p->net->total, batch = p->spec.batch;
    p->first = calloc(total, sizeof *p->first);
    p->second = calloc(total, sizeof *p->second);
    p->gradient = calloc(total, sizeof *p->gradient);
    p->d_activation = activations_new(p->net, batch);
    p->logits = calloc(batch * p->net->class_count, sizeof *p->logits);
    p->d_logits = calloc(batch * p->net->class_count, sizeof *p->d_logits);
    p->batch_labels = calloc(batch, sizeof *p->batch_labels);
    return p->first && p->second && p->gradient && p->d_activation && p->logits && p->d_logits &&
           p->batch_labels;
}

static void reference_program_free(backend *b, program *p)
{
    (void)b;
    if (!p)
        return;
    activations_free(p->net, p->activation);
    activations_free(p->net, p->d_activation);
    free(p->parameters);
    free(p->weights);
    free(p->first);
    free(p->second);
    free(p->gradient);
    free(p->operands);
    free(p->attention);
    free(p->logits);
    free(p->d_logits);
    free(p->batch_labels);
    free(p);
}

static int reference_program_new(backend *b, const program_spec *spec, program **out, error *e)
{
    if (spec->batch == 0)
        return error_set(e, "reference: a batch of no rows");
    program *p = calloc(1, sizeof *p);
    if (!p)
        return program_fail(spec, e);
    p->spec = *spec;
    p->net = spec->net;
    p->rounds = b->precision == PRECISION_BF16;
    p->parameters = calloc(p->net->total, sizeof *p->parameters);
    p->weights = calloc(p->net->total, sizeof *p->weights);
    p->activation = activations_new(p->net, spec->batch);
    if (!p->parameters || !p->weights || !p->activation || !blocks_new(p) ||
        (spec->training && !training_new(p))) {
        reference_program_free(b, p);
        return program_fail(spec, e);
    }
    *out = p;
    return 0;
}

/* ---- bf16 ---- */

/* The nearest number of 8 significant bits, the even one of two as near. */
static double round_bf16(double x)
{
    float rounded = (float)x;
    uint32_t bits;
    memcpy(&bits, &rounded, sizeof bits);
    bits = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000;
    memcpy(&rounded, &bits, sizeof rounded);
    return (double)rounded;
}

/* What a device would keep in bf16: activations, their gradients, the weights of conv and dense. */
static void store(const program *p, size_t count, double *x)
{
    for (size_t i = 0; p->rounds && i < count; i++)
        x[i] = round_bf16(x[i]);
}

static void weights_refresh(program *p)
{
    const network *n = p->net;
    memcpy(p->weights, p->parameters, n->total * sizeof *p->weights);
    for (size_t k = 0; p->rounds && k < n->parameter_count; k++) {
        const parameter *q = &n->parameters[k];
        for (size_t i = 0; q->initial == INITIAL_GLOROT && k != n->head_weight && i < q->count; i++)
            p->weights[q->start + i] = (float)round_bf16((double)p->parameters[q->start + i]);
    }
}

/* ---- state ---- */

static int check_training(const program *p, error *e)
{
    return p->spec.training ? 0 : error_set(e, "reference: this program was not made for training");
}

static int reference_parameters_set(backend *b, program *p, const float *parameters, error *e)
{
    (void)b, (void)e;
    memcpy(p->parameters, parameters, p->net->total * sizeof *parameters);
    weights_refresh(p);
    return 0;
}

static int reference_parameters_get(backend *b, program *p, float *parameters, error *e)
{
    (void)b, (void)e;
    memcpy(parameters, p->parameters, p->net->total * sizeof *parameters);
    return 0;
}

static int reference_optimizer_set(backend *b, program *p, uint64_t step, const float *first,
                                   const float *second, error *e)
{
    (void)b;
    if (check_training(p, e) < 0)
        return -1;
    p->step = step;
    memcpy(p->first, first, p->net->total * sizeof *first);
    memcpy(p->second, second, p->net->total * sizeof *second);
    return 0;
}

static int reference_optimizer_get(backend *b, program *p, uint64_t *step, float *first,
                                   float *second, error *e)
{
    (void)b;
    if (check_training(p, e) < 0)
        return -1;
    *step = p->step;
    memcpy(first, p->first, p->net->total * sizeof *first);
    memcpy(second, p->second, p->net->total * sizeof *second);
    return 0;
}

static int reference_data_set(backend *b, program *p, const uint8_t *images, const int32_t *labels,
                              size_t rows, error *e)
{
    (void)b;
    if (check_training(p, e) < 0)
        return -1;
    p->images = images;
    p->labels = labels;
    p->data_rows = rows;
    return 0;
}

/* ---- forward ---- */

typedef enum { MODE_INFER, MODE_GRADIENT, MODE_TRAIN } mode; /* only MODE_TRAIN moves statistics */

/* Parameter `index` in an array of all; NULL where the layer has none. */
static float *running_of(const program *p, size_t index)
{
    return index == SIZE_MAX ? NULL : p->parameters + p->net->parameters[index].start;
}

static const float *value_of(const program *p, size_t index)
{
    return index == SIZE_MAX ? NULL : p->weights + p->net->parameters[index].start;
}

static double *gradient_of(const program *p, size_t index)
{
    return index == SIZE_MAX ? NULL : p->gradient + p->net->parameters[index].start;
}

static void forward_batchnorm(program *p, size_t index, size_t rows, mode m, const double *in,
                              double *out)
{
    const layer *l = &p->net->layers[index];
    const float *gamma = value_of(p, l->weight), *beta = value_of(p, l->offset);
    float *mean = running_of(p, l->mean), *variance = running_of(p, l->variance);
    bool moves = m == MODE_TRAIN && index >= p->spec.frozen;
    if (m == MODE_INFER)
        reference_batchnorm_infer(l, rows, gamma, beta, mean, variance, in, out);
    else
        reference_batchnorm_train(l, rows, gamma, beta, in, out, moves ? mean : NULL,
                                  moves ? variance : NULL);
}

static void forward_layer(program *p, size_t index, size_t rows, mode m)
{
    const layer *l = &p->net->layers[index];
    const double *in = p->activation[index];
    double *out = p->activation[index + 1];
    size_t count = rows * extent_size(l->in);
    switch (l->kind) {
    case LAYER_CONV:
        reference_conv_forward(l, rows, value_of(p, l->weight), value_of(p, l->offset), in, out);
        break;
    case LAYER_DENSE:
        reference_dense_forward(l, rows, value_of(p, l->weight), value_of(p, l->offset), in, out);
        break;
    case LAYER_RELU:
    case LAYER_ACTIVATION:
        reference_activation_forward(l, count, in, out);
        break;
    case LAYER_MAXPOOL:
        reference_maxpool_forward(l, rows, in, out);
        break;
    case LAYER_AVGPOOL:
        reference_avgpool_forward(l, rows, in, out);
        break;
    case LAYER_DROPOUT:
        reference_dropout(count, m == MODE_INFER ? 0 : l->rate, p->spec.seed, (uint32_t)index,
                          p->step, in, out);
        break;
    case LAYER_BATCHNORM:
        forward_batchnorm(p, index, rows, m, in, out);
        break;
    case LAYER_SCALE:
        reference_scale(count, (double)l->rate, in, out);
        break;
    case LAYER_LAYERNORM:
        reference_layernorm_forward(l, rows, value_of(p, l->weight), value_of(p, l->offset), in,
                                    out);
        break;
    case LAYER_AFFINE:
        reference_affine_forward(l, rows, value_of(p, l->weight), value_of(p, l->offset), in, out);
        break;
    case LAYER_NORMALIZE:
        reference_normalize_forward(l, rows, in, out);
        break;
    case LAYER_TOKENS:
        reference_tokens_forward(l, rows, value_of(p, l->weight), in, out);
        break;
    case LAYER_POSITION:
        reference_position_forward(l, rows, value_of(p, l->weight), in, out);
        break;
    case LAYER_ATTENTION:
        reference_attention_forward(l, rows, in, p->attention, out);
        break;
    case LAYER_TAKE:
    case LAYER_CHANNELS:
    case LAYER_SHUFFLE:
        reference_select_forward(l, rows, in, out);
        break;
    case LAYER_SAVE:
        reference_scale(count, 1, in, out);
        break;
    case LAYER_BRANCH:
        reference_scale(rows * extent_size(l->out), 1, p->activation[l->partner], out);
        break;
    case LAYER_ADD:
    case LAYER_MULTIPLY:
    case LAYER_CONCAT:
        reference_close_forward(p->net, l, rows, p->operands + l->operands, out);
        break;
    }
}

/* From activation[0] to the embedding, which is returned. */
static const double *forward(program *p, size_t rows, mode m)
{
    store(p, rows * extent_size(p->net->input), p->activation[0]);
    for (size_t i = 0; i < p->net->layer_count; i++) {
        forward_layer(p, i, rows, m);
        store(p, rows * extent_size(p->net->layers[i].out), p->activation[i + 1]);
    }
    return p->activation[p->net->layer_count];
}

static void forward_head(program *p, size_t rows, const double *embedding)
{
    const network *n = p->net;
    reference_head_forward(n, rows, value_of(p, n->head_scale), value_of(p, n->head_weight),
                           embedding, p->logits);
}

/* ---- back ---- */

static void add_to(size_t count, const double *from, double *to)
{
    for (size_t i = 0; i < count; i++)
        to[i] += from[i];
}

/* Gradients of all operands but a save's, which backward_save adds to what else reaches it. */
static void backward_close(program *p, size_t index, size_t rows)
{
    const network *n = p->net;
    const layer *l = &n->layers[index];
    for (size_t k = 0; k < l->operand_count; k++) {
        size_t from = n->operands[l->operands + k];
        if (n->layers[from].kind == LAYER_SAVE)
            continue;
        double *d = p->d_activation[from];
        memset(d, 0, rows * extent_size(n->layers[from].in) * sizeof *d);
        reference_close_backward(n, l, rows, p->operands + l->operands, k,
                                 p->d_activation[index + 1], d);
    }
}

/* What was saved reaches the first branch, those behind each "|", and, without any, the layer that
 * closes the block. */
static void backward_save(program *p, size_t index, size_t rows)
{
    const network *n = p->net;
    const layer *l = &n->layers[index], *closes = &n->layers[l->partner];
    size_t count = rows * extent_size(l->in);
    double *d_in = p->d_activation[index];
    memcpy(d_in, p->d_activation[index + 1], count * sizeof *d_in);
    for (size_t i = index + 1; i < l->partner; i++)
        if (n->layers[i].kind == LAYER_BRANCH && n->layers[i].partner == index)
            add_to(count, p->d_activation[i + 1], d_in);
    if (n->operands[closes->operands] == index)
        reference_close_backward(n, closes, rows, p->operands + closes->operands, 0,
                                 p->d_activation[l->partner + 1], d_in);
}

static void backward_layer(program *p, size_t index, size_t rows)
{
    const layer *l = &p->net->layers[index];
    const double *in = p->activation[index], *d_out = p->d_activation[index + 1];
    double *d_in = p->d_activation[index];
    size_t count = rows * extent_size(l->in);
    switch (l->kind) {
    case LAYER_CONV:
        reference_conv_backward(l, rows, value_of(p, l->weight), in, d_out,
                                gradient_of(p, l->weight), gradient_of(p, l->offset),
                                index ? d_in : NULL);
        break;
    case LAYER_DENSE:
        reference_dense_backward(l, rows, value_of(p, l->weight), in, d_out,
                                 gradient_of(p, l->weight), gradient_of(p, l->offset),
                                 index ? d_in : NULL);
        break;
    case LAYER_RELU:
    case LAYER_ACTIVATION:
        reference_activation_backward(l, count, in, d_out, d_in);
        break;
    case LAYER_MAXPOOL:
        reference_maxpool_backward(l, rows, in, d_out, d_in);
        break;
    case LAYER_AVGPOOL:
        reference_avgpool_backward(l, rows, d_out, d_in);
        break;
    case LAYER_DROPOUT:
        reference_dropout(count, l->rate, p->spec.seed, (uint32_t)index, p->step, d_out, d_in);
        break;
    case LAYER_BATCHNORM:
        reference_batchnorm_backward(l, rows, value_of(p, l->weight), in, d_out,
                                     gradient_of(p, l->weight), gradient_of(p, l->offset), d_in);
        break;
    case LAYER_SCALE:
        reference_scale(count, (double)l->rate, d_out, d_in);
        break;
    case LAYER_LAYERNORM:
        reference_layernorm_backward(l, rows, value_of(p, l->weight), in, d_out,
                                     gradient_of(p, l->weight), gradient_of(p, l->offset), d_in);
        break;
    case LAYER_AFFINE:
        reference_affine_backward(l, rows, value_of(p, l->weight), in, d_out,
                                  gradient_of(p, l->weight), gradient_of(p, l->offset), d_in);
        break;
    case LAYER_NORMALIZE:
        reference_normalize_backward(l, rows, d_out, d_in);
        break;
    case LAYER_TOKENS:
        reference_tokens_backward(l, rows, d_out, gradient_of(p, l->weight), d_in);
        break;
    case LAYER_POSITION:
        reference_position_backward(l, rows, d_out, gradient_of(p, l->weight), d_in);
        break;
    case LAYER_ATTENTION:
        reference_attention_backward(l, rows, in, d_out, p->attention, d_in);
        break;
    case LAYER_TAKE:
    case LAYER_CHANNELS:
    case LAYER_SHUFFLE:
        reference_select_backward(l, rows, d_out, d_in);
        break;
    case LAYER_SAVE:
        backward_save(p, index, rows);
        break;
    case LAYER_BRANCH: /* its input is an operand of the layer that closes the block */
        break;
    case LAYER_ADD:
    case LAYER_MULTIPLY:
    case LAYER_CONCAT:
        backward_close(p, index, rows);
        break;
    }
}

/* From d_logits to p->gradient, of everything that learns. */
static void backward(program *p, size_t rows)
{
    const network *n = p->net;
    size_t lowest = p->spec.frozen;
    double *d_embedding = lowest >= n->layer_count ? NULL : p->d_activation[n->layer_count];
    memset(p->gradient, 0, n->total * sizeof *p->gradient);
    reference_head_backward(n, rows, value_of(p, n->head_scale), value_of(p, n->head_weight),
                            p->activation[n->layer_count], p->d_logits,
                            gradient_of(p, n->head_scale), gradient_of(p, n->head_weight),
                            d_embedding);
    for (size_t i = n->layer_count; i > lowest; i--) {
        store(p, rows * extent_size(n->layers[i - 1].out), p->d_activation[i]);
        backward_layer(p, i - 1, rows);
    }
}

/* ---- steps ---- */

/* Fills row r of the input; changed as row `number` of `step` is, if augmented. */
static void picture_load(program *p, size_t r, const uint8_t *image, bool augmented, uint64_t step,
                         uint64_t number)
{
    extent input = p->net->input;
    const augmentation *a = &p->spec.augment;
    random_view view = {0};
    if (augmented)
        view = random_augment(p->spec.seed, step, number, a->flip, a->shift, a->cutout,
                              (int)input.height, (int)input.width);
    reference_picture(image, input, view, augmented ? a->cutout : 0,
                      p->activation[0] + r * extent_size(input));
}

/* Fills the input and the labels with rows of the data set. */
static void batch_load(program *p, const uint32_t *order, size_t rows, bool augmented)
{
    for (size_t r = 0; r < rows; r++) {
        picture_load(p, r, p->images + order[r] * extent_size(p->net->input), augmented, p->step,
                     r);
        p->batch_labels[r] = p->labels[order[r]];
    }
}

static void step_gradient(program *p, const uint32_t *order, size_t rows, mode m, metrics *total)
{
    batch_load(p, order, rows, true);
    forward_head(p, rows, forward(p, rows, m));
    reference_cross_entropy(rows, p->net->class_count, p->logits, p->batch_labels,
                            (double)p->spec.label_smoothing, total, p->d_logits);
    backward(p, rows);
}

static void step_apply(program *p, double rate)
{
    const network *n = p->net;
    p->step++;
    for (size_t k = 0; k < n->parameter_count; k++) {
        const parameter *q = &n->parameters[k];
        if (!q->trainable || q->layer < p->spec.frozen)
            continue;
        reference_optimizer_step(&p->spec.optimizer, p->step, rate, q->initial == INITIAL_GLOROT,
                                 q->count, p->gradient + q->start, p->parameters + q->start,
                                 p->first + q->start, p->second + q->start);
    }
    weights_refresh(p);
}

static int check_order(const program *p, const uint32_t *order, size_t rows, error *e)
{
    if (check_training(p, e) < 0)
        return -1;
    for (size_t r = 0; r < rows; r++)
        if (order[r] >= p->data_rows)
            return error_set(e, "reference: row %u of a data set of %zu", order[r], p->data_rows);
    return 0;
}

static int reference_train(backend *b, program *p, const uint32_t *order, size_t rows,
                           const float *rate, metrics *total, error *e)
{
    (void)b;
    if (check_order(p, order, rows, e) < 0)
        return -1;
    for (size_t r = 0; r < rows; r += p->spec.batch) {
        size_t count = rows - r < p->spec.batch ? rows - r : p->spec.batch;
        step_gradient(p, order + r, count, MODE_TRAIN, total);
        step_apply(p, (double)*rate++);
    }
    return 0;
}

static int reference_gradients(backend *b, program *p, const uint32_t *order, size_t rows,
                               float *gradient, metrics *total, error *e)
{
    (void)b;
    if (check_order(p, order, rows, e) < 0)
        return -1;
    if (rows > p->spec.batch)
        return error_set(e, "reference: %zu rows in a batch of %zu", rows, p->spec.batch);
    step_gradient(p, order, rows, MODE_GRADIENT, total);
    for (size_t i = 0; i < p->net->total; i++)
        gradient[i] = (float)p->gradient[i];
    return 0;
}

static int reference_evaluate(backend *b, program *p, const uint32_t *order, size_t rows,
                              metrics *total, error *e)
{
    (void)b;
    if (check_order(p, order, rows, e) < 0)
        return -1;
    for (size_t r = 0; r < rows; r += p->spec.batch) {
        size_t count = rows - r < p->spec.batch ? rows - r : p->spec.batch;
        batch_load(p, order + r, count, false);
        forward_head(p, count, forward(p, count, MODE_INFER));
        reference_cross_entropy(count, p->net->class_count, p->logits, p->batch_labels, 0, total,
                                NULL);
    }
    return 0;
}

/* ---- embeddings ---- */

static void embed_batch(program *p, const uint8_t *images, size_t rows, uint64_t first_row,
                        uint32_t view, float *embeddings)
{
    for (size_t r = 0; r < rows; r++)
        picture_load(p, r, images + r * extent_size(p->net->input), view > 0, view, first_row + r);
    const double *embedding = forward(p, rows, MODE_INFER);
    for (size_t i = 0; i < rows * p->net->dimension; i++)
        embeddings[i] = (float)embedding[i];
}

static int reference_embed_submit(backend *b, program *p, const uint8_t *images, size_t rows,
                                  uint64_t first_row, uint32_t view, float *embeddings, error *e)
{
    (void)b, (void)e;
    for (size_t r = 0; r < rows; r += p->spec.batch) {
        size_t count = rows - r < p->spec.batch ? rows - r : p->spec.batch;
        embed_batch(p, images + r * extent_size(p->net->input), count, first_row + r, view,
                    embeddings + r * p->net->dimension);
    }
    return 0;
}

static int reference_embed_wait(backend *b, program *p, error *e)
{
    (void)b, (void)p, (void)e;
    return 0;
}

void reference_program(backend *b)
{
    b->program_new = reference_program_new;
    b->program_free = reference_program_free;
    b->parameters_set = reference_parameters_set;
    b->parameters_get = reference_parameters_get;
    b->optimizer_set = reference_optimizer_set;
    b->optimizer_get = reference_optimizer_get;
    b->data_set = reference_data_set;
    b->train = reference_train;
    b->gradients = reference_gradients;
    b->evaluate = reference_evaluate;
    b->embed_submit = reference_embed_submit;
    b->embed_wait = reference_embed_wait;
}
