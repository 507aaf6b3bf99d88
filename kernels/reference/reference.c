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

static int reference_open(const backend_options *options, int device, backend **out, error *e)
{
    (void)device;
    bool bf16 = options->precision == PRECISION_BF16;
    if (options->precision == PRECISION_TF32)
        return error_set(e, "reference: precision tf32; it has fp32 and bf16");
    backend *b = malloc(sizeof *b);
    if (!b)
        return error_set(e, "reference: out of memory");
    *b = (backend){.name = "reference",
                   .device = "plain loops",
                   .precision = bf16 ? PRECISION_BF16 : PRECISION_FP32,
                   .close = reference_close,
                   .host_alloc = reference_host_alloc,
                   .host_free = reference_host_free};
    reference_program(b);
    reference_embedding(&b->algebra);
    reference_moments(&b->algebra);
    reference_linear(&b->algebra);
    *out = b;
    return 0;
}

const backend_driver backend_reference = {BACKEND_ABI, reference_open};
