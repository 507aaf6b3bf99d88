#include "epoch_report.h"

#include <math.h>
#include <stdio.h>

char *epoch_report_text(const epoch_report *r, char *text, size_t size)
{
    char validation[64] = "";
    if (!isnan(r->val_accuracy))
        snprintf(validation, sizeof validation, ", val_loss %.4f, val_accuracy %.4f", r->val_loss,
                 r->val_accuracy);
    snprintf(text, size, "epoch %zu/%zu: loss %.4f, accuracy %.4f%s, %.1f s, %.0f pictures/s",
             r->epoch, r->epochs, r->loss, r->accuracy, validation, r->seconds,
             r->images_per_second);
    return text;
}

static const char *number(double value, const char *format, char text[32])
{
    if (!isfinite(value))
        return "null";
    snprintf(text, 32, format, value);
    return text;
}

char *epoch_report_json(const epoch_report *r, char *text, size_t size)
{
    char n[7][32], ended[32];
    struct tm utc;
    if (!gmtime_r(&r->ended, &utc) || !strftime(ended, sizeof ended, "%Y-%m-%dT%H:%M:%SZ", &utc))
        ended[0] = '\0';
    snprintf(
        text, size,
        "{\"epoch\": %zu, \"loss\": %s, \"accuracy\": %s, \"val_loss\": %s, \"val_accuracy\": %s, "
        "\"rate\": %s, \"time\": \"%s\", \"seconds\": %s, \"images_per_second\": %s}",
        r->epoch, number(r->loss, "%.6f", n[0]), number(r->accuracy, "%.6f", n[1]),
        number(r->val_loss, "%.6f", n[2]), number(r->val_accuracy, "%.6f", n[3]),
        number(r->rate, "%.6g", n[6]), ended, number(r->seconds, "%.3f", n[4]),
        number(r->images_per_second, "%.1f", n[5]));
    return text;
}
