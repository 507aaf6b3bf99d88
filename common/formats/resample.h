/* resample.h: pictures to another size, antialiased, a row at a time.
 *
 * Each pixel made is a weighted mean of those that its filter, stretched to the larger of the two
 * pixels' sizes, reaches: triangle (bilinear) or Keys' cubic with a = -0.5 (bicubic; Keys: "Cubic
 * Convolution Interpolation for Digital Image Processing", 1981). This is what PIL's resize and
 * torchvision's antialias=True compute. Results agree within 1 of 255 on photographs and on all
 * that is made higher; on pictures of black and white alone that are made lower they differ more,
 * since rows come first there and what goes beyond 0 to 255 is cut between. */
#ifndef COMMON_FORMATS_RESAMPLE_H
#define COMMON_FORMATS_RESAMPLE_H

#include "../base/error.h"
#include "../stream/tensor.h"

typedef enum { RESAMPLE_BILINEAR, RESAMPLE_BICUBIC } resample_filter;

typedef struct {
    extent from;                     /* the picture as it comes */
    size_t full_height, full_width;  /* what the whole of it becomes */
    size_t top, left, height, width; /* the part of that which is wanted */
    resample_filter filter;
} resample_plan;

typedef struct resampler resampler;

/* Row y of the wanted part goes to out + y * stride: width x channels bytes. */
int resampler_new(const resample_plan *plan, uint8_t *out, size_t stride, resampler **made,
                  error *e);
/* The next row of the picture as it comes, from its top; from.height of them. */
void resampler_row(resampler *r, const uint8_t *row);
void resampler_free(resampler *r); /* NULL is harmless */

#endif
