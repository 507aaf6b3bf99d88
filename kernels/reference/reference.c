/* reference.c: the backend's door. */
#include "reference.h"

#include <stdio.h>
#include <stdlib.h>

static void reference_close(backend *b)
{
    free(b);
}

static void *reference_host_alloc(backend *b, size_t bytes)
{
    (void)b;
    return malloc(bytes);
}

static void reference_host_free(backend *b, void *memory)
{
    (void)b;
    free(memory);
}

static const backend functions = {
    .name = "reference",
    .device = "plain loops",
    .precision = PRECISION_FP32,
    .close = reference_close,
    .program_new = reference_program_new,
    .program_free = reference_program_free,
    .parameters_set = reference_parameters_set,
    .parameters_get = reference_parameters_get,
    .optimizer_set = reference_optimizer_set,
    .optimizer_get = reference_optimizer_get,
    .data_set = reference_data_set,
    .train = reference_train,
    .gradients = reference_gradients,
    .evaluate = reference_evaluate,
    .embed_submit = reference_embed_submit,
    .embed_wait = reference_embed_wait,
    .host_alloc = reference_host_alloc,
    .host_free = reference_host_free,
    .scores = reference_scores,
    .top_k = reference_top_k,
    .normalise = reference_normalise,
    .features = reference_features,
    .assign = reference_assign,
    .moments_new = reference_moments_new,
    .moments_add = reference_moments_add,
    .moments_get = reference_moments_get,
    .moments_free = reference_moments_free,
    .solve = reference_solve,
    .eigen = reference_eigen,
};

static int reference_open(const backend_options *options, int device, backend **out, error *e)
{
    (void)device;
    if (options->precision == PRECISION_TF32)
        return error_set(e, "reference: precision tf32; it has fp32 and bf16");
    backend *b = malloc(sizeof *b);
    if (!b)
        return error_set(e, "reference: out of memory");
    *b = functions;
    if (options->precision == PRECISION_BF16)
        b->precision = PRECISION_BF16;
    *out = b;
    return 0;
}

const backend_driver backend_reference = {BACKEND_ABI, reference_open};
