/* absence.h: why there is no GPU to use, for errors. */
#ifndef KERNELS_ABSENCE_H
#define KERNELS_ABSENCE_H

#include "../common/base/error.h"

/* No driver, one too old, no device, or no device of that number. */
typedef enum { ABSENT_DRIVER, ABSENT_NEWER_DRIVER, ABSENT_DEVICE, ABSENT_NUMBER } absence;

/* `number` is the device that was asked for, of `count`. */
int absence_refuse(error *e, absence why, int number, int count);

#endif
