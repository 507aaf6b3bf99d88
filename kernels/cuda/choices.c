#include "choices.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- precision ---- */

int precision_choose(precision_kind wanted, int major, int minor, precision_kind *out, error *e)
{
    int capability = 10 * major + minor;
    if (capability < 75)
        return error_set(e,
                         "cuda: compute capability %d.%d; it takes 7.5 or more: use --device cpu",
                         major, minor);
    bool native = capability >= 80;
    if (!native && (wanted == PRECISION_BF16 || wanted == PRECISION_TF32))
        return error_set(e,
                         "cuda: precision %s takes compute capability 8.0, the card has %d.%d; use "
                         "--precision fp32",
                         wanted == PRECISION_BF16 ? "bf16" : "tf32", major, minor);
    if (wanted == PRECISION_AUTO)
        *out = native ? PRECISION_BF16 : PRECISION_FP32;
    else
        *out = wanted;
    return 0;
}

/* ---- memory ---- */

char *memory_text(size_t bytes, char *text)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
    if (bytes < 1024) {
        snprintf(text, 32, "%zu B", bytes);
        return text;
    }
    double amount = (double)bytes / 1024;
    size_t unit = 0;
    while (amount >= 1024 && unit < 3) {
        amount /= 1024;
        unit++;
    }
    snprintf(text, 32, "%.1f %s", amount, units[unit]);
    return text;
}

int memory_refuse(error *e, size_t asked, const char *what, size_t free_bytes, size_t total,
                  const char *advice)
{
    char a[32], f[32], t[32];
    return error_set(e, "cuda: out of memory: %s wanted for %s, %s of %s free; %s",
                     memory_text(asked, a), what, memory_text(free_bytes, f), memory_text(total, t),
                     advice);
}

/* ---- convolution algorithms ---- */

struct conv_entry {
    conv_key key;
    conv_choice choice;
};

conv_key conv_key_make(conv_direction direction, const layer *l, size_t in_channels, size_t rows,
                       precision_kind precision, bool deterministic, bool bias, bool relu,
                       bool sums)
{
    bool forward = direction == CONV_FORWARD;
    return (conv_key){.direction = (int32_t)direction,
                      .rows = (int32_t)rows,
                      .in_height = (int32_t)l->in.height,
                      .in_width = (int32_t)l->in.width,
                      .in_channels = (int32_t)in_channels,
                      .out_height = (int32_t)l->out.height,
                      .out_width = (int32_t)l->out.width,
                      .out_channels = (int32_t)l->out.channels,
                      .kernel_height = (int32_t)l->kernel_height,
                      .kernel_width = (int32_t)l->kernel_width,
                      .stride_height = (int32_t)l->stride_height,
                      .stride_width = (int32_t)l->stride_width,
                      .dilation_height = (int32_t)l->dilation_height,
                      .dilation_width = (int32_t)l->dilation_width,
                      .groups = (int32_t)l->groups,
                      .top = (int32_t)l->pad.top,
                      .left = (int32_t)l->pad.left,
                      .bottom = (int32_t)l->pad.bottom,
                      .right = (int32_t)l->pad.right,
                      .precision = (int32_t)precision,
                      .deterministic = deterministic,
                      .bias = forward && bias,
                      .relu = forward && relu,
                      .sums = forward && sums};
}

bool choices_find(const conv_choices *c, const conv_key *key, conv_choice *out)
{
    for (size_t i = 0; i < c->count; i++) {
        if (memcmp(&c->entries[i].key, key, sizeof *key) == 0) {
            *out = c->entries[i].choice;
            return true;
        }
    }
    return false;
}

int choices_add(conv_choices *c, const conv_key *key, conv_choice choice)
{
    if (c->count == c->room) {
        size_t room = c->room ? 2 * c->room : 16;
        struct conv_entry *more = realloc(c->entries, room * sizeof *more);
        if (!more)
            return -1;
        c->entries = more;
        c->room = room;
    }
    c->entries[c->count++] = (struct conv_entry){*key, choice};
    return 0;
}

void choices_free(conv_choices *c)
{
    free(c->entries);
    *c = (conv_choices){0};
}
